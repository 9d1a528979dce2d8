#!/bin/bash
# Every header compiles alone, under gcc and clang, as C11; one that includes a header of
# Windows under MinGW's compiler instead, and those of driver/nt, driver/tools and driver/setup under
# both of its processors', as the driver is built.  A run of a compiler takes many of them, each a
# file of its own that includes the header twice.
# usage: check_headers.sh BUILD_DIR (for generated and mbedTLS headers)
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$1
mbed=$(sed -n 's/^MBEDTLS_ROOT:PATH=//p' "$build/CMakeCache.txt")
flags=$(pkg-config --cflags libuv libzstd libprotobuf-c libsodium sqlite3 jansson inih)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/posix" "$work/windows" "$work/nt" "$work/tools"

headers=$(find agent rescue server proto storage driver -name '*.h' 2>/dev/null | sort)
# shellcheck disable=SC2086
windows=" $(grep -lE '^#include <(windows|winsock2|vss|objbase)\.h>|^#include "proto/base/winapi\.h"' $headers | tr '\n' ' ')"
for header in $headers; do
	kind=posix
	case $header in *_win32.h) kind=windows ;; esac
	case $windows in *" $header "*) kind=windows ;; esac
	case $header in
	proto/tls/chachapoly_alt.h | proto/tls/mbedtls_config_holdfast.h) continue ;;
	driver/nt/*) kind=nt ;;
	driver/tools/* | driver/setup/setup_parts.h) kind=tools ;;
	esac
	printf '#include "%s"\n#include "%s"\n' "$header" "$header" > "$work/$kind/${header//\//.}.c"
done

bad=0
alone() { # KIND COMPILER FLAGS...: its files, sixteen a run, a run a processor
	local kind=$1
	shift
	# shellcheck disable=SC2086
	find "$work/$kind" -name '*.c' -print0 | sort -z | xargs -0 -r -P "$(nproc)" -n 16 "$@" -std=c11 -fsyntax-only \
	    -Wall -Wextra -Wno-unused-function -Werror -I. -I"$build/generated" -isystem "$mbed/include" $flags ||
		{ echo "a header above does not stand alone ($1)"; bad=1; }
}
posix="-D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE"
# shellcheck disable=SC2086
{
	alone posix gcc $posix
	alone posix clang $posix
	alone windows x86_64-w64-mingw32-gcc-posix -D_WIN32_WINNT=0x0602 -D__USE_MINGW_ANSI_STDIO=1
	for cc in x86_64-w64-mingw32-gcc-posix i686-w64-mingw32-gcc-posix; do
		alone nt $cc -D_WIN32_WINNT=0x0600 -ffreestanding -isystem /usr/share/mingw-w64/include/ddk
		alone tools $cc -D_WIN32_WINNT=0x0502
	done
}
exit $bad
