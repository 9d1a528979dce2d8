#!/usr/bin/env python3
"""rescue.py - what a bare-metal restore costs, part by part.

In QEMU without KVM, CPUS (2; 0.8 is not reached with 1, where proving and writing
wait for each other), FIRMWARES (bios uefi) one after the other, one process each from
power to the restored system's own marker:

	seconds and bytes of each part: firmware, kernel by HTTP, kernel, network, until
	the first byte, restore, restart;
	the rate of the restore beside the raw rate of the same guest, measured just before
	(busybox: wget to the same disk, DATA MiB).  Must: 0.8.

Without QEMU, the server's CPU for what it serves: SIZE MiB of an NTFS-like mix restored
to a file, user + system of holdfastd.  Must: 600 MB of plain data a CPU second.

WORK is the folder; ROUNDS (3); medians.  Exit 1 if a must is missed."""
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/rescue")
import victims  # noqa: E402
from chain import Chain  # noqa: E402
from machine import SERVER, Disk, Machine  # noqa: E402

WORK = os.path.abspath(os.environ["WORK"])
ROUNDS, SIZE, DATA = (int(os.environ.get(k, d)) for k, d in (("ROUNDS", 3), ("SIZE", 1024), ("DATA", 48)))
CPUS = os.environ.get("CPUS", "2")
FIRMWARES = os.environ.get("FIRMWARES", "bios uefi").split()
RATIO_MUST, SERVED_MUST = 0.8, 600e6
PATIENCE = 1800
MADE = {"bios": victims.BIOS_MIB, "uefi": victims.UEFI_MIB}
# Runs before the rescue image's own init, in the same guest: the raw rate.
RAW = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_net virtio_blk af_packet
until [ -b /dev/vda ] && [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
echo "raw: begins"
for i in 1 2 3; do
	echo 3 > /proc/sys/vm/drop_caches
	a=$(cut -d' ' -f1 /proc/uptime)
	wget -q -O - http://%(at)s/rescue.iso | dd of=/dev/vda bs=1M iflag=fullblock oflag=direct 2>/dev/null
	echo "raw: %(mib)d MiB from $a to $(cut -d' ' -f1 /proc/uptime)"
done
dd if=/dev/zero of=/dev/vda bs=1M count=%(mib)d oflag=direct 2>/dev/null
ip addr flush dev eth0; ip link set eth0 down
umount /dev /sys; umount /proc
exec /init
"""


def median(values):
    return statistics.median(values) if values else float("nan")


def raw_into(chain):
    """The raw measurement in front of the image's init, and what it fetches."""
    folder = f"{chain.work}/raw"
    os.makedirs(f"{folder}/tree")
    with open(f"{folder}/tree/raw", "w") as f:
        f.write(RAW % {"at": f"{SERVER}:{chain.http}", "mib": DATA})
    os.chmod(f"{folder}/tree/raw", 0o755)
    cpio = subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=f"{folder}/tree", check=True,
                          stdout=subprocess.PIPE).stdout
    with open(f"{chain.work}/netboot/initrd.img", "ab") as f:
        f.write(bytes(-f.tell() % 4) + cpio)
    with open(f"{chain.work}/netboot/rescue.iso", "wb") as f:
        f.write(random.Random(1).randbytes(DATA << 20))


def fetched(chain, name, since):
    """The second after SINCE at which the server had sent NAME."""
    with open(f"{chain.work}/server.log") as f:
        for line in f:
            if f"fetched /{name}," in line:
                stamp = line.split()[0]
                at = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(stamp[19:23])
                if at >= since - 1:
                    return at - since
    return float("nan")


