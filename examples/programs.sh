# SPDX-License-Identifier: MIT
#
# Where the run.sh of all examples find proxyd's programs: $proxyd_program, $proxyctl_program, $proxyrun_program,
# $tcpshim_program and $libpreload. Sourced by them (most do by stage.sh), with "set -euo pipefail" and $here set, and a function `fail`.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # for those who source it, and from them

# installed NAME: its path, beside the installed examples or in PATH; fails if it isn't there.
installed() {
    local prefix=$here/../../../../..
    realpath -s "$(PATH="$prefix/bin:$prefix/sbin:$PATH:/usr/local/sbin:/usr/sbin:/sbin" type -P "$1")" 2>/dev/null
}

# find_programs [BUILD]: in that build directory or in $PROXYD_BUILD; else, in a source tree, in its build/release; else
# where they are installed.
find_programs() {
    local build=${1:-${PROXYD_BUILD-}} file
    if [[ -z $build && -e $here/../../CMakePresets.json ]]; then build=$here/../../build/release; fi
    if [[ -n $build ]]; then
        build=$(realpath -m "$build")
        proxyd_program=$build/bin/proxyd proxyctl_program=$build/bin/proxyctl
        proxyrun_program=$build/bin/proxyrun tcpshim_program=$build/bin/tcpshim
        libpreload=$build/lib/libpreload.so
        for file in "$proxyd_program" "$proxyctl_program" "$proxyrun_program" "$tcpshim_program" "$libpreload"; do
            [[ -e $file ]] || fail "there is no $file; ./quickstart.sh installs and builds it"
        done
    else
        if ! { proxyd_program=$(installed proxyd) && proxyctl_program=$(installed proxyctl) &&
            proxyrun_program=$(installed proxyrun) && tcpshim_program=$(installed tcpshim); }; then
            fail "proxyd isn't installed; or say where it is built, see --help"
        fi
        libpreload=$(compgen -G "$(dirname "$proxyrun_program")/../lib*/proxyd/libpreload.so" ||
            compgen -G "$(dirname "$proxyrun_program")/../lib*/*/proxyd/libpreload.so") ||
            fail "there is no libpreload.so for $proxyrun_program"
    fi
}
