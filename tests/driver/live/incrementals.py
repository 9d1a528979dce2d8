#!/usr/bin/env python3
"""incrementals.py WORK BUILD BACKUPS [SEED [SECONDS [short]]] - tracked incrementals of a volume at work, and whatever ends in between.

An NTFS, mounted by ntfs-3g, under SQLite (write-ahead log and rollback journal), fio with
checksums and churning files, is backed up again and again by the hotcopy provider, each
time with --check-changes.  What happens is drawn by SEED: agent, server or both are killed
at any moment of a backup, the machine crashes (nbdkit is killed; the tracking store lies
on the disk) or shuts down, points are forgotten and their space is given back.  Then:
 - a point is the image that was frozen for it (frozen.py), whoever heard of it; databases
   are whole, have what was committed before the cut and nothing begun after it
 - any of them, drawn, is so later, and all of them at the end
 - a backup after nothing bad reads what changed; any other says why it read all
SECONDS ends it earlier; "short" takes one of each kind in turn.  With an odd SEED the volume
is a larger one.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from host import Failed, Host, Point
from stack import DISK, MIB, NTFS, STORE, await_, run
import judge
import work

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("wal", "persist")
ONCE = ("nothing", "agent", "nothing", "server", "crash", "shutdown", "nothing")
DRAWN = ("nothing", "nothing", "nothing", "agent", "agent", "server", "server", "both", "crash", "crash between", "shutdown", "forget")
MOST = 40  # points that are kept


class Run:
    """`large`: so many times 64 MiB more, one region each, of which a crash makes some count as changed."""

    def __init__(self, at, build, seed, large):
        self.rnd, self.large = random.Random(seed), large
        self.volume = NTFS + large * DISK
        self.store = STORE + large * DISK
        self.h = Host(at, build)
        self.life, self.notes = 0, {}
        self.points = {}  # sequence: Point, with .seen = (folder, {mode: (committed, begun)})
        self.doubt = "the first"  # Why the next backup may read all; None: it may not.
        self.counts = dict.fromkeys(("backups", "incremental", "whole", "unheard", "failed", "restores", "databases", "forgotten"), 0)
        self.events = {}
        self.crashed = False
        self.trusting = seed % 2 == 1
        self.costs = []
        self.takes = 0.2  # seconds, a backup behind the freezing

    # --------------------------------------------------------------- the machine

    def start(self):
        h = self.h
        h.disk("c", ntfs=True, size=DISK + self.large * DISK, volume=self.volume)
        h.init()
        h.enrol()
        h.disk("d")
        # After a crash all is compared, or the list is believed: no other system is here.
        h.conf("track-proof = 10", f"track-after-crash = {'on' if self.trusting else 'off'}", *self.rnd.choice((("hotcopy-memory = 64", "hotcopy-room = none"),
                                                     ("hotcopy-memory = 1", f"hotcopy-room = {h.place('d')}", "hotcopy-room-size = 100"))))
        h.start(record=False)
        h.track("c", self.store, self.rnd.randbytes(16))
        self.at = h.mount("c")
        if self.large > 1:
            with open(f"{self.at}/still", "wb") as f:
                for _ in range(DISK // MIB):
                    f.write(self.rnd.randbytes(MIB))
        self.programs()

    def folder(self):
        return f"life-{self.life}"

    def programs(self):
        """They begin, in a folder of their own, with what databases of the last life hold."""
        h, here, py = self.h, f"{self.at}/{self.folder()}", [sys.executable, f"{HERE}/work.py"]
        os.makedirs(here, exist_ok=True)
        for mode in MODES:
            note = f"{h.work}/{self.life}-{mode}.note"
            self.notes[mode] = work.Note(note)
            h.program(*py, "sqlite", f"{here}/{mode}.db", mode, note)
        h.program(*py, "churn", f"{here}/churn")
        h.program("fio", "--thread", "--thinktime=5ms", "--bsrange=4k-16k", "--rw=randwrite", "--verify=crc32c", "--verify_fatal=1", "--loops=1000",
                  "--verify_state_save=0", "--minimal", "--allow_file_create=1", f"--randseed={self.rnd.randrange(1 << 30)}", "--name=onfile",
                  f"--directory={here}", "--size=2m", "--ioengine=psync")
        # While a file grows ntfs-3g writes its length before the runs that hold it.
        await_(lambda: h.alive() or os.path.exists(f"{here}/onfile.0.0") and os.stat(f"{here}/onfile.0.0").st_blocks >= 4096)
        self.goes_on()

    def goes_on(self, transactions=3):
        began = {m: n.get(1) for m, n in self.notes.items()}
        await_(lambda: self.h.alive() or all(n.get(1) > began[m] + transactions for m, n in self.notes.items()))

    def crash(self):
        """Power is lost: what runs on the machine is gone.  It starts again, mends its file system and goes on."""
        h = self.h
        if not self.trusting:
            self.doubt = "crash"
        self.crashed = True
        h.crash()
        h.start(f"track=c:{self.store}")
        self.again(mend=True)

    def shutdown(self):
        h = self.h
        h.stop_programs()
        committed = {m: n.get(1) for m, n in self.notes.items()}
        for mode, n in committed.items():
            assert work.sqlite_check(f"{self.at}/{self.folder()}/{mode}.db") == n, f"{mode}: not what was committed"
        h.unmount()
        before = self.tracking()
        h.kernel(signal.SIGTERM, f"track=c:{self.store}")
        assert self.tracking() == before, f"tracking was {before}, and is {self.tracking()} after a shutdown"
        self.again(mend=False)

    def tracking(self):
        with self.h.handle() as d:
            v = d.info(d.volume("c"))
            return v["tracking"], v["generation"], v["nonce"]

    def again(self, mend):
        h, old = self.h, self.folder()
        self.at = h.mount("c", mend=mend)
        files = f"{h.work}/kept"
        shutil.rmtree(files, ignore_errors=True)
        os.mkdir(files)
        for name in os.listdir(f"{self.at}/{old}"):
            if any(name.startswith(f"{m}.db") for m in MODES) and not name.endswith("-shm"):
                work.salvage(f"{self.at}/{old}/{name}", f"{files}/{name}")
        for mode in MODES:
            last = work.sqlite_check(f"{files}/{mode}.db")
            assert self.notes[mode].get(1) <= last <= self.notes[mode].get(0), f"{mode}: {last} transactions after a crash"
        # What a crash left half done there cannot always be removed.
        shutil.rmtree(f"{self.at}/{old}", ignore_errors=True)
        self.life += 1
        os.mkdir(f"{self.at}/{self.folder()}")
        for name in os.listdir(files):
            shutil.copyfile(f"{files}/{name}", f"{self.at}/{self.folder()}/{name}")
        self.programs()

    # ------------------------------------------------------------------ a backup

    def step(self, event):
        h = self.h
        self.events[event] = self.events.get(event, 0) + 1
        if event == "shutdown":
            self.shutdown()
        elif event == "crash between":
            self.crash()
        elif event == "forget":
            self.forget()
        doubt = self.doubt
        before = set(h.points())
        committed = {m: n.get(1) for m, n in self.notes.items()}
        seen = {}

        def meanwhile(p, images):
            seen["images"] = images
            seen["folder"] = self.folder()
            seen["bounds"] = {m: (committed[m], n.get(0)) for m, n in self.notes.items()}
            if event in ("agent", "server", "both", "crash"):
                self.strike(event, p)
        try:
            point = h.backup(["c"], "--check-changes", meanwhile=meanwhile)
        except Failed as e:
            assert event in ("agent", "both", "crash"), e
            self.counts["failed"] += 1
            point = self.unheard(before, seen)
        if point is not None:
            point.seen = seen["folder"], seen["bounds"]
            self.points[point.sequence] = point
            self.account(point, event, doubt)
            self.judge(point)
        # A killed agent may not have heard of the point, or not remember it.
        self.doubt = event if event in ("agent", "both", "crash") else None
        self.goes_on()

    def strike(self, event, p):
        time.sleep(self.rnd.uniform(0, 1.3) * self.takes)
        if event in ("agent", "both", "crash"):
            p.kill()
        if event in ("server", "both"):
            self.h.server_stop(signal.SIGKILL)
            self.h.server_start()
        if event == "crash":
            p.wait()
            self.crash()

    def unheard(self, before, seen):
        """The server may have made a point before the agent was killed."""
        new = sorted(set(self.h.settled_points()) - before)
        assert len(new) <= 1, new
        if not new:
            return None
        self.counts["unheard"] += 1
        return Point(None, self.h.point(new[0]), seen["images"])

    def account(self, point, event, doubt):
        self.counts["backups"] += 1
        if point.said is None:
            return
        # After a crash all of a region of 64 MiB counts as changed: all of a small volume.
        whole = "all is read" in point.note or (point.kept == 0 and not self.crashed)
        self.crashed = event == "crash"
        self.counts["whole" if whole else "incremental"] += 1
        self.costs.append(point.said["read_bytes"])
        self.takes = point.said["duration_us"] / 1e6
        print(json.dumps({"point": point.sequence, "event": event, "kept": point.kept, "read": point.said["read_bytes"],
                          "proven": point.said["proven_bytes"], "note": point.note, "whole": whole}), flush=True)
        if whole and doubt is None:
            raise AssertionError(f"point {point.sequence} after {event} read all without a reason: {point.note!r}")
        if whole and doubt != "the first":
            assert "all is read: " in point.note, f"point {point.sequence} read all and does not say why: {point.note!r}"

    def judge(self, point):
        h, (folder, bounds) = self.h, point.seen
        to = h.restore(point.sequence, "c")
        point.images["c"].check(to, h.own["c"])
        os.truncate(to, self.volume)
        found = judge.ntfs(h.work, to, folder)
        for mode, (committed, begun) in bounds.items():
            assert committed <= found[mode] <= begun, f"{point.sequence}: {mode}: {found[mode]} transactions, {committed} were committed, {begun} begun"
            self.counts["databases"] += 1
        self.counts["restores"] += 1
        os.unlink(to)

    def forget(self):
        """Points go, the newest among them at times, and their space is given back."""
        h = self.h
        there = sorted(self.points)
        gone = self.rnd.sample(there, max(1, len(there) // 4)) if len(there) > 2 else []
        gone += sorted(set(there) - set(gone))[:-MOST]
        for n in gone:
            h.operator("forget", f"{h.name}/{n}", "--reason", "soak")
            del self.points[n]
            self.counts["forgotten"] += 1
        h.operator("gc")
        if gone and max(gone) == max(there):
            self.doubt = "forget"

    # -------------------------------------------------------------------- the end

    def look(self):
        """Any of them, drawn."""
        if self.points:
            self.judge(self.points[self.rnd.choice(sorted(self.points))])

    def end(self):
        h = self.h
        there = h.points()
        assert set(there) == set(self.points), f"{sorted(there)} are there, of {sorted(self.points)}"
        for p in self.points.values():
            assert not there[p.sequence]["suspect"], f"point {p.sequence} is suspect: {there[p.sequence]['suspect']}"
            self.judge(p)
        assert h.alarm() in ("", None), h.alarm()
        h.operator("verify", "--trees")
        h.stop_programs()
        h.unmount()
        run("ntfsfix", "-n", self.truncated())
        h.stop()
        h.server_stop()

    def truncated(self):
        path = f"{self.h.work}/end.img"
        run("cp", "--sparse=always", f"{self.h.work}/c.img", path)
        os.truncate(path, self.volume)
        return path


def main(at, build, backups, seed="1", seconds="0", how="drawn"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    run_ = Run(at, build, int(seed), 0 if how == "short" else 1 + int(seed) % 2)
    end = time.monotonic() + float(seconds) if float(seconds) > 0 else None
    try:
        run_.start()
        for n in range(int(backups)):
            run_.step("nothing" if n == 0 else ONCE[n % len(ONCE)] if how == "short" else run_.rnd.choice(DRAWN))
            if n % 4 == 3:
                run_.look()
            if end is not None and time.monotonic() > end:
                break
        run_.end()
    finally:
        print(json.dumps({**run_.counts, "events": run_.events}), flush=True)
        run_.h.close()
    reads = sorted(run_.costs)
    print(f"read a backup: median {reads[len(reads) // 2] >> 20} MiB of {run_.volume >> 20}")


if __name__ == "__main__":
    main(*sys.argv[1:])
