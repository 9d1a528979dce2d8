#!/usr/bin/env python3
"""read_store.py - read a Holdfast store without Holdfast, from storage/FORMAT.md alone.

  read_store.py STORE points                        what the journal lists
  read_store.py STORE restore HOST/SEQ VOLUME FILE  write that volume's image to FILE

Needs Python 3.8 and libzstd, nothing of ours.  Checks lengths, places and sums,
not the keyed names (for that one needs the domain's key and BLAKE3)."""
import ctypes, ctypes.util, glob, mmap, os, struct, sys

zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
SPAN = 16 << 20
POINT = 7                                       # journal record types
HOLE, ZERO, EXCLUDED, DATA = range(4)


def check(what, ok):
    if not ok:
        raise SystemExit("read_store.py: " + what)


class Fields:
    """The fields of a journal record's payload, one after another."""
    def __init__(self, p): self.p, self.at = p, 0
    def take(self, n):
        self.at += n
        check("a record ends early", self.at <= len(self.p))
        return self.p[self.at - n:self.at]
    def u8(self): return self.take(1)[0]
    def u32(self): return struct.unpack("<I", self.take(4))[0]
    def u64(self): return struct.unpack("<Q", self.take(8))[0]
    def text(self): return self.take(self.u8()).decode()


def points(store):
    """(host, sequence, time_us, [(volume, root name, size, file system)]) in order."""
    j = open(os.path.join(store, "journal"), "rb").read()
    at, out = 32, []
    while at + 64 <= len(j):
        n, kind, _, _, when, _ = struct.unpack_from("<IHHQQQ", j, at)
        if at + 64 + n + 32 > len(j):
            break                               # a torn tail: never acknowledged
        if kind == POINT:
            f = Fields(j[at + 64:at + 64 + n])
            host, seq, _ = f.text(), f.u64(), f.u64()
            f.text(); f.take(16); f.take(32); f.take(11 * 8)
            vols = []
            for _ in range(f.u32()):
                name, root, size, _, fs = f.text(), f.take(32), f.u64(), f.u32(), f.text()
                f.text(); f.u8(); f.take(4 * 8)
                vols.append((name, root, size, fs))
            out.append((host, seq, when, vols))
        at += 64 + n + 32
    return out


class Chunks:
    """Every chunk of every pack, found by walking the groups; packs need no index."""
    def __init__(self, store):
        self.where, self.cache = {}, {}
        for path in sorted(glob.glob(os.path.join(store, "packs", "*.pack")) + glob.glob(os.path.join(store, "packs", "*.open"))):
            with open(path, "rb") as f:
                if os.path.getsize(path) < 64:
                    continue
                m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            check(path + " is no pack", m[:4] == b"HFP0")
            end = len(m)
            if path.endswith(".pack"):
                check(path + " has no trailer", m[end - 96:end - 92] == b"HFE0")
                end, = struct.unpack_from("<I", m, len(m) - 96 + 20)
            at = 64
            while at + 56 <= end and m[at:at + 4] == b"HFG0":
                kind, codec, _, n, plain, stored = struct.unpack_from("<BBHIII", m, at + 4)
                length = 56 + 36 * n + stored
                if at + length > len(m):
                    break
                offset = 0
                for i in range(n):
                    e = at + 56 + 36 * i
                    size, = struct.unpack_from("<I", m, e + 32)
                    self.where.setdefault((kind, m[e:e + 32]), (m, at, offset, size))
                    offset += size
                at = (at + length + 7) & ~7

    def plain(self, m, at):
        key = (id(m), at)
        if key not in self.cache:
            _, codec, _, n, plain, stored = struct.unpack_from("<BBHIII", m, at + 4)
            data = m[at + 56 + 36 * n:at + 56 + 36 * n + stored]
            if codec == 1:
                out = ctypes.create_string_buffer(plain)
                check("a group does not decompress", zstd.ZSTD_decompress(out, plain, data, stored) == plain)
                data = out.raw
            if len(self.cache) > 64:
                self.cache.clear()
            self.cache[key] = data
        return self.cache[key]

    def get(self, kind, name):
        check("chunk %s is in no pack" % name.hex(), (kind, name) in self.where)
        m, at, offset, size = self.where[kind, name]
        return self.plain(m, at)[offset:offset + size]


def varint(p, at):
    v = shift = 0
    while True:
        v |= (p[at] & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if not p[at - 1] & 0x80:
            return v, at


def extents(leaf):
    """(kind, length, chunk name, offset in chunk) of a leaf."""
    check("not a leaf", leaf[:4] == b"HFL0")
    at, name, size = 8, None, 0
    for _ in range(struct.unpack_from("<H", leaf, 4)[0]):
        first = leaf[at]
        length, at = varint(leaf, at + 1)
        kind, offset = first & 3, 0
        if kind == DATA:
            if not first & 12:                  # neither same nor whole chunk: its length is given
                size, at = varint(leaf, at)
            if not first & 4:
                name = leaf[at:at + 32]
                at += 32
                if first & 8:
                    size = length
            if not first & 8:
                offset, at = varint(leaf, at)
        yield kind, length, name if kind == DATA else None, offset
    check("a leaf has more than its extents", at == len(leaf))


def leaves(chunks, level, name):
    node = chunks.get(2, name)
    if level == 0:
        yield node
        return
    check("not an inner node", node[:4] == b"HFI0")
    for i in range(struct.unpack_from("<H", node, 4)[0]):
        yield from leaves(chunks, level - 1, node[8 + 64 * i:8 + 64 * i + 32])


def restore(store, point, volume, path):
    host, seq = point.rsplit("/", 1)
    found = [v for h, s, _, vols in points(store) for v in vols if h == host and s == int(seq) and v[0] == volume]
    check("no volume %s in point %s" % (volume, point), found)
    chunks = Chunks(store)
    root = chunks.get(2, found[0][1])
    check("not a root", root[:4] == b"HFR0" and len(root) == 144)
    size, level, top = struct.unpack_from("<Q", root, 8)[0], root[49], root[80:112]
    at = 0
    with open(path, "wb") as out:
        out.truncate(size)
        for leaf in leaves(chunks, level, top):
            for kind, length, name, offset in extents(leaf):
                if kind == DATA:
                    part = chunks.get(1, name)[offset:offset + length]
                    check("a chunk is too short", len(part) == length)
                    out.seek(at)
                    out.write(part)
                at += length
    check("the extents make %d bytes, the volume has %d" % (at, size), at == size)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2] == "points":
        for host, seq, when, vols in points(sys.argv[1]):
            for name, root, size, fs in vols:
                print("%s/%d\t%d\t%s\t%s\t%d bytes\t%s" % (host, seq, when, name, fs, size, root.hex()))
    elif len(sys.argv) == 6 and sys.argv[2] == "restore":
        restore(sys.argv[1], *sys.argv[3:])
    else:
        raise SystemExit(__doc__)
