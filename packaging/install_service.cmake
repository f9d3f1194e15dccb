# Run by `cmake --install`: units with the paths of this prefix, and files outside of the prefix. The
# variables `source`, `made`, `bindir`, `sbindir`, `docdir` and `unit_dir` come from CMakeLists.txt.
set(prefix "${CMAKE_INSTALL_PREFIX}")

# A path that may be relative to the prefix.
function(absolute path result)
    if(NOT IS_ABSOLUTE "${path}")
        set(path "${prefix}/${path}")
    endif()
    set(${result} "${path}" PARENT_SCOPE)
endfunction()

absolute("${bindir}" PROXYD_BINDIR)
absolute("${sbindir}" PROXYD_SBINDIR)
absolute("${unit_dir}" unit_dir)
absolute("${docdir}" docdir)

# /etc is where proxyd looks by itself. A prefix of its own keeps its configuration to itself.
if(prefix STREQUAL "/usr" OR prefix STREQUAL "/usr/local")
    set(etc /etc)
    set(PROXYD_CONFIG_ARGUMENT "")
    set(TCPSHIM_CONFIG_ARGUMENT "")
else()
    set(etc "${prefix}/etc")
    set(PROXYD_CONFIG_ARGUMENT " --config ${etc}/proxyd/proxyd.json")
    set(TCPSHIM_CONFIG_ARGUMENT " --config ${etc}/proxyd/tcpshim.json")
endif()

set(PROXYD_ETC "${etc}")
set(PROXYD_DOCDIR "${docdir}")
configure_file("${source}/systemd/proxyd.service.in" "${made}/proxyd.service" @ONLY)
configure_file("${source}/systemd/tcpshim.service.in" "${made}/tcpshim.service" @ONLY)
configure_file("${source}/systemd/nginx-behind-proxyd.conf.in"
    "${made}/nginx-behind-proxyd.conf" @ONLY)
configure_file("${source}/systemd/site.service.in" "${made}/site.service" @ONLY)

file(INSTALL "${made}/proxyd.service" "${made}/tcpshim.service" "${source}/systemd/proxyd.socket"
    DESTINATION "${unit_dir}")
file(INSTALL "${made}/nginx-behind-proxyd.conf" "${made}/site.service"
    "${source}/systemd/site.socket" DESTINATION "${docdir}/examples/systemd")
file(INSTALL "${source}/systemd/tmpfiles.conf" DESTINATION "${prefix}/lib/tmpfiles.d"
    RENAME proxyd.conf)
file(INSTALL "${source}/systemd/sysusers.conf" DESTINATION "${prefix}/lib/sysusers.d"
    RENAME proxyd.conf)

# What the administrator has changed stays.
foreach(file IN ITEMS config/proxyd.json:proxyd logrotate/proxyd:logrotate.d)
    string(REPLACE ":" ";" from_and_to ${file})
    list(GET from_and_to 0 from)
    list(GET from_and_to 1 to)
    get_filename_component(name ${from} NAME)
    if(EXISTS "$ENV{DESTDIR}${etc}/${to}/${name}")
        message(STATUS "Kept: $ENV{DESTDIR}${etc}/${to}/${name}")
    else()
        file(INSTALL "${source}/${from}" DESTINATION "${etc}/${to}")
    endif()
endforeach()
