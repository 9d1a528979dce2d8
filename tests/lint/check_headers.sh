#!/bin/sh
# Every header compiles alone, under gcc and clang, as C11; one that includes a header of
# Windows under MinGW's compiler instead, and those of driver/nt, driver/tools and driver/setup under
# both of its processors', as the driver is built.
# usage: check_headers.sh BUILD_DIR (for generated and mbedTLS headers)
cd "$(dirname "$0")/../.." || exit 2
mbed=$(sed -n 's/^MBEDTLS_ROOT:PATH=//p' "$1/CMakeCache.txt")
flags=$(pkg-config --cflags libuv libzstd libprotobuf-c libsodium sqlite3 jansson inih)
bad=0
for header in $(find agent rescue server proto storage driver -name '*.h' 2>/dev/null | sort); do
	case $header in proto/tls/chachapoly_alt.h | proto/tls/mbedtls_config_holdfast.h) continue ;; esac
	compilers="gcc clang"
	system="-D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE"
	if [ "${header%_win32.h}" != "$header" ] || grep -qE '^#include <(windows|winsock2|vss|objbase)\.h>|^#include "proto/base/winapi\.h"' "$header"; then
		compilers=x86_64-w64-mingw32-gcc-posix
		system="-D_WIN32_WINNT=0x0602 -D__USE_MINGW_ANSI_STDIO=1"
	fi
	case $header in
	driver/nt/*)
		compilers="x86_64-w64-mingw32-gcc-posix i686-w64-mingw32-gcc-posix"
		system="-D_WIN32_WINNT=0x0600 -ffreestanding -isystem /usr/share/mingw-w64/include/ddk"
		;;
	driver/tools/* | driver/setup/setup_parts.h)
		compilers="x86_64-w64-mingw32-gcc-posix i686-w64-mingw32-gcc-posix"
		system="-D_WIN32_WINNT=0x0502"
		;;
	esac
	for cc in $compilers; do
		# shellcheck disable=SC2086
		printf '#include "%s"\n#include "%s"\n' "$header" "$header" | $cc -std=c11 -fsyntax-only \
		    -Wall -Wextra -Wno-unused-function -Werror $system -I. -I"$1/generated" \
		    -isystem "$mbed/include" $flags -x c - || { echo "$header: does not stand alone ($cc)"; bad=1; }
	done
done
exit $bad
