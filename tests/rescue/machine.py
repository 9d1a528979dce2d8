"""machine.py - a machine in QEMU, without KVM: started, watched on its serial line,
cut from power, started again with the disks and the NVRAM it had.

	disk = Disk(path, mib=200, serial="WD-1")
	with Machine(folder, "bios", [disk], boot="disk,net", bootfile="http://...") as m:
		m.start()
		m.wait(r"BOOT-OK bios 1", 600)

What it prints is kept as lines with the second they came at (m.lines) and in
FOLDER/console.N.  The guest dies with the harness, however that ends.  Its network is
QEMU's own user network: DHCP and TFTP from QEMU, of the host only the ports in `reach`,
each at SERVER as the host's 127.0.0.1 has it; nothing else exists for it.  Or, with
`tap`, a network that a case has made (alone()).
"""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
import time

OVMF = "/usr/share/OVMF/"
FIRMWARE = {
    # name: (machine, code, variables)
    "bios": ("pc", None, None),
    "uefi": ("q35", OVMF + "OVMF_CODE_4M.fd", OVMF + "OVMF_VARS_4M.fd"),
    "secure": ("q35,smm=on", OVMF + "OVMF_CODE_4M.ms.fd", OVMF + "OVMF_VARS_4M.ms.fd"),
}
SERVER = "10.0.2.100"


class Failed(Exception):
    pass


