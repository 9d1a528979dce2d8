"""frozen.py - what a frozen image was, told by the driver itself while a backup holds it, and what a restored point must be.

An image is read beside the agent, through a handle of its own (Hotcopy.bind), and kept as
a digest a cluster, with what is known of the cluster:
  MUST   the frozen $Bitmap has it, or a file claims it, or it lies behind the file system
  FREE   by the frozen $Bitmap, and claimed by no file: a point may leave it out
  NONE   not kept by the driver: a tracking store, what was excluded or said to be unneeded
"""
import hashlib
import os
import struct
import sys

from stack import MIB, Refused

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))
from ntfsmap import Ntfs, usage  # noqa: E402

CLUSTER = 4096
MUST, FREE, NONE = 0, 1, 2
KINDS = ("in use", "free", "not kept")
SETS_MAX = 1 << 20
ZEROS = bytes(CLUSTER)


def digest(data):
    return hashlib.blake2b(data, digest_size=8).digest()


def clusters(path):
    with open(path, "rb") as f:
        while data := f.read(CLUSTER):
            yield data


class Frozen:
    """Of the file `path`, whose clusters `unkept` were not served."""

    def __init__(self, path, unkept):
        self.length = os.path.getsize(path)
        self.digests = [digest(c) for c in clusters(path)]
        self.kind = bytearray(len(self.digests))
        self.free(path)
        for n in unkept:
            self.kind[n] = NONE

    def free(self, path):
        with open(path, "rb") as f:
            if f.read(8)[3:] != b"NTFS ":
                return
        v = Ntfs(path)
        assert v.c == CLUSTER, v.c
        used = usage(v, skip_page=False)
        # Behind its initialized size lies what an earlier file system left.
        data = next(a for t, a in v.attrs(v.rec(0)) if t == 0x80)
        records = struct.unpack_from("<Q", data, 56)[0] // v.rs
        for record, _, _, attributes in v.files():
            if record >= records:
                break
            for _, runs in attributes:
                for first, count in runs:
                    if first is not None:
                        used[first:first + count] = b"\1" * len(used[first:first + count])
        v.f.close()
        for n, u in enumerate(used):
            if not u:
                self.kind[n] = FREE

    def differs(self, path, own=()):
        """Clusters of the restored file `path` that are not as they must be.  `own`: extents
        that no image needs to have."""
        assert os.path.getsize(path) == self.length, f"{os.path.getsize(path)} bytes of {self.length}"
        may = {n for at, length in own for n in range(at // CLUSTER, -(-(at + length) // CLUSTER))}
        return [n for n, data in enumerate(clusters(path)) if n not in may and not self._as_it_must_be(n, data)]

    def _as_it_must_be(self, n, data):
        if self.kind[n] == NONE:
            return data == ZEROS
        return digest(data) == self.digests[n] or (data == ZEROS and self.kind[n] == FREE)

    def check(self, path, own=()):
        wrong = self.differs(path, own)
        assert not wrong, f"{len(wrong)} clusters are not what was frozen; the first is {wrong[0]}, {KINDS[self.kind[wrong[0]]]}"


def bind(stack, known, index):
    """A handle bound to volume `index` of the set that is open; sets are numbered as they are made."""
    h = stack.handle()
    for n in range(known, known + SETS_MAX):
        try:
            h.bind(index, of=n)
            return h, n
        except Refused as e:
            assert e.status in ("not found", "state"), e
    raise AssertionError("no set is open")


def read(h, length, path):
    """The image into a file; gives the clusters that the driver does not have."""
    unkept = []

    def piece(at, size):
        try:
            return h.read(at, size)
        except Refused as e:
            assert e.status == "not kept", e
        if size == CLUSTER:
            unkept.append(at // CLUSTER)
            return ZEROS
        half = size // 2
        return piece(at, half) + piece(at + half, half)

    with open(path, "wb") as f:
        for at in range(0, length, MIB):
            data = piece(at, MIB)
            for i in range(0, MIB, CLUSTER):
                if data[i:i + CLUSTER] != ZEROS:
                    f.seek(at + i)
                    f.write(data[i:i + CLUSTER])
        f.truncate(length)
    return unkept
