#!/bin/bash
# Goal: the same sources give the same hotcopy.sys, byte for byte, from another directory
# and without a compiler's cache.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
driver=${HOLDFAST_DRIVER:-$top/build/driver}
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CCACHE_DISABLE=1
mkdir -p "$work/elsewhere/tests/windows"
cp -r "$top/driver" "$top/cmake" "$work/elsewhere/"
cp -r "$top/tests/windows/ramvol" "$work/elsewhere/tests/windows/"
for arch in x64:mingw64 i686:mingw32; do
	built=$work/${arch%:*}
	cmake -S "$work/elsewhere/cmake/driver" -B "$built" -G Ninja \
	    -DCMAKE_TOOLCHAIN_FILE="$work/elsewhere/cmake/${arch#*:}.cmake" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	cmake --build "$built" --parallel 2 --target hotcopy > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	cmp "$built/hotcopy.sys" "$driver/${arch%:*}/hotcopy.sys"
done
echo "both are the same"
