#!/bin/bash
# build.sh BUILD PROGRAM [OPTION...] - the rescue image, from Debian packages alone:
# kernel, initramfs, ISO, what to serve for a boot by network.  See ../DESIGN.md,
# "The image".  Nothing is installed; the same packages and the same program give
# the same bytes.
set -euo pipefail
called_from=${HOLDFAST_CALLED_FROM:-$PWD}
here=$(cd "$(dirname "$0")" && pwd)
build=$1 program=$2
shift 2
command=${HOLDFAST_COMMAND:-./dev rescue}
PATH=$PATH:/usr/sbin:/sbin

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

usage() {
	cat <<END
usage: $command [OPTION...]
  Makes $build/rescue/: vmlinuz, initrd.img, modules.alias, without a server's CA.
  --server HOST:PORT --ca FILE --out DIR
                 and from it DIR, which holdfastd serves (rescue-dir = DIR) and in
                 which rescue.iso is: the CA inside, HOST:PORT as what to connect to
  --firmware     with the firmware of cards that need it; the machine's apt sources
                 must have non-free-firmware
  --level N      of zstd, 1 to 19 (3): a smaller initrd.img, made in longer time
  --no-iso       without rescue.iso
END
}

level=3 server='' ca='' out='' firmware=0 iso=1
while [ $# -gt 0 ]; do
	case $1 in
	--server | --ca | --out | --level)
		[ $# -gt 1 ] || die "rescue: $1: a value is missing"
		declare "${1#--}=$2"
		shift
		;;
	--firmware) firmware=1 ;;
	--no-iso) iso=0 ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; die "rescue: there is no option '$1'" ;;
	esac
	shift
done
[[ $level =~ ^(1?[1-9]|10)$ ]] || die "rescue: --level $level: not 1 to 19"
if [ -n "$server$ca$out" ]; then
	[ -n "$server" ] && [ -n "$ca" ] && [ -n "$out" ] || die "rescue: --server, --ca and --out go together"
	[[ $server =~ ^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$ ]] || die "rescue: --server $server: not HOST:PORT"
	case $ca in /*) ;; *) ca=$called_from/$ca ;; esac
	case $out in /*) ;; *) out=$called_from/$out ;; esac
	grep -q -e '-----BEGIN CERTIFICATE-----' "$ca" 2>/dev/null || die "rescue: --ca $ca: no certificate (PEM) is in it"
	! grep -q 'PRIVATE KEY' "$ca" || die "rescue: --ca $ca: holds a private key, which no image may"
	out=$(realpath -m "$out")
fi
[ -x "$program" ] || die "rescue: $program: no such program"
[ "$(dpkg --print-architecture)" = amd64 ] || die "rescue: only amd64 has an image so far"

made=$build/rescue cache=$build/rescue/cache
mkdir -p "$cache"
exec 9> "$cache/lock" # One at a time: they share what is in there.
flock 9

# ------------------------------------------------------------------------- packages --

# about PACKAGE: apt's record of the version it would install, in $record; asked once
# for each state of apt's lists, since asking takes most of a second.
about() {
	record=$cache/apt-$apt_state/$1
	[ ! -s "$record" ] || return 0
	rm -rf "$cache/apt-new"
	mkdir -p "$cache/apt-$apt_state"
	apt-cache show --no-all-versions "$1" > "$cache/apt-new" 2>/dev/null || return 1
	mv "$cache/apt-new" "$record"
}
apt_state=$(stat -c %n%Y /var/lib/apt/lists /etc/apt /etc/apt/* /etc/apt/*.d/* 2>/dev/null | sha256sum | cut -c1-16)
[ -d "$cache/apt-$apt_state" ] || rm -rf "$cache"/apt-*
# known PACKAGE: it has a $record, if need be after apt-get update.
known() {
	about "$1" && return 0
	if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo apt-get -qq update; fi
	about "$1" || die "rescue: the machine's apt sources have no package $1"
}
# fetch PACKAGE: verified by apt, unpacked; the path in $fetched.
fetch() {
	local version
	known "$1"
	version=$(sed -n 's/^Version: //p' "$record" | head -n 1)
	fetched=$cache/${1}_${version//:/%3a}
	[ ! -d "$fetched" ] || return 0
	say "fetching $1 $version"
	rm -rf "$cache/get"
	mkdir -p "$cache/get"
	(cd "$cache/get" && apt-get -qq -o APT::Sandbox::User=root download "$1=$version") ||
	    die "rescue: apt-get download $1 failed"
	dpkg-deb -x "$cache"/get/*.deb "$cache/get/unpacked"
	mv "$cache/get/unpacked" "$fetched"
	rm -rf "$cache/get"
}
# depends PACKAGE PATTERN: the first package that it depends on and that begins so.
depends() {
	known "$1"
	sed -n 's/^Depends: //p' "$record" | tr ',' '\n' | sed -n "s/^ *\\($2[^ ]*\\).*/\\1/p" | head -n 1
}

