#!/usr/bin/env python3
"""work.py - programs that keep an NTFS volume busy, and what must be true of a frozen image of it.

  work.py sqlite DB MODE NOTE     transactions in a database, more if there is one; MODE is a
                                  journal mode.  NOTE has two numbers: the last transaction begun,
                                  the last committed
  work.py churn DIR               small files come, grow, are renamed and go
  work.py stamps FILE FILE NOTE   a number into the first, then into the second, both synced
All run until SIGTERM, and end with 0.
"""
import hashlib
import mmap
import os
import random
import signal
import sqlite3
import struct
import sys

ACCOUNTS, BALANCE = 50, 1000
stop = False


class Note:
    """Two numbers that another process reads while this one runs, or dies."""

    def __init__(self, path):
        with open(path, "ab") as f:
            f.truncate(16)
        with open(path, "r+b") as f:
            self.m = mmap.mmap(f.fileno(), 16)

    def put(self, i, n):
        struct.pack_into("<Q", self.m, 8 * i, n)

    def get(self, i):
        return struct.unpack_from("<Q", self.m, 8 * i)[0]


def link(n, a, b, amount, before):
    return hashlib.sha256(struct.pack("<4q", n, a, b, amount) + before).digest()


def sqlite(path, mode, note):
    note = Note(note)
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.execute(f"pragma journal_mode={mode}").fetchall()
    db.execute("pragma synchronous=full")
    r = random.Random(path)
    if db.execute("select count(*) from sqlite_master").fetchone() == (0,):
        db.execute("begin immediate")
        db.execute("create table account(id integer primary key, balance int)")
        db.execute("create table moved(n integer primary key, a int, b int, amount int, link blob, pad blob)")
        db.executemany("insert into account values(?, ?)", [(i, BALANCE) for i in range(ACCOUNTS)])
        db.execute("commit")
    n, before = db.execute("select n, link from moved order by n desc limit 1").fetchone() or (0, b"")
    while not stop:
        n += 1
        a, b = r.sample(range(ACCOUNTS), 2)
        amount = r.randrange(100)
        before = link(n, a, b, amount, before)
        note.put(0, n)
        db.execute("begin immediate")
        db.execute("update account set balance = balance - ? where id = ?", (amount, a))
        db.execute("insert into moved values(?, ?, ?, ?, ?, randomblob(?))", (n, a, b, amount, before, r.randrange(3000)))
        db.execute("update account set balance = balance + ? where id = ?", (amount, b))
        if n > 2000:  # the file stays small
            db.execute("update moved set pad = null where n = ?", (n - 2000,))
        db.execute("commit")
        note.put(1, n)
    db.close()


def sqlite_check(path):
    """The database is whole and what it says is one moment; the last transaction."""
    db = sqlite3.connect(path)
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)], f"{path}: integrity_check"
    balance = [BALANCE] * ACCOUNTS
    last, before = 0, b""
    for n, a, b, amount, got in db.execute("select n, a, b, amount, link from moved order by n"):
        before = link(n, a, b, amount, before)
        assert n == last + 1 and got == before, f"{path}: transaction {n} follows {last} or has another link"
        balance[a] -= amount
        balance[b] += amount
        last = n
    assert balance == [v for v, in db.execute("select balance from account order by id")], f"{path}: accounts are not what was moved"
    db.close()
    return last


def churn(at):
    r = random.Random(at)
    n = 0
    os.makedirs(at, exist_ok=True)
    while not stop:
        n += 1
        data = r.randbytes(r.choice((50, 700, 5000, 40000)))
        d = f"{at}/{n % 5}"
        os.makedirs(d, exist_ok=True)
        with open(f"{d}/new", "wb") as f:
            f.write(data)
            os.fsync(f.fileno())
        os.rename(f"{d}/new", f"{d}/{n:06}-{hashlib.sha256(data).hexdigest()[:24]}")
        while len(names := sorted(os.listdir(d))) > 12:
            os.unlink(f"{d}/{names[0]}")
        if n % 40 == 0:
            for name in os.listdir(d):
                os.unlink(f"{d}/{name}")
            os.rmdir(d)


def churn_check(at, frozen=False):
    """Every file that has its name has its bytes.  Gives how many cannot be read: ntfs-3g makes,
    renames and removes a file by several writes and keeps no log, so that of a frozen volume
    may be said of the one that was being worked on (rename has two names, rmdir a folder)."""
    broken = []

    def bad(e):
        broken.append(str(e))

    for d, _, names in os.walk(at, onerror=bad):
        for name in names:
            try:
                with open(f"{d}/{name}", "rb") as f:
                    data = f.read()
            except OSError as e:
                bad(e)
                continue
            if name != "new":
                assert hashlib.sha256(data).hexdigest()[:24] == name[7:], f"{d}/{name}: not its bytes"
    assert len(broken) <= (2 if frozen else 0), broken
    return len(broken)


def salvage(path, to, most=65536):
    """A copy, without an end that cannot be read: 1 if there was one.  ntfs-3g writes a file's
    new length before the runs that hold it; who wrote that had not been answered at the cut."""
    size, at = os.path.getsize(path), 0
    with open(path, "rb", buffering=0) as f, open(to, "wb") as out:
        while at < size:
            try:
                piece = os.pread(f.fileno(), 4096, at)
            except OSError:
                piece = b""
            if not piece:
                break
            out.write(piece)
            at += len(piece)
    assert size - at <= most, f"{path}: {size - at} of {size} bytes cannot be read"
    return int(at < size)


def stamps(first, second, note):
    note = Note(note)
    n = 0
    f = [os.open(p, os.O_RDWR | os.O_CREAT | os.O_SYNC) for p in (first, second)]
    while not stop:
        n += 1
        note.put(0, n)
        for fd in f:
            os.pwrite(fd, struct.pack("<Q", n) * 128, 0)
        note.put(1, n)
    for fd in f:
        os.close(fd)


def stamp(path):
    with open(path, "rb") as f:
        data = f.read(1024)
    n = struct.unpack("<128Q", data) if len(data) == 1024 else (0,)
    assert len(set(n)) == 1, f"{path}: half a stamp"
    return n[0]


def on_term(*_):
    global stop
    stop = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_term)
    {"sqlite": sqlite, "churn": churn, "stamps": stamps}[sys.argv[1]](*sys.argv[2:])
