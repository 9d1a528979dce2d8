#!/usr/bin/env python3
"""fill.py - put real files on a mounted volume, the same for the same seed.
  fill.py make DIR SEED MIB     directories, small and large files, text and
                                noise, sparse tails, fragmented files, deletions
  fill.py change DIR SEED       what a working day does to them
  fill.py sums DIR              SHA-256 and path of every file and stream's data
"""
import hashlib, os, random, sys


def noise(rnd, n):
    return rnd.randbytes(n)


def text(rnd, n):
    words = [bytes(rnd.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in range(rnd.randint(2, 9))) for _ in range(400)]
    out = bytearray()
    while len(out) < n:
        out += b" ".join(rnd.choices(words, k=2000)) + b"\n"
    return bytes(out[:n])


def content(rnd, n):
    kind = rnd.random()
    if kind < 0.55:
        return text(rnd, n)
    if kind < 0.85:
        return noise(rnd, n)
    return text(rnd, n // 2) + bytes(n - n // 2)        # half of it zero


def make(root, seed, mib):
    rnd, left, n = random.Random(seed), mib << 20, 0
    dirs = [root]
    while left > 0:
        if rnd.random() < 0.04 and len(dirs) < 200:
            d = os.path.join(rnd.choice(dirs[-20:]), f"dir {n}")
            os.mkdir(d)
            dirs.append(d)
        size = min(left, int(2 ** rnd.uniform(0, 13 if rnd.random() < 0.7 else 22)))
        with open(os.path.join(rnd.choice(dirs), f"file-{n}.{rnd.choice(['txt', 'dll', 'dat'])}"), "wb") as f:
            f.write(content(rnd, size))
        left -= max(size, 1024)
        n += 1
    # Two files that grow in turns, so that their runs interleave.
    a, b = (open(os.path.join(root, f"turns-{x}.log"), "wb") for x in "ab")
    for _ in range(40):
        for f in (a, b):
            f.write(noise(rnd, 9000))
            f.flush()
            os.fsync(f.fileno())
    a.close(); b.close()
    with open(os.path.join(root, "sparse.bin"), "wb") as f:
        f.write(b"head"); f.seek(3 << 20); f.write(b"tail")
    # Something deleted: its clusters are free and full of old bytes.
    gone = os.path.join(root, "deleted.bin")
    with open(gone, "wb") as f:
        f.write(noise(rnd, min(8 << 20, mib << 18)))
        f.flush()
        os.fsync(f.fileno())
    os.remove(gone)


def files(root):
    return sorted(os.path.join(d, f) for d, _, fs in os.walk(root) for f in fs)


def change(root, seed):
    rnd = random.Random(f"change {seed}")
    for path in files(root):
        what = rnd.random()
        if what < 0.03:
            os.remove(path)
        elif what < 0.08 and os.path.getsize(path) > 0:
            with open(path, "r+b") as f:
                f.seek(rnd.randrange(os.path.getsize(path)))
                f.write(noise(rnd, rnd.randint(1, 5000)))
        elif what < 0.11:
            with open(path, "ab") as f:
                f.write(text(rnd, rnd.randint(1, 90000)))
    for n in range(8):
        with open(os.path.join(root, f"new-{seed}-{n}.bin"), "wb") as f:
            f.write(content(rnd, rnd.randint(1, 600000)))


def sums(root):
    for path in files(root):
        h = hashlib.sha256()
        with open(path, "rb") as f:
            for part in iter(lambda: f.read(1 << 20), b""):
                h.update(part)
        print(h.hexdigest(), os.path.getsize(path), os.path.relpath(path, root))


if __name__ == "__main__":
    command, args = sys.argv[1], sys.argv[2:]
    {"make": lambda: make(args[0], args[1], int(args[2])), "change": lambda: change(args[0], args[1]),
     "sums": lambda: sums(args[0])}[command]()
