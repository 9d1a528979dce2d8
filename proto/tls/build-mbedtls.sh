#!/bin/bash
# build-mbedtls.sh DIR [FORM [CMAKE-ARGUMENT...]] - fetch Debian's signed source of
# mbedTLS 3.6 and build it twice, or in the one FORM: DIR/hooked with alt/'s
# ChaCha20-Poly1305, random numbers and settings (what Holdfast links) and DIR/plain
# unmodified (the interop tests' peer).
# MBEDTLS_CFLAGS is added to the compiler's flags (a sanitizer, say); MBEDTLS_SOURCES is
# where the source goes, if not to DIR.
#
# Debian 12 itself has 2.28 (no TLS 1.3), so the suite is trixie, or sid where trixie has
# 3.6 no more.  See debian-source.sh for what is proved of it.
set -euo pipefail
out=$(realpath -m "${1:?usage: build-mbedtls.sh DIR [FORM [CMAKE-ARGUMENT...]]}")
forms=${2:-plain hooked}
shift $(($# < 2 ? $# : 2))
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../cmake/debian-source.sh"

stamp=$( (cat "$0" "$here"/alt/*.[ch] "$here/../../cmake/debian-source.sh"; echo "${MBEDTLS_CFLAGS-} $forms $*") | sha256sum | cut -c1-64)
if [ "$(cat "$out/built" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9
[ "$(cat "$out/built" 2>/dev/null)" = "$stamp" ] && exit 0

debian_source "${MBEDTLS_SOURCES:-$out}" mbedtls 3.6.6 \
    8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a '3.6.*' "$out/src" trixie sid

build() { # name, extra cmake arguments...
	local name=$1
	shift
	rm -rf "$out/build-$name" "$out/$name.new"
	# -fPIC and no LTO: the archives go into PIE programs of any compiler.
	cmake -S "$out/src" -B "$out/build-$name" -G Ninja -DCMAKE_BUILD_TYPE=Release \
	    -DENABLE_TESTING=OFF -DENABLE_PROGRAMS=OFF -DMBEDTLS_FATAL_WARNINGS=OFF \
	    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_INSTALL_PREFIX="$out/$name.new" \
	    -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_C_FLAGS="$(pkg-config --cflags libsodium) ${MBEDTLS_CFLAGS-}" \
	    "$@" > "$out/build-$name.log" 2>&1 &&
	cmake --build "$out/build-$name" --target install >> "$out/build-$name.log" 2>&1 ||
	    { tail -30 "$out/build-$name.log" >&2; exit 1; }
	rm -rf "$out/build-$name"
}
# hook: our files into the source tree; whatever does not fit any more is an error.
hook() {
	local library=$out/src/library include=$out/src/include/mbedtls
	cp "$here"/alt/*.c "$library/"
	cp "$here"/alt/*.h "$include/"
	grep -qx '    chachapoly.c' "$library/CMakeLists.txt" ||
	    { echo "build-mbedtls.sh: chachapoly.c is not where it was in mbedTLS" >&2; exit 1; }
	sed -i 's/^    chachapoly\.c$/&\n    chachapoly_alt.c\n    external_random.c/' "$library/CMakeLists.txt"
	sed -i '1i #define HOLDFAST_SELF_TEST' "$library/chachapoly.c"
	echo '#include "mbedtls/mbedtls_config_holdfast.h"' >> "$include/mbedtls_config.h"
}
# hooked_is LIBRARY yes|no: is our ChaCha20-Poly1305 in it, and upstream's not?
hooked_is() {
	local found=no names
	names=$(nm "$1" 2>/dev/null)
	if grep -q ' T mbedtls_chachapoly_by_libsodium$' <<< "$names" &&
	    grep -q ' U crypto_aead_chacha20poly1305_ietf_encrypt_detached$' <<< "$names"; then
		found=yes
	fi
	[ $found = "$2" ] || { echo "build-mbedtls.sh: hook in $1: $found, should be $2" >&2; exit 1; }
}
for name in $forms; do
	is=no
	[ "$name" != hooked ] || { hook; is=yes; }
	build "$name" "$@"
	hooked_is "$out/$name.new/lib/libmbedcrypto.a" $is
done
for name in $forms; do
	rm -rf "${out:?}/$name"
	mv "$out/$name.new" "$out/$name"
done
rm -rf "$out/src"
echo "$stamp" > "$out/built"
