#!/bin/bash
# build-windows-libs.sh DIR SOURCES - the libraries of the Windows agent, static, by
# MinGW-w64 into DIR/{include,lib}; and cmocka for its tests.  Debian's signed sources go
# to SOURCES (see debian-source.sh).  Once, under a lock and a stamp.
#
# The versions are those that Debian 12 gives the Linux build, so that both are tested
# with the same; libuv 1.44 is also among the last that run on Windows Server 2012.  Only
# libraries are built, most of them by the compiler alone: what their build systems would
# find out by asking is known here.
set -euo pipefail
out=$(realpath -m "${1:?usage: build-windows-libs.sh DIR SOURCES}")
sources=$(realpath -m "${2:?usage: build-windows-libs.sh DIR SOURCES}")
here=$(cd "$(dirname "$0")" && pwd)
tls=$here/../proto/tls
cc=x86_64-w64-mingw32-gcc-posix
# AVX registers are spilled to stacks that are aligned to 16 bytes only.
flags=(-O2 -DNDEBUG -D_WIN32_WINNT=0x0602 -DWINVER=0x0602 -D__USE_MINGW_ANSI_STDIO=1
    -fstack-protector-strong -fno-strict-aliasing -Wa,-muse-unaligned-vector-move -w)

stamp=$( (cat "$0" "$here"/{debian-source.sh,mingw64.cmake} "$tls"/build-mbedtls.sh "$tls"/alt/*.[ch]; $cc --version) | sha256sum | cut -c1-64)
[ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9
[ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
rm -rf "$out"/{include,lib,src,obj,stamp}
mkdir -p "$out"/{include,lib/pkgconfig,src,obj}
. "$here/debian-source.sh"

# archive LIB SOURCE... -- FLAG...: libLIB.a of these files; out of $PWD.
archive() {
	local lib=$1 files=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1"); shift; done
	[ $# -eq 0 ] || shift
	mkdir "$out/obj/$lib"
	# A full path as the object's name: sources of one name in two directories.
	# shellcheck disable=SC2016
	printf '%s\n' "${files[@]}" | OBJ=$out/obj/$lib xargs -P "$(nproc)" -I{} \
	    sh -c 'f=$1; shift; exec "$@" -c "$f" -o "$OBJ/$(echo "$f" | tr / _).o"' sh {} \
	    $cc "${flags[@]}" "-ffile-prefix-map=$PWD=$lib" "$@"
	find "$out/obj/$lib" -name '*.o' | sort | xargs x86_64-w64-mingw32-ar rcsD "$out/lib/lib$lib.a"
}
# describe NAME VERSION LIB-OPTIONS [CFLAGS]: NAME.pc.
describe() {
	cat > "$out/lib/pkgconfig/$1.pc" <<-PC
	Name: $1
	Description: built by build-windows-libs.sh
	Version: $2
	Libs: -L$out/lib $3
	Cflags: -I$out/include ${4-}
	PC
}
# version PACKAGE: upstream's of what was fetched.
version() { (cd "$sources" && compgen -G "${1}_*.orig.tar.*z*" | grep -v '\.asc$' | sed 's/^[^_]*_//; s/\.orig.*//; s/+dfsg.*//'); }

# get NAME PACKAGE VERSION SHA256 SERIES SUITE...
get() {
	local name=$1
	shift
	debian_source "$sources" "$1" "$2" "$3" "$4" "$out/src/$name" "${@:5}"
	cd "$out/src/$name"
}

libsodium() {
	get libsodium libsodium 1.0.18 d59323c6b712a1519a5daf710b68f5e7fde57040845ffec53850911f10a5d4f4 '1.0.*' bookworm trixie
	cd src/libsodium
	# What configure writes from version.h.in, here as the MSVC project has it.
	cp ../../builds/msvc/version.h include/sodium/version.h
	local files
	mapfile -t files < <(find . -name '*.c' | sort)
	# Its files turn on their instructions themselves and the CPU is asked at run time.
	archive sodium "${files[@]}" -- -DSODIUM_STATIC -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 \
	    -DHAVE_TI_MODE=1 -DHAVE_CPUID=1 -DHAVE_MMINTRIN_H=1 -DHAVE_EMMINTRIN_H=1 -DHAVE_PMMINTRIN_H=1 \
	    -DHAVE_TMMINTRIN_H=1 -DHAVE_SMMINTRIN_H=1 -DHAVE_AVXINTRIN_H=1 -DHAVE_AVX2INTRIN_H=1 \
	    -DHAVE_AVX512FINTRIN_H=1 -DHAVE_WMMINTRIN_H=1 -DHAVE_RDRAND=1 -DHAVE_INTRIN_H=1 -DHAVE_SYS_TYPES_H=1 \
	    -Iinclude/sodium -Iinclude
	cp -r include/sodium.h include/sodium "$out/include/"
	describe libsodium "$(version libsodium)" "-lsodium -ladvapi32" -DSODIUM_STATIC
}
libuv() {
	get libuv libuv1 1.44.2 d79b4b06ef04be85fb890bf39d55942cc64c2e15fd14eaa32dae5dce94485484 '1.*' bookworm
	archive uv src/*.c src/win/*.c -- -Iinclude -Isrc -DWIN32_LEAN_AND_MEAN
	cp -r include/uv.h include/uv "$out/include/"
	describe libuv "$(version libuv1)" "-luv -lws2_32 -liphlpapi -luserenv -lpsapi -luser32 -ladvapi32 -lshell32 -lole32 -ldbghelp"
}
libzstd() {
	get zstd libzstd 1.5.4+dfsg2 8cf4bbb65e77ec348d052c8d6230eba66d435bddf64c8b5be2fcb16880c19953 '1.5.*' bookworm trixie
	archive zstd lib/common/*.c lib/compress/*.c lib/decompress/*.c -- -Ilib -DXXH_NAMESPACE=ZSTD_ -DZSTD_DISABLE_ASM
	cp lib/zstd.h lib/zstd_errors.h "$out/include/"
	describe libzstd "$(version libzstd)" -lzstd
}
protobuf_c() {
	get protobuf-c protobuf-c 1.4.1 4cc4facd508172f3e0a4d3a8736225d472418aee35b4ad053384b137b220339f '1.4.*' bookworm
	archive protobuf-c protobuf-c/protobuf-c.c -- -I.
	mkdir "$out/include/protobuf-c"
	cp protobuf-c/protobuf-c.h "$out/include/protobuf-c/"
	describe libprotobuf-c "$(version protobuf-c)" -lprotobuf-c
}
jansson() {
	get jansson jansson 2.14 c739578bf6b764aa0752db9a2fdadcfe921c78f1228c7ec0bb47fa804c55d17b '2.*' bookworm trixie
	# The public configuration is what upstream keeps for systems without configure.
	printf '#define %s 1\n' HAVE_STDINT_H HAVE_ATOMIC_BUILTINS USE_WINDOWS_CRYPTOAPI > android/jansson_private_config.h
	echo '#define INITIAL_HASHTABLE_ORDER 3' >> android/jansson_private_config.h
	# printf is C's here, not msvcrt.dll's.
	sed -i 's/"I64d"/"lld"/' src/jansson.h
	archive jansson src/*.c -- -Isrc -Iandroid -DHAVE_CONFIG_H
	cp src/jansson.h android/jansson_config.h "$out/include/"
	describe jansson "$(version jansson)" "-ljansson -ladvapi32"
}
# Bookworm's source of it is not on every mirror.
inih() {
	get inih libinih 59 062279922805f5e9a369551a08d5ddb506140fe50774183ffdbb7c22bb97e3f4 '*' trixie sid
	archive inih ini.c -- -DINI_MAX_LINE=200
	cp ini.h "$out/include/"
	describe inih "$(version libinih)" -linih
}
cmocka() {
	get cmocka cmocka 1.1.5 f0ccd8242d55e2fd74b16ba518359151f6f8383ff8aef4976e48393f77bba8b6 '1.1.*' bookworm trixie
	archive cmocka src/cmocka.c -- -Iinclude -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_GCC_THREAD_LOCAL_STORAGE
	cp include/cmocka.h "$out/include/"
	describe cmocka "$(version cmocka)" -lcmocka
}
for lib in libsodium libuv libzstd protobuf_c jansson inih cmocka; do
	$lib
done
# Its hooks want libsodium's headers.
cd "$here"
PKG_CONFIG_LIBDIR=$out/lib/pkgconfig MBEDTLS_SOURCES=$sources MBEDTLS_CFLAGS="${flags[*]} -ffile-prefix-map=$out/mbedtls/src=mbedtls" \
    "$tls"/build-mbedtls.sh "$out/mbedtls" hooked -DCMAKE_TOOLCHAIN_FILE="$here/mingw64.cmake" -DHOLDFAST_WINDOWS_LIBS="$out"
rm -rf "$out"/{src,obj}
echo "$stamp" > "$out/stamp"
