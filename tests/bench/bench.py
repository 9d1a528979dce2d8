#!/usr/bin/env python3
"""bench.py - Holdfast beside today's tools on the same volumes, interleaved in one run.

  bench.py run [--whole] [--no-judge] TOOL...	measure, print the table, write main.json
  bench.py judge STEPS MAIN.json		the table again, from the steps of a run
  bench.py tools				what TOOL may be

The environment says where (run.sh sets it): WORK, CORPUS, PEERS, PROGRAMS, RESULTS;
and how much: HOSTS, DAYS, ROUNDS, CHURN, AGENTS, TLS_MB, LOAD_WAIT.
Each step is run by every tool before the next step is, in an order that turns.
Exit status 1 where a must is missed, 2 where a step failed or a restore differs.
"""
import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback

import holdfast
import rows
from corpus import HERE, Corpus, remember, remembered, used_sum
from measure import CORES, Failed, await_quiet, run, stored, warm
from peers import NEEDED, PEERS


def setting(name, default):
    return int(os.environ.get(name, default))


class Run:
    """One run: where its files are, and the steps so far."""

    def __init__(self, names):
        self.work, self.results = os.environ["WORK"], os.environ["RESULTS"]
        self.programs = os.environ["PROGRAMS"]
        os.makedirs(self.work, exist_ok=True)
        os.makedirs(self.results, exist_ok=True)
        self.memory = self.work + "/remembered.json"
        self.rounds = setting("ROUNDS", 3)
        self.corpus = Corpus(os.environ["CORPUS"], setting("HOSTS", 8), setting("DAYS", 5), self.memory)
        self.churned = setting("CHURN", 100)
        if (have := len(self.corpus.churn())) < self.churned - 1:
            raise Failed(f"the corpus has {have} churned states, not {self.churned - 1}")
        self.tools = [holdfast.Holdfast(self.work, self.corpus, self.programs)]
        self.tools += [PEERS[n](self.work, self.corpus, os.environ["PEERS"]) for n in names]
        self.patience = setting("LOAD_WAIT", 90)
        self.round, self.steps = 0, []
        self.facts = self.find_facts()
        self.file = open(self.results + "/main.steps.jsonl", "w")
        self.write(self.facts)

    def find_facts(self):
        with open("/proc/cpuinfo") as f:
            cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
        with open("/proc/meminfo") as f:
            memory = int(f.readline().split()[1]) // 1024
        disk = subprocess.run(["stat", "-f", "-c", "%T", self.work], capture_output=True, text=True, check=False).stdout.strip()
        images = [self.corpus.image(s) for s in self.corpus.hosts]
        return dict(began=time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()), cpu=cpu, cores=CORES, memory_mib=memory, kernel=platform.release(),
                    file_system=disk, load=os.getloadavg()[0], rounds=self.rounds, hosts=len(images), days=len(self.corpus.days),
                    seed=os.environ.get("SEED", "1"), volume_bytes=self.corpus.volume_bytes,
                    ideal_mb=self.ideal(images) / 1e6, versions={t.name: t.says_version() for t in self.tools})

    def ideal(self, images):
        """Bytes, see ideal.py; remembered for the same images.  Not in this process, which has to stay small: see Peak."""
        key = "ideal " + " ".join(f"{i}:{os.stat(i).st_mtime_ns}" for i in images)
        if key not in remembered(self.memory):
            p = subprocess.run([sys.executable, HERE + "/ideal.py", self.work, *images], capture_output=True, text=True, check=True)
            remember(self.memory, key, int(p.stdout))
        return remembered(self.memory)[key]

    def write(self, line):
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def record(self, step, tool, figures):
        s = dict(round=self.round, tool=tool and tool.name, stock=bool(tool and tool.stock), step=step)
        s.update(figures)
        self.steps.append(s)
        self.write(s)
        if step == "churn-backup" and s["point"] % 25:
            return
        which = "".join(f" {s[k]}" for k in ("host", "day", "point") if k in s)
        shown = " ".join(f"{k} {s[k]}" for k in ("cpu", "wall", "repo_mb", "rss_mib", "server_rss_mib", "load", "others", "send", "receive") if k in s)
        print(f"{self.round} {s['tool'] or '':18s} {step + which:16s} {shown}", flush=True)

    # -------------------------------------------------------------- the tools

    def in_turn(self, n):
        n = (n + self.round) % len(self.tools)
        return self.tools[n:] + self.tools[:n]

    def quiet(self):
        """Before what is judged by wall time.  A machine that did not become quiet once is not waited for again."""
        if await_quiet(rows.QUIET, self.patience) >= rows.QUIET:
            self.patience = 5

    def back_up(self, tool, state):
        """Run the step `state` of `tool`; what computes a map belongs to it."""
        grown = stored(tool.repo)
        before = tool.before(state)
        prepared = run(before, tool.log) if before else None
        r = tool.step(tool.backup(state))
        if prepared:
            r["map_cpu"] = prepared["cpu"]
            for k in ("cpu", "user", "system", "wall"):
                r[k] = round(r[k] + prepared[k], 3)
        r["repo_mb"] = round(stored(tool.repo) / 1e6, 3)
        r["grown_mb"] = round(r["repo_mb"] - grown / 1e6, 3)
        if said := tool.said():
            r["wire_mb"] = round((said["wire_sent_bytes"] + said["wire_received_bytes"]) / 1e6, 3)
            r["said"] = said
        which = dict(day=state.day) if state.day else dict(host=state.host)
        self.record("day" if state.day else "full", tool, dict(which, **r))

    def full_and_days(self):
        first = self.corpus.hosts[0]
        self.record("zstd -3", None, run(f"zstd -3 --single-thread -q -c {self.corpus.image(first)} > /dev/null", self.work + "/zstd.log"))
        for n, state in enumerate(self.corpus.hosts + self.corpus.days):
            warm(self.corpus.image(state))
            tools = self.in_turn(n)
            if state == first:
                # Those two are compared by wall time: next to each other, and before the rest heats up.
                tools = sorted(tools, key=lambda t: t.name not in (rows.OURS, rows.MAP))
            for tool in tools:
                if state == first and tool.name in (rows.OURS, rows.MAP):
                    self.quiet()
                self.back_up(tool, state)

    def restores(self):
        last = (self.corpus.hosts[:1] + self.corpus.days)[-1]
        want = self.corpus.image(last)
        for tool in self.in_turn(1):
            self.record("restore", tool, tool.step(tool.restore(last)))
            out = tool.restored(last)
            if tool.every_byte:
                same = subprocess.run(["cmp", want, out], check=False).returncode == 0
            else:
                same = used_sum(out) == self.corpus.used_sum(want, self.work + "/masked.img")
            if not same:
                raise Failed(f"{tool.name}: the restored {last.name} differs from {want}")
            os.remove(out)

    def one_round(self):
        try:
            for tool in self.tools:
                tool.begin()
            self.full_and_days()
            self.restores()
            for tool in self.in_turn(2):
                self.record("check", tool, tool.step(tool.check()))
            self.record("memory", self.tools[0], self.tools[0].memory())
        finally:
            for tool in self.tools:
                tool.end()

    def all(self):
        for self.round in range(self.rounds):
            self.one_round()
            holdfast.agents_at_once(self.work, self.corpus, self.programs, setting("AGENTS", 4), self.record)
            holdfast.tls(self.programs, setting("TLS_MB", 1000), self.record)
        self.round = 0
        holdfast.churn(self.work, self.corpus, self.programs, self.churned, self.rounds, self.record)


