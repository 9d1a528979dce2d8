#!/usr/bin/env python3
"""link.py READY PID [--delay MS] [--loss PERCENT] [--seed N] [--rate BYTES] [--mtu N]
A bad line between two network namespaces: ours, which gets the address 10.77.0.1, and
that of process PID, 10.77.0.2.  Every packet is read from one TUN device, and written to
the other after MS milliseconds, or lost; the delay is that of a round trip.  RATE bytes a
second at most go each way, and what waits for more than a second is lost, too.  Needs
root, and nothing of the kernel's but TUN.

SIGUSR1: the line is cut; nobody is told (no reset, no end).  SIGUSR2: it is whole again.
SIGTERM: say what passed, as JSON, and end.  READY is written when it works."""
import argparse, ctypes, fcntl, heapq, json, os, random, select, signal, socket, struct, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
IFF_UP, CLONE_NEWNET = 1, 0x40000000
NAME = b"hf0"
libc = ctypes.CDLL(None, use_errno=True)


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        sys.exit("link.py: setns: " + os.strerror(ctypes.get_errno()))


def address(text):
    return struct.pack("<HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def request(s, number, name, rest):
    fcntl.ioctl(s, number, struct.pack("16s24s", name, rest))


def tun(ip, mtu):
    """A device of the namespace we are in, up, with an address; also its loopback."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", NAME, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request(s, SIOCSIFFLAGS, b"lo", struct.pack("<H", IFF_UP))
        request(s, SIOCSIFADDR, NAME, address(ip))
        request(s, SIOCSIFNETMASK, NAME, address("255.255.255.0"))
        request(s, SIOCSIFMTU, NAME, struct.pack("<i", mtu))
        request(s, SIOCSIFFLAGS, NAME, struct.pack("<H", IFF_UP))
    return fd


class Way:
    """One direction: what is under way, in order, and when the line is free again."""

    def __init__(self, src, dst, args, number):
        self.src, self.dst, self.args = src, dst, args
        self.random = random.Random("%d %d" % (args.seed, number))
        self.queue, self.free, self.count = [], 0.0, 0
        self.passed = self.lost = self.cut = 0

    def take(self, now, whole):
        for _ in range(64):
            try:
                packet = os.read(self.src, 65536)
            except BlockingIOError:
                return
            if not whole:
                self.cut += 1
            elif self.random.random() * 100 < self.args.loss:
                self.lost += 1
            else:
                at = now
                if self.args.rate:
                    self.free = at = max(now, self.free) + len(packet) / self.args.rate
                if at - now > 1:
                    self.free -= len(packet) / self.args.rate
                    self.lost += 1
                    continue
                self.count += 1
                heapq.heappush(
                    self.queue, (at + self.args.delay / 2000, self.count, packet))

    def give(self, now, whole):
        while self.queue and self.queue[0][0] <= now:
            packet = heapq.heappop(self.queue)[2]
            if not whole:
                self.cut += 1
                continue
            try:
                os.write(self.dst, packet)
                self.passed += 1
            except OSError:
                self.lost += 1


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("ready")
    p.add_argument("pid", type=int)
    p.add_argument("--delay", type=float, default=0)
    p.add_argument("--loss", type=float, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rate", type=float, default=0)
    p.add_argument("--mtu", type=int, default=1500)
    args = p.parse_args()
    whole, over = [True], []
    signal.signal(signal.SIGUSR1, lambda *_: whole.__setitem__(0, False))
    signal.signal(signal.SIGUSR2, lambda *_: whole.__setitem__(0, True))
    signal.signal(signal.SIGTERM, lambda *_: over.append(1))
    # A signal ends the wait at once, also one that comes just before it.
    wake = socket.socketpair()
    for s in wake:
        s.setblocking(False)
    signal.set_wakeup_fd(wake[1].fileno())
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    near = tun("10.77.0.1", args.mtu)
    enter(os.open("/proc/%d/ns/net" % args.pid, os.O_RDONLY))
    far = tun("10.77.0.2", args.mtu)
    enter(here)
    ways = Way(near, far, args, 0), Way(far, near, args, 1)
    with open(args.ready, "w") as f:
        f.write("10.77.0.1")
    while not over:
        due = [w.queue[0][0] for w in ways if w.queue]
        wait = max(0, min(due) - time.monotonic()) if due else 1
        ready = select.select([near, far, wake[0]], [], [], wait)[0]
        now = time.monotonic()
        if wake[0] in ready:
            wake[0].recv(64)
        for w in ways:
            if w.src in ready:
                w.take(now, whole[0])
            w.give(now, whole[0])
    print(json.dumps({"out": vars_of(ways[0]), "in": vars_of(ways[1])}), flush=True)


def vars_of(way):
    return {"passed": way.passed, "lost": way.lost, "cut": way.cut}


main()
