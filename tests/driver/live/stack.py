"""stack.py - disks under the simulated driver, mounted: nbdkit with our plugin, nbdfuse, ntfs-3g, programs.

What is started is stopped by Stack.close, in the order in which nothing waits for what has gone.
"""
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../scenario/lib"))
from hotcopy import Hotcopy, Refused  # noqa: E402,F401

MIB = 1 << 20
PATIENCE = 300  # Seconds for what takes one, on the slowest machine.
DISK, NTFS, STORE, DIFF = 64 * MIB, 48 * MIB, 48 * MIB, 52 * MIB  # An NTFS, a tracking store, room for copies.


def run(*args, ok=(0,)):
    p = subprocess.run(args, capture_output=True, text=True, check=False, timeout=2 * PATIENCE)
    assert p.returncode in ok, f"{' '.join(args)}: {p.returncode}: {p.stdout}{p.stderr}"
    return p.stdout


def await_(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def mkntfs(path, name, volume):
    run("mkntfs", "-q", "-Q", "-F", "-s", "512", "-p", "0", "-H", "255", "-S", "63", "-L", name, path, str(volume // 512))


def ntfs_3g(disk, at):
    """In the foreground: it goes on writing for a moment when it is unmounted, and ends then."""
    os.makedirs(at, exist_ok=True)
    p = subprocess.Popen(["ntfs-3g", "-o", "rw,noatime,no_detach", disk, at], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_(lambda: p.poll() is not None or os.path.ismount(at))
    assert p.poll() is None, "ntfs-3g has ended"
    return p


class Stack:
    def __init__(self, work, build):
        self.work, self.build = work, build
        self.programs, self.mounts, self.nbdkit = [], [], None
        self.socket, self.nbd, self.record = work + "/control", work + "/nbd", work + "/record"
        self.disks = []

    def disk(self, name, ntfs=False, size=DISK, volume=NTFS):
        """ntfs: its first `volume` bytes are one."""
        path = f"{self.work}/{name}.img"
        with open(path, "wb") as f:
            f.truncate(size)
        if ntfs:
            mkntfs(path, name, volume)
        run("cp", "--sparse=always", path, path + ".base")
        self.disks.append(name)
        return path

    def number(self, name):
        return self.disks.index(name) + 1

    def start(self, *parameters, record=True):
        # Its number is there when it listens; the socket is there a moment before.
        ready = self.nbd + ".pid"
        for p in (self.socket, self.nbd, ready):
            if os.path.exists(p):
                os.unlink(p)
        self.nbdkit = subprocess.Popen(["nbdkit", "-f", "--exit-with-parent", "-P", ready, "-U", self.nbd, f"{self.build}/bin/holdfast-hotcopy-plugin.so",
                                        *[f"disk={n}:{self.work}/{n}.img" for n in self.disks], f"control={self.socket}",
                                        *([f"record={self.record}"] if record else []), *parameters])
        await_(lambda: self.nbdkit.poll() is not None or (os.path.exists(self.socket) and os.path.exists(ready)))
        assert self.nbdkit.poll() is None, "nbdkit has ended"

    def uri(self, export):
        return f"nbd+unix:///{export}?socket={self.nbd}"

    def attach(self, name):
        """The disk as a file."""
        fuse = f"{self.work}/{name}.fuse"
        os.makedirs(fuse, exist_ok=True)
        p = subprocess.Popen(["nbdfuse", f"{fuse}/disk", self.uri(name)])
        self.mounts.append((fuse, p))
        await_(lambda: p.poll() is not None or os.path.exists(f"{fuse}/disk"))
        assert p.poll() is None, "nbdfuse has ended"
        return f"{fuse}/disk"

    def mount(self, name, mend=False):
        """mend: as after a crash of the machine."""
        disk, at = self.attach(name), f"{self.work}/{name}.mnt"
        if mend:
            run("ntfsfix", "-d", disk)
        self.mounts.append((at, ntfs_3g(disk, at)))
        return at

    def program(self, *args):
        out = open(f"{self.work}/program-{len(self.programs)}.out", "wb")
        # It ends with us, however we end.
        p = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *args], stdout=out, stderr=subprocess.STDOUT)
        out.close()
        self.programs.append(p)
        return p

    def alive(self):
        for i, p in enumerate(self.programs):
            if p.poll() is not None:
                with open(f"{self.work}/program-{i}.out", encoding="utf-8", errors="replace") as f:
                    raise AssertionError(f"{p.args} has ended with {p.returncode}: {f.read()[-2000:]}")

    def stop_programs(self):
        """All end as they should: nothing of what they wrote came back wrong, or failed."""
        self.alive()
        for p in self.programs:
            p.send_signal(signal.SIGTERM)
        for i, p in enumerate(self.programs):
            status = p.wait(PATIENCE)
            with open(f"{self.work}/program-{i}.out", encoding="utf-8", errors="replace") as f:
                out = f.read()
            # fio ends with 128 when it was told to end.
            assert status == 0 or ("fio" in p.args and status == 128), f"{p.args}: {status}: {out[-2000:]}"
            assert "verify:" not in out and "error" not in out.lower(), f"{p.args}: {out[-2000:]}"
        self.programs = []

    def unmount(self):
        while self.mounts:
            at, p = self.mounts[-1]
            run("umount", at)
            p.wait(PATIENCE)
            self.mounts.pop()

    def stop(self, how=signal.SIGTERM):
        if self.nbdkit is not None:
            self.nbdkit.send_signal(how)
            status = self.nbdkit.wait(PATIENCE)
            assert how == signal.SIGKILL or status in (0, -15), f"nbdkit ended with {status}"
            self.nbdkit = None

    def crash(self):
        """All of the machine at once, the disks first: nothing is written any more."""
        if self.nbdkit is not None:
            self.nbdkit.kill()
            self.nbdkit.wait()
            self.nbdkit = None
        for p in self.programs:
            p.kill()
        for at, _ in reversed(self.mounts):
            subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL, check=False)
        for _, p in self.mounts:
            p.kill()
            p.wait()
        for p in self.programs:
            p.wait()
        self.programs, self.mounts = [], []

    def close(self):
        """After whatever happened."""
        self.crash()

    def handle(self):
        return Hotcopy(self.socket)
