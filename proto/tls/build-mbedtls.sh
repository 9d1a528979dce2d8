#!/bin/bash
# build-mbedtls.sh DIR - fetch Debian's signed source of mbedTLS 3.6 and build
# it twice: DIR/hooked with alt/'s ChaCha20-Poly1305, random numbers and settings
# (what Holdfast links) and DIR/plain unmodified (the interop tests' peer).
# MBEDTLS_CFLAGS is added to the compiler's flags (a sanitizer, say).
#
# The source comes by apt from the machine's own mirrors: apt checks InRelease's
# signature -> Sources -> SHA-256 of each file.  Debian 12 itself has 2.28 (no
# TLS 1.3), so the suite is trixie, or sid where trixie has it no more.  The
# tarball's SHA-256 is pinned; a newer signed 3.6.x is taken with a notice.
set -euo pipefail
out=$(realpath -m "${1:?usage: build-mbedtls.sh DIR}")
here=$(cd "$(dirname "$0")" && pwd)
pinned=8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a	# 3.6.6

stamp=$( (cat "$0" "$here"/alt/*.[ch]; echo "${MBEDTLS_CFLAGS-}") | sha256sum | cut -c1-64)
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9
[ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

fetch() { # suite
	local apt=$out/apt-$1
	rm -rf "$apt"
	mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts}
	# A deb-src stanza derived from the machine's own first Debian source.
	if [ -e /etc/apt/sources.list.d/debian.sources ]; then
		awk 'BEGIN{RS="";ORS="\n\n"} NR==1' /etc/apt/sources.list.d/debian.sources |
		    sed "s/^Types:.*/Types: deb-src/; s/^Suites:.*/Suites: $1/; s/^Components:.*/Components: main/" > "$apt/parts/src.sources"
	else
		awk -v s="$1" '$1 == "deb" { u = $2; if (u ~ /^\[/) { while (u !~ /\]$/) { i++; u = $(2 + i) } u = $(3 + i) }
		    print "deb-src", u, s, "main"; exit }' /etc/apt/sources.list > "$apt/parts/src.list"
	fi
	local o=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts"
	    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
	apt-get "${o[@]}" -qq update
	(cd "$out" && rm -f mbedtls_3.6.* && apt-get "${o[@]}" -qq --download-only source mbedtls) || return 1
	rm -rf "$apt"
	ls "$out"/mbedtls_3.6.*.dsc > /dev/null
}
fetch trixie || fetch sid || { echo "build-mbedtls.sh: no mbedTLS 3.6 source in trixie or sid" >&2; exit 1; }
tarball=$(ls "$out"/mbedtls_3.6.*.orig.tar.*)
if ! echo "$pinned  $tarball" | sha256sum -c --status; then
	case $(basename "$tarball") in
	mbedtls_3.6.6.orig.*) echo "build-mbedtls.sh: $tarball is not the 3.6.6 that was pinned" >&2; exit 1 ;;
	esac
	echo "build-mbedtls.sh: notice: taking $(basename "$tarball"), newer than the pinned 3.6.6, on apt's signature alone" >&2
fi
rm -rf "$out/src"
dpkg-source -q --no-check -x "$out"/mbedtls_3.6.*.dsc "$out/src" >/dev/null

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
build plain
hook
build hooked
hooked_is "$out/plain.new/lib/libmbedcrypto.a" no
hooked_is "$out/hooked.new/lib/libmbedcrypto.a" yes
for name in plain hooked; do
	rm -rf "${out:?}/$name"
	mv "$out/$name.new" "$out/$name"
done
rm -rf "$out/src"
echo "$stamp" > "$out/stamp"
