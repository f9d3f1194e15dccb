#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Fails the build if libpreload.so is no guest any more: it may need libc and nothing else, export
# what exports.map names and nothing else, and use no function that is C++'s or glibc's alone.
# Usage: check_library.sh LIBRARY EXPORTS_MAP
set -eu
library=$1
exports=$2
export LC_ALL=C

fail() {
    echo "$library: $1" >&2
    exit 1
}

needed=$(readelf --dynamic --wide "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
[ "$needed" = libc.so.6 ] || fail "needs more than libc.so.6: $(echo $needed)"

exported=$(nm --dynamic --defined-only --format=posix "$library" | cut -d' ' -f1 | sort)
wanted=$(sed -n '/global:/,/local:/s/^ *\([a-z0-9_]*\);$/\1/p' "$exports" | sort)
[ "$exported" = "$wanted" ] || fail "exports other names than exports.map: $(echo $exported)"

# __cxa_finalize is what every shared object calls when it is unloaded (musl has it too).
foreign=$(nm --dynamic --undefined-only --format=posix "$library" | cut -d' ' -f1 | sed 's/@.*//' |
    grep -E '^(_Z|__cxa_|__gxx_|_Unwind_|__isoc23_)|_chk$' | grep -vx '__cxa_finalize' || true)
[ -z "$foreign" ] || fail "uses what musl or a C program hasn't got: $(echo $foreign)"
