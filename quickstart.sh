#!/bin/bash
# SPDX-License-Identifier: MIT
#
# From a fresh checkout to proxyd at work: installs what is missing, builds, and runs examples/quickstart.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
usage: ./quickstart.sh [--stay]

Installs what is missing from Debian's packages (with sudo, if you are not root), builds into
build/release, and shows proxyd handing connections to nginx, Node.js and Python.

  --stay   leave proxyd and the servers running until Ctrl-C
TEXT
}

for argument in "$@"; do
    case $argument in
    --stay) ;;
    --help | -h) usage; exit 0 ;;
    *) echo "quickstart.sh: unknown argument '$argument', see --help" >&2; exit 2 ;;
    esac
done

to_build=(g++ cmake ninja-build pkg-config libc-ares-dev libev-dev libfmt-dev nlohmann-json3-dev libseccomp-dev libnghttp2-dev
    libmicrohttpd-dev libsystemd-dev)
to_show=(nginx nodejs python3 curl openssl)

echo "1. Installing what is missing (a minute or two, the first time)"
packaging/install-missing.sh "${to_build[@]}" "${to_show[@]}"

echo "2. Building (some minutes, the first time; tail -f build/quickstart.log shows how far it is)"
mkdir -p build
build() {
    cmake --preset release -DPROXYD_TESTS=OFF
    cmake --build --preset release -j "$(nproc)"
}
if ! build >build/quickstart.log 2>&1; then
    tail -n 60 build/quickstart.log >&2
    echo "The build failed; the whole log is in build/quickstart.log." >&2
    exit 1
fi

echo "3. The show (examples/quickstart/run.sh)"
echo
exec examples/quickstart/run.sh "$@" build/release
