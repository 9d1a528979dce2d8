#!/usr/bin/env python3
"""fast.py - incrementals that do not read what an NTFS does not say was changed.

A volume with SIZE MiB of files (3/4 in files of 1 to 4 MiB, the rest small) is backed up by
two hosts: one reads everything, one has `fast = on`.  Then, in ROUNDS interleaved rounds,
one file in a hundred changes in place, and each backs up: CPU (user and system), wall and
bytes read.  What may be read is known: what changed in 4 KiB, the file system's own
files, the ends of small files' clusters that are changed, a tenth of the rest.  Medians,
one line of JSON, and one for each miss: more read than changed + metadata + slice, and
5 % of the files for what shares a grain with these; no less CPU than a full compare.
Environment: PROGRAMS (bin), WORK, ROUNDS (7), SIZE (768).
"""
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

os.environ.setdefault("ROUNDS", "7")
os.environ.setdefault("SIZE", "768")
from maintenance import ROUNDS, SIZE, WORK, Store, run
from reading import ntfs

AT = WORK + "/mnt"


def mounted(image, use):
    run(["ntfs-3g", "-o", "rw,noatime", image, AT])
    try:
        return use(AT)
    finally:
        run(["umount", AT])
        while subprocess.run(["fuser", "-s", image], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            time.sleep(0.05)


def names(at):
    return sorted(f"{d}/{f}" for d, _, files in os.walk(at) for f in files)


def fill(at):
    r = random.Random(1)
    words = [os.urandom(40).hex().encode() + b" of the same old words in a row\n" for _ in range(4096)]
    done, n = 0, 0
    while done < SIZE << 20:
        size = r.randrange(1 << 20, 4 << 20) if done < SIZE * 3 << 18 else r.randrange(1000, 60000)
        if n % 1000 == 0:
            os.makedirs(f"{at}/{n // 1000}")
        with open(f"{at}/{n // 1000}/{n}", "wb") as f:
            f.write(os.urandom(size) if n % 2 else b"".join(words[(n * 7 + k) % 4096] for k in range(size // 112)))
        done += size
        n += 1


def churn(at):
    """Change one file in a hundred in place; bytes of these files."""
    files = names(at)
    changed = random.sample(files, max(1, len(files) // 100))
    for path in changed:
        with open(path, "r+b") as f:
            f.seek(random.randrange(max(1, os.path.getsize(path) - 4096)))
            f.write(os.urandom(4096))
    return sum(os.path.getsize(path) for path in changed)


def metadata(image):
    """Bytes of the MFT, the log and the bitmap, and of directories (by the MFT's size, as small)."""
    total = 0
    for n in (0, 2, 6):
        out = subprocess.run(["ntfsinfo", "-i", str(n), image], capture_output=True, text=True, check=False).stdout
        sizes = [int(line.split()[2]) for line in out.splitlines() if "Allocated size:" in line]
        total += max(sizes, default=0)
    return total


class Fast(Store):
    def backup(self, host, image):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        out = subprocess.run(self.agent(host, "--json", "--quiet", "backup", f"c={image}"), check=True, capture_output=True, text=True)
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        said = json.loads(out.stdout.splitlines()[-1])
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return dict(cpu=cpu, wall=wall, read=said["read_bytes"], kept=said["kept_bytes"], proven=said["proven_bytes"])


def main():
    s, image = Fast(), WORK + "/c.img"
    ntfs(image, (SIZE * 5 // 4 + 64) << 20, fill)
    s.start("gc-every = 0\nverify-cycle = 0\nprune-at = off\n")
    rows = {"whole": [], "fast": []}
    over = []
    try:
        for host in rows:
            run(s.agent(host, "enroll", s.operator("enroll-token").strip(), "--name", host))
            s.backup(host, image)
        with open(WORK + "/fast/agent.conf", "w", encoding="ascii") as f:
            f.write("[agent]\nfast = on\nfast-recent = 0\n")
        s.backup("fast", image)
        for n in range(ROUNDS):
            changed = mounted(image, churn)
            for host in ("whole", "fast") if n % 2 else ("fast", "whole"):
                rows[host].append(s.backup(host, image))
            got = rows["fast"][-1]
            allowed = changed + metadata(image) + got["proven"] + (SIZE << 20) * 5 // 100
            over.append(got["read"] / allowed)
    finally:
        s.stop()
        shutil.rmtree(WORK, ignore_errors=True)
    m = {h: {k: round(statistics.median(r[k] for r in rows[h]), 3) for k in rows[h][0]} for h in rows}
    share = {k: round(statistics.median(f[k] / w[k] for f, w in zip(rows["fast"], rows["whole"])), 3) for k in ("cpu", "wall", "read")}
    print(json.dumps(dict(rounds=ROUNDS, mib=SIZE, medians=m, of_a_full_compare=share, read_of_allowed=round(max(over), 3))))
    misses = [f"read {max(over):.2f} of what may be read"] if max(over) > 1 else []
    misses += [f"cpu {share['cpu']} of a full compare"] if share["cpu"] >= 0.8 else []
    for miss in misses:
        print(json.dumps(dict(miss=miss)))
    sys.exit(len(misses) > 0)


if __name__ == "__main__":
    main()
