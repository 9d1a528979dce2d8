#!/usr/bin/env python3
"""kills.py [MINUTES] - server and agents are killed (kill -9) at random moments.

Hosts back up a small volume that changes each time; the server, an agent or both are
killed at a random moment.  What was acknowledged is kept here as SHA-256 by host and
sequence.  After each round the server runs again; all that was acknowledged must be
there, and of each host the newest point, an older one and those that nobody was told
of are restored and compared.  What nobody was told of may be there, with a content
that was on its way.  Beside it the oldest points are forgotten and their space is given
back; what was forgotten never comes back.  At the end all points are restored, and
verify --trees must find nothing.

HOLDFAST_BUILD (the build's folder), HOLDFAST_WORK (a folder of its own, left as it is
after a failure; without it a private one, always removed), HOLDFAST_SEED (1), HOSTS (3),
ROUNDS (instead of minutes).

No wait is without an end: a program that does not end in time is shown and fails the
run, and every process that was started is killed by its handle, however this ends.
"""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BIN = os.environ["HOLDFAST_BUILD"] + "/bin/"
SEED = int(os.environ.get("HOLDFAST_SEED", "1"))
HOSTS = [f"h{i + 1}" for i in range(int(os.environ.get("HOSTS", "3")))]
ROUNDS = int(os.environ.get("ROUNDS", "0"))
PATIENCE = 300  # Seconds for what takes one, on the slowest machine.
MIB = 1 << 20
KEPT_MAX = 12  # Points of a host; older ones are forgotten.


class Failed(Exception):
    pass


def stuck(process):
    """What a process that does not end is doing."""
    said = []
    for name in ("wchan", "syscall", "status"):
        try:
            with open(f"/proc/{process.pid}/{name}") as f:
                said.append(f"{name}: {f.read().strip()}")
        except OSError as e:
            said.append(f"{name}: {e}")
    return "\n".join(said)


class Host:
    def __init__(self, name):
        self.name = name
        self.random = random.Random(f"{SEED}/{name}")
        self.tried = set()
        self.acknowledged = {}
        self.leaving = set()
        self.gone = set()
        self.agent = None  # The backup that runs, if one does.
        self.lock = threading.Lock()
        self.ended_badly = 0


