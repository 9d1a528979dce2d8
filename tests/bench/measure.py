"""measure.py - one step of one tool: what it cost, and what the store grew to.

CPU is user + system time of the command and of the tool's server, if it has one.
A server may go on working after its client was answered: the step waits for that
and counts it.  Wall time ends when the command does.
"""
import os
import resource
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
# What others wrote before is not to be written during a step; where no time is judged, 0 saves the wait.
SYNC = os.environ.get("SYNC", "1") != "0"


class Failed(Exception):
    """A step that did not do its work: no figure of this run is worth anything."""


def tree(pid):
    """`pid` and its descendants."""
    out = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                for child in f.read().split():
                    out += tree(int(child))
    except OSError:
        pass
    return out


def peak_kib(pid):
    """The most that one process had resident since it began to run its program; 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((int(line.split()[1]) for line in f if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


class Peak(threading.Thread):
    """Watches processes' memory from outside.

    What wait4() tells is exact, but counts the image of the bench that a child had
    before it ran its program: below that, the last look before the end has to do.
    """

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.over = pids, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.03):
            for pid in self.pids:
                self.most = max(self.most, *map(peak_kib, tree(pid)))

    def mib(self, waited_kib):
        """`waited_kib`: ru_maxrss of the ended processes."""
        self.over.set()
        self.join()
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round((waited_kib if waited_kib > own else self.most) / 1024, 1)


class Server:
    """A server process that the bench started."""

    def __init__(self, argv, log, **more):
        with open(log, "ab") as f:
            self.process = subprocess.Popen(argv, stdout=f, stderr=f, **more)

    def alive(self):
        return self.process.poll() is None

    def cpu(self):
        """Seconds so far, of its ended children too."""
        ticks = 0
        for pid in tree(self.process.pid):
            with open(f"/proc/{pid}/stat") as f:
                ticks += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))
        return ticks / TICK

    def settle(self):
        """Wait until it has been idle for a while; seconds so far."""
        last, since = self.cpu(), time.monotonic()
        end = since + 30
        while time.monotonic() < min(end, since + 0.2):
            time.sleep(0.05)
            if (now := self.cpu()) != last:
                last, since = now, time.monotonic()
        return last

    def peak_mib(self):
        """The most memory it ever had resident."""
        return round(max(map(peak_kib, tree(self.process.pid))) / 1024, 1)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def stored(path):
    """Bytes of all files below `path`, as long as they say they are."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                pass
    return total


def machine_cpu():
    """Seconds that all cores together were busy since the machine started."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def await_quiet(limit, patience):
    """Wait until the load is below `limit`, for `patience` seconds at most; the load then."""
    end = time.monotonic() + patience
    while (load := os.getloadavg()[0]) >= limit and time.monotonic() < end:
        time.sleep(1)
    return load


def warm(path):
    """Have the file's bytes in memory: what is measured is the tool, not the disk."""
    with open(path, "rb", buffering=0) as f:
        room = bytearray(1 << 20)
        while f.readinto(room):
            pass


def written():
    """Wait until what was written before is on the disk."""
    if SYNC:
        os.sync()


def run(command, log, env=None, server=None):
    """Run a shell command as one step.  A status other than 0 is Failed."""
    written()
    load = os.getloadavg()[0]
    served = server.cpu() if server else 0
    busy, began = machine_cpu(), time.monotonic()
    with open(log, "ab") as f:
        f.write(f"$ {command}\n".encode())
        f.flush()
        p = subprocess.Popen(["bash", "-c", "set -o pipefail; " + command], env=env, stdout=f, stderr=subprocess.STDOUT)
    peak = Peak([p.pid])
    _, status, used = os.wait4(p.pid, 0)
    wall = time.monotonic() - began
    p.returncode = os.waitstatus_to_exitcode(status)
    own = used.ru_utime + used.ru_stime
    during = machine_cpu() - busy
    out = dict(user=round(used.ru_utime, 3), system=round(used.ru_stime, 3), wall=round(wall, 3),
               rss_mib=peak.mib(used.ru_maxrss), load=round(load, 2))
    if server:
        out["server_rss_mib"] = server.peak_mib()
        during -= server.cpu() - served
        out["server_cpu"] = round(server.settle() - served, 3)
    out["cpu"] = round(own + out.get("server_cpu", 0), 3)
    # How many cores others kept busy meanwhile.
    out["others"] = round(max(0, during - own) / max(wall, 0.01), 2)
    if p.returncode != 0:
        raise Failed(f"status {p.returncode} from: {command}\n{tail(log)}")
    return out


def tail(path, lines=15):
    with open(path, errors="replace") as f:
        return "".join(f.readlines()[-lines:])
