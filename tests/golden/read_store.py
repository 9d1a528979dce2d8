#!/usr/bin/env python3
"""read_store.py - read a Holdfast store without Holdfast, from storage/FORMAT.md alone.

  read_store.py STORE points                        what the journal lists
  read_store.py STORE restore HOST/SEQ VOLUME FILE  write that volume's image to FILE
  read_store.py STORE verify                        every hash, MAC and name (slow: for small stores)

Needs Python 3.8 and libzstd, nothing of ours.  `restore` checks lengths, places
and sums; `verify` also needs the store's file `keys`.  What has a required
feature, a codec, cipher or domain that is not in FORMAT.md's version 1 is refused."""
import ctypes, ctypes.util, glob, mmap, os, struct, sys

zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
SPAN, FANOUT = 16 << 20, 1024
SECRET, POINT, STUB, FORGET, KNOWN = 2, 7, 8, 21, set(range(1, 23)) | {24, 25, 26}      # journal record types
HOLE, ZERO, EXCLUDED, DATA = range(4)
M32 = 0xffffffff


def check(what, ok):
    if not ok:
        raise SystemExit("read_store.py: " + what)


def known(what, required):
    check("%s needs feature %d, which is not known here" % (what, (required & -required).bit_length() - 1), required == 0)


def known_fields(what, p):
    """Typed fields: types do not fall, none is required."""
    at = last = 0
    while at < len(p):
        check(what + " has a field that is cut off", at + 6 <= len(p))
        kind, n = struct.unpack_from("<HI", p, at)
        check("%s needs field %d, which is not known here" % (what, kind & 0x7fff), kind < 0x8000)
        check(what + " has fields out of order", kind >= last and at + 6 + n <= len(p))
        last, at = kind, at + 6 + n


# ---------------------------------------------------------------- BLAKE3, from its paper

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED, CONTEXT, MATERIAL = (1 << i for i in range(7))


