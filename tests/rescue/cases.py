#!/usr/bin/env python3
"""cases.py NAME...|all|ci - machines are lost and come back, in QEMU.

Each case is a function below; its doc-comment is the claim.  Without a name lists them.
One line a case: passed or why not, wall seconds, CPU seconds of the guests.
HOLDFAST_BUILD is the build's folder, HOLDFAST_WORK an empty one (without it a private
one, removed at the end); exit 1 if a case failed.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import judge
import victims
from chain import TOP, Chain
from machine import Disk, Failed, Machine, alone, die_with_parent

# Seconds for a firmware, a kernel, a loader (some 20 on two quiet cores); for a restore.
BOOT = int(os.environ.get("PATIENCE", "600"))
RESTORE = 2 * BOOT
MADE = {"bios": victims.BIOS_MIB, "uefi": victims.UEFI_MIB}
CASES, CI = {}, []


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


def in_ci(function):
    CI.append(function.__name__.replace("_", "-"))
    return case(function)


class Bench:
    """What one case has: a folder, victims, a chain and machines that end with it."""

    def __init__(self, work):
        self.work, self.machines, self.notes, self.made = work, [], [], None

    def victim(self, kind, mib=8, seed=1, **more):
        path = f"{self.work}/{kind}-{seed}.img"
        getattr(victims, kind)(path, mib, seed, **more)
        return path

    @property
    def chain(self):
        if self.made is None:
            self.made = Chain(f"{self.work}/chain")
            self.made.start()
        return self.made

    def lost(self, kind, mib=8, seed=1, name="web01"):
        """A machine that was backed up and is no more: its disk, to compare with."""
        source = self.victim(kind, mib, seed)
        self.chain.backup(name, f"disk0={source}")
        return source

    def empty(self, mib, **more):
        self.disks = getattr(self, "disks", 0) + 1
        return Disk(f"{self.work}/empty{self.disks}.img", mib, serial=f"EMPTY-{self.disks}", **more)

    def machine(self, *arguments, **more):
        m = Machine(f"{self.work}/machine{len(self.machines) + 1}", *arguments, reach=self.made.reach if self.made else (),
                    **more)
        self.machines.append(m)
        return m

    def note(self, text):
        self.notes.append(text)

    def end(self):
        for m in self.machines:
            m.power_cut()
        if self.made:
            self.made.kill()
        return sum(m.cpu() for m in self.machines)


def zero(path, offset, length):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(bytes(length))


# ---------------------------------------------------------------- the victims themselves
@case
def victims_need_what_they_should(b):
    """A BIOS victim boots, and not without its gap; a UEFI victim does not boot by itself."""
    disk = Disk(b.victim("bios"))
    m = b.machine("bios", [disk], boot="disk")
    m.start()
    m.wait("BOOT-OK bios 1", BOOT, never="BOOT-BAD")
    m.power_cut()
    zero(disk.path, 512, 2047 * 512)
    m.start()
    time.sleep(20)  # Nothing says that nothing comes; it took 4 s before.
    if any("BOOT-" in line for _, line in m.lines):
        raise Failed("it booted without the gap")
    m.power_cut()
    m = b.machine("uefi", [Disk(b.victim("uefi"))], boot="")
    m.start()
    m.wait("Nothing to boot", BOOT, never="BOOT-")


# ---------------------------------------------------------------- what a restore shows
WRONG = "rescue: failed|BOOT-BAD|Kernel panic|no boot entry is known"
# What a firmware says when it finds nothing.
NOTHING = "Shell> |Nothing to boot|No bootable device|BOOT-BAD"


def stages(b, m, marker, reboots=True):
    """From power to the marker, with the seconds of each part noted."""
    at, network, _ = m.wait("rescue: network up", BOOT, never=WRONG)
    at, begun, _ = m.wait("rescue: restoring ", BOOT, at, never=WRONG)
    at, done, _ = m.wait("rescue: restored", RESTORE, at, never=WRONG)
    b.note(f"power to network {network:.1f} s, to the first byte {begun - network:.1f}, restore {done - begun:.1f}")
    if reboots:
        _, up, _ = m.wait(marker, BOOT, at, never=WRONG)
        b.note(f"to its own marker {up - done:.1f}")


def starts_by_itself(b, m, marker):
    """After a rescue that powered off: the same disks and NVRAM, nothing else to boot from."""
    m.bootfile, m.tftp, m.cdrom = None, None, None
    m.start()
    _, up, _ = m.wait(marker, BOOT, never=NOTHING)
    b.note(f"power to its own marker {up:.1f} s")
    m.power_cut()


def refused(m, reason, disks):
    """It says why, and no disk was touched."""
    _, _, found = m.wait("rescue: failed: .*", BOOT, never="rescue: restored|BOOT-")
    m.power_cut()
    if not any(re.search(reason, line) for _, line in m.lines):
        raise Failed(f"nothing like '{reason}' was said\n{m.tail()}")
    for disk in disks:
        if os.stat(disk.path).st_blocks:
            with open(disk.path, "rb") as f:
                if any(any(part) for part in iter(lambda: f.read(1 << 20), b"")):
                    raise Failed(f"{disk.path} was written to, though it said: {found.group(0)}")


def on_disk(disk):
    """MiB of it that are not zeros: the first thing a restore writes are some of those."""
    found, zeros = 0, bytes(65536)
    with open(disk.path, "rb") as f:
        while piece := f.read(len(zeros)):
            found += piece != zeros[:len(piece)]
    return found / 16


def await_written(m, disk, mib):
    """A restore is so far that MIB of content are on the disk."""
    end = time.monotonic() + RESTORE
    while on_disk(disk) < mib:
        if time.monotonic() > end:
            raise Failed(f"no {mib} MiB on the disk\n{m.tail()}")
        if any("rescue: restored" in line for _, line in m.lines):
            raise Failed("it was restored before anything could happen")
        time.sleep(0.02)


# ---------------------------------------------------------------- both firmwares
@in_ci
def bios_by_ipxe(b):
    """One machine: empty disk, iPXE and HTTP from holdfastd, restore over TLS, restart, BOOT-OK."""
    source = b.lost("bios")
    disk = b.empty(MADE["bios"])
    c = b.chain
    m = b.machine("bios", [disk], bootfile=c.boots(c.token("web01"), "holdfast.disk=auto"))
    m.start()
    stages(b, m, "BOOT-OK bios 1")
    m.power_cut()
    judge.bios(source, disk.path)


@in_ci
def uefi_by_nvram(b):
    """A Windows-like disk without a fallback loader starts by the entry that the rescue wrote."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"])
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.uefi(source, disk.path)
    starts_by_itself(b, m, "BOOT-OK uefi 1")


