# SPDX-License-Identifier: MIT
#
# What the run.sh of most examples share: proxyd's programs, a temporary directory $dir, programs that are started in
# it, and their end. Sourced by them, with "set -euo pipefail" and $here set.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317  # for those who source it, and from them
if [[ ${1-} == -* ]]; then
    echo "usage: ${0} [BUILD]   (the build directory; default: \$PROXYD_BUILD, else build/release, or the installed programs)"
    [[ $1 == --help || $1 == -h ]] || exit 2
    exit 0
fi
DeadlineSeconds=30
dir=
groups=()

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

# shellcheck source=examples/programs.sh
. "$here/../programs.sh"
find_programs "${1-}"

# start LOG COMMAND...: in a process group of its own.
start() {
    local log=$1
    shift
    : >"$dir/$log" # it is there for whoever looks into it at once
    setsid "$@" </dev/null >"$dir/$log" 2>&1 &
    groups+=("$!")
}

# wait_for WHAT CONDITION...: looks again and again until the condition is true.
wait_for() {
    local what=$1 end=$((SECONDS + DeadlineSeconds))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "waited $DeadlineSeconds s in vain for $what"
        sleep 0.05
    done
}

# But for those who have ended, and process 1 doesn't wait for them, as in some containers.
nobody_runs() {
    local group running
    running=$(cat /proc/[0-9]*/stat 2>/dev/null | sed -n 's/^[0-9]* (.*) [^Z] [0-9]* \([0-9]*\) .*/\1/p' || true)
    for group in "${groups[@]}"; do
        if grep -qx "$group" <<<"$running"; then return 1; fi
    done
}

finish() {
    local status=$? group log
    trap - EXIT
    [[ -n $dir ]] || exit "$status"
    for group in "${groups[@]}"; do kill -TERM -- "-$group" "$group" 2>/dev/null || true; done
    wait
    (wait_for "the end of all processes" nobody_runs) || status=1
    if [[ $status -ne 0 ]]; then
        for log in "$dir"/*.log; do
            [[ ! -s $log ]] || { printf '\n--- %s\n' "${log##*/}" && tail -n 30 "$log"; } >&2
        done
    fi
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
