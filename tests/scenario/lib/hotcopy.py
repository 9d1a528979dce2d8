#!/usr/bin/env python3
"""hotcopy.py - calls of driver/abi/hotcopy.h to the simulator, as raw bytes over its socket.

As a program:
  hotcopy.py SOCKET list
  hotcopy.py SOCKET stats NAME...            of the set that is open
  hotcopy.py SOCKET freeze NAME... -- COMMAND...
                                             frozen while COMMAND runs, then released
A Hotcopy is a handle: what it prepared is released when it is closed.
"""
import os
import socket
import struct
import subprocess
import sys

ABI, NONCE, VOLUMES_MAX = 1, 16, 64
TRACK_SHIFT = 16
STATES = ("idle", "prepared", "gated", "active", "dropped", "removed", "passing")
TRACKING = ("off", "new", "valid", "recovered", "invalid")
WHY = ("none", "no space", "read error", "diff error", "removed", "resized", "unknown write", "written into", "power",
       "store error", "store damaged", "foreign", "no memory", "asked")
EVENTS = {1: "low space", 2: "dropped", 3: "tracking lost", 4: "throttled"}
STATUS = {0: "ok", 0xC000000D: "bad", 0xC0000004: "size", 0xC0000059: "abi", 0xC0000184: "state", 0xC0000225: "not found",
          0x80000011: "busy", 0xC00000B5: "timeout", 0xC000009A: "no memory", 0xE0686301: "lost", 0xE0686302: "not kept",
          0xC0000185: "io", 0xC0000010: "no call", 0x103: "pending"}
DROP, THROTTLE = 0, 1
AT_HOLD, CUT_ONLY, GENERATION = 1, 2, 4


def code(access, n):
    return 0x22 << 16 | access << 14 | (0x800 + n) << 2


(ATTACHED, VERSION, ENUM, TRACK, UNTRACK, PREPARE, DIFF_ADD, EXCLUDE, FREEZE, BIND, UNNEEDED, DONE_READ, CHANGED, COMMIT, ABORT,
 RELEASE, WAIT_EVENT, STATS) = [code(0, 0)] + [code(3, n) for n in range(1, 18)]
READ, HOLD, POWER, DELAY, EVENT, FORGET = 1, 2, 3, 4, 5, 6


class Refused(Exception):
    def __init__(self, status):
        self.status = STATUS.get(status, hex(status))
        super().__init__(self.status)