@case
def uefi_by_ipxe(b):
    """The same from the network in one go: OVMF, iPXE, restore, restart, BOOT-OK by its own NVRAM."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"])
    c = b.chain
    m = b.machine("uefi", [disk], boot="", bootfile=c.boots(c.token("web01"), "holdfast.disk=auto"))
    m.start()
    stages(b, m, "BOOT-OK uefi 1")
    m.power_cut()
    judge.uefi(source, disk.path)


@case
def fallback_loader(b):
    """With holdfast.fallback-loader the disk boots in a machine whose NVRAM knows nothing of it."""
    b.lost("uefi")
    disk = b.empty(MADE["uefi"])
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff", "holdfast.fallback-loader"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    starts_by_itself(b, b.machine("uefi", [disk], boot=""), "BOOT-OK uefi 1")


@case
def ahci_and_e1000e(b):
    """Drivers of real machines: AHCI and e1000e."""
    source = b.lost("bios")
    disk = b.empty(MADE["bios"], bus="ahci")
    c = b.chain
    m = b.machine("bios", [disk], nic="e1000e", bootfile=c.boots(c.token("web01"), "holdfast.disk=auto"))
    m.start()
    stages(b, m, "BOOT-OK bios 1")
    m.power_cut()
    judge.bios(source, disk.path)


@case
def nvme_and_vmxnet3(b):
    """NVMe and vmxnet3."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"], bus="nvme")
    c = b.chain
    m = b.machine("uefi", [disk], nic="vmxnet3", boot="", bootfile=c.boots(c.token("web01"), "holdfast.disk=auto"))
    m.start()
    stages(b, m, "BOOT-OK uefi 1")
    m.power_cut()
    judge.uefi(source, disk.path)


