#!/bin/bash
# build.sh EXE SOURCES OUT [VERSION] - the packages of the Windows agent into OUT:
# holdfast-agent-VERSION-x64.msi and .zip.  EXE is holdfast-agent.exe, SOURCES the
# directory with the Debian sources of what it links (their licenses go along).
# VERSION: the project's, or another for tests.  HOLDFAST_DRIVER_FILE: a hotcopy.sys for
# x64, signed by then, that is laid beside the program (docs/driver.md).  The same input
# gives the same bytes, with SOURCE_DATE_EPOCH as the time in them (default: the last
# commit's).
set -euo pipefail
exe=$(realpath -e "${1:?usage: build.sh EXE SOURCES OUT [VERSION]}")
sources=$(realpath -e "${2:?}")
out=$(realpath -m "${3:?}")
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
version=${4:-$(sed -n 's/^project(holdfast VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "build.sh: '$version' is no version" >&2; exit 2; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || date +%s)}
export TZ=UTC LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
files=$work/files
mkdir -p "$files" "$out"

x86_64-w64-mingw32-strip -o "$files/holdfast-agent.exe" "$exe"
x86_64-w64-mingw32-gcc-posix -std=c11 -O2 -Wall -Wextra -Wpedantic -Wshadow -Wvla -Werror -Wstrict-prototypes \
    -Wmissing-prototypes -D_WIN32_WINNT=0x0602 -ffile-prefix-map="$here"=. -shared -static-libgcc -s \
    -Wl,--no-insert-timestamp,--image-base,0x180000000,--dynamicbase,--nxcompat,--high-entropy-va \
    -o "$files/actions.dll" "$here/actions_win32.c" -lmsi -lshell32 -ladvapi32

# Text as Notepad of Server 2012 shows it.
text() { sed 's/\r*$/\r/' > "$files/$1"; }
text LICENSE.txt < "$top/LICENSE"
text README.txt < <(sed "s/@VERSION@/$version/" "$here/README.txt")
licenses() {
	local p f
	cat "$top/NOTICE"
	printf '\n%s\n\n' "The licenses of what holdfast-agent.exe links, as Debian keeps them with the sources:"
	for p in mbedtls libsodium libuv1 libzstd protobuf-c jansson libinih; do
		f=$(compgen -G "$sources/${p}_*.debian.tar.xz") || { echo "build.sh: no sources of $p in $sources" >&2; return 1; }
		printf '======== %s\n\n' "$(basename "$f" .debian.tar.xz | tr _ ' ')"
		tar -xOf "$f" debian/copyright
		echo
	done
	printf '======== %s\n\n' "MinGW-w64 (start-up code, import libraries, winpthreads)"
	cat /usr/share/doc/mingw-w64-common/copyright
}
licenses > "$work/notice"
text NOTICE.txt < "$work/notice"
# wixl 0.101 knows no <?ifdef?>.
if [ -n "${HOLDFAST_DRIVER_FILE:-}" ]; then
	cp "$HOLDFAST_DRIVER_FILE" "$files/hotcopy.sys"
	cp "$here/holdfast.wxs" "$work/"
else
	sed '/<!-- driver: -->/,/<!-- :driver -->/d' "$here/holdfast.wxs" > "$work/holdfast.wxs"
fi
touch -d "@$SOURCE_DATE_EPOCH" "$files"/*

# A product code for each build; setarch: wixl orders its strings by their addresses.
uuid() { python3 -c 'import sys, uuid; print(str(uuid.uuid5(uuid.UUID("14970C93-7348-49FD-96D2-00B005A95291"), sys.argv[1])).upper())' "$1"; }
content=$version:$(cat "$files"/* "$here/holdfast.wxs" "$here/tables.py" | sha256sum)
msi=$work/holdfast.msi
(cd "$work" && setarch -R wixl -a x64 -D ProductCode="$(uuid "product $content")" -D Version="$version" -D Files=files \
    -o "$msi" holdfast.wxs 2> wixl) || { cat "$work/wixl" >&2; exit 1; }
setarch -R python3 "$here/tables.py" "$msi" "$files/holdfast-agent.exe" "{$(uuid "package $content")}"
mv "$msi" "$out/holdfast-agent-$version-x64.msi"

rm "$files/actions.dll"
cp "$top/tests/windows/Verify-Holdfast.ps1" "$files/"
[ -z "${HOLDFAST_DRIVER_FILE:-}" ] || cp "$top/tests/windows/Verify-HotCopy.ps1" "$files/"
python3 - "$files" "$out/holdfast-agent-$version-x64.zip" <<'P'
import os, sys, time, zipfile
with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED) as z:
    for name in sorted(os.listdir(sys.argv[1])):
        info = zipfile.ZipInfo("holdfast-agent/" + name, time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        z.writestr(info, open(os.path.join(sys.argv[1], name), "rb").read())
P
