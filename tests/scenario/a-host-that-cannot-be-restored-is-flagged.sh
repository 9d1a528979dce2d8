#!/bin/bash
# Goal: whoever could not bring a host back to an empty machine learns it today: from
# the log at its backup, from `hosts`, and per controller from `rescue check`; and it
# is over with a backup or a rescue image that is better.
. "$(dirname "$0")/lib/scenario.bash"
server_init

# A rescue image that is nothing but its table.
mkdir "$work/rescue"
table() { # LINE...
	printf '%s\n' "$@" > "$work/rescue/next"
	mv "$work/rescue/next" "$work/rescue/modules.alias"
}
printf '#!ipxe\n' > "$work/rescue/boot.ipxe"
: > "$work/rescue/vmlinuz"
: > "$work/rescue/initrd.img"
server_config "rescue-dir = $work/rescue"
refuses 'rescue-dir: .*modules.alias: No such' "$bin/holdfastd" --config "$work/holdfastd.conf"
table 'alias half'
refuses 'modules.alias: line 1' "$bin/holdfastd" --config "$work/holdfastd.conf"
ahci='alias pci:v*d*sv*sd*bc01sc06i01* ahci' e1000e='alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e'
bnx2x='alias pci:v000014E4d0000168Esv*sd*bc*sc*i* bnx2x'
table "$ahci" "$e1000e" "$bnx2x" 'lacks-firmware bnx2x'
server_start

# machine NAME MODALIAS...: a tree like /sys with these PCI devices.
machine() {
	local dir=$work/sys-$1 n=0 m
	shift
	for m in "$@"; do
		mkdir -p "$dir/bus/pci/devices/0000:00:0$n.0"
		echo "$m" > "$dir/bus/pci/devices/0000:00:0$n.0/modalias"
		n=$((n + 1))
	done
	mkdir -p "$dir/firmware/efi"
}
sata=pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01
raid=pci:v00009005d0000028Fsv00009005sd00000600bc01sc07i00
intel=pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00
broadcom=pci:v000014E4d0000168Esv00001028sd00001F67bc02sc00i00
machine plain "$sata" "$intel"
machine raid "$sata" "$raid" "$intel" "$broadcom"
machine deaf "$sata" "$broadcom"

# A disk of 4 MiB with one partition.
python3 - "$work/disk.img" <<'END'
import struct, sys
with open(sys.argv[1], "wb") as f:
    f.truncate(4 << 20)
    f.seek(440)
    f.write(struct.pack("<IHB3sB3sII", 0x1234abcd, 0, 0x80, b"\0" * 3, 0x83, b"\0" * 3, 2048, 6144))
    f.seek(510)
    f.write(b"\x55\xaa")
    f.seek(2048 * 512)
    f.write(b"some bytes" * 1000)
END
for host in plain raid deaf; do
	enrol $host
	agent $host backup --host-facts "$work/sys-$host" --disk "disk0=$work/disk.img" > "$work/backup.out"
done
enrol volumes
agent volumes backup "C=$work/disk.img" > "$work/backup.out"
enrol new

operator rescue check plain > "$work/said"
grep -q '^plain: can be restored' "$work/said" || fail "plain: $(cat "$work/said")"
grep -q "storage  $sata  -> ahci$" "$work/said" || fail "no module for the disk: $(cat "$work/said")"
grep -q "network  $intel  -> e1000e$" "$work/said" || fail "no module for the network"
grep -q 'note: it starts by UEFI' "$work/said" || fail "the firmware is not said"
! operator rescue check raid > "$work/said" || fail "raid passes"
grep -q '^raid: CANNOT BE RESTORED' "$work/said" || fail "raid: $(cat "$work/said")"
grep -q "PROBLEM: storage controller $raid: no driver" "$work/said" || fail "the controller is not named"
grep -q "$broadcom  -> bnx2x" "$work/said" || fail "the second network is not shown"
grep -c PROBLEM "$work/said" | grep -x 1 > /dev/null || fail "one network is enough: $(cat "$work/said")"
! operator rescue check deaf > "$work/said" || fail "deaf passes"
grep -q "PROBLEM: network controller $broadcom: its driver bnx2x needs firmware" "$work/said" || fail "deaf: $(cat "$work/said")"
! operator rescue check volumes > "$work/said" || fail "a host without disks passes"
grep -q 'PROBLEM: no point of it has its disks' "$work/said" || fail "volumes: $(cat "$work/said")"
refuses "not found|no .*'nobody'|nobody" operator rescue check nobody
! operator rescue check --json > "$work/said" || fail "all pass"
python3 - "$work/said" <<'END'
import json, sys
hosts = {h["host"]: h for h in json.load(open(sys.argv[1]))}
assert {n: h["restorable"] for n, h in hosts.items()} == {"plain": True, "raid": False, "deaf": False, "volumes": False}, hosts
assert [d["driver"] for d in hosts["raid"]["devices"]] == ["found", "none", "found", "lacks-firmware"], hosts["raid"]
END

flagged() { # HOST...: exactly these are, in `hosts`
	operator hosts --json | python3 -c 'import json, sys
got = sorted(h["name"] for h in json.load(sys.stdin) if h["rescue"])
sys.exit(0 if got == sorted(sys.argv[1:]) else f"flagged: {got}, not {sys.argv[1:]}")' "$@" || fail "hosts"
}
flagged raid deaf
operator hosts > "$work/said"
grep -q "^raid .*NOT RESTORABLE: storage controller $raid" "$work/said" || fail "hosts: $(cat "$work/said")"
grep -q "alarm: 'raid' could not be restored to an empty machine: storage controller $raid" "$work/server.log" || fail "the backup is silent about it"
! grep -q "alarm: 'plain'\|alarm: 'volumes'" "$work/server.log" || fail "an alarm for a host that is well"

# The machine's controller was changed; an image has the firmware.
rm -r "$work/sys-raid"
machine raid "$sata" "$intel"
agent raid backup --host-facts "$work/sys-raid" --disk "disk0=$work/disk.img" > "$work/backup.out"
flagged deaf
table "$ahci" "$e1000e" "$bnx2x"
flagged
operator rescue check deaf > "$work/said"
# A table that is none: what was known before counts, and it is logged.
table 'alias half'
flagged
grep -q 'modules.alias: line 1.*the table of before is used' "$work/server.log" || fail "a bad table is not logged"
table "$e1000e"
flagged plain raid deaf
server_stop

# Without an image nothing can be said.
server_config
server_start
flagged
refuses 'rescue-dir is not set' operator rescue check plain
server_stop
