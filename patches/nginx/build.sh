#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds an nginx that receives handoffs: patched, from the distribution's source package, or as a module for
# the nginx that is installed.
set -euo pipefail
apt=()
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mapfile -t versions < <(cd "$here" && printf '%s\n' [0-9]*/series | xargs dirname)
suites=(trixie sid)

usage() {
    cat <<TEXT
usage: patches/nginx/build.sh [--into DIR] [--core-only] [--asan] [--check] VERSION|module|module@SUITE

  VERSION      of ${versions[*]}: fetches Debian's source package, applies the patches, builds with the
               package's own options, and installs sbin/nginx and modules/ into DIR. It reads /etc/nginx/nginx.conf,
               and takes the package's dynamic modules, as the packaged nginx does.
  module       modules/ngx_handoff_module.so for the nginx that is installed, by its package nginx-dev
  module@SUITE the same for the nginx of another release of Debian (${suites[*]}), which is put into DIR, too, with
               the libraries that it needs: to try it. Needs patchelf.

  --into DIR   where to (default: build/nginx/VERSION); sources are kept in DIR/work
  --core-only  without those dynamic modules that need more libraries: GeoIP, images, Perl, XSLT
  --asan       with AddressSanitizer
  --check      then runs the tests with it; needs a build of proxyd in build/dev, or in \$PROXYD_BUILD

Nothing of the system is changed. It tells which of Debian's packages it needs, if one is missing: those that
nginx-dev brings with it, mostly.
Exit codes: 0 done, 1 failed, 2 usage, 3 the archive can't be reached, or doesn't have what it lists.
TEXT
}

fail() { echo "build.sh: $2" >&2; exit "$1"; }

into='' core_only='' asan='' check='' what=''
while [[ $# -gt 0 ]]; do
    case $1 in
    --into) into=${2:?--into needs a folder}; shift ;;
    --core-only) core_only=yes ;;
    --asan) asan=yes ;;
    --check) check=yes ;;
    --help | -h) usage; exit 0 ;;
    -*) fail 2 "unknown option '$1', see --help" ;;
    *) [[ -z $what ]] || fail 2 "one version at a time"; what=$1 ;;
    esac
    shift
done
[[ " ${versions[*]} module ${suites[*]/#/module@} " = *" $what "* ]] ||
    fail 2 "want one of: ${versions[*]} module ${suites[*]/#/module@}"

# need PACKAGE...: that they are installed.
need() {
    local package missing=()
    for package; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) = installed ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] || fail 1 "packages are missing: sudo apt install ${missing[*]}"
}

need gcc make patch dpkg-dev libpcre2-dev libssl-dev zlib1g-dev
case $what in
module) need nginx-dev ;;
module@*) need patchelf ;;
*) [[ -n $core_only ]] || need libgd-dev libgeoip-dev libperl-dev libxslt1-dev ;;
esac

into=${into:-$here/../../build/nginx/$what}
mkdir -p "$into/work"
into=$(cd "$into" && pwd)
work=$into/work
log=$work/log

# One at a time, and only what has changed since.
exec 9>"$work/lock"
flock 9

[[ $what != module* ]] || core_only=
wanted=$({ echo "$core_only $asan $into"; cat "$here/build.sh" "$here/module/"*
           case $what in module) nginx -v 2>&1 ;; module@*) ;; *) cat "$here/$what/"* ;; esac; } | sha256sum)

run() { "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; fail 1 "failed, see $log: $*"; }; }

# use_archive deb|deb-src SUITE...: a configuration of APT that is our own, in the array `apt`.
use_archive() {
    local kind=$1 suite
    shift
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    for suite; do
        echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/${suite%%/*} ${suite#*/} main"
    done >"$work/apt/sources.list"
    apt=(-o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/apt/lists"
         -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" update >>"$log" 2>&1 || true
}

fetch() {
    local package_version newest=''
    case $what in
    1.22.1) use_archive deb-src debian-security/bookworm-security debian/bookworm ;;
    1.26.3) use_archive deb-src debian-security/trixie-security debian/trixie ;;
    *) use_archive deb-src debian/sid ;;
    esac
    # The newest that the archive still has: its lists may be ahead of its files.
    for package_version in $(apt-cache "${apt[@]}" showsrc nginx 2>>"$log" | sed -n "s/^Version: \($what-.*\)/\1/p" | sort -rVu); do
        newest=${newest:-$package_version}
        rm -rf "$work"/nginx*
        if (cd "$work" && apt-get "${apt[@]}" source --download-only --only-source "nginx=$package_version") >>"$log" 2>&1; then
            echo "nginx $package_version"
            [[ $package_version = "$newest" ]] ||
                echo "build.sh: Debian lists nginx $newest, but doesn't give its source: what that mends is not in this one" >&2
            (cd "$work" && run dpkg-source -x nginx_*.dsc)
            return
        fi
    done
    [[ -z $newest ]] || fail 3 "Debian lists nginx $newest, but doesn't give its source, see $log"
    fail 3 "found no source of nginx $what in Debian's archive, or could not reach it, see $log"
}

