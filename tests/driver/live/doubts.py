#!/usr/bin/env python3
"""doubts.py WORK BUILD [SEED] - what tracking cannot vouch for is read whole, said why, and never makes a wrong image.

An NTFS with a tracking store behind it is backed up by the hotcopy provider with tracking,
and between two backups something happens that the driver did not see, or cannot judge.
Each point is held against what was frozen for it (frozen.py); all but one have
--check-changes.  Each case begins where an incremental may be expected and leaves it so.
"""
import os
import random
import re
import shutil
import signal
import sys

from host import Host, copy
from stack import MIB, PATIENCE, mkntfs, ntfs_3g, run

DISK, NTFS, LARGER = 32 * MIB, 24 * MIB, 48 * MIB
STORE = NTFS + MIB
TRACKED = f"track=c:{STORE}"
SLICES = 10
CRASHED = "the machine crashed, and another system may have written"
CONF = (f"track-proof = {100 // SLICES}", "hotcopy-room = none")
CAUGHT = "nothing said that it changed"


class Doubts:
    def __init__(self, at, build, seed):
        self.rnd, self.work, self.build = random.Random(seed), at, build
        self.h = Host(at, build)
        self.img = f"{at}/c.img"
        self.days = 0

    # ------------------------------------------------------------- what is done

    def start(self):
        h = self.h
        h.disk("c", ntfs=True, size=DISK, volume=NTFS)
        h.disk("e", size=8 * MIB)
        with open(f"{self.work}/e.img", "r+b") as f:
            f.write(self.rnd.randbytes(4 * MIB))
        h.init()
        h.enrol()
        h.conf(*CONF)
        self.by_another()
        h.start()
        self.track("c", STORE)
        self.backup()
        self.settled()

    def track(self, volume, at):
        self.h.track(volume, at, self.rnd.randbytes(16))

    def files(self, at):
        """Files come, one is changed in place."""
        self.days += 1
        os.makedirs(f"{at}/day-{self.days}")
        for i in range(6):
            with open(f"{at}/day-{self.days}/{i}", "wb") as f:
                f.write(self.rnd.randbytes(self.rnd.choice((300, 9000, 90000))))
        new = not os.path.exists(f"{at}/same")
        with open(f"{at}/same", "wb" if new else "r+b") as f:
            f.seek(0 if new else self.rnd.randrange(900000))
            f.write(self.rnd.randbytes(1000000 if new else 70000))
        shutil.rmtree(f"{at}/day-{self.days - 8}", ignore_errors=True)

    def by_another(self, write=None):
        """Another system mounts the disk itself and writes."""
        at = f"{self.work}/other.mnt"
        p = ntfs_3g(self.img, at)
        (write or self.files)(at)
        run("umount", at)
        p.wait(PATIENCE)

    def by_us(self, host=None):
        """The machine's own programs write, above the driver."""
        h = host or self.h
        self.files(h.mount("c"))
        h.unmount()

    def restart(self, how=signal.SIGTERM, between=None):
        self.h.stop(how)
        if between is not None:
            between()
        self.h.start(TRACKED)

    def tracking(self, volume="c"):
        with self.h.handle() as d:
            return d.info(d.volume(volume))

    # ------------------------------------------------------------ what must hold

    def backup(self, host=None, volumes=("c",), **more):
        host = host or self.h
        point = host.backup(list(volumes), "--check-changes", **more)
        host.equal(point)
        return point

    def whole(self, why, **more):
        point = self.backup(**more)
        assert point.kept == 0, f"kept {point.kept}, though {why}: {point.note!r}"
        assert re.search("all is read: .*" + why, point.note), f"it says {point.note!r}, and not {why!r}"
        print(f"  {point.note}", flush=True)
        return point

    def incremental(self, **more):
        point = self.backup(**more)
        assert point.kept > 0 and "all is read" not in point.note, f"all was read: {point.note!r}"
        return point

    def settled(self, **more):
        self.by_us(more.get("host"))
        return self.incremental(**more)

    # --------------------------------------------------------------------- cases

    def an_orderly_end(self):
        self.by_us()
        self.restart()
        assert self.tracking()["tracking"] == "valid", self.tracking()
        self.incremental()

    def a_crash(self):
        self.by_us()
        self.restart(signal.SIGKILL)
        assert self.tracking()["tracking"] == "recovered", self.tracking()
        self.whole(CRASHED)
        self.incremental()

    def the_disk_reverted(self):
        """As it was, store and all."""
        self.restart(between=lambda: copy(self.img, f"{self.work}/earlier.img"))
        self.settled()
        self.restart(between=lambda: copy(f"{self.work}/earlier.img", self.img))
        self.whole("tracking counts from another point")

    def a_clone_with_an_agent_of_its_own(self):
        """Each goes on by itself; then the clone takes the first one's place."""
        h, at = self.h, f"{self.work}/clone"
        os.makedirs(at)
        self.restart(between=lambda: copy(self.img, f"{at}/c.img"))
        other = Host(at, self.build, "clone", server_of=h)
        try:
            other.disks, other.own = ["c"], h.own
            other.start(TRACKED)
            other.enrol()
            other.conf("hotcopy-room = none")
            self.backup(host=other)
            self.settled(host=other)
            self.settled()
            other.stop()
        finally:
            other.close()
        self.restart(between=lambda: copy(f"{at}/c.img", self.img))
        self.whole("tracking counts from another point")

    def a_clone_of_machine_and_agent(self):
        """The copy makes a point as this host; then the first machine is started again."""
        h = self.h
        self.restart(between=lambda: copy(self.img, f"{self.work}/first.img"))
        shutil.copytree(f"{self.work}/agent", f"{self.work}/agent-first")
        self.settled()
        self.restart(between=lambda: copy(f"{self.work}/first.img", self.img))
        shutil.rmtree(f"{self.work}/agent")
        os.rename(f"{self.work}/agent-first", f"{self.work}/agent")
        self.by_us()
        self.whole("the tree of the newest point is not kept here")
        del h

    def another_system(self):
        self.restart(between=self.by_another)
        self.whole("another system may have written")

    def formatted_above_the_driver(self):
        h = self.h
        disk = h.attach("c")
        mkntfs(disk, "new", NTFS)
        h.unmount()
        self.backup()

    def formatted_below_the_driver(self):
        self.restart(between=lambda: mkntfs(self.img, "other", NTFS))
        self.whole("another system may have written")

    def the_agents_clock(self):
        for when in ("-20h", "+5d"):
            self.by_us()
            self.h.environment = faked(when)
            try:
                self.incremental()
            finally:
                self.h.environment = {}
        self.settled()

    def the_servers_clock(self):
        for when in ("-5h", "+5h"):
            self.h.server_stop()
            self.h.server_start(**faked(when))
            self.settled()
        self.h.server_stop()
        self.h.server_start()
        self.settled()

    def tracking_ended_and_begun(self):
        with self.h.handle() as d:
            d.untrack(d.volume("c"))
        self.by_us()
        self.track("c", STORE)
        self.whole("tracking began with this point")

    def tracking_ended(self):
        """The agent begins it anew, in memory; the store comes back at the next start of the machine."""
        with self.h.handle() as d:
            d.untrack(d.volume("c"))
        self.by_us()
        self.whole("tracking began with this point")
        self.settled()
        self.restart()
        assert self.tracking()["tracking"] in ("invalid", "recovered"), self.tracking()
        self.whole("")

    def another_agent(self):
        """A second state directory, a host of its own: each commits generations that the other does not know."""
        h = self.h
        h.enrol("agent-2", "second")
        h.conf("hotcopy-room = none", state="agent-2")
        self.by_us()
        h.name = "second"
        try:
            self.backup(state="agent-2")
            self.settled(state="agent-2")
        finally:
            h.name = "pc"
        self.by_us()
        self.whole("tracking counts from another point")

    def the_newest_point_forgotten(self):
        h = self.h
        h.operator("forget", f"{h.name}/{max(h.points())}", "--reason", "a test")
        h.operator("gc")
        self.by_us()
        self.whole("")

    def an_older_point_forgotten(self):
        h = self.h
        h.operator("forget", f"{h.name}/{sorted(h.points())[-2]}", "--reason", "a test")
        h.operator("gc")
        self.settled()

    def the_server_put_back(self):
        h = self.h
        h.server_stop()
        copy(f"{self.work}/store", f"{self.work}/yesterday")
        h.server_start()
        self.settled()
        h.server_stop()
        shutil.rmtree(f"{self.work}/store")
        os.rename(f"{self.work}/yesterday", f"{self.work}/store")
        h.server_start()
        self.by_us()
        self.whole("")

    def one_of_two_lost_its_tracking(self):
        both = {"volumes": ("c", "e")}
        self.backup(**both)
        self.by_us()
        self.incremental(**both)
        with self.h.handle() as d:
            d.untrack(d.volume("e"))
        self.by_us()
        point = self.backup(**both)
        assert point.kept > 0 and re.search("e: all is read: tracking began", point.note) and "c: all" not in point.note, point.note
        print(f"  {point.note}", flush=True)

    def resized(self):
        """Larger, as a host is after its virtual disk grew."""
        self.restart(between=lambda: os.truncate(self.img, LARGER))
        self.whole("")

    def another_system_after_a_crash(self):
        self.restart(signal.SIGKILL, between=lambda: self.by_another(write=patch))
        assert self.tracking()["tracking"] == "recovered", self.tracking()
        self.whole(CRASHED)

    def another_system_that_was_believed(self):
        """Nothing at the start tells it from our own system's writes (driver/core/TRACKING.md,
        "Others who write").  What it writes where ours had not since the last point is found
        by the proof in its turn, at the latest, and what was made meanwhile is suspect."""
        h = self.h
        h.conf(*CONF, "track-after-crash = on")
        self.restart(signal.SIGKILL, between=lambda: self.by_another(write=patch))
        assert self.tracking()["tracking"] == "recovered", self.tracking()
        wrong = []
        for n in range(SLICES + 1):
            point = h.backup(["c"])
            try:
                h.equal(point)
            except AssertionError:
                wrong.append(point.sequence)
            if point.kept == 0:
                break
        assert point.sequence not in wrong and CAUGHT in point.note, f"not found out in {n + 1} backups: {point.note!r}"
        there = h.points()
        assert all(there[s]["suspect"] for s in wrong), f"{wrong} are wrong"
        print(f"  {len(wrong)} wrong points, all suspect; found out by backup {n + 1}: {point.note}", flush=True)
        h.operator("alarm", "clear", h.name)
        h.conf(*CONF)


