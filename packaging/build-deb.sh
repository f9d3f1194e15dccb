#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the Debian package from this tree, as it is, in a temporary copy of it. Installs what is missing for that,
# with sudo if need be.
#
# usage: packaging/build-deb.sh [DIRECTORY]      where proxyd_*.deb goes (default: build)
set -euo pipefail

case ${1-} in
-*) sed -n '3,/^$/s/^# \{0,1\}//p' "$0" | sed '/^$/d'; [[ $1 == --help ]] && exit 0 || exit 2 ;;
esac
source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-$source/build}"
destination=$(cd "${1:-$source/build}" && pwd)

# As packaging/debian/control has them; dpkg-buildpackage says what else it would need.
"$source/packaging/install-missing.sh" dpkg-dev debhelper g++ cmake ninja-build pkg-config libc-ares-dev libev-dev libfmt-dev \
    libmicrohttpd-dev libnghttp2-dev libseccomp-dev libsystemd-dev nlohmann-json3-dev systemd
command -v dpkg-buildpackage >/dev/null || {
    echo "build-deb.sh: dpkg-buildpackage is missing" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/proxyd"
tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$work/proxyd" -xf -
cp -r "$source/packaging/debian" "$work/proxyd/debian"

cd "$work/proxyd"
dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes --jobs="$(nproc)"
cp "$work"/proxyd_*.deb "$destination"
echo "Built: $(ls "$destination"/proxyd_*.deb)"