class Run:
    def __init__(self, work):
        self.work = work
        self.random = random.Random(SEED)
        self.hosts = [Host(n) for n in HOSTS]
        self.server = None
        self.port = 0
        self.started = set()
        self.lock = threading.Lock()
        self.errors = []
        self.over = False
        self.counts = dict.fromkeys(
            ("rounds", "servers", "agents", "recovered", "unheard", "forgotten", "restores", "points", "failed"), 0)
        with open(self.path("machine-id"), "w") as f:
            f.write("0123456789abcdef0123456789abcdef\n")

    def path(self, name):
        return f"{self.work}/{name}"

    # ------------------------------------------------------------ processes

    def start(self, command, **more):
        with self.lock:
            if self.over:
                raise Failed("the run is over")
            p = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)
            self.started.add(p)
        return p

    def end(self, p, seconds=PATIENCE):
        """Its output and status; a process that goes on is a failure."""
        try:
            out = p.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            what = f"{' '.join(p.args)} (process {p.pid}) did not end in {seconds} s\n{stuck(p)}"
            p.kill()
            raise Failed(what) from None
        with self.lock:
            self.started.discard(p)
        return p.returncode, out

    def run(self, *command):
        return self.end(self.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))

    def must(self, *command):
        status, out = self.run(*command)
        if status != 0:
            raise Failed(f"{' '.join(command)} ended with {status}: {out[-600:]}")
        return out

    def stop_all(self):
        with self.lock:
            self.over = True
            left = list(self.started)
        for p in left:
            p.kill()
        for p in left:
            try:
                p.wait(timeout=10)
            except subprocess.TimeoutExpired:
                print(f"process {p.pid} cannot be killed\n{stuck(p)}", file=sys.stderr)

    def thread(self, work, *arguments):
        """Errors of threads are those of the run."""
        def body():
            try:
                work(*arguments)
            except Exception as e:
                self.errors.append(e)
        t = threading.Thread(target=body, daemon=True)
        t.start()
        return t

    def join(self, threads):
        end = time.monotonic() + 4 * PATIENCE
        for t in threads:
            t.join(max(0.0, end - time.monotonic()))
            if self.errors:
                raise self.errors[0]
            if t.is_alive():
                raise Failed("a round does not end")

    # ------------------------------------------------------------ the server

    def init(self):
        self.must(BIN + "holdfast", "init", self.path("store"), "--name", "server", "--operator-dir",
                  self.path("operator"))
        self.server_start()
        for h in self.hosts:
            token = self.operator("enroll-token").strip()
            self.must(*self.agent(h), "enroll", token, "--name", h.name)
            with open(self.path(h.name + ".img"), "wb") as f:
                f.write(h.random.randbytes(3 * MIB))

    def server_start(self):
        ready = self.path("ready")
        if os.path.exists(ready):
            os.unlink(ready)
        with open(self.path("holdfastd.conf"), "w") as f:
            f.write(f"store = {self.path('store')}\nlisten = 127.0.0.1:{self.port}\nready-file = {ready}\n")
        log = self.path("server.log")
        before = os.path.getsize(log) if os.path.exists(log) else 0
        with open(log, "ab") as f:
            self.server = self.start([BIN + "holdfastd", "--config", self.path("holdfastd.conf")], stderr=f)
        end = time.monotonic() + PATIENCE
        while not (os.path.exists(ready) and os.path.getsize(ready)):
            if self.server.poll() is not None:
                raise Failed(f"the server did not start: {self.server.returncode}")
            if time.monotonic() > end:
                raise Failed(f"the server is not ready\n{stuck(self.server)}")
            time.sleep(0.02)
        with open(ready) as f:
            self.address = f.read().strip()
        # The same port after a restart, so that agents find it again.
        self.port = int(self.address.rsplit(":", 1)[1])
        with open(log, "rb") as f:
            f.seek(before)
            self.counts["recovered"] += b"were still open" in f.read()

    def server_kill(self):
        if self.server.poll() is not None:
            raise Failed(f"the server ended by itself, with {self.server.returncode}")
        self.server.kill()
        self.end(self.server)
        self.counts["servers"] += 1

    def operator(self, *arguments):
        return self.must(BIN + "holdfast", "--operator", self.path("operator"), "--server", self.address, *arguments)

    def agent(self, host):
        return (BIN + "holdfast-agent", "--state", self.path("agent-" + host.name), "--machine-id",
                self.path("machine-id"))

    # ------------------------------------------------------------ what goes on

    def change(self, h):
        """A quarter of a MiB is new, another is zeros, something moves."""
        at = h.random.randrange(10) * 256 * 1024
        with open(self.path(h.name + ".img"), "r+b") as f:
            f.seek(at)
            f.write(h.random.randbytes(256 * 1024))
            f.seek(h.random.randrange(2800) * 1024)
            f.write(bytes(h.random.randrange(200) * 1024))
            f.seek(at)
            moved = f.read(200 * 1024)
            f.seek(2816 * 1024)
            f.write(moved)

    def backups(self, h):
        """One agent after another, until one is killed or four are done."""
        for _ in range(4):
            self.change(h)
            is_now = sha256(self.path(h.name + ".img"))
            h.tried.add(is_now)
            with open(self.path(h.name + ".err"), "ab") as log:
                p = self.start([*self.agent(h), "backup", "v=" + self.path(h.name + ".img"), "--retry-for", "20s"],
                               stdout=subprocess.PIPE, stderr=log, text=True)
                with h.lock:
                    h.agent = p
                status, out = self.end(p)
                with h.lock:
                    h.agent = None
            if status != 0:
                h.ended_badly += status != -signal.SIGKILL
                return
            said = re.match(r"point (\d+): ", out)
            if said is None:
                raise Failed(f"{h.name}: odd words: {out}")
            h.acknowledged[int(said.group(1))] = is_now

    def collect(self, h):
        """The oldest points are forgotten, and their space given back."""
        old = sorted(set(h.acknowledged) - h.gone)[:-KEPT_MAX // 3][:4]
        command = (BIN + "holdfast", "--operator", self.path("operator"), "--server", self.address)
        for n in old[:1] if len(h.acknowledged) <= KEPT_MAX else old:
            h.leaving.add(n)
            if self.run(*command, "forget", f"{h.name}/{n}", "--reason", "soak")[0] == 0:
                h.gone.add(n)
        self.run(*command, "gc")

    def round(self):
        who, moment = self.random.randrange(4), self.random.uniform(0, 0.6)
        threads = [self.thread(self.backups, h) for h in self.hosts]
        threads.append(self.thread(self.collect, self.random.choice(self.hosts)))
        time.sleep(moment)
        # 0, 1: the server; 2: an agent; 3: both at once.
        if who >= 2:
            h = self.random.choice(self.hosts)
            with h.lock:
                if h.agent is not None and h.agent.poll() is None:
                    h.agent.kill()
                    self.counts["agents"] += 1
        if who != 2:
            self.server_kill()
            self.server_start()
        self.join(threads)
        for h in self.hosts:
            there = self.points(h)
            look = [n for n in there if n not in h.acknowledged]
            if there:
                look += [max(there), self.random.choice(there)]
            for n in sorted(set(look)):
                self.compare(h, n)
        self.counts["rounds"] += 1

    # ------------------------------------------------------------ what must hold

    def points(self, h):
        """All that was acknowledged is there, nothing that was forgotten is."""
        there = sorted(p["sequence"] for p in json.loads(self.operator("points", h.name, "--json")))
        for n in sorted(h.gone & set(there)):
            raise Failed(f"{h.name}/{n} was forgotten, and is back")
        for n in sorted(set(h.acknowledged) - set(there)):
            # Its removal was begun; whether it was heard of or not, it is over.
            if n not in h.leaving:
                raise Failed(f"acknowledged point {h.name}/{n} is lost")
            h.gone.add(n)
            del h.acknowledged[n]
            self.counts["forgotten"] += 1
        return there

    def compare(self, h, n):
        to = self.path("restored")
        self.must(*self.agent(h), "restore", str(n), "--volume", "v", "--to", to, "--force")
        self.counts["restores"] += 1
        is_now = sha256(to)
        if n in h.acknowledged:
            if is_now != h.acknowledged[n]:
                raise Failed(f"{h.name}/{n} is not what was acknowledged")
            return
        if is_now not in h.tried:
            raise Failed(f"{h.name}/{n} is nothing that was ever backed up")
        h.acknowledged[n] = is_now
        self.counts["unheard"] += 1

    def finish(self):
        self.server_kill()
        self.server_start()
        for h in self.hosts:
            for n in self.points(h):
                self.compare(h, n)
                self.counts["points"] += 1
            self.counts["failed"] += h.ended_badly
        self.operator("verify", "--trees")
        self.server.terminate()
        status = self.end(self.server)[0]
        if status != 0:
            raise Failed(f"the server ended with {status}")
        if self.counts["points"] == 0:
            raise Failed("no point was ever made")

    def say(self):
        print("* {rounds} rounds, seed {seed}: the server killed {servers} times ({recovered} with packs open), agents "
              "{agents}; {failed} agents gave up; {points} points, {unheard} of them unheard of, {forgotten} forgotten; "
              "{restores} restores equal".format(seed=SEED, **self.counts), flush=True)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    end = time.monotonic() + 60 * float(sys.argv[1] if len(sys.argv) > 1 else 1)
    work = tempfile.mkdtemp(prefix="kills.", dir=os.environ.get("HOLDFAST_WORK"))
    run, status = Run(work), 1
    try:
        run.init()
        while run.counts["rounds"] < ROUNDS or (ROUNDS == 0 and time.monotonic() < end):
            run.round()
            if run.counts["rounds"] % 50 == 0:
                run.say()
        run.finish()
        run.say()
        status = 0
    except Failed as e:
        print(f"FAILED: {e}", file=sys.stderr)
        run.say()
        with open(run.path("server.log"), errors="replace") as f:
            print("the server's last words:", *f.readlines()[-15:], sep="\n", file=sys.stderr)
    finally:
        run.stop_all()
        if status == 0 or "HOLDFAST_WORK" not in os.environ:
            shutil.rmtree(work, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
