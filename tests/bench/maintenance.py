#!/usr/bin/env python3
"""maintenance.py - does a backup keep its throughput while the store is being kept?

One store with points of HOSTS hosts, some of them forgotten where the server can, so
that collecting has to mark, copy and remove.  Then ROUNDS pairs, in turning order: a
backup of SIZE MiB that nobody has yet, with a server that does nothing by itself, and
with one that collects and verifies without a pause, at the default rate.  Judged is
the ratio of the medians of the rates: at least 0.9.  Exit 1 if it is less.

PROGRAMS and WORK name folders; ROUNDS (9), SIZE (256), HOSTS (3)."""
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

from measure import Server

PROGRAMS, WORK = os.environ["PROGRAMS"], os.environ["WORK"]
ROUNDS, SIZE, HOSTS = (int(os.environ.get(k, d)) for k, d in (("ROUNDS", 9), ("SIZE", 256), ("HOSTS", 3)))
MUST = 0.9
QUIET = "gc-every = 0\nverify-cycle = 0\nprune-at = off\n"
BUSY = "gc-every = 1s\nverify-cycle = 1s\nprune-at = off\n"


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more).stdout


class Store:
    def __init__(self):
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(WORK)
        self.repo, self.operator_dir, self.ready = (f"{WORK}/{n}" for n in ("store", "operator", "ready"))
        run([PROGRAMS + "/holdfast", "init", self.repo, "--name", "server", "--operator-dir", self.operator_dir])
        with open(WORK + "/machine-id", "w") as f:
            f.write("0123456789abcdef0123456789abcdef\n")
        self.port, self.server = 0, None

    def start(self, lines):
        with open(WORK + "/holdfastd.conf", "w") as f:
            f.write(f"store = {self.repo}\nlisten = 127.0.0.1:{self.port}\nready-file = {self.ready}\nreserve = 0\n{lines}")
        if os.path.exists(self.ready):
            os.remove(self.ready)
        self.server = Server([PROGRAMS + "/holdfastd", "--config", WORK + "/holdfastd.conf"], WORK + "/server.log")
        end = time.monotonic() + 60
        while not (os.path.exists(self.ready) and os.path.getsize(self.ready)):
            if time.monotonic() > end or not self.server.alive():
                sys.exit(f"holdfastd did not start, see {WORK}/server.log")
            time.sleep(0.02)
        with open(self.ready) as f:
            self.address = f.read().strip()
        self.port = self.address.rsplit(":", 1)[1]

    def stop(self):
        self.server.stop()

    def operator(self, *words):
        return run([PROGRAMS + "/holdfast", "--operator", self.operator_dir, "--server", self.address, *words])

    def agent(self, host, *words):
        return [PROGRAMS + "/holdfast-agent", "--state", f"{WORK}/{host}", "--machine-id", WORK + "/machine-id", *words]

    def jobs(self):
        return {j["job"]: j for j in json.loads(self.operator("jobs", "--json"))}


def image(path, seed):
    """Half of it noise, half of it not, in blocks of 4 KiB that occur nowhere else."""
    r = random.Random(seed)
    with open(path, "wb") as f:
        for _ in range(SIZE):
            noise = r.randbytes(1 << 19)
            f.write(b"".join(noise[i:i + 2048] + noise[i:i + 64] * 32 for i in range(0, 1 << 19, 2048)))


def backup(store, path):
    """Wall seconds, CPU seconds of the agent, CPU seconds of the server."""
    with open(path, "rb") as f:
        while f.read(1 << 24):
            pass
    os.sync()
    served, began = store.server.cpu(), time.monotonic()
    p = subprocess.Popen(store.agent("h0", "backup", "v=" + path, "--retry-for", "0s"), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(p.pid, 0)
    wall = time.monotonic() - began
    if status != 0:
        sys.exit("a backup failed")
    return wall, used.ru_utime + used.ru_stime, store.server.cpu() - served


def fill(store):
    """Points to mark and packs to copy from."""
    store.start(QUIET)
    for h in range(HOSTS):
        token = store.operator("enroll-token").strip()
        run(store.agent(f"h{h}", "enroll", token, "--name", f"h{h}"))
        for n in range(2):
            image(WORK + "/v.img", f"{h} {n}")
            run(store.agent(f"h{h}", "backup", "v=" + WORK + "/v.img"))
        try:
            store.operator("forget", f"h{h}/1")
        except subprocess.CalledProcessError:
            print(f"nothing of h{h} was forgotten: collecting only marks", file=sys.stderr)
    store.stop()


def main():
    store = Store()
    took = {"quiet": [], "busy": []}
    done = {"gc": 0, "verify": 0}
    fill(store)
    for n in range(ROUNDS):
        for kind in ("quiet", "busy") if n % 2 == 0 else ("busy", "quiet"):
            image(WORK + "/v.img", f"{kind} {n}")
            store.start(QUIET if kind == "quiet" else BUSY)
            if kind == "busy":
                # Until both have begun: from then on one of them is always at work.
                while not all(store.jobs()[j]["began"] for j in done):
                    time.sleep(0.1)
            took[kind].append(backup(store, WORK + "/v.img"))
            store.stop()
            print(f"round {n} {kind}: {took[kind][-1][0]:.2f} s", flush=True)
    wall = {k: statistics.median(t[0] for t in v) for k, v in took.items()}
    ratio = wall["quiet"] / wall["busy"]
    for kind, v in took.items():
        print(f"{kind:6} wall {wall[kind]:.3f} s, {SIZE / wall[kind]:.0f} MiB/s, agent CPU "
              f"{statistics.median(t[1] for t in v):.2f} s, server CPU {statistics.median(t[2] for t in v):.2f} s "
              f"(median of {ROUNDS})")
    print(f"throughput kept: {ratio:.3f}, must >= {MUST}: {'ok' if ratio >= MUST else 'MISSED'}")
    shutil.rmtree(WORK)
    return 0 if ratio >= MUST else 1


if __name__ == "__main__":
    sys.exit(main())