# ------------------------------------------------------------------------- archives --

# archive TREE: as a cpio, to standard output: names in order, no owner, no time.
archive() {
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0)
}
# The kernel looks for the next archive at a multiple of four bytes.
padded() {
	local n
	n=$(stat -c %s "$1")
	truncate -s $(((n + 3) / 4 * 4)) "$1"
}

# wanted_modules KERNEL-TREE VERSION: the files of all of them, on standard output.
wanted_modules() {
	local m
	sed -e 's/#.*//' -e 's/^[a-z]*://' "$here/modules.txt" | tr -s ' \t' '\n\n' | grep . | while read -r m; do
		modprobe -d "$1" -S "$2" --show-depends "${m#\?}" 2>/dev/null || [ "$m" != "${m#\?}" ] ||
		    { echo "rescue: kernel $2 has no module $m" >&2; exit 1; }
	done | awk '$1 == "insmod" { print $2 }' | sort -u
}

# copy_firmware TREE MODULE-FILES: what they may ask for and the packages have.
copy_firmware() {
	local f p
	[ $firmware = 1 ] || return 0
	for f in $2; do modinfo -F firmware "$f"; done | sort -u | while read -r f; do
		for p in "${blobs[@]}"; do
			[ -f "$p/lib/firmware/$f" ] || continue
			mkdir -p "$1/lib/firmware/$(dirname "$f")"
			cp -L "$p/lib/firmware/$f" "$1/lib/firmware/$f"
		done
	done
}

