#!/usr/bin/env python3
"""live.py WORK BUILD SESSIONS [SEED [SECONDS]] - NTFS volumes are frozen while programs write to them.

Three disks: a and b carry an NTFS each, mounted by ntfs-3g, under SQLite (write-ahead log
and rollback journal), churning files, fio with checksums, and stamps that go into a and
then into b; raw is written by fio over NBD, eight writes at once.  A session is five
rounds, one a way of keeping copies; in each the disks are frozen together and
 - the image is what had been written, byte for byte (sim_oracle), on all disks at one cut
 - it is the same when it is read again
 - blocks that differ from the last committed image are in the report
 - ntfsfix finds a sound NTFS; its files can be read; SQLite's integrity_check passes, its
   transactions are whole, and what was committed before FREEZE is there
After the rounds the programs end well, and nbdkit is killed and started: tracking that is in
a store on the disk has missed nothing.
"""
import json
import os
import random
import re
import shutil
import signal
import sys
import time

from stack import DIFF, DISK, MIB, NTFS, STORE, Refused, Stack, await_, run
import judge
import work

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("a", "b", "raw")
BLOCK = 1 << 16
JUDGED = {"a": NTFS, "b": NTFS, "raw": DISK}


class Session:
    def __init__(self, at, build, rnd):
        self.rnd, self.build = rnd, build
        self.s = Stack(at, build)
        self.committed = {}  # name: image
        self.cuts = 0
        self.facts = []

    # ------------------------------------------------------------------ set-up

    def start(self):
        s = self.s
        for name in NAMES:
            s.disk(name, ntfs=name != "raw")
        s.disk("d")  # room for copies
        s.start()
        with s.handle() as h:
            for name in NAMES:
                v = h.info(h.volume(name))
                assert v["store_bytes"] <= DIFF - STORE, f"a store of {v['store_bytes']} bytes"
                h.track(v["volume"], [(STORE, v["store_bytes"])] if name == "a" else [], create=self.rnd.randbytes(16))
        self.at = {name: s.mount(name) for name in NAMES[:2]}
        self.programs()

    def programs(self):
        s, py = self.s, [sys.executable, f"{HERE}/work.py"]
        self.notes = {}
        for name, mode in (("a", "wal"), ("b", "persist"), ("b", "truncate")):
            note = f"{s.work}/{name}-{mode}.note"
            self.notes[name, mode] = work.Note(note)
            s.program(*py, "sqlite", f"{self.at[name]}/{mode}.db", mode, note)
        self.stamp_note = work.Note(f"{s.work}/stamps.note")
        s.program(*py, "stamps", f"{self.at['a']}/stamp", f"{self.at['b']}/stamp", f"{s.work}/stamps.note")
        s.program(*py, "churn", f"{self.at['a']}/churn")
        fio = ["fio", "--thread", "--thinktime=2ms", "--bsrange=4k-16k", "--rw=randwrite", "--verify=crc32c", "--verify_fatal=1", "--loops=1000",
               "--verify_state_save=0", "--minimal", "--allow_file_create=1", f"--randseed={self.rnd.randrange(1 << 30)}"]
        s.program(*fio, "--name=onfile", f"--directory={self.at['b']}", "--size=4m", "--ioengine=psync")
        s.program(*fio, "--name=raw", "--ioengine=nbd", f"--uri={s.uri('raw')}", "--size=12m", "--iodepth=8")
        raw = f"{s.work}/raw.img"  # A hole until fio writes to it.
        await_(lambda: (all(n.get(1) > 3 for n in (*self.notes.values(), self.stamp_note)) and os.stat(raw).st_blocks > 0) or s.alive())

    # ------------------------------------------------------------------ a round

    def prepare(self, h, way):
        numbers = [h.volume(n) for n in NAMES]
        room = DISK - DIFF
        if way == "memory":
            h.prepare(numbers, memory=64 * MIB)
        elif way == "throttled":
            h.prepare(numbers, memory=MIB, full=1, throttle_ms=60000)
        else:
            h.prepare(numbers, memory=MIB)
        if way == "other volume":
            h.diff_add(h.volume("d"), [(0, DISK)])
        elif way == "same volume":
            for name in NAMES[:2]:
                h.diff_add(h.volume(name), [(DIFF, room)])
            h.diff_add(h.volume("d"), [(i * MIB, MIB // 2) for i in range(16)])

    def round(self, way):
        s = self.s
        s.alive()
        with s.handle() as h:
            self.prepare(h, way)
            before = {k: n.get(1) for k, n in self.notes.items()}
            stamps = self.stamp_note.get(1)
            nonce = self.rnd.randbytes(16)
            began = time.monotonic()
            frozen = h.freeze(flags=4, nonce=nonce, timeout_ms=10000)
            cut, self.cuts = self.cuts, self.cuts + 1
            after = {k: n.get(0) for k, n in self.notes.items()}
            if way == "dropped":
                fact = self.dropped(h, nonce, frozen)
            else:
                images = self.read(h, way)
                fact = self.judge(h, cut, images, before, after, stamps)
                self.report(h, images, frozen, nonce)
            gate = (frozen["opened"] - frozen["closed"]) / 10000
            fact.update(way=way, gate_ms=round(gate, 1), held=frozen["held"], seconds=round(time.monotonic() - began, 1))
        self.facts.append(fact)
        print(json.dumps(fact), flush=True)
        self.goes_on()

    def goes_on(self):
        """The host's programs do, all of them."""
        now = {k: n.get(1) for k, n in self.notes.items()}
        await_(lambda: self.s.alive() or all(n.get(1) > now[k] for k, n in self.notes.items()))

    def dropped(self, h, nonce, frozen):
        """Nobody reads and there is little memory: the image is lost, and nothing else."""
        await_(lambda: self.s.alive() or all(h.info(self.s.number(n))["state"] == "dropped" for n in NAMES))
        for i, name in enumerate(NAMES):
            h.bind(i)
            try:
                h.read(0, 4096)
                raise AssertionError("an image that was dropped is served")
            except Refused as e:
                assert e.status == "lost", e
            assert h.info(self.s.number(name))["why"] == "no space"
            h.abort(self.s.number(name), frozen["generation"][i], nonce)
        return {}

    def read(self, h, way):
        """All images, while the programs go on; twice, but where what was read is given up."""
        s = self.s
        images = {n: f"{s.work}/{n}.frozen" for n in NAMES}
        if way == "throttled":
            self.read_once(h, images)
            return images
        for i, (name, path) in enumerate(images.items()):
            for p in (path, path + ".again"):
                # An image without a part: of "a" a store is in none, and nbdcopy wants all.
                if way == "memory" and name != "a":
                    run("nbdcopy", s.uri(name + "@frozen"), p)
                    os.truncate(p, JUDGED[name])
                else:
                    self.copy(h, i, p, JUDGED[name])
        for path in images.values():
            run("cmp", path, path + ".again")
        return images

    def copy(self, h, index, path, length):
        with self.s.handle() as r, open(path, "wb") as f:
            r.bind(index, of=h.set)
            for at in range(0, length, MIB):
                f.write(r.read(at, MIB))

    def read_once(self, h, images):
        """A slow reader; the place that a write waits for is read first."""
        order = {v: i for i, v in enumerate(h.volume(n) for n in NAMES)}
        piece = 1 << 18
        files = [open(p, "wb") for p in images.values()]
        left = [(i, at) for i, n in enumerate(NAMES) for at in range(0, JUDGED[n], piece)]
        done = set()
        handles = [self.s.handle() for _ in NAMES]
        for i, r in enumerate(handles):
            r.bind(i, of=h.set)
        for nxt in left:
            urgent = []
            while (event := h.event()) is not None:
                if event["code"] == "throttled":
                    urgent.append((order[event["volume"]], event["argument"] // piece * piece))
            for i, at in (*urgent, nxt):
                if (i, at) in done or at >= JUDGED[NAMES[i]]:
                    continue
                files[i].seek(at)
                files[i].write(handles[i].read(at, piece))
                h.done_read(i, at, piece)
                done.add((i, at))
                time.sleep(0.004)
        for f in (*files, *handles):
            f.close()

    # ----------------------------------------------------------------- judging

    def judge(self, h, cut, images, before, after, stamps):
        s = self.s
        words = [w for n in NAMES for w in (str(s.number(n)), f"{s.work}/{n}.img.base", images[n])]
        oracle = [f"{self.build}/bin/sim_oracle", s.record, str(cut)]
        out = run(*oracle, *words)
        if cut == 0:
            self.judge_the_oracle(oracle, words)
        fact = dict(zip(("writes", "beside"), map(int, re.search(r"(\d+) writes, (\d+) beside", out).groups())))
        stats = [h.stats(i) for i in range(len(NAMES))]
        fact.update({k: sum(x[k] for x in stats) for k in ("copied", "throttled", "reads_kept")})
        got = {}
        for name in NAMES[:2]:
            got[name] = judge.ntfs(s.work, images[name])
        for (name, mode), committed in before.items():
            last = got[name][mode]
            assert committed <= last <= after[name, mode], f"{mode}: {last} transactions in the image, {committed} were committed, {after[name, mode]} begun"
        first, second = got["a"]["stamp"], got["b"]["stamp"]
        assert first - 1 <= second <= first and second >= stamps, f"stamps {first} and {second}, {stamps} had been written"
        fact.update(transactions=[got[n][m] for n, m in before], stamp=first, broken=got["a"]["broken"], short=got["a"]["short"] + got["b"]["short"])
        return fact

    def judge_the_oracle(self, oracle, words):
        """It takes neither the disk of now, nor an image with one old sector, nor half a cut."""
        live = [w[:-len("frozen")] + "img" if w.endswith(".frozen") else w for w in words]
        run(*oracle, *live, ok=(1,))
        run(*oracle, *words[:6], *live[6:], ok=(1,))
        old, path = words[-2], words[-1] + ".old"
        with open(old, "rb") as a, open(words[-1], "rb") as b, open(path, "wb") as out:
            base, data = a.read(), bytearray(b.read())
            n = next(n for n in range(0, len(data), 512) if data[n:n + 512] != base[n:n + 512])
            data[n:n + 512] = base[n:n + 512]
            out.write(data)
        run(*oracle, *words[:-1], path, ok=(1,))
        os.unlink(path)

    def report(self, h, images, frozen, nonce):
        """Against the last image that was committed; then this one is."""
        for i, name in enumerate(NAMES):
            blocks = DISK // BLOCK
            bits = h.changed(i, 0, blocks)
            if name in self.committed:
                self.covers(name, bits, self.committed[name], images[name])
            else:
                assert all(b == 0xFF for b in bits), "a first generation reports less than everything"
            h.commit(self.s.number(name), frozen["generation"][i], nonce)
            os.replace(images[name], images[name] + ".committed")
            self.committed[name] = images[name] + ".committed"

    def covers(self, name, bits, old, new):
        with open(old, "rb") as a, open(new, "rb") as b:
            for n in range(JUDGED[name] // BLOCK):
                same = a.read(BLOCK) == b.read(BLOCK)
                assert same or bits[n // 8] >> n % 8 & 1, f"{name}: block {n} changed and is not in the report"

    # --------------------------------------------------------------- afterwards

    def end(self):
        s = self.s
        s.stop_programs()
        last = {f"{self.at[n]}/{mode}.db": note.get(1) for (n, mode), note in self.notes.items()}
        for path, n in last.items():
            assert work.sqlite_check(path) == n, f"{path}: not as many transactions as were committed"
        work.churn_check(f"{self.at['a']}/churn")
        s.unmount()
        for name in NAMES[:2]:
            path = f"{s.work}/{name}.img"
            run("cp", "--sparse=always", path, path + ".end")
            os.truncate(path + ".end", NTFS)
            run("ntfsfix", "-n", path + ".end")
        self.again(signal.SIGKILL, "recovered")
        self.again(signal.SIGTERM, "valid")
        s.stop()

    def again(self, how, state):
        """nbdkit is gone and comes back; "a" has its store, and missed nothing."""
        s = self.s
        s.stop(how)
        s.start(f"track=a:{STORE}")
        with s.handle() as h:
            v = h.volume("a")
            assert h.info(v)["tracking"] == state, h.info(v)
            self.write("a", NTFS - BLOCK, self.rnd.randbytes(BLOCK))
            nonce = self.rnd.randbytes(16)
            h.prepare([v])
            frozen = h.freeze(flags=4, nonce=nonce)
            image = f"{s.work}/a.frozen"
            self.copy(h, 0, image, NTFS)
            bits = h.changed(0, 0, DISK // BLOCK)
            self.covers("a", bits, self.committed["a"], image)
            few = sum(bin(b).count("1") for b in bits)
            if state == "valid":
                assert few < 16, f"{few} blocks are said to have changed"
            h.commit(v, frozen["generation"][0], nonce)
            os.replace(image, self.committed["a"])

    def write(self, name, offset, data):
        path = f"{self.s.work}/data"
        with open(path, "wb") as f:
            f.write(data)
        run("qemu-io", "-f", "raw", self.s.uri(name), "-c", f"write -s {path} {offset} {len(data)}")


WAYS = ("memory", "other volume", "dropped", "same volume", "throttled")


def main(top, build, sessions, seed="1", seconds="0"):
    """So many sessions, and more until the time has passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    rnd = random.Random(int(seed))
    gates, n, end = [], 0, time.monotonic() + int(seconds)
    while n < int(sessions) or time.monotonic() < end:
        at = f"{top}/{n}"
        os.makedirs(at)
        session = Session(at, build, rnd)
        try:
            session.start()
            for way in WAYS:
                session.round(way)
            session.end()
        finally:
            session.s.close()
        gates += [f["gate_ms"] for f in session.facts]
        shutil.rmtree(at)
        n += 1
    print(f"{len(gates)} rounds; gate ms: median {sorted(gates)[len(gates) // 2]}, most {max(gates)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