class Hotcopy:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.connect(path)
        self.set = 0

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _receive(self, n):
        parts = []
        while n > 0:
            part = self.s.recv(min(n, 1 << 20))
            if not part:
                raise EOFError("the simulator has ended the connection")
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def raw(self, call, body=b"", room=0):
        self.s.sendall(struct.pack("<4I", call, len(body), room, 0) + body)
        status, out = struct.unpack("<2I", self._receive(8))
        answer = self._receive(out)
        if status != 0:
            raise Refused(status)
        return answer

    def call(self, call, body=b"", room=0):
        return self.raw(call, struct.pack("<2I", 8 + len(body), ABI) + body, room)

    def volume(self, name):
        return struct.unpack("<2IQ", self.raw(ATTACHED, name.encode(), 16))[2]

    def version(self):
        return struct.unpack("<4I", self.raw(VERSION, b"", 16))[2:]

    def enum(self):
        answer = self.raw(ENUM, b"", 16 + 256 * 80)
        count, given = struct.unpack_from("<2I", answer, 8)
        assert count == given
        return [self._volume(answer, 16 + 80 * i) for i in range(given)]

    @staticmethod
    def _volume(answer, at):
        v = struct.unpack_from("<2Q4IQ16s2Q2I", answer, at)
        return dict(volume=v[0], length=v[1], sector=v[2], state=STATES[v[3]], tracking=TRACKING[v[4]], why=WHY[v[5]],
                    generation=v[6], nonce=v[7], changed=v[8], store_bytes=v[9])

    def info(self, volume):
        return next(v for v in self.enum() if v["volume"] == volume)

    def track(self, volume, extents=(), create=None, guid=bytes(16)):
        """create: the first generation's nonce; without: what is there."""
        body = struct.pack("<Q2I16s16s", volume, create is not None, len(extents), guid, create or bytes(NONCE))
        self.call(TRACK, body + b"".join(struct.pack("<2Q", *e) for e in extents))

    def untrack(self, volume, invalidate=False):
        self.call(UNTRACK, struct.pack("<Q2I", volume, invalidate, 0))

    def prepare(self, volumes, memory=16 << 20, shift=0, full=DROP, throttle_ms=0, only_changed=0):
        body = struct.pack("<4IQ", len(volumes), shift, full, throttle_ms, memory)
        body += struct.pack("<64Q", *volumes, *[0] * (VOLUMES_MAX - len(volumes))) + struct.pack("<Q", only_changed)
        self.set, self.shift = struct.unpack("<QI", self.call(PREPARE, body, 24)[8:20])

    def _extents(self, call, at, extents):
        self.call(call, struct.pack("<2Q2I", self.set, at, len(extents), 0) + b"".join(struct.pack("<2Q", *e) for e in extents))

    def diff_add(self, at, extents):
        self._extents(DIFF_ADD, at, extents)

    def exclude(self, at, extents):
        self._extents(EXCLUDE, at, extents)

    def freeze(self, flags=0, timeout_ms=0, hold_ms=0, nonce=None):
        body = struct.pack("<Q4I16s", self.set, flags, timeout_ms, hold_ms, 0, nonce or os.urandom(NONCE))
        a = struct.unpack("<4Q2I64Q", self.call(FREEZE, body, 560)[8:])
        return dict(closed=a[1], cut=a[2], opened=a[3], held=a[4], volumes=a[5], generation=a[6:])

    def bind(self, index, of=None):
        self.call(BIND, struct.pack("<Q2I", of or self.set, index, 0))

    def read(self, offset, length):
        return self.raw(READ, struct.pack("<Q2I", offset, length, 0), length)

    def unneeded(self, index, first, count, bits):
        self.call(UNNEEDED, struct.pack("<Q2IQ2I", self.set, index, 0, first, count, 0) + bits)

    def done_read(self, index, offset, length):
        self.call(DONE_READ, struct.pack("<Q2I2Q", self.set, index, 0, offset, length))

    def changed(self, index, first, count, now=False):
        body = struct.pack("<Q2IQ2I", self.set, index, now, first, count, 0)
        return self.call(CHANGED, body, 40 + (count + 7) // 8)[40:]

    def commit(self, volume, generation, nonce, call=COMMIT):
        self.call(call, struct.pack("<2Q16s", volume, generation, nonce))

    def abort(self, volume, generation, nonce):
        self.commit(volume, generation, nonce, ABORT)

    def release(self):
        self.call(RELEASE, struct.pack("<Q", self.set))

    def event(self):
        """The next event of the set that this handle prepared, or None."""
        try:
            return self.wait_event(EVENT)
        except Refused as e:
            if e.status != "pending":
                raise
            return None

    def wait_event(self, call=WAIT_EVENT):
        e = struct.unpack("<5Q2I", self.raw(call, b"", 56)[8:])
        return dict(set=e[0], volume=e[1], sequence=e[2], argument=e[4], code=EVENTS[e[5]])

    def stats(self, index, of=None):
        a = self.call(STATS, struct.pack("<Q2I", of or self.set, index, 0), 104)
        names = "writes held copied needed diff_used diff_size memory_used memory_size longest_hold reads reads_kept throttled"
        return dict(zip(names.split(), struct.unpack("<12Q", a[8:])))

    def hold(self, volume):
        self.raw(HOLD, struct.pack("<Q", volume))

    def power(self, shutdown):
        self.raw(POWER, struct.pack("<I", shutdown))

    def delay(self, volume, read_us, write_us):
        self.raw(DELAY, struct.pack("<Q2I", volume, read_us, write_us))

    def forget(self, volume, share, seed=0):
        """A share of the writes is not told to the tracking; how many were not, so far."""
        return struct.unpack("<I", self.raw(FORGET, struct.pack("<Q2I", volume, int(share * 0xFFFFFFFF), seed), 4))[0]


def main(path, what, *rest):
    with Hotcopy(path) as h:
        if what == "list":
            for v in h.enum():
                print(*(f"{k}={v[k].hex() if k == 'nonce' else v[k]}" for k in v))
            return 0
        if what == "freeze" and "--" in rest:
            at = rest.index("--")
            h.prepare([h.volume(n) for n in rest[:at]])
            frozen = h.freeze()
            print(f"gate closed for {(frozen['opened'] - frozen['closed']) / 10000:.1f} ms, {frozen['held']} writes waited", file=sys.stderr)
            status = subprocess.run(rest[at + 1:], check=False).returncode
            for i, n in enumerate(rest[:at]):
                print(n, h.stats(i), file=sys.stderr)
            return status
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except (Refused, OSError) as e:
        sys.exit(f"hotcopy: {e}")