def compress(cv, block, counter, length, flags):
    m = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = list(cv) + list(IV[:4]) + [counter & M32, counter >> 32, length, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(QUARTERS):
            for x, r, s in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + x) & M32
                t = v[d] ^ v[a]
                v[d] = (t >> r | t << 32 - r) & M32
                v[c] = (v[c] + v[d]) & M32
                t = v[b] ^ v[c]
                v[b] = (t >> s | t << 32 - s) & M32
        m = [m[i] for i in PERMUTATION]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def subtree(key, data, counter, flags, root):
    """Chaining value of one chunk, or of a tree whose left half is the largest power of two."""
    if len(data) <= 1024:
        cv, blocks = key, max(1, (len(data) + 63) // 64)
        for i in range(blocks):
            block = data[64 * i:64 * i + 64]
            last = i == blocks - 1
            cv = compress(cv, block, counter, len(block), flags | (CHUNK_START if i == 0 else 0) |
                          (CHUNK_END | root if last else 0))
        return cv
    left = 1024 << ((len(data) - 1) // 1024).bit_length() - 1
    pair = subtree(key, data[:left], counter, flags, 0) + subtree(key, data[left:], counter + left // 1024, flags, 0)
    return compress(key, struct.pack("<16I", *pair), 0, 64, flags | PARENT | root)


def blake3(data, key=None, flags=0):
    words = struct.unpack("<8I", key) if key else IV
    return struct.pack("<8I", *subtree(words, bytes(data), 0, flags or (KEYED if key else 0), ROOT))


def derive_key(context, material):
    return blake3(material, blake3(context.encode(), None, CONTEXT), MATERIAL)


# ------------------------------------------- XChaCha20-Poly1305, for the secrets in the journal

def chacha(state, add):
    v = list(state)
    for _ in range(10):
        for a, b, c, d in QUARTERS:
            for r, s in ((16, 12), (8, 7)):
                v[a] = (v[a] + v[b]) & M32
                t = v[d] ^ v[a]
                v[d] = (t << r | t >> 32 - r) & M32
                v[c] = (v[c] + v[d]) & M32
                t = v[b] ^ v[c]
                v[b] = (t << s | t >> 32 - s) & M32
    return [(x + y) & M32 for x, y in zip(v, state)] if add else v


def unwrap(key, sealed, aad):
    sigma, nonce, text, tag = struct.unpack("<4I", b"expand 32-byte k"), sealed[:24], sealed[24:-16], sealed[-16:]
    h = chacha(sigma + struct.unpack("<12I", key + nonce[:16]), False)
    start = sigma + tuple(h[:4] + h[12:])
    stream = lambda n: struct.pack("<16I", *chacha(start + (n, 0) + struct.unpack("<2I", nonce[16:]), True))
    r, s = (int.from_bytes(stream(0)[i:i + 16], "little") for i in (0, 16))
    r &= 0x0ffffffc0ffffffc0ffffffc0fffffff
    padded = b"".join(p + bytes(-len(p) % 16) for p in (aad, text)) + struct.pack("<QQ", len(aad), len(text))
    acc = 0
    for i in range(0, len(padded), 16):
        acc = (acc + int.from_bytes(padded[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    check("a secret is not authentic", (acc + s & (1 << 128) - 1).to_bytes(16, "little") == tag)
    return bytes(x ^ y for i in range(0, len(text), 64) for x, y in zip(text[i:i + 64], stream(1 + i // 64)))


# ------------------------------------------------------------------------ format, journal

def open_store(store):
    """The store's id; refuses what this reader does not know."""
    lines = open(os.path.join(store, "format")).read().split("\n")
    check("no store", lines[0] == "holdfast store")
    check("the store has format " + lines[1], lines[1] == "version 1")
    check("the file format is damaged", lines[-2:] == ["end", ""])
    for line in lines[3:-2]:
        check("the store needs feature '%s'" % line[9:], line.startswith("optional ") or line in ("required collect", "required retention"))
    return bytes.fromhex(lines[2][3:])


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


def records(store, key=None):
    """(type, time, payload) in order; with the journal's key chain and MACs are checked."""
    store_id = open_store(store)
    j = open(os.path.join(store, "journal"), "rb").read()
    check("journal is another file", j[:8] == b"HFJRNL1\n" and j[8:24] == store_id)
    known("journal", struct.unpack_from("<I", j, 24)[0])
    at, last, seq = 64, key and blake3(j[:64]), 0
    check("journal's header is damaged", not key or j[32:64] == blake3(j[:32]))
    while at + 64 <= len(j):
        n, kind, required, number, when, _ = struct.unpack_from("<IHHQQQ", j, at)
        end = at + 64 + n + 32
        if n > 65536 or end > len(j):
            break                               # a torn tail: never acknowledged
        seq += 1
        if key:
            check("record %d is not authentic" % seq, j[at + 32:at + 64] == last and
                  blake3(j[at:end - 32], key) == j[end - 32:end])
            last = blake3(j[at:end])
        check("record %d is out of order" % seq, number == seq)
        known("record %d" % seq, required)
        check("record %d is of type %d, which is not known here" % (seq, kind), kind in KNOWN or kind >= 0x8000)
        yield kind, when, j[at + 64:end - 32]
        at = end


def points(store, key=None):
    """(host, sequence, time_us, [(volume, root name, size, file system)]) in order."""
    gone = set()                                # pruned or forgotten: the record stays, the point does not
    for kind, _, payload in records(store, key):
        f = Fields(payload)
        if kind == FORGET:
            gone.add((f.text(), f.u64()))
        elif kind == STUB:
            host, _ = f.text(), f.text()
            gone.update((host, f.u64()) for _ in range(f.u32()))
    for kind, when, payload in records(store, key):
        if kind != POINT:
            continue
        f = Fields(payload)
        host, seq, _ = f.text(), f.u64(), f.u64()
        if (host, seq) in gone:
            continue
        f.text(); f.take(16); f.take(32); f.take(11 * 8)
        vols = []
        for _ in range(f.u32()):
            name, root, size, _, fs = f.text(), f.take(32), f.u64(), f.u32(), f.text()
            f.text(); f.u8(); f.take(4 * 8)
            vols.append((name, root, size, fs))
        known_fields("a point", payload[f.at:])
        yield host, seq, when, vols


# ------------------------------------------------------------------------------- packs

class Damage(Exception):
    """One group is not what was written: the others are read nevertheless."""


class Chunks:
    """Every chunk of every pack, found by walking the groups; packs need no index."""
    def __init__(self, store, hashes=False):
        self.where, self.cache, self.groups, self.damaged, store_id = {}, {}, 0, [], open_store(store)
        for path in sorted(glob.glob(os.path.join(store, "packs", "*.pack")) + glob.glob(os.path.join(store, "packs", "*.open"))):
            if os.path.getsize(path) >= 96:
                with open(path, "rb") as f:
                    self.pack(path, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ), store_id, hashes)

    def pack(self, path, m, store_id, hashes):
        version, kind, _, number, domain = struct.unpack_from("<HBBII", m, 4)
        check(path + " is no pack", m[:4] == b"HFP1" and version == 1 and m[16:32] == store_id)
        known(path, struct.unpack_from("<I", m, 32)[0])
        check("%s is of domain %d" % (path, domain), domain == 0)
        check(path + " has a damaged header", not hashes or blake3(m[:64]) == m[64:96])
        end, entries = len(m), {}
        if path.endswith(".pack"):
            t = m[end - 128:]
            check(path + " has no trailer", t[:4] == b"HFE1" and t[4:12] == m[4:12] and t[48:64] == store_id)
            known(path, struct.unpack_from("<I", t, 68)[0])
            n, _, end = struct.unpack_from("<III", t, 12)
            foot = len(m) - 128 - 44 * n
            check(path + ": lengths do not add up", foot == end + struct.unpack_from("<I", t, 76)[0])
            check(path + " has a damaged footer", not hashes or blake3(m[foot:-32]) == m[-32:])
            for e in range(foot, len(m) - 128, 44):
                offset, place, _, size = struct.unpack_from("<IHHI", m, e + 32)
                entries[offset, place] = m[e:e + 32], size
        # A sealed pack's footer says where groups are; else each ends where the next begins.
        starts = sorted({offset for offset, _ in entries})
        at = starts.pop(0) if starts else 96
        while at is not None and at + 64 <= end and (entries or m[at:at + 4] == b"HFG1"):
            mine, after = {k: e for k, e in entries.items() if k[0] == at}, None
            try:
                after = self.group(path, m, at, end, kind, mine, hashes)
            except Damage as what:
                self.damaged.append("%s: group at %d %s" % (path, at, what))
                n, _, stored, _, fields = struct.unpack_from("<IIIII", m, at + 12)
                after = (at + 64 + 36 * n + fields + stored + 7) & ~7
            if path.endswith(".pack"):
                after = starts.pop(0) if starts else None
            at = after

    def group(self, path, m, at, end, kind, entries, hashes):
        """Note the chunks of one group; where the next begins."""
        def whole(what, ok):
            if not ok:
                raise Damage(what)
        of, codec, cipher, _, required, _, n, plain, stored, _, fields = struct.unpack_from("<BBBBHHIIIII", m, at + 4)
        data = at + 64 + 36 * n + fields
        whole("is no group", m[at:at + 4] == b"HFG1" and 0 < n <= 4096 and fields <= 4096 and data + stored <= end)
        odd = required or codec > 1 or cipher       # written by a later program, or damaged?
        whole("is damaged", of == kind and (not (hashes or odd) or
              blake3(m[at:at + 32] + m[at + 64:data + stored]) == m[at + 32:at + 64]))
        known("%s: group at %d" % (path, at), required)
        check("%s: group at %d has codec %d, cipher %d" % (path, at, codec, cipher), codec < 2 and cipher == 0)
        known_fields("%s: group at %d" % (path, at), m[at + 64 + 36 * n:data])
        found, offset = {}, 0
        for i in range(n):
            e = at + 64 + 36 * i
            size, = struct.unpack_from("<I", m, e + 32)
            whole("is not what the footer says", not entries or entries.get((at, i)) == (m[e:e + 32], size))
            found[kind, m[e:e + 32]] = (m, at, offset, size)
            offset += size
        whole("is not what the footer says", not entries or len(entries) == n)
        whole("has lengths that do not add up", offset == plain)
        for name, place in found.items():
            self.where.setdefault(name, place)
        self.groups += 1
        return (data + stored + 7) & ~7

    def plain(self, m, at):
        key = (id(m), at)
        if key not in self.cache:
            codec, = struct.unpack_from("<B", m, at + 5)
            n, plain, stored, _, fields = struct.unpack_from("<IIIII", m, at + 12)
            begin = at + 64 + 36 * n + fields
            data = m[begin:begin + stored]
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


# ------------------------------------------------------------------------------- trees

def varint(p, at):
    v = shift = 0
    while True:
        v |= (p[at] & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if not p[at - 1] & 0x80:
            return v, at


def extents(leaf):
    """(kind, length, chunk name, offset in chunk) of a leaf."""
    check("not a leaf", leaf[:4] == b"HFL1")
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
            check("an extent is not in its chunk", offset + length <= size)
        yield kind, length, name if kind == DATA else None, offset
    check("a leaf has more than its extents", at == len(leaf))


def leaves(chunks, level, child):
    """The leaves below a child; the sums that it tells must be theirs."""
    node = chunks.get(2, child[:32])
    sums, told = [0, 0, 0, 0], list(struct.unpack_from("<4Q", child, 32))
    if level == 0:
        for kind, length, _, _ in extents(node):
            sums[kind] += length
        yield node
    else:
        check("not an inner node", node[:4] == b"HFI1")
        for i in range(struct.unpack_from("<H", node, 4)[0]):
            below = node[8 + 64 * i:72 + 64 * i]
            sums = [a + b for a, b in zip(sums, struct.unpack_from("<4Q", below, 32))]
            yield from leaves(chunks, level - 1, below)
    check("sums of a node are not those above it", sums == told)


def read_tree(chunks, name, want_size, put):
    """Call put(offset, bytes) for all data of the volume under root `name`."""
    root = chunks.get(2, name)
    check("not a root", root[:4] == b"HFR1" and len(root) >= 144)
    known("root", struct.unpack_from("<H", root, 52)[0])
    known_fields("root", root[144:])
    size, level = struct.unpack_from("<Q", root, 8)[0], root[49]
    check("the point is of another size", size == want_size)
    at = 0
    for leaf in leaves(chunks, level, root[80:144]):
        for kind, length, chunk, offset in extents(leaf):
            if kind == DATA:
                part = chunks.get(1, chunk)[offset:offset + length]
                check("a chunk is too short", len(part) == length)
                put(at, part)
            at += length
    check("the extents make %d bytes, the volume has %d" % (at, size), at == size)


def restore(store, point, volume, path):
    host, seq = point.rsplit("/", 1)
    found = [v for h, s, _, vols in points(store) for v in vols if h == host and s == int(seq) and v[0] == volume]
    check("no volume %s in point %s" % (volume, point), found)
    with open(path, "wb") as out:
        out.truncate(found[0][2])
        read_tree(Chunks(store), found[0][1], found[0][2], lambda at, part: (out.seek(at), out.write(part)))


def verify(store):
    keys = open(os.path.join(store, "keys"), "rb").read()
    check("keys: damaged or of another store", len(keys) == 88 and keys[:8] == b"HFKEYS1\n" and
          keys[8:24] == open_store(store) and blake3(keys[:56]) == keys[56:])
    journal = derive_key("holdfast store v1: journal", keys[24:56])
    wrapping = derive_key("holdfast store v1: wrapping", keys[24:56])
    domain = None
    for kind, _, payload in records(store, journal):
        if kind == SECRET:
            f = Fields(payload)
            name, sealed = f.text(), f.take(f.u32())
            if name == ".domain":
                domain = unwrap(wrapping, sealed, name.encode())
    check("there is no domain key", domain)
    names = {1: derive_key("Holdfast 2026-11-22 chunk names: kind data", domain),
             2: derive_key("Holdfast 2026-11-22 chunk names: kind meta", domain)}
    chunks = Chunks(store, True)
    check("\n".join(chunks.damaged), not chunks.damaged)
    for kind, name in chunks.where:
        check("chunk %s is not its name" % name.hex(), blake3(chunks.get(kind, name), names[kind]) == name)
    trees = 0
    for _, _, _, vols in points(store, journal):
        for _, root, size, _ in vols:
            read_tree(chunks, root, size, lambda at, part: None)
            trees += 1
    print("%d groups, %d chunks, %d trees: all good" % (chunks.groups, len(chunks.where), trees))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2] == "points":
        for host, seq, when, vols in points(sys.argv[1]):
            for name, root, size, fs in vols:
                print("%s/%d\t%d\t%s\t%s\t%d bytes\t%s" % (host, seq, when, name, fs, size, root.hex()))
    elif len(sys.argv) == 3 and sys.argv[2] == "verify":
        verify(sys.argv[1])
    elif len(sys.argv) == 6 and sys.argv[2] == "restore":
        restore(sys.argv[1], *sys.argv[3:])
    else:
        raise SystemExit(__doc__)
