#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs those of the given Debian packages that are missing; asks for nothing if none is. No service is
# started by it: a web server that is installed to be looked at must not take port 80.
#
# usage: packaging/install-missing.sh PACKAGE...
set -euo pipefail

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

if ! command -v apt-get >/dev/null; then
    echo "This is not Debian. Install what corresponds to these packages, if it is not there: $*"
    exit 0
fi

missing=()
for package in "$@"; do
    is_installed "$package" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing, and there is no sudo. As root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    # sudo clears the environment; apt needs the proxies.
    proxies=()
    for variable in http_proxy https_proxy no_proxy; do
        [[ -z ${!variable-} ]] || proxies+=("$variable=${!variable}")
    done
    exec sudo -- env "${proxies[@]}" "$(readlink -f "$0")" "${missing[@]}"
fi

# While this file says 101, maintainer scripts start nothing (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy && ! -L $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "Installing from the distribution: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A mail server that is installed to be looked at must not take port 25 either.
[[ " ${missing[*]} " != *" postfix "* ]] || echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
log=$(mktemp)
# A source that cannot be read need not be the one that matters: whether all is there, the install tells.
install() {
    apt-get update || true
    apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
}
if ! install </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "The packages could not be installed." >&2
    exit 1
fi
rm -f "$log"

if [[ -d /run/systemd/system && " ${missing[*]} " == *" nginx "* ]]; then
    echo "Debian's own nginx service was not started, but it will be at the next boot, on port 80."
    echo "If you don't want that: systemctl disable nginx"
fi