# ---------------------------------------------------------------- other ways to boot
@contextlib.contextmanager
def pxe_network(b, first="snponly.efi"):
    """A network as docs/bare-metal.md describes it, its dnsmasq.conf word by word, and
    the chain in it; FIRST is what UEFI loads."""
    with open(f"{TOP}/docs/bare-metal.md") as f:
        config = re.search("```dnsmasq\n(.*?)```", f.read(), re.S).group(1)
    with alone("192.0.2.10/24") as tap:
        b.made = Chain(f"{b.work}/chain", listen="192.0.2.10", address="192.0.2.10", http=8080)
        b.made.start()
        with open(f"{b.work}/dnsmasq.conf", "w") as f:
            f.write(config.replace("/srv/rescue", f"{b.work}/chain/netboot").replace("snponly.efi", first))
        with open(f"{b.work}/dnsmasq.log", "w") as log:
            server = subprocess.Popen(["dnsmasq", "--keep-in-foreground", f"--conf-file={b.work}/dnsmasq.conf", "--user=root",
                                       "--log-facility=-", f"--dhcp-leasefile={b.work}/leases", "--pid-file="],
                                      stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            yield tap
        finally:
            b.end()
            server.kill()
            server.wait()


@case
def uefi_by_pxe(b):
    """The firmware's own PXE, TFTP and DHCP by dnsmasq as the documentation has it, iPXE, restore."""
    with pxe_network(b) as tap:
        source = b.lost("uefi")
        disk = b.empty(MADE["uefi"])
        b.chain.boots(b.chain.token("web01"), "holdfast.disk=auto")
        m = b.machine("uefi", [disk], boot="", tap=tap)
        m.start()
        stages(b, m, "BOOT-OK uefi 1")
        m.power_cut()
        judge.uefi(source, disk.path)


@case
def secure_boot(b):
    """Secure Boot on: shim, GRUB and kernel by TFTP, restore under lockdown, the signed loader
    boots."""
    with pxe_network(b, "shimx64.efi") as tap:
        source = b.victim("uefi", signed=b.chain.signed())
        b.chain.backup("web01", f"disk0={source}")
        disk = b.empty(MADE["uefi"])
        b.chain.grub_says(b.chain.token("web01"), "holdfast.disk=auto")
        m = b.machine("secure", [disk], boot="", tap=tap)
        m.start()
        stages(b, m, "BOOT-OK signed 1")
        m.power_cut()
        judge.uefi(source, disk.path)


def by_iso(b, firmware, kind):
    source = b.lost(kind)
    disk = b.empty(MADE[kind])
    c = b.chain
    c.netboot("--level", "3")  # This time with the ISO.
    m = b.machine(firmware, [disk], boot="disk,cdrom" if kind == "bios" else "", cdrom=f"{c.work}/netboot/rescue.iso")
    m.start()
    at = m.wait_prompt(rb"automatically in \d+s", BOOT)
    # As one does with the key c: GRUB's own command line, on the serial line.
    m.type("c")
    for line in (f"linux /vmlinuz {c.command_line(c.token('web01'), 'holdfast.disk=auto')}", "initrd /initrd.img", "boot"):
        at = m.wait_prompt(rb"grub> ", BOOT, at)
        m.type(line + "\r")
    stages(b, m, f"BOOT-OK {kind} 1")
    m.power_cut()
    getattr(judge, kind)(source, disk.path)


@case
def iso_bios(b):
    """The ISO as a CD in a BIOS machine, the words typed at GRUB on the serial line."""
    by_iso(b, "bios", "bios")


# ---------------------------------------------------------------- other disks
@case
def larger_disk(b):
    """A larger disk: all in its place, the backup table at the new end, the rest free."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"] + 100)
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.uefi(source, disk.path)
    if judge.gpt(disk.path)[3][1] != judge.gpt(source)[3][1]:
        raise Failed("C: has another size, and nobody asked for it")
    starts_by_itself(b, m, "BOOT-OK uefi 1")


@case
def larger_disk_extended(b):
    """With holdfast.extend C: takes the room, recovery moves behind it, and it boots."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"] + 100)
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff", "holdfast.extend"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.uefi(source, disk.path)
    more = (judge.gpt(disk.path)[3][1] - judge.gpt(source)[3][1]) // 2048
    if more != 100:
        raise Failed(f"C: is {more} MiB larger, not 100")
    starts_by_itself(b, m, "BOOT-OK uefi 1")


