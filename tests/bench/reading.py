#!/usr/bin/env python3
"""reading.py - reading a point at any place, beside restoring it.

A volume of SIZE MiB with files in it, and one of 1 TiB that is nearly empty, are backed
up.  Then, in ROUNDS interleaved rounds, each from a cold client: restore to a file;
nbdcopy of `holdfast nbd` to a file, with one connection and with four; the first byte of
a file in the wide volume by `holdfast cp`; `holdfast nbd` of it from its start to the
first sector from its middle and from where a file lies.  Medians, one line of JSON, and one for each miss: sequential reading below
0.7 of a restore's rate, a first byte after a second.
Environment: PROGRAMS (bin), WORK, ROUNDS (5), SIZE (768).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

os.environ.setdefault("ROUNDS", "5")
os.environ.setdefault("SIZE", "768")
from maintenance import PROGRAMS, ROUNDS, SIZE, WORK, Store, run

WIDE = 1 << 40


def ntfs(image, size, fill):
    with open(image, "wb") as f:
        f.truncate(size)
    run(["mkntfs", "-q", "-Q", "-F", "-s", "512", "-p", "0", "-H", "255", "-S", "63", image])
    at = WORK + "/mnt"
    os.makedirs(at, exist_ok=True)
    run(["ntfs-3g", "-o", "rw,noatime", image, at])
    try:
        fill(at)
    finally:
        run(["umount", at])
    # The FUSE daemon writes on after the unmount.
    while subprocess.run(["fuser", "-s", image], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        time.sleep(0.05)


def fill_full(at):
    lines = [os.urandom(40).hex().encode() + b" of the same old words in a row\n" for _ in range(4096)]
    for i in range(SIZE * 3 // 4):
        with open(f"{at}/f{i}", "wb") as f:
            f.write(os.urandom(1 << 19))
            f.write(b"".join(lines[(i * 7 + k) % 4096] for k in range(1 << 12)))


def fill_wide(at):
    with open(at + "/first", "wb") as f:
        f.write(b"the first byte")


class Reading(Store):
    def command(self, *arguments):
        return [PROGRAMS + "/holdfast", "--operator", self.operator_dir, "--server", self.address, *arguments]

    def timed(self, command, **more):
        begin = time.monotonic()
        run(command, **more)
        return time.monotonic() - begin

    def served(self, what, use):
        """From the start of `holdfast nbd` on: what use(uri) takes, with and without it."""
        begin = time.monotonic()
        p = subprocess.Popen(self.command("nbd", what), stdout=subprocess.PIPE, text=True)
        try:
            uri = p.stdout.readline().split(": ", 1)[1].strip()
            ready = time.monotonic()
            use(uri)
            end = time.monotonic()
        finally:
            p.terminate()
            p.wait()
        return end - begin, end - ready

    def copy(self, connections):
        out = WORK + "/copied"
        took = self.served("h1/1:full", lambda uri: run(["nbdcopy", "--connections", str(connections), uri, out]))[1]
        same = subprocess.run(["cmp", out, WORK + "/restored"], check=False).returncode == 0
        os.remove(out)
        if not same:
            sys.exit("what nbdcopy read is not what was restored")
        return took

    def sector(self, offset):
        return self.served("h1/1:wide", lambda uri: run(["qemu-io", "-r", "-f", "raw", "-c", f"read {offset} 512", uri]))[0]

    def round(self, got):
        restored = WORK + "/restored"
        if os.path.exists(restored):
            os.remove(restored)
        got["restore"].append(self.timed(self.command("restore", "h1/1", "--volume", "full", "--to", restored, "--quiet")))
        got["nbdcopy_1"].append(self.copy(1))
        got["nbdcopy_4"].append(self.copy(4))
        got["first_of_file"].append(self.timed(self.command("cp", "h1/1:wide/first", "-")))
        got["first_of_nbd_middle"].append(self.sector(WIDE // 2))
        got["first_of_nbd_begin"].append(self.sector(0))


def main():
    s = Reading()
    ntfs(WORK + "/full", SIZE << 20, fill_full)
    ntfs(WORK + "/wide", WIDE, fill_wide)
    s.start("gc-every = 0\nverify-cycle = 0\nprune-at = off\n")
    try:
        run(s.agent("h1", "enroll", s.operator("enroll-token").strip(), "--name", "h1"))
        run(s.agent("h1", "backup", f"full={WORK}/full", f"wide={WORK}/wide"))
        got = {k: [] for k in ("restore", "nbdcopy_1", "nbdcopy_4", "first_of_file", "first_of_nbd_middle", "first_of_nbd_begin")}
        for _ in range(ROUNDS):
            s.round(got)
    finally:
        s.stop()
        shutil.rmtree(WORK, ignore_errors=True)
    m = {k: round(statistics.median(v), 3) for k, v in got.items()}
    share = {k: round(statistics.median(r / n for r, n in zip(got["restore"], got[k])), 2) for k in ("nbdcopy_1", "nbdcopy_4")}
    print(json.dumps(dict(rounds=ROUNDS, mib=SIZE, seconds=m, of_a_restore=share)))
    misses = [f"{k} at {v} of a restore" for k, v in share.items() if v < 0.7]
    misses += [f"{k} after {m[k]} s" for k in m if k.startswith("first") and m[k] >= 1]
    for miss in misses:
        print(json.dumps(dict(miss=miss)))
    sys.exit(len(misses) > 0)


if __name__ == "__main__":
    main()
