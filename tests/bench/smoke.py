"""smoke.py RESULTS - what smoke.sh asks of a run's results, and of judging."""
import copy
import json
import subprocess
import sys

import rows
from corpus import HERE

OTHERS = ("restic-0.19-tls", "borg2-map-cdc128K", "desync-1.0.4", "borg-1.4-128K")


def check(what, ok):
    if not ok:
        sys.exit(f"FAILED: {what}")


def real(folder):
    """The run of smoke.sh: without peers, so every row is there and those that need none have a ratio."""
    with open(folder + "/main.json") as f:
        found = json.load(f)
    names = [(r["name"], r["peer_name"]) for r in found["rows"]]
    check(f"{len(names)} rows, each once", len(names) == 21 == len(set(names)))
    for r in found["rows"]:
        check(f"{r['name']}: ours", r["ours"] is not None and r["ours"] > 0)
        check(f"{r['name']}: keys", {"name", "ours", "peer", "peer_name", "ratio", "must", "ok", "aim"} <= set(r))
    alone = [r["name"] for r in found["rows"] if r["ratio"] is not None]
    check(f"rows with a ratio: {alone}", len(alone) == 9)
    check("machine and versions", found["facts"]["cores"] > 0 and "holdfast" in found["facts"]["versions"])
    _, steps = rows.load_steps(folder + "/main.steps.jsonl")
    for s in [s["said"] for s in steps if s["step"] == "full"]:
        wire, sent = s["wire_sent_bytes"], s["sent_bytes"]
        check(f"{wire} bytes on the wire for {sent} sent", sent < wire < sent * 1.02 + 50000)


def made_up(better=0.01):
    """Steps of a whole run in which Holdfast takes `better` of what the others take."""
    steps = []
    for r in (0, 1, 2):
        for tool in ("holdfast", *OTHERS):
            k = better if tool == "holdfast" else 1
            base = dict(round=r, tool=tool, stock=tool not in ("holdfast", "borg2-map-cdc128K"), load=0.1, others=0, rss_mib=50)
            for host in (1, 2, 3):
                steps.append(dict(base, step="full", host=host, cpu=k * 9, wall=k * 9, repo_mb=k * 300 * host, wire_mb=k * 50, map_cpu=0.1))
            for day in (1, 2):
                steps.append(dict(base, step="day", day=day, cpu=k * 3, wall=k * 3, grown_mb=k * 20, map_cpu=0.1))
            steps += [dict(base, step=s, cpu=k * 5, wall=k * 5) for s in ("restore", "check")]
        own = dict(round=r, tool="holdfast", stock=False, load=0.1, others=0, rss_mib=50)
        memory = dict(own, server_rss_mib=40, server_limit_mib=66, chunks=1000)
        steps += [dict(memory, step="agents-one", wall=2, read=1e9, cpu=3), dict(memory, step="agents-after", wall=2, read=1e9, cpu=3),
                  dict(memory, step="agents-at-once", wall=4, read=4e9, cpu=8),
                  dict(own, step="churn-restore", point=1, wall=1, cpu=1, received_mb=9), dict(own, step="churn-restore", point=100, wall=1, cpu=1, received_mb=9),
                  dict(round=r, tool=None, stock=False, step="tls_raw_bench", send=1400, receive=1400),
                  dict(round=r, tool=None, stock=False, step="tls_raw_plain_bench", send=400, receive=400)]
    return steps


FACTS = dict(cpu="made up", cores=2, memory_mib=1, kernel="1", file_system="x", hosts=3, days=2, volume_bytes=1 << 30, seed="1",
             rounds=3, versions=dict(holdfast="holdfast"), ideal_mb=900.0)

# For each row: which of our steps, which figure, and by what to multiply it so that this row is missed.
WORSE = [("full", "repo_mb", 110, dict(host=1), 2), ("full", "cpu", 100, dict(host=1), 1), ("full", "wall", 100, dict(host=1), 1),
         ("full", "repo_mb", 120, dict(host=3), 3), ("full", "cpu", 200, dict(host=2), 1), ("full", "wire_mb", 200, dict(host=3), 1),
         ("day", "cpu", 100, {}, 1), ("day", "grown_mb", 100, {}, 1), ("restore", "cpu", 130, {}, 1), ("restore", "wall", 100, {}, 1),
         ("churn-restore", "wall", 2, dict(point=1), 1), ("check", "cpu", 100, {}, 1), ("agents-at-once", "wall", 2, {}, 1),
         ("tls_raw_bench", "send", 0.5, {}, 1), ("tls_raw_bench", "receive", 0.5, {}, 1),
         ("churn-restore", "rss_mib", 2, dict(point=1), 1), ("agents-at-once", "server_rss_mib", 2, {}, 1)]


def judged(steps):
    """(rows that are missed, what is said of it), as bench.py judge does it."""
    found = rows.rows(rows.Steps(steps), FACTS)
    return [(r["name"], r["peer_name"]) for r in found if r["ok"] is False], "\n".join(rows.judge(found, True))


def program(folder, steps):
    """(exit status, output) of bench.py judge over these steps."""
    path = folder + "/made-up"
    with open(path, "w") as f:
        for line in (FACTS, *steps):
            f.write(json.dumps(line) + "\n")
    p = subprocess.run([sys.executable, HERE + "/bench.py", "judge", path, path + ".json"], capture_output=True, text=True, check=False)
    return p.returncode, p.stdout + p.stderr


def worse(steps, step, key, factor, which):
    out = copy.deepcopy(steps)
    for s in out:
        if s["tool"] in ("holdfast", None) and s["step"] == step and all(s[k] == v for k, v in which.items()):
            s[key] *= factor
    return out


def judging(folder):
    good = made_up()
    check("all is met", judged(good) == ([], "") and program(folder, good)[0] == 0)
    all_missed = set()
    for step, key, factor, which, count in WORSE:
        missed, said = judged(worse(good, step, key, factor, which))
        check(f"{step} {key} worse: {count} rows missed, not {missed}", len(missed) == count)
        check(f"it is said: {said}", all(f"missed: {name}" in said for name, _ in missed))
        all_missed |= set(missed)
    check(f"each row with a must can be missed, not only {all_missed}", len(all_missed) == 20)
    check("one disturbed round of three does not count", judged(worse(good, "check", "cpu", 1000, dict(round=0)))[0] == [])
    status, said = program(folder, worse(good, "check", "cpu", 100, {}))
    check(f"the program's status and word: {said}", status == 1 and "missed: verify of everything, CPU" in said)
    status, said = program(folder, [s for s in good if s["tool"] != "borg2-map-cdc128K"])
    check(f"a row that was not measured is a miss: {said}", status == 1 and "not measured: full of host-01, wall" in said)


real(sys.argv[1])
judging(sys.argv[1])
print("the bench runs and judges")