@case
def smaller_disk_shrunk(b):
    """With holdfast.shrink C: becomes smaller, since what it holds fits, and it boots."""
    source = b.lost("uefi")
    disk = b.empty(MADE["uefi"] - 120)
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff", "holdfast.shrink"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.uefi(source, disk.path)
    starts_by_itself(b, m, "BOOT-OK uefi 1")


@case
def smaller_disk_refused(b):
    """Too small, and nobody asked to shrink: the bytes missing are named, nothing is written."""
    b.lost("uefi")
    disk = b.empty(MADE["uefi"] - 120)
    c = b.chain
    m = b.machine("uefi", [disk], boot="")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto"))
    refused(m, "vda .*too small .* [0-9]{8,} are missing", [disk])


@case
def no_disk_that_matches(b):
    """No disk at all: said, and that is all."""
    b.lost("bios")
    c = b.chain
    m = b.machine("bios", [])
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto"))
    refused(m, "disk", [])


@case
def two_disks_swapped(b):
    """Two disks that the new machine lists in the other order: each gets what it was."""
    system, data = b.victim("bios"), f"{b.work}/data.img"
    victims.data(data, 64, 3)
    c = b.chain
    c.backup("web01", f"disk0={system}", f"disk1={data}")
    # The firmware, too, is told which one boots; the kernel's names are the other way round.
    disks = [b.empty(64, order=1), b.empty(MADE["bios"], order=0)]
    m = b.machine("bios", disks, bootfile=c.boots(c.token("web01"), "holdfast.disk=auto"))
    m.start()
    stages(b, m, "BOOT-OK bios 1")
    m.power_cut()
    judge.bios(system, disks[1].path)
    judge.bytes_equal(data, disks[0].path, 0, 2048 * 512, "the other disk's table")
    judge.ntfs_equal(data, (2048, 62 * 2048), disks[0].path, (2048, 62 * 2048), "the other disk")


@case
def disk_that_fails_writes(b):
    """A disk that cannot write a sector: said in words, no restart, the token still good for another."""
    source = b.lost("bios")
    disk, good = b.empty(MADE["bios"], bad=1 << 20), b.empty(MADE["bios"])
    c = b.chain
    token = c.token("web01")
    m = b.machine("bios", [disk], boot="")
    m.start(**c.kernel(token, "holdfast.disk=auto"))
    m.wait("rescue: failed: .*", RESTORE, never="rescue: restored|BOOT-")
    m.power_cut()
    m.disks = [good]
    m.start(**c.kernel(token, "holdfast.disk=auto", "holdfast.end=poweroff"))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.bios(source, good.path)


# ---------------------------------------------------------------- tokens
@case
def mistyped_and_expired_tokens(b):
    """A mistyped token, and one that is too old: refused, nothing is written."""
    b.lost("bios")
    c = b.chain
    disk = b.empty(MADE["bios"])
    token = c.token("web01", "--ttl", "1s")
    given = time.monotonic()
    m = b.machine("bios", [disk], boot="")
    m.start(**c.kernel(c.mistyped(token), "holdfast.disk=auto"))
    refused(m, "token is mistyped", [disk])
    time.sleep(max(0, given + 1.5 - time.monotonic()))
    m.start(**c.kernel(token, "holdfast.disk=auto"))
    refused(m, "the time to begin .* has passed", [disk])


@case
def a_token_is_one_machines(b):
    """Power cut in the middle: another machine is refused, the same goes on and receives
    less; when it is done nobody may again."""
    source = b.lost("bios", mib=24)
    c = b.chain
    token = c.token("web01")
    disk, other = b.empty(MADE["bios"]), b.empty(MADE["bios"])
    words = ("holdfast.disk=auto", "holdfast.end=poweroff")
    m = b.machine("bios", [disk], boot="disk")
    m.start(**c.kernel(token, *words))
    await_written(m, disk, 16)
    m.power_cut()
    thief = b.machine("bios", [other], boot="", mac="52:54:00:65:43:21", uuid="6b6b6b6b-0001-4000-8000-000000000002")
    thief.start(**c.kernel(token, *words))
    refused(thief, "machine", [other])
    m.start(**c.kernel(token, *words))
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.bios(source, disk.path)
    came, right = received(m)
    b.note(f"after the cut {came:.1f} MiB came, {right:.1f} were there")
    if right < 8:
        raise Failed(f"only {right} MiB of 16 were recognised")
    m.start(**c.kernel(token, *words))
    m.wait("rescue: failed: .*", BOOT, never="rescue: restoring|BOOT-")
    m.power_cut()
    starts_by_itself(b, m, "BOOT-OK bios 1")