def patch(at):
    with open(f"{at}/same", "r+b") as f:
        f.seek(300000)
        f.write(b"another system" * 1000)


def faked(when):
    library = run("dpkg", "-L", "libfaketime").splitlines()
    return {"LD_PRELOAD": next(p for p in library if p.endswith("libfaketimeMT.so.1")), "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


CASES = ("an_orderly_end", "a_crash", "the_disk_reverted", "a_clone_with_an_agent_of_its_own", "a_clone_of_machine_and_agent", "another_system",
         "formatted_above_the_driver", "formatted_below_the_driver", "the_agents_clock", "the_servers_clock", "tracking_ended_and_begun",
         "another_agent", "the_newest_point_forgotten", "an_older_point_forgotten", "the_server_put_back", "one_of_two_lost_its_tracking",
         "another_system_after_a_crash", "another_system_that_was_believed", "tracking_ended", "resized")
# An incremental was their last step, or there is no tracking store to come back afterwards.
ENDS_SETTLED = ("an_orderly_end", "the_agents_clock", "the_servers_clock", "an_older_point_forgotten", "tracking_ended", "resized")


def main(at, build, seed="1", *cases):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    d = Doubts(at, build, int(seed))
    try:
        d.start()
        for case in cases or CASES:
            print(f"* {case.replace('_', ' ')}", flush=True)
            getattr(d, case)()
            if case not in ENDS_SETTLED:
                d.settled()
        d.h.operator("verify", "--trees")
        d.h.stop()
        d.h.server_stop()
    finally:
        d.h.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