# -------------------------------------------------------------------- report

def report(facts, steps, path):
    found = rows.rows(rows.Steps(steps), facts)
    with open(path, "w") as f:
        json.dump(dict(facts=facts, rows=found), f, indent=1)
    print(f"\n{facts['cpu']}, {facts['cores']} cores, {facts['memory_mib']} MiB, Linux {facts['kernel']}, {facts['file_system']}; "
          f"{facts['hosts']} hosts + {facts['days']} days of {facts['volume_bytes'] >> 20} MiB, seed {facts['seed']}, {facts['rounds']} rounds; "
          + ", ".join(facts["versions"].values()))
    for z in [s["cpu"] for s in steps if s["step"] == "zstd -3"][:1]:
        print(f"for scale: zstd -3 of host-01 by one thread takes {z:.2f} s")
    print("\n" + rows.table(found))
    return found


def measured(names, whole, judged):
    try:
        r = Run(names)
        r.all()
    except Failed as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    except Exception:       # Whatever it is: no must was missed, nothing was measured.
        traceback.print_exc()
        return 2
    return verdict(report(r.facts, r.steps, r.results + "/main.json"), whole, judged)


def verdict(found, whole, judged):
    wrong = rows.judge(found, whole)
    print("\n" + "\n".join(wrong or ["every must is met"]))
    return 1 if wrong and judged else 0


def main():
    p = argparse.ArgumentParser()
    sub = p.add_subparsers(dest="verb", required=True)
    r = sub.add_parser("run")
    r.add_argument("--whole", action="store_true", help="a row without a figure is a miss")
    r.add_argument("--no-judge", action="store_true", help="exit 0 although a must is missed")
    r.add_argument("tools", nargs="*", choices=[*PEERS, []])
    j = sub.add_parser("judge")
    j.add_argument("steps")
    j.add_argument("main")
    sub.add_parser("tools")
    a = p.parse_args()
    if a.verb == "tools":
        print("\n".join(f"{n}{' *' if n in NEEDED else ''}" for n in PEERS))
        return 0
    if a.verb == "judge":
        return verdict(report(*rows.load_steps(a.steps), a.main), True, True)
    # Servers are stopped and stores removed, whoever ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    return measured(a.tools, a.whole, not a.no_judge)


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    sys.exit(main())