def received(m):
    """MiB that came from the server, and that were on the disk already."""
    _, _, found = m.wait(r"received ([\d.]+) MiB, written .*, already right ([\d.]+) (MiB|KiB|B)", 1)
    return float(found.group(1)), float(found.group(2)) if found.group(3) == "MiB" else 0.0


@case
def armed_by_mac(b):
    """No token on the wire: the host is armed, the code on the screen confirmed, and it begins."""
    source = b.lost("bios")
    c = b.chain
    disk = b.empty(MADE["bios"])
    m = b.machine("bios", [disk], bootfile=c.boots("", "holdfast.disk=auto"))
    c.operator("rescue", "arm", "web01", "--mac", m.mac)
    m.start()
    _, _, code = m.wait(r"\b([0-9A-Z]{4}-[0-9A-Z]{4})\b", BOOT, never=WRONG)
    end = time.monotonic() + BOOT
    while code.group(1) not in c.operator("rescue", "waiting"):  # It is shown before it is sent.
        if time.monotonic() > end:
            raise Failed(f"the server never heard of {code.group(1)}\n{m.tail()}")
        time.sleep(0.2)
    c.operator("rescue", "confirm", code.group(1))
    stages(b, m, "BOOT-OK bios 1")
    m.power_cut()
    judge.bios(source, disk.path)


# ---------------------------------------------------------------- what happens at night
@case
def server_restarted(b):
    """The server is killed in the middle of a restore and comes back: the restore goes on."""
    source = b.lost("bios", mib=24)
    c = b.chain
    disk = b.empty(MADE["bios"])
    m = b.machine("bios", [disk], boot="disk")
    m.start(**c.kernel(c.token("web01"), "holdfast.disk=auto", "holdfast.end=poweroff"))
    await_written(m, disk, 16)
    c.kill()
    c.start()
    stages(b, m, "", reboots=False)
    m.wait_end(BOOT)
    judge.bios(source, disk.path)


@case
def three_at_once(b):
    """Three machines of three hosts from one server at the same time."""
    c, machines = b.chain, []
    for n in (1, 2, 3):
        source = b.lost("bios", seed=n, name=f"web0{n}")
        disk = b.empty(MADE["bios"])
        m = b.machine("bios", [disk], boot="disk", mac=f"52:54:00:00:00:0{n}",
                      uuid=f"5a5a5a5a-0001-4000-8000-00000000000{n}")
        m.start(**c.kernel(c.token(f"web0{n}"), "holdfast.disk=auto", "holdfast.end=poweroff"))
        machines.append((n, source, disk, m))
    for n, source, disk, m in machines:
        stages(b, m, "", reboots=False)
        m.wait_end(BOOT)
        judge.bios(source, disk.path)
        starts_by_itself(b, m, f"BOOT-OK bios {n}")


# ---------------------------------------------------------------- running
def run(name, work):
    b = Bench(work)
    began, why = time.monotonic(), None
    os.makedirs(work, exist_ok=True)
    try:
        CASES[name](b)
    except Exception as e:  # Also what a case did not think of is one case's failure.
        why = "".join(traceback.format_exception(e)[-2:]) if not isinstance(e, Failed) else str(e)
    cpu = b.end()
    print(f"{'FAILED' if why else 'passed'} {name:34} {time.monotonic() - began:7.1f} s, guests {cpu:6.1f} CPU s"
          + "".join(f"; {n}" for n in b.notes), flush=True)
    if why:
        print(why, flush=True)
    else:
        shutil.rmtree(work)
    return why is None


def main(names):
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ["LC_ALL"] = "C.UTF-8"
    if not names:
        print("\n".join(f"{name}\t{function.__doc__}" for name, function in CASES.items()))
        return 0
    names = {"all": list(CASES), "ci": CI}.get(names[0], names)
    for name in names:
        if name not in CASES:
            sys.exit(f"no case '{name}'")
    own = os.environ.get("HOLDFAST_WORK")
    work = own or tempfile.mkdtemp(prefix="holdfast-rescue.")
    try:
        failed = [name for name in names if not run(name, f"{work}/{name}")]
    finally:
        if not own:
            shutil.rmtree(work)
    if failed:
        print("failed: " + " ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
