#!/bin/bash
# Goal: on a serial console of 80 x 25 a person enters server and token, chooses a
# point, maps disks, must type the disk's name, and sees the restore to its end.
. "$(dirname "$0")/lib/scenario.bash"
. "$(dirname "$0")/lib/rescue.bash"
server_init
server_start
enrol web01
disk_make "$work/d0.img" 62 1
agent web01 backup --disk "disk0=$work/d0.img" > "$work/backup.out"
cp --sparse=always "$work/d0.img" "$work/first.img"
dd if=/dev/urandom of="$work/d0.img" bs=1M seek=1 count=1 conv=notrunc status=none
agent web01 backup --disk "disk0=$work/d0.img" > "$work/backup.out"
token=$(rescue_token web01)
machine_make m uefi
machine_disk m sda 50 SMALL
machine_disk m sdb 62 RIGHT
machine_disk m sdc 100 LARGE
rescue_ca
echo "quiet" > "$work/m.cmdline"
cat > "$work/script" <<END
see server and token
type $server
press enter
type AAAAA-AAAAA-AAAAA-AAAAA-AAAAA
press enter
see the restore token is mistyped
# Not that one: 29 characters go.
type $(printf '\177%.0s' {1..29})
type $token
press enter
see recovery point
see   2   
press down enter
see which disk takes which
see Disks of point 1
see -> sdb  (same size)
see cannot take it:
press right
see -> sdc  (named)
press left
see -> sdb  (named)
type v
see [x] v verify
press enter
see All that is on these disks will be lost:
see To overwrite sdb, type its name:
type sda
press enter
see To overwrite sdb, type its name:
run [ "\$(stat -c %b $work/m.dev/sdb)" = 0 ]
type sdb
press enter
see Restored.
save $work/last.screen
type p
see rescue: powering off
end 4
END
# Only the image's init does that, by the status: this may be anybody's machine.
mkdir "$work/path"
printf '#!/bin/sh\ntouch "%s"\n' "$work/called" > "$work/path/poweroff"
chmod +x "$work/path/poweroff"
PATH=$work/path:$PATH "$here/terminal.py" "$work/script" "$bin/holdfast-rescue" --cmdline "$work/m.cmdline" --sys "$work/m.sys" --dev "$work/m.dev" \
    --ca "$work/ca.pem" --server "$work/none" --machine-id "$work/m.id" --esp "$work/m.esp"
[ ! -e "$work/called" ] || fail "it powered the machine off itself"
disk_equal "$work/first.img" "$work/m.dev/sdb"
for d in sda sdc; do
	[ "$(stat -c %b "$work/m.dev/$d")" = 0 ] || fail "$d was not chosen and was written to"
done

note "without a token: the code stands large on the screen until an operator confirms it"
mac=$(cat "$work/m.sys/class/net/eth0/address")
rm -f "$work/m.dev/sdb"
truncate -s 62M "$work/m.dev/sdb"
operator rescue arm web01 --mac "$mac" > "$work/arm.out"
echo "quiet holdfast.server=$server" > "$work/m.cmdline"
export HOLDFAST_CLI="$bin/holdfast --operator $work/operator --server $server"
cat > "$work/script" <<END
see server and token
press enter
see holdfast rescue confirm
run code=\$(sed -n 's/.*rescue confirm \([0-9A-Z-]*\).*/\1/p' \$SCREEN) && \$HOLDFAST_CLI rescue confirm \$code > $work/confirm.out
see UTC
press enter
see which disk takes which
press esc
see recovery point
press esc
see server and token
press esc
end 3
END
"$here/terminal.py" "$work/script" "$bin/holdfast-rescue" --cmdline "$work/m.cmdline" --sys "$work/m.sys" --dev "$work/m.dev" \
    --ca "$work/ca.pem" --machine-id "$work/m.id"
server_stop
