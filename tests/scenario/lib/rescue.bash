# rescue.bash - sourced after scenario.bash: machines made of files, and the real
# rescue program on them.
#
#   disk_make IMAGE MIB SEED [mbr]       a disk: ESP, MSR, NTFS (or MBR with one NTFS)
#   disk_equal IMAGE IMAGE               tables, and every file of the NTFS volume
#   machine_make NAME [uefi]             without disks
#   machine_disk NAME DEVICE MIB SERIAL [SECTOR]
#   rescue NAME CMDLINE...               its output goes to $work/NAME.out
#   rescue_start NAME CMDLINE...         the same in the background: $rescue_pid
#   said NAME REGEX                      a line of its output matches
#   slow_line RATE                       machines made from now on reach the server so, in bytes a second

disk_make() {
	local image=$1 mib=$2 seed=$3 ntfs_mib=$(($2 - 22))
	rm -f "$image"
	truncate -s "${mib}M" "$image"
	if [ "${4:-}" = mbr ]; then
		printf 'label: dos\nstart=2048, size=%s, type=7, bootable\n' $((ntfs_mib * 2048)) | sfdisk -q "$image"
		ntfs_make "$image.part" "$ntfs_mib" $((ntfs_mib / 3)) "$seed"
		dd if="$image.part" of="$image" bs=1M seek=1 conv=notrunc,sparse status=none
	else
		printf 'label: gpt\nstart=2048, size=16384, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI system partition"\nsize=16384, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE\nsize=%s, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name=system\n' \
		    $((ntfs_mib * 2048)) | sfdisk -q "$image"
		truncate -s 8M "$image.part"
		mkfs.vfat -F 12 "$image.part" > /dev/null
		mmd -i "$image.part" ::EFI ::EFI/Microsoft ::EFI/Microsoft/Boot
		head -c 20000 /dev/urandom > "$image.loader"
		mcopy -i "$image.part" "$image.loader" ::EFI/Microsoft/Boot/bootmgfw.efi
		dd if="$image.part" of="$image" bs=1M seek=1 conv=notrunc,sparse status=none
		rm -f "$image.part"
		ntfs_make "$image.part" "$ntfs_mib" $((ntfs_mib / 3)) "$seed"
		dd if="$image.part" of="$image" bs=1M seek=17 conv=notrunc,sparse status=none
	fi
	rm -f "$image.part" "$image.loader"
}

# The NTFS volume of such a disk into a file of its own: FROM-MIB LENGTH-MIB.
disk_volume() { dd if="$1" of="$2" bs=1M skip="$3" count="$4" conv=sparse status=none; }

disk_equal() {
	local from=17 mib=$(($(stat -c %s "$1") / 1048576 - 22)) x
	for x in "$1" "$2"; do sfdisk -d "$x" 2>/dev/null | grep -v '^device:' | sed 's/^[^ ]*[^0-9]\([0-9]* :\)/\1/'; done > "$work/tables"
	sfdisk -V "$2" > "$work/table.out" 2>&1 || fail "sfdisk: $(cat "$work/table.out")"
	[ "$(sort "$work/tables" | uniq -c | awk '$1 % 2' | grep -vc last-lba)" = 0 ] || fail "tables differ: $(cat "$work/tables")"
	! grep -q 'label: dos' "$work/tables" || from=1
	[ $from = 1 ] || cmp -n $((17 * 1048576 - 1048576)) -i 1048576 "$1" "$2" || fail "ESP or MSR differ"
	disk_volume "$1" "$work/equal.a" $from "$mib"
	disk_volume "$2" "$work/equal.b" $from "$mib"
	ntfs_equal "$work/equal.a" "$work/equal.b"
	rm -f "$work/equal.a" "$work/equal.b"
}

machine_make() {
	mkdir -p "$work/$1.sys/block" "$work/$1.sys/class/net/eth0/device" "$work/$1.dev"
	printf '52:54:00:00:%02x:%02x\n' $((RANDOM % 256)) $((RANDOM % 256)) > "$work/$1.sys/class/net/eth0/address"
	printf '%s' "$1" | sha256sum | cut -c1-32 > "$work/$1.id"
	[ "${2:-}" != uefi ] || mkdir -p "$work/$1.sys/firmware/efi/efivars"
}
machine_disk() {
	local dir=$work/$1.sys/block/$2
	mkdir -p "$dir/queue" "$dir/device"
	echo $(($3 * 2048)) > "$dir/size"
	echo "${5:-512}" > "$dir/queue/logical_block_size"
	[ -z "$4" ] || echo "$4" > "$dir/serial"
	truncate -s "$3M" "$work/$1.dev/$2"
}

rescue_ca() {
	[ -s "$work/ca.pem" ] || cp "$work/operator/ca.pem" "$work/ca.pem"
}
rescue_exec() {
	local name=$1
	shift
	rescue_ca
	echo "BOOT_IMAGE=vmlinuz quiet holdfast.server=${rescue_server:-$server} $*" > "$work/$name.cmdline"
	exec "$bin/holdfast-rescue" --cmdline "$work/$name.cmdline" --sys "$work/$name.sys" --dev "$work/$name.dev" \
	    --ca "$work/ca.pem" ${rescue_id---machine-id "$work/$name.id"} --disks-wait 2 ${rescue_options:-}
}
rescue() { (rescue_exec "$@") > "$work/$1.out" 2>&1 < /dev/null; }
rescue_start() {
	(rescue_exec "$@") > "$work/$1.out" 2>&1 < /dev/null &
	rescue_pid=$!
	pids+=("$rescue_pid")
}
said() { grep -Eq -- "$2" "$work/$1.out" || fail "$1 did not say /$2/: $(cat "$work/$1.out")"; }
# A token alone on a line, or in one.
rescue_token() { operator restore-token "$@" | grep -oE '[0-9A-Z]{5}(-[0-9A-Z]{5}){4}' | head -1; }

slow_line() {
	python3 "$here/relay.py" "$server" "$work/relay" slow "$1" 2> "$work/relay.err" &
	pids+=($!)
	await 60 test -s "$work/relay"
	rescue_server=$(cat "$work/relay")
}
