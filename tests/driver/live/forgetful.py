#!/usr/bin/env python3
"""forgetful.py WORK BUILD [SEED [SHARE [SLICES [DISK [ROUNDS [SECONDS]]]]]] - a tracker that drops writes is found out.

A share of the writes is not told to the tracking (the simulator's FORGET).  Each backup is
held against what was frozen, so it is known here which points are wrong.  Then:
 - within SLICES backups after the first wrong one it is known: all is read at once, and
   the new point is what was frozen
 - every wrong point is called suspect, and these are all points since each slice was
   proven last; that one is not, nor is the new one
 - an alarm of the host stands, and after one that can be trusted backups are incremental
A wrong block that is written again, and told, before its slice is due heals by itself:
points in between are wrong and nobody finds out.  These are counted.  DISK: "raw", or
"ntfs": a mounted one under programs, with a large file that changes here and there.
"""
import json
import os
import random
import signal
import sys
import time

from host import Failed, Host
from stack import MIB, await_, run
import work

HERE = os.path.dirname(os.path.abspath(__file__))
LARGE = 256 * MIB
CAUGHT = "nothing said that it changed"


class Run:
    def __init__(self, at, build, seed, share, slices, kind):
        self.rnd, self.share, self.slices, self.kind = random.Random(seed), share, slices, kind
        self.h = Host(at, build)
        self.runs = self.healed = 0

    def start(self):
        h = self.h
        size = 24 * MIB if self.kind == "raw" else LARGE + 64 * MIB
        path = h.disk("c", ntfs=self.kind == "ntfs", size=size, volume=size)
        if self.kind == "raw":
            with open(path, "r+b") as f:
                f.write(self.rnd.randbytes(20 * MIB))
        h.init()
        h.enrol()
        h.conf(f"track-proof = {100 // self.slices}", "hotcopy-room = none")
        h.start()
        if self.kind == "ntfs":
            self.at = h.mount("c")
            self.note = work.Note(f"{h.work}/wal.note")
            h.program(sys.executable, f"{HERE}/work.py", "sqlite", f"{self.at}/wal.db", "wal", f"{h.work}/wal.note")
            h.program(sys.executable, f"{HERE}/work.py", "churn", f"{self.at}/churn")
            with open(f"{self.at}/still", "wb") as f:
                for _ in range(LARGE // MIB):
                    f.write(self.rnd.randbytes(MIB))
        self.whole = self.backup().sequence  # Tracking begins.
        self.suspects = frozenset()

    def forget(self, share):
        with self.h.handle() as d:
            return d.forget(d.volume("c"), share, self.rnd.randrange(1 << 32))

    def write(self):
        if self.kind == "raw":
            words = []
            for _ in range(12):
                words += ["-c", f"write -P {self.rnd.randrange(1, 256)} {self.rnd.randrange(20 * 256) * 4096} 4096"]
            run("qemu-io", "-f", "raw", self.h.uri("c"), *words)
            return
        with open(f"{self.at}/still", "r+b") as f:
            for _ in range(150):
                f.seek(self.rnd.randrange(LARGE // 4096) * 4096)
                f.write(self.rnd.randbytes(4096))
                f.flush()
            os.fsync(f.fileno())
        began = self.note.get(1)
        await_(lambda: self.h.alive() or self.note.get(1) > began + 3)

    def backup(self):
        """The point, and what of it is not what was frozen."""
        point = self.h.backup(["c"])
        self.runs += 1
        point.wrong = point.images["c"].differs(self.h.restore(point.sequence, "c"))
        return point

    def right(self):
        point = self.backup()
        assert not point.wrong, f"{len(point.wrong)} clusters are wrong"
        return point

    def round(self):
        self.forget(0)
        self.right()  # Of a tracker that can be trusted.
        self.write()
        assert self.right().kept > 0, "no incremental"
        forgotten = self.forget(self.share)
        points, since = [], {}  # cluster: the first of these points in which it is wrong
        while True:
            self.write()
            point = self.backup()
            if CAUGHT in point.note:
                break
            points.append(point)
            assert point.kept > 0, f"all was read without a wrong list: {point.note!r}"
            wrong = {n: since.get(n, len(points)) for n in point.wrong}
            self.healed += len(set(since) - set(wrong))
            since = wrong
            assert all(len(points) - first < self.slices for first in since.values()), f"not found out in {self.slices} backups: {since}"
        forgotten = self.forget(0) - forgotten
        self.judge(points, point, forgotten, since)

    def judge(self, points, point, forgotten, since):
        h = self.h
        assert not point.wrong, f"{len(point.wrong)} clusters are wrong after a full compare"
        assert point.kept == 0, "not all was read at once"
        there = h.points()
        suspect = {n for n, p in there.items() if p["suspect"]}
        # A slice is due in each backup: the one that is due next was proven longest ago.
        proven = max(self.whole, point.sequence - self.slices)
        due = {n for n in there if proven < n < point.sequence}
        # What the last point before said of itself: by that retention keeps the last good one.
        assert there[point.sequence - 1]["proven_to"] == proven, f"{there[point.sequence - 1]['proven_to']}, and not {proven}"
        assert suspect - self.suspects == due, f"suspect are {sorted(suspect - self.suspects)}, and not {sorted(due)}"
        # Those of a block that healed longer ago than a turn were never found out.
        wrong = {p.sequence for p in points if p.wrong}
        assert {p.sequence for p in points if set(p.wrong) & set(since)} <= suspect, f"wrong {sorted(wrong)}, suspect {sorted(suspect)}"
        assert not there[point.sequence]["suspect"] and not there[point.sequence]["unproven"]
        assert "was not all known" in (h.alarm() or ""), h.alarm()
        self.suspects, self.whole = suspect, point.sequence
        h.operator("alarm", "clear", h.name)
        self.write()
        after = self.right()
        assert after.kept > 0, f"no incremental after the full compare: {after.note!r}"
        print(json.dumps({"forgotten": forgotten, "backups": len(points) + 1, "since_the_first_wrong_one": len(points) + 2 - min(since.values(), default=len(points) + 1),
                          "wrong": len(wrong), "of_these_suspect": len(wrong & suspect), "suspect": len(due)}), flush=True)

    def checked(self):
        """--check-changes finds it in the very backup, and makes no point of it."""
        h = self.h
        # Each changes its block; and none lies in a chunk of the head, which is always read.
        for block in self.rnd.sample(range(MIB // 4096, 20 * MIB // 4096), 20):
            self.forget(1)
            run("qemu-io", "-f", "raw", h.uri("c"), "-c", f"write -P 0 {block * 4096} 4096")
            self.forget(0)
            there = set(h.points())
            try:
                point = h.backup(["c"], "--check-changes")
            except Failed as e:
                assert "reading everything gives another tree" in str(e) and set(h.points()) == there, e
                return
            assert CAUGHT in point.note, f"block {block}: {point.note!r}"  # The slice that was due had it.
            self.backup()
        raise AssertionError("twenty times the slice that was due had it")

    def end(self):
        h = self.h
        if self.kind == "ntfs":
            h.stop_programs()
            h.unmount()
        h.stop()
        h.server_stop()


def main(at, build, seed="1", share="0.1", slices="10", kind="raw", rounds="1", seconds="0"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    end, n = time.monotonic() + float(seconds), 0
    one = Run(at, build, int(seed), float(share), int(slices), kind)
    try:
        one.start()
        while n < int(rounds) or time.monotonic() < end:
            one.round()
            n += 1
        if kind == "raw":
            one.checked()
        one.end()
    finally:
        one.h.close()
    print(f"{n} trackers that drop {share} of the writes were found out in {one.runs} backups; {one.healed} clusters were written again first")


if __name__ == "__main__":
    main(*sys.argv[1:])