class Disk:
    """An image file as a disk.  bus: virtio, ahci, nvme, scsi.  bad: what writes to
    the sector at that byte gets an I/O error.  order: its place among the disks to boot."""

    def __init__(self, path, mib=None, serial="DISK-1", bus="virtio", bad=None, order=None):
        self.order = order
        self.path, self.serial, self.bus, self.bad = path, serial, bus, bad
        if mib is not None:
            with open(path, "wb") as f:
                f.truncate(mib << 20)

    def arguments(self, n, bootindex):
        node, more = f"d{n}", f",bootindex={bootindex}" if bootindex is not None else ""
        file = f"file.driver=file,file.filename={self.path}"
        if self.bad is not None:
            rules = self.path + ".blkdebug"
            with open(rules, "w") as f:
                f.write('[inject-error]\nevent = "write_aio"\nerrno = "5"\nonce = "off"\nimmediately = "on"\n'
                        f'sector = "{self.bad // 512}"\n')
            file = f"file.driver=blkdebug,file.config={rules},file.image.driver=file,file.image.filename={self.path}"
        drive = ["-drive", f"if=none,id={node},driver=raw,{file},cache=unsafe,discard=unmap,werror=report,rerror=report"]
        device = {"virtio": "virtio-blk-pci", "ahci": "ide-hd", "nvme": "nvme", "scsi": "scsi-hd"}[self.bus]
        return drive + ["-device", f"{device},drive={node},serial={self.serial}{more}"]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def alone(address, tap="tap0"):
    """Within, this program and what it starts have a network of their own: loopback and a
    tap for one guest with ADDRESS ("192.0.2.10/24") at our end."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as before:
        if libc.unshare(0x40000000):  # CLONE_NEWNET
            raise Failed(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            for words in ("link set lo up", f"tuntap add {tap} mode tap", f"addr add {address} dev {tap}",
                          f"link set {tap} up"):
                subprocess.run(["ip", *words.split()], check=True)
            yield tap
        finally:
            libc.setns(before.fileno(), 0x40000000)


class Machine:
    def __init__(self, folder, firmware, disks, boot="disk,net", nic="virtio-net-pci", bootfile=None, tftp=None,
                 reach=(), mac="52:54:00:12:34:56", memory=768, uuid="5a5a5a5a-0001-4000-8000-000000000001",
                 cdrom=None, tap=None, more=()):
        """boot: the order of disk, net and cdrom, or "" for what the firmware itself does
        (an order given by QEMU goes before NVRAM's entries)."""
        self.folder, self.firmware, self.disks, self.boot = folder, firmware, disks, boot
        self.nic, self.bootfile, self.tftp, self.reach, self.mac = nic, bootfile, tftp, reach, mac
        self.memory, self.uuid, self.cdrom, self.tap, self.more = memory, uuid, cdrom, tap, list(more)
        self.guest, self.runs, self.cpu_s = None, 0, 0.0
        self.lines = []  # (second since the start, text) of this run
        self.news = threading.Condition()
        os.makedirs(folder, exist_ok=True)
        self.machine, self.code, variables = FIRMWARE[firmware]
        self.nvram = f"{folder}/nvram"
        if variables:
            shutil.copyfile(variables, self.nvram)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.power_cut()

    # ------------------------------------------------------------ starting
    def arguments(self, kernel, initrd, append):
        order = self.boot.split(",") if self.boot else []
        index = {what: i + 1 for i, what in enumerate(order)}
        a = ["qemu-system-x86_64", "-accel", "tcg", "-M", self.machine, "-m", str(self.memory), "-display", "none",
             "-vga", "none", "-monitor", "none", "-serial", "stdio", "-nodefaults", "-uuid", self.uuid,
             "-rtc", "base=utc", "-device", "virtio-rng-pci"]
        if self.code:
            a += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={self.code}",
                  "-drive", f"if=pflash,format=raw,unit=1,file={self.nvram}"]
        if self.firmware == "secure":
            a += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        if any(d.bus == "scsi" for d in self.disks):
            a += ["-device", "virtio-scsi-pci"]
        if self.firmware == "bios" and any(d.bus == "ahci" for d in self.disks):
            a[a.index("-M") + 1] = "q35"
        for n, disk in enumerate(self.disks):
            a += disk.arguments(n, index["disk"] * 10 + (n if disk.order is None else disk.order)
                                if "disk" in index else None)
        if self.cdrom:
            a += ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,format=raw,file={self.cdrom}",
                  "-device", "ide-cd,drive=cd" + (f",bootindex={index['cdrom'] * 10}" if "cdrom" in index else "")]
        net = f"tap,id=n0,ifname={self.tap},script=no,downscript=no" if self.tap else "user,id=n0,restrict=on"
        for port in () if self.tap else self.reach:
            net += f",guestfwd=tcp:{SERVER}:{port}-cmd:busybox nc 127.0.0.1 {port}"
        if self.tftp:
            net += f",tftp={self.tftp}"
        if self.bootfile:
            net += f",bootfile={self.bootfile}"
        # With a network of its own there is a real PXE server: the firmware's PXE is meant.
        rom = ",romfile=" if self.tap else ""
        a += ["-netdev", net, "-device", f"{self.nic},netdev=n0,mac={self.mac}{rom}" +
              (f",bootindex={index['net'] * 10}" if "net" in index else "")]
        if kernel:
            a += ["-kernel", kernel, "-initrd", initrd, "-append", append]
        return a + self.more

    def start(self, kernel=None, initrd=None, append=None):
        """Power on; with a kernel this is what boots, each time until power_cut()."""
        assert self.guest is None
        self.runs += 1
        self.lines, self.began = [], time.monotonic()
        open(f"{self.folder}/console.{self.runs}", "wb").close()
        self.guest = subprocess.Popen(self.arguments(kernel, initrd, append), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.reader = threading.Thread(target=self.read, args=(self.guest.stdout,), daemon=True)
        self.reader.start()

    def read(self, pipe):
        text = b""
        with open(f"{self.folder}/console.{self.runs}", "wb") as keep:
            while data := os.read(pipe.fileno(), 65536):
                keep.write(data)
                keep.flush()
                now = time.monotonic() - self.began
                # Firmware paints its screens with escape sequences, and ends lines with either.
                text = re.sub(rb"\x1b\[[0-9;?=]*[A-Za-z]", b"", text + data)
                *whole, text = re.split(rb"[\r\n]+", text)
                with self.news:
                    self.lines += [(now, line.decode(errors="replace")) for line in whole if line]
                    self.news.notify_all()
        with self.news:
            self.lines.append((time.monotonic() - self.began, text.decode(errors="replace")))
            self.lines.append((time.monotonic() - self.began, "(the guest ended)"))
            self.news.notify_all()

    # ------------------------------------------------------------ watching
    def wait(self, regex, seconds, start=0, never=None):
        """The first line from line number START on that matches: (its number, its second,
        the match).  A line that matches NEVER before that, or the guest's end, is a failure."""
        end = time.monotonic() + seconds
        at = start
        with self.news:
            while True:
                while at < len(self.lines):
                    second, line = self.lines[at]
                    if found := re.search(regex, line):
                        return at, second, found
                    if never and re.search(never, line):
                        raise Failed(f"'{line}' instead of /{regex}/\n{self.tail()}")
                    if line == "(the guest ended)":
                        raise Failed(f"the guest ended before /{regex}/\n{self.tail()}")
                    at += 1
                if not self.news.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise Failed(f"no /{regex}/ in {seconds} s\n{self.tail()}")

    def wait_prompt(self, regex, seconds, after=0):
        """As wait(), over the bytes as they came, a line without an end too.  Where it ended."""
        end = time.monotonic() + seconds
        while True:
            with open(f"{self.folder}/console.{self.runs}", "rb") as f:
                if found := re.search(regex, f.read()[after:]):
                    return after + found.end()
            if time.monotonic() > end or self.lines and self.lines[-1][1] == "(the guest ended)":
                raise Failed(f"no prompt /{regex}/\n{self.tail()}")
            time.sleep(0.05)

    def wait_end(self, seconds):
        end = time.monotonic() + seconds
        # Not reaped yet, so that its CPU time can be read.
        while os.waitid(os.P_PID, self.guest.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > end:
                raise Failed(f"the guest did not power off in {seconds} s\n{self.tail()}")
            time.sleep(0.05)
        self.power_cut()

    def tail(self, count=40):
        return "\n".join(f"  {second:7.1f} {line[:160]}" for second, line in self.lines[-count:])

    def type(self, text):
        self.guest.stdin.write(text.encode())
        self.guest.stdin.flush()

    def cpu(self):
        """CPU seconds of the guest so far, all runs."""
        if self.guest is None:
            return self.cpu_s
        try:
            with open(f"/proc/{self.guest.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            return self.cpu_s
        return self.cpu_s + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ------------------------------------------------------------ stopping
    def power_cut(self):
        """As if the cord were pulled; what the guest had written stays, also NVRAM."""
        if self.guest is None:
            return
        self.cpu_s = self.cpu()
        self.guest.kill()
        self.guest.wait()
        self.reader.join(timeout=60)
        self.guest.stdin.close()
        self.guest.stdout.close()
        self.guest = None