# base TREE: busybox, the modules, ntfsresize, ntfs-3g.  All that a change of ours leaves alone.
base() {
	local tree=$1 f m list
	mkdir -p "$tree"/{bin,dev,etc,proc,sys,run,tmp} "$tree/lib/modules/$release"
	cp "$busybox/bin/busybox" "$tree/bin/"
	list=$(wanted_modules "$kernel" "$release")
	for f in $list; do
		mkdir -p "$tree$(dirname "${f#"$kernel"}")"
		cp "$f" "$tree${f#"$kernel"}" # As signed: stripped ones do not load under Secure Boot.
	done
	cp "$kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$release/"
	depmod -b "$tree" "$release"
	copy_firmware "$tree" "$list"
	aliases "$tree" > "$cache/modules.alias"
	rm "$tree/lib/modules/$release"/modules.{order,builtin.modinfo,builtin.bin,builtin.alias.bin,dep.bin,alias.bin,symbols.bin,devname,softdep}
	for f in "$ntfs"{,/usr}/{bin,sbin}/{ntfsresize,ntfs-3g}; do
		[ ! -f "$f" ] || cp -L "$f" "$tree/bin/"
	done
	# Its libraries, at the names by which it asks for them.
	LD_LIBRARY_PATH=$(dirname "$(find "$libntfs" -name 'libntfs-3g.so.*' | head -n 1)") ldd "$tree/bin/ntfsresize" |
	    awk '$3 ~ /^\// { print $1, $3 } $1 ~ /^\// { print $1, $1 }' | while read -r m f; do
		case $m in
		/*) mkdir -p "$tree$(dirname "$m")"; cp -L "$f" "$tree$m" ;;
		*) cp -L "$f" "$tree/lib/$m" ;;
		esac
	done
	[ -f "$tree/bin/ntfsresize" ] && [ -f "$tree/bin/ntfs-3g" ] && ls "$tree"/lib/libntfs-3g.so.* >/dev/null || die "rescue: ntfs-3g has no ntfsresize"
}

# aliases TREE: which module drives what, for `holdfast rescue check`; the kernel's
# own drivers too; and which of them want firmware that is not in the image.
aliases() {
	local dir=$1/lib/modules/$release m
	grep '^alias ' "$dir/modules.alias"
	tr '\0' '\n' < "$dir/modules.builtin.modinfo" | sed -n 's/^\([^.=]*\)\.alias=\(.*\)$/alias \2 \1/p'
	# Those of which no file was found.
	sed -e 's/#.*//' -e '/^$/d' "$here/firmware.txt" | while read -r m _ owner; do
		modinfo -b "$1" -k "$release" -F firmware "$owner" | while read -r f; do
			[ ! -f "$1/lib/firmware/$f" ] || echo found
		done | grep -q . || echo "lacks-firmware $m"
	done
}

kernel_package=$(depends linux-image-amd64 'linux-image-[0-9]')
[ -n "$kernel_package" ] || die "rescue: linux-image-amd64 names no kernel"
fetch "$kernel_package"
kernel=$fetched release=${kernel_package#linux-image-}
[ -f "$kernel/lib/modules/$release/modules.dep" ] || depmod -b "$kernel" "$release"
fetch busybox-static
busybox=$fetched
fetch ntfs-3g
ntfs=$fetched
fetch "$(depends ntfs-3g libntfs-3g)"
libntfs=$fetched
blobs=()
if [ $firmware = 1 ]; then
	for p in $(sed -e 's/#.*//' -e '/^$/d' "$here/firmware.txt" | awk '{ print $2 }' | sort -u); do
		fetch "$p"
		blobs+=("$fetched")
	done
fi

# What the base is made of names it: it is made once.
base_name=base-$({ echo "$kernel $busybox $ntfs $libntfs ${blobs[*]-} $level $firmware"; sha256sum "$(realpath /lib/x86_64-linux-gnu/libc.so.6)" | cut -d' ' -f1
    cat "$here/build.sh" "$here/modules.txt" "$here/firmware.txt"; } | sha256sum | cut -c1-16)
if [ ! -s "$cache/$base_name.img" ]; then
	say "packing kernel modules and tools (zstd -$level)"
	rm -rf "$cache"/tree "$cache"/base-*
	base "$cache/tree"
	archive "$cache/tree" | zstd -q -T2 "-$level" > "$cache/new.img"
	padded "$cache/new.img"
	rm -rf "$cache/tree"
	mv "$cache/modules.alias" "$cache/$base_name.alias"
	mv "$cache/new.img" "$cache/$base_name.img"
fi

rm -rf "$cache/ours"
mkdir -p "$cache/ours/bin" "$cache/ours/etc"
command install -m 755 "$here/init" "$cache/ours/init"
command install -m 755 "$here/udhcpc.sh" "$cache/ours/etc/udhcpc.sh"
# shellcheck disable=SC2016
echo '$MODALIAS=.* 0:0 660 @modprobe -q "$MODALIAS"' > "$cache/ours/etc/mdev.conf"
printf 'hosts: files dns\n' > "$cache/ours/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n' > "$cache/ours/etc/hosts"
command install -m 755 "$program" "$cache/ours/bin/holdfast-rescue"
strip "$cache/ours/bin/holdfast-rescue"
archive "$cache/ours" | zstd -q "-$level" > "$cache/ours.img"
padded "$cache/ours.img"
cat "$cache/$base_name.img" "$cache/ours.img" > "$made/initrd.img.new"
cp "$kernel/boot/vmlinuz-$release" "$made/vmlinuz.new"
cp "$cache/$base_name.alias" "$made/modules.alias.new"
for f in vmlinuz initrd.img modules.alias; do
	mv "$made/$f.new" "$made/$f"
done
say "$made: vmlinuz ($release), initrd.img ($(du -m "$made/initrd.img" | cut -f1) MB), modules.alias"
[ -n "$out" ] || exit 0
. "$here/serve.sh"
