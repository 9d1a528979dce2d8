#!/usr/bin/env python3
"""index.py - ./dev bench index: the index at size, beside RocksDB and LMDB.

All three at PEER_KEYS, in turn; then ours alone at KEYS, where the limits are judged.
index_bench does the measuring (what its figures mean is said there); here they become
rows as those of ./dev bench main, a table and RESULTS/index.json.  WORK is an empty
folder for the stores.  SHORT=1, for the tests: memory and disk are judged, no time.
"""
import json
import os
import platform
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import rows  # noqa: E402

RAM_B, DISK_B, BLOCKED_MS = 20, 48, 50
# What does not grow with the keys: a table being written, and one twice as large.
FIXED_RAM = 64 << 20
PEERS = {"rocksdb": "RocksDB", "lmdb": "LMDB"}


def run(program, engine, keys, work, out, rebuild=False):
    """The phases of one engine at one size, by name."""
    store = os.path.join(work, engine)
    shutil.rmtree(store, ignore_errors=True)
    os.makedirs(store)
    print(f"== {engine}, {keys} keys", file=sys.stderr, flush=True)
    env = dict(os.environ, REBUILD="1") if rebuild else os.environ
    try:
        p = subprocess.run([program, engine, str(keys), store], stdout=subprocess.PIPE, text=True, check=True, env=env)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    phases = [json.loads(line) for line in p.stdout.splitlines()]
    for phase in phases:
        phase["keys"] = keys
        out.write(json.dumps(phase) + "\n")
    out.flush()
    return {p["phase"]: p for p in phases}


def us(phase, key="cpu"):
    return phase[key] / phase["n"] * 1e6


def peak(phases):
    return max(p["peak"] for p in phases.values())


def worst_memory(phases):
    """(bytes a key, limit) of the phase that comes nearest to its limit; what is killed and made anew has more keys."""
    found = []
    for name, p in phases.items():
        keys = p["keys"] + (600_000 if name == "open after a kill" or "made anew" in name else 0)
        found.append((p["peak"] / keys, RAM_B + (FIXED_RAM / keys if keys < 10_000_000 else 0)))
    return max(found, key=lambda f: f[0] / f[1])


def beside(ours, peer, name, short):
    """Rows of our run and a peer's, both at one size."""
    keys = ours["add"]["keys"]

    def row(what, unit, figure, must=None, timed=True):
        return rows.row(f"{keys / 1e6:g} million: {what}", unit, figure(ours), figure(peer), name, None if short and timed else must)

    def added(p):
        return (p["add"]["cpu"] + p["settle"]["cpu"]) / keys * 1e6

    yield row("add, all written and merged, CPU", "us", added, 0.5)
    yield row("written in all", "B/key", lambda p: (p["add"]["written"] + p["settle"]["written"]) / keys)
    yield row("hit, CPU", "us", lambda p: us(p["hits"]), 1.0 if name == "RocksDB" else None)
    yield row("miss, CPU", "us", lambda p: us(p["misses"]), 0.5)
    yield row("hit, page cache dropped, wall", "us", lambda p: us(p["hits, cold"], "wall"))
    yield row("miss, page cache dropped, wall", "us", lambda p: us(p["misses, cold"], "wall"))
    yield row("on disk", "B/key", lambda p: p["settle"]["disk"] / keys, 1.0, timed=False)
    yield row("memory, the most", "B/key", lambda p: peak(p) / keys)
    yield row("longest that a look-up of 256 was blocked while adding", "ms", lambda p: max(p["add"]["blocked_ms"], p["settle"]["blocked_ms"]))
    yield row("close and open", "s", lambda p: p["close and open"]["wall"])


def limits(p, short):
    """Ours at full size, against what it may cost."""
    keys = p["add"]["keys"]
    name = f"{keys / 1e6:g} million: "
    memory, allowed = worst_memory(p)
    note = f"{RAM_B} B and {FIXED_RAM >> 20} MiB that do not grow" if allowed > RAM_B else ""
    busy = max(p["add"]["blocked_ms"], p["settle"]["blocked_ms"])
    most_disk = max(p[k]["most_disk"] for k in ("add", "settle")) / keys
    yield rows.row(name + "memory, the most", "B/key", memory, allowed, "limit", 1.0, note=note)
    yield rows.row(name + "on disk", "B/key", p["settle"]["disk"] / keys, DISK_B, "limit", 1.0,
                   note=f"{most_disk:.1f} while a merge's output and inputs are both there")
    yield rows.row(name + "longest that a look-up of 256 was blocked by flushes and merges", "ms", busy, BLOCKED_MS, "limit",
                   None if short else 1.0,
                   note=f"{p['nothing but look-ups']['blocked_ms']:.1f} with neither; {p['settle']['merges']} merges, {p['settle']['flushes']} flushes; "
                        f"at most {p['settle']['most_held']} entries added while look-ups waited")
    yield rows.row(name + "hit, page cache dropped, wall", "us", us(p["hits, cold"], "wall"), us(p["hits"], "wall"), "in the page cache", None)
    yield rows.row(name + "miss, page cache dropped, wall", "us", us(p["misses, cold"], "wall"), us(p["misses"], "wall"), "in the page cache", None)
    killed = p["open after a kill"]
    yield rows.row(name + "open after a kill", "s", killed["wall"], p["close and open"]["wall"], "after a close", None,
                   note=f"{killed['footers_read']} footers read; every key was found")
    if "made anew" in p:
        yield rows.row(name + "made anew from footers, CPU", "s", p["made anew"]["cpu"], p["add"]["cpu"] + p["settle"]["cpu"], "adding", None,
                       note=f"{p['made anew']['footers_read']} footers, computed as they are read")


def main():
    keys, peer_keys = (int(os.environ.get(k, v)) // 1000 * 1000 for k, v in (("KEYS", 100_000_000), ("PEER_KEYS", 4_000_000)))
    program, work, results, short = os.environ["PROGRAM"], os.environ["WORK"], os.environ["RESULTS"], os.environ.get("SHORT") == "1"
    os.makedirs(work, exist_ok=True)
    os.makedirs(results, exist_ok=True)
    found = []
    try:
        with open(results + "/index.steps.jsonl", "w") as out:
            load = os.getloadavg()[0]
            small = {e: run(program, e, peer_keys, work, out, rebuild=e == "holdfast") for e in ("holdfast", *PEERS)}
            big = run(program, "holdfast", keys, work, out, rebuild=short) if keys != peer_keys else small["holdfast"]
    except (subprocess.CalledProcessError, OSError) as e:
        print(f"index: {e}", file=sys.stderr)
        return 2
    for engine, name in PEERS.items():
        found += beside(small["holdfast"], small[engine], name, short)
    found += limits(big, short)
    facts = dict(cores=os.cpu_count(), kernel=platform.release(), load_before=load, keys=keys, peer_keys=peer_keys,
                 lmdb=small["lmdb"]["add"]["version"], rocksdb=small["rocksdb"]["add"]["version"])
    with open(results + "/index.json", "w") as f:
        json.dump(dict(facts=facts, rows=found), f, indent=1)
    print(rows.table(found))
    if load >= rows.QUIET:
        print(f"\nNOT QUIET: load {load:.1f} before")
    wrong = rows.judge(found, False) + [f"not measured: {r['name']}" for r in found if r["must"] and r["ok"] is None]
    print("\n" + "\n".join(wrong or ["every must is met"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