build_patched() {
    local source=$work/nginx-$what options patch
    fetch
    while read -r patch; do
        run patch -d "$source" -p1 --no-backup-if-mismatch -i "$here/$what/$patch"
    done <"$here/$what/series"
    # What the package's own rules say, with other places for what we install.
    # shellcheck disable=SC2016  # make expands it
    options=$(cd "$source" && printf 'include debian/rules\noptions:\n\t@printf "%%s" '"'"'$(bin_configure_flags)'"'"'\n' |
        DEB_BUILD_MAINT_OPTIONS=hardening=+all make -s -f - options)
    if [[ -n $core_only ]]; then
        options=$(sed -E 's/--with-[a-z_]*(geoip|image_filter|perl|xslt)[a-z_]*=dynamic//g' <<<"$options")
    fi
    eval "set -- $options"
    set -- "$@" --sbin-path="$into/sbin/nginx" --modules-path="$into/modules"
    [[ -z $asan ]] || set -- "$@" --with-cc-opt="-g -O1 -fsanitize=address -fno-omit-frame-pointer -fPIC" \
        --with-ld-opt="-fsanitize=address"
    if command -v ccache >/dev/null; then set -- "$@" --with-cc="ccache cc"; fi
    (cd "$source" && run ./configure "$@" && run make -j "${JOBS:-$(nproc)}")
    mkdir -p "$into/sbin" "$into/modules"
    install -m 755 "$source/objs/nginx" "$into/sbin/nginx"
    install -m 644 "$source"/objs/*.so "$into/modules/"
}

# The packaged nginx of another release, its nginx-dev, and the libraries that it was linked with.
fetch_binaries() {
    local package root=$work/root libraries
    use_archive deb "debian/${what#*@}"
    rm -rf "$root" "$work"/*.deb && mkdir -p "$root" "$into/sbin"
    for package in nginx nginx-dev libssl3t64 libpcre2-8-0 libcrypt1 libc6 zlib1g libzstd1 libgcc-s1; do
        (cd "$work" && apt-get "${apt[@]}" download "$package") >>"$log" 2>&1 ||
            fail 3 "Debian's archive doesn't give $package of ${what#*@}, see $log"
    done
    for package in "$work"/*.deb; do run dpkg-deb -x "$package" "$root"; done
    libraries=$(dirname "$(find "$root" -name libssl.so.3)")
    install -m 755 "$root/usr/sbin/nginx" "$into/sbin/nginx"
    run patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" "$into/sbin/nginx"
}

build_module() {
    local source=/usr/share/nginx/src NGX_CONF_FLAGS=()
    if [[ $what = module@* ]]; then
        fetch_binaries
        source=$work/root/usr/share/nginx/src
    fi
    # shellcheck source=/dev/null
    . "$source/conf_flags"
    # A copy, since nginx's configure writes beside itself what it has found out.
    rm -rf "$work/src" && cp -a "$source" "$work/src"
    set -- "${NGX_CONF_FLAGS[@]}" --with-cc-opt="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS) -fPIC" \
        --with-ld-opt="$(dpkg-buildflags --get LDFLAGS) -fPIC" --builddir="$work/objs" --add-dynamic-module="$here/module"
    (cd "$work/src" && run ./configure "$@" && run make -f "$work/objs/Makefile" modules)
    mkdir -p "$into/modules"
    install -m 644 "$work/objs/ngx_handoff_module.so" "$into/modules/"
}

if [[ ! -e $work/done || $(<"$work/done") != "$wanted" ]]; then
    : >"$log"
    rm -f "$work/done"
    if [[ $what = module* ]]; then build_module; else build_patched; fi
    echo "$wanted" >"$work/done"
fi
flock -u 9
if [[ $what = module* ]]; then echo "$into/modules/ngx_handoff_module.so"; else echo "$into/sbin/nginx"; fi

if [[ -n $check ]]; then
    export PROXYD_BUILD=${PROXYD_BUILD:-$here/../../build/dev}
    PROXYD_BUILD=$(cd "$PROXYD_BUILD" && pwd)
    PROXYD_NGINX=$what PROXYD_NGINX_DIRECTORY=$into /usr/bin/python3 -m pytest -q -p no:cacheprovider "$here/../../tests/integration/"test_nginx_native*.py
fi
