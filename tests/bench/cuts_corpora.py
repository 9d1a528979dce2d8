#!/usr/bin/env python3
"""cuts_corpora.py - what make-cuts-corpora.sh puts on mounted volumes (python3 standard library only).

  scatter MNT --base DIR --host K --mb N   files written in pieces, many at once, so that each has many runs
  shift MNT --base DIR --day D --mb N      day 0: dumps, mail, logs, archives, media; later: bytes inserted
                                           near their beginning, logs rotated, all written anew
All is the same for the same --seed and base.
"""
import argparse, hashlib, io, os, random, tarfile

MIB = 1 << 20
WORDS = "error warning info user session table index value commit rollback order invoice customer street city".split()


def rng(*key):
    return random.Random(hashlib.sha256("/".join(map(str, key)).encode()).digest())


def base_files(base):
    with open(os.path.join(base, "MANIFEST.sha256")) as f:
        return [os.path.join(base, line.split("  ", 1)[1].strip()) for line in f]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def replace(path, data):
    """As programs do it: written beside, then renamed over."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)


# ---------------------------------------------------------------- scatter
def scatter(a):
    r = rng(a.seed, "scatter", a.host)
    todo, got = [], 0
    for i, p in enumerate(base_files(a.base)):          # which files: the same on all hosts; their order is not
        if got >= a.mb * MIB:
            break
        todo.append((i, p))
        got += os.path.getsize(p)
    r.shuffle(todo)
    open_files = []
    while todo or open_files:
        while todo and len(open_files) < 32:
            i, p = todo.pop()
            d = "%s/d%03d" % (a.mnt, i % 97)
            os.makedirs(d, exist_ok=True)
            open_files.append([open("%s/%05d.bin" % (d, i), "wb", buffering=0), read(p), 0])
        f = r.choice(open_files)
        n = min(r.randrange(1, 30) * 4096, len(f[1]) - f[2])
        f[0].write(f[1][f[2]:f[2] + n])
        f[2] += n
        if f[2] == len(f[1]):
            f[0].close()
            open_files.remove(f)
    old = [os.path.join(d, f) for d, _, fs in sorted(os.walk(a.mnt)) for f in sorted(fs)] if a.day else []
    for _ in range(200 if old else 0):                  # pages written in place
        with open(r.choice(old), "r+b", buffering=0) as f:
            f.seek(4096 * r.randrange(1 + os.path.getsize(f.name) // 4096))
            f.write(r.randbytes(8192))


# ------------------------------------------------------------------ shift
def lines(r, n, form):
    out, size = [], 0
    while size < n:
        line = form(r)
        out.append(line)
        size += len(line)
    return "".join(out).encode()


def sql(r):
    return "INSERT INTO t VALUES (%d,'%s','%s',%.2f);\n" % (
        r.getrandbits(40), " ".join(r.choices(WORDS, k=r.randrange(3, 9))), r.randbytes(r.randrange(8, 40)).hex(), r.random() * 1e4)


def log(r):
    return "%010d.%03d [%04x] %s\n" % (r.getrandbits(30), r.randrange(1000), r.getrandbits(16), " ".join(r.choices(WORDS, k=r.randrange(4, 18))))


def mail(r):
    body = "".join(r.randbytes(54).hex() + "\n" for _ in range(r.randrange(20, 400)))
    return "From u%d@example.org\nSubject: %s\n\n%s\n" % (r.getrandbits(16), " ".join(r.choices(WORDS, k=6)), body)


def tar(paths):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for p in paths:
            data = read(p)
            head = tarfile.TarInfo(os.path.basename(p)[:90])
            head.size = len(data)
            t.addfile(head, io.BytesIO(data))
    return out.getvalue()


def shift(a):
    r = rng(a.seed, "shift", a.day)
    unit = a.mb * MIB // 16
    files = base_files(a.base)
    text = [("dump/%d.sql" % i, 3 * unit // 2, sql) for i in range(2)] + [("mail/%d.mbox" % i, 3 * unit // 2, mail) for i in range(2)] + \
           [("log/%d.log" % i, unit // 2, log) for i in range(4)]
    for name, n, form in text:
        path = os.path.join(a.mnt, name)
        if a.day == 0:
            replace(path, lines(r, n, form))
        elif form is log:                               # rotated: the oldest lines go, new ones come
            old = read(path)
            replace(path, old[old.index(b"\n", n // 10) + 1:] + lines(r, n // 10, log))
        else:                                           # a row or a message more near the beginning
            old = read(path)
            at = old.index(b"\nINSERT" if form is sql else b"\nFrom ", r.randrange(n // 8)) + 1
            replace(path, old[:at] + form(r).encode() + old[at:])
    for i in range(2):                                  # an archive with one file more in front
        replace(os.path.join(a.mnt, "archive/%d.tar" % i), tar([files[i + 2 * d] for d in range(a.day, -1, -1)] + files[100 + i * 400:500 + i * 400]))
    for i in range(8):                                  # media: a longer tag in front of what does not compress
        body = rng(a.seed, "media", i).randbytes(unit // 4)
        replace(os.path.join(a.mnt, "media/%d.mp3" % i), b"ID3\x03\x00" + r.randbytes(200 + 37 * a.day) + body)
    for i in range(2):                                  # a database: pages written in place
        path = os.path.join(a.mnt, "db/%d.mdb" % i)
        if a.day == 0:
            replace(path, b"".join(lines(r, 4000, sql)[:4000] + bytes(96) for _ in range(unit // 4096)))
            continue
        with open(path, "r+b", buffering=0) as f:
            for _ in range(unit // 4096 // 50):
                f.seek(4096 * r.randrange(unit // 4096))
                f.write(lines(r, 4000, sql)[:4000])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=("scatter", "shift"))
    p.add_argument("mnt")
    p.add_argument("--seed", default="1")
    p.add_argument("--base", required=True)
    p.add_argument("--host", type=int, default=1)
    p.add_argument("--day", type=int, default=0)
    p.add_argument("--mb", type=int, required=True)
    a = p.parse_args()
    {"scatter": scatter, "shift": shift}[a.what](a)


main()