def one(kind, number):
    """Parts of one restore: name -> seconds; raw and restore rates in bytes a second."""
    work = f"{WORK}/{kind}-{number}"
    os.makedirs(work)
    source = f"{work}/source.img"
    getattr(victims, kind)(source, DATA // 2, 1)
    with Chain(f"{work}/chain") as c:
        c.start()
        raw_into(c)
        c.backup("web01", f"disk0={source}")
        script = c.boots(c.token("web01"), "holdfast.disk=auto", "rdinit=/raw")
        disk = Disk(f"{work}/disk.img", MADE[kind])
        with Machine(f"{work}/machine", kind, [disk], boot="disk,net" if kind == "bios" else "", reach=c.reach,
                     more=("-smp", CPUS),
                     bootfile=script) as m:
            began = time.time()
            m.start()
            never = "rescue: failed|BOOT-BAD|panic"
            marks = [("firmware", fetched, "boot.ipxe"), ("kernel by HTTP", fetched, "initrd.img"), ("kernel", None, "raw: begins"),
                     ("raw", None, "rescue: starting"), ("network", None, "rescue: network up"),
                     ("until the first byte", None, "rescue: restoring "), ("restore", None, "rescue: restored"),
                     ("restart", None, f"BOOT-OK {kind} 1")]
            at, moments = 0, {}
            for name, function, what in marks:
                if function is None:
                    at, moments[name], _ = m.wait(what, PATIENCE, at, never=never)
            for name, function, what in marks:
                if function:
                    moments[name] = function(c, what, began)
            text = "\n".join(line for _, line in m.lines)
            cpu = m.cpu()
        raws = [DATA * 2**20 / (float(b) - float(a)) for a, b in re.findall(r"raw: \d+ MiB from ([\d.]+) to ([\d.]+)", text)]
    parts, last = {}, 0
    for name, *_ in marks:
        parts[name], last = moments[name] - last, moments[name]
    written = os.stat(disk.path).st_blocks * 512
    shutil.rmtree(work)
    return {"parts": parts, "raw": median(raws), "restored": written, "rate": written / parts["restore"], "cpu": cpu,
            "said": re.findall(r"rescue: restored.*", text)[-1]}


def guests():
    missed = False
    for kind in FIRMWARES:
        runs = [one(kind, n) for n in range(ROUNDS)]
        print(f"\n{kind}: {ROUNDS} runs, medians; {runs[0]['restored'] / 1e6:.0f} MB on the disk; {runs[0]['said']}")
        for name in runs[0]["parts"]:
            print(f"  {name:22} {median([r['parts'][name] for r in runs]):7.1f} s")
        ratio = median([r["rate"] / r["raw"] for r in runs])
        print(f"  raw {median([r['raw'] for r in runs]) / 1e6:.1f} MB/s, restore {median([r['rate'] for r in runs]) / 1e6:.1f}"
              f" MB/s: {ratio:.2f} ({RATIO_MUST} needed); guest {median([r['cpu'] for r in runs]):.1f} CPU s")
        missed |= ratio < RATIO_MUST
    return missed


def served():
    """CPU of the server for a whole restore, per GB of plain data."""
    with Chain(f"{WORK}/served") as c:
        c.start(netboot=False)
        image = f"{WORK}/served.img"
        with open(image, "wb") as f:
            rnd = random.Random(1)
            words = [b"%d.dll " % rnd.randrange(10**6) for _ in range(5000)]
            for _ in range(SIZE // 2):
                f.write(b"".join(rnd.choices(words, k=1 << 17))[:1 << 20].ljust(1 << 20, b"\1") + rnd.randbytes(1 << 20))
        c.enrol("web01")
        c.agent("web01", "backup", f"v={image}")
        rates = []
        for _ in range(ROUNDS):
            before = c.server_cpu()
            c.agent("web01", "restore", "latest", "--volume", "v", "--to", f"{WORK}/out", "--force")
            rates.append((SIZE << 20) / (c.server_cpu() - before))
        os.remove(f"{WORK}/out")
    print(f"\nserver: {median(rates) / 1e6:.0f} MB of plain data a CPU second ({SERVED_MUST / 1e6:.0f} needed); runs: "
          + ", ".join(f"{r / 1e6:.0f}" for r in rates))
    return median(rates) < SERVED_MUST


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    parts = sys.argv[1:] or ["served", "guests"]
    missed = [p for p in parts if {"served": served, "guests": guests}[p]()]
    shutil.rmtree(WORK)
    sys.exit(1 if missed else 0)
