#!/usr/bin/env python3
"""driver.py - what the hot-copy driver's core costs a host: rows that are judged.

ROUNDS times (5), in turn, bin/core_bench and bin/nt_bench; each row is the median over the
rounds.  CPU rows hold on a busy machine; rows of latency and rate are ratios of what one
round measured side by side, and say what the load was.  One line a row, build/bench/driver.json,
exit 1 if a must is missed.  Environment: PROGRAMS (bin), WORK, RESULTS, ROUNDS.
"""
import json
import os
import statistics
import subprocess
import sys

from rows import row

PROGRAMS, WORK, RESULTS = (os.environ[k] for k in ("PROGRAMS", "WORK", "RESULTS"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
STEPS = {"idle": ("idle",), "touch": ("touch",), "gate": ("gate",), "read": ("read", WORK + "/disk"),
         "read-kept": ("read", WORK + "/disk", "16"), "memory": ("memory",), "diff": ("diff",)}


def core(*words):
    out = subprocess.run([PROGRAMS + "/core_bench", *words], check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])


def nt():
    """The same write through the driver's own dispatch, under the shim."""
    out = subprocess.run([PROGRAMS + "/nt_bench"], check=True, capture_output=True, text=True).stdout
    return {w[0]: float(w[1]) for w in map(str.split, out.splitlines())}


def measured():
    steps = {k: [] for k in (*STEPS, "nt")}
    loads = []
    for n in range(ROUNDS):
        for k in list(STEPS) if n % 2 == 0 else reversed(STEPS):
            loads.append(os.getloadavg()[0])
            if n == 0 or k not in ("memory", "diff"):  # these count, and take no time
                steps[k].append(core(*STEPS[k]))
        steps["nt"].append(nt())
        print(f"round {n + 1} of {ROUNDS}", file=sys.stderr)
    return steps, max(loads)


def rows(steps, load):
    def of(step, key):
        return statistics.median(s[key] for s in steps[step])

    def ratio(step, key, by):
        return statistics.median(s[key] / s[by] for s in steps[step])

    wall = f"load {load:.1f}"
    yield row("idle and tracked, a write in the NT shim, CPU", "ns", of("nt", "tracked_added"), 100, "limit", 1.0)
    yield row("idle and tracked, a write in the core, CPU", "ns", of("idle", "ns"), 100, "limit", 1.0)
    extra = max(s["allocations"] + s["locks"] for s in steps["nt"])
    yield row("idle and tracked, 11 million writes in the NT shim: allocations and locks", "", extra + 1, 1, "none, and one", 1.0)
    extra = max(s["takings"] + s["locks"] for s in steps["idle"])
    yield row("idle and tracked, 4 million writes: allocations and locks", "", extra + 1, 1, "none, and one", 1.0)
    held, writers = of("gate", "held"), steps["gate"][0]["writers"]
    yield row(f"gate closed, {writers} writes at once, median", "ms", of("gate", "gate_ms"), 50, "limit", 1.0,
              note=f"a write takes {steps['gate'][0]['write_us']} us; {held:.0f} waited; most {of('gate', 'gate_most_ms'):.1f}; {wall}")
    yield row("gate given up, the disk hangs", "ms", of("gate", "stuck_ms"), 2000, "timeout", 1.1, note=wall)
    disk = f"read and write {steps['touch'][0]['disk_us']} us; {wall}"
    for key, name, must in (("first", "first touch", 2.2), ("kept", "kept already", 1.05), ("unneeded", "not needed", 1.05)):
        r = ratio("touch", key + "_us", "alone_us")
        yield row(f"latency of a write, {name}", "us", r * of("touch", "alone_us"), of("touch", "alone_us"), "no image", must, note=disk)
    # From the page cache, so that nothing hides what the core takes; with copies in between only told.
    for step, name, must in (("read", "nothing kept", 0.9), ("read-kept", "a sixteenth kept", None)):
        yield row(f"image read, 8 x 64 KiB, {name}", "MB/s", of(step, "share") * of(step, "raw_mb_s"), of(step, "raw_mb_s"),
                  "the disk, cached", must, more_is_better=True, note=wall)
    yield row("image read in the NT shim, 8 x 64 KiB, a disk that takes 300 us", "MiB/s", of("nt", "read_frozen"), of("nt", "read_raw"),
              "the disk", 0.9, more_is_better=True, note=wall)
    m = steps["memory"][0]
    yield row("tracking of 1 TiB, memory", "MiB", m["track"] / 2**20, 2 * m["bitmap_track"] / 2**20, "two bitmaps", 1.05)
    yield row("set of 1 TiB, memory", "MiB", m["set"] / 2**20, (2 * m["bitmap_chunks"] + m["budget"]) / 2**20, "two bitmaps and 64", 1.05,
              note=f"chunks of 16 KiB; 1 GiB of room for copies; then grown {m['grown']} bytes in {m['takings']} takings")
    d = steps["diff"][0]
    yield row("diff area, hot 100 GB, 3 %: copied", "MB", d["copied"] / 1e6, d["copied_model"] / 1e6, "closed form", 1.3)
    yield row("diff area, hot 100 GB, 3 %: most at once", "MB", d["most"] / 1e6, d["most_model"] / 1e6, "closed form", 1.3,
              note=f"{d['writes']} writes")


def main():
    os.makedirs(WORK, exist_ok=True)
    steps, load = measured()
    table = list(rows(steps, load))
    os.makedirs(RESULTS, exist_ok=True)
    with open(RESULTS + "/driver.json", "w", encoding="ascii") as f:
        json.dump(dict(rounds=ROUNDS, rows=table, steps=steps), f, indent=1)
    for r in table:
        print(f"{'told' if r['must'] is None else 'ok  ' if r['ok'] else 'MISS'} {r['name']}: {r['ours']:g} {r['unit']} of {r['peer']:g} ({r['peer_name']}), "
              f"{r['ratio']:.3f}, {r['bound']} {r['must']}{'; ' + r['note'] if r['note'] else ''}")
    sys.exit(any(r["ok"] is not True and r["must"] is not None for r in table))


if __name__ == "__main__":
    main()
