"""holdfast.py - Holdfast as a tool among the others, and what is measured of it alone.

holdfastd on loopback, one agent a host; TLS and fsync included.  Days are found by
full compare: the agent gets no list of changes.
"""
import json
import os
import shutil
import subprocess
import time

from corpus import State, apply_delta, used_sum
from measure import Failed, Peak, Server, machine_cpu, stored, warm, written
from peers import Tool

# What a server may have resident: this, and so much a chunk and a session.
SERVER_MIB, SERVER_CHUNK_BYTES, SERVER_SESSION_MIB = 64, 20, 1


class Holdfast(Tool):
    name, stock, every_byte = "holdfast", False, False

    def __init__(self, place, corpus, programs, sessions=1):
        super().__init__(place, corpus, None)
        self.programs, self.sessions = programs, sessions
        self.answer = self.folder + "/answer"
        self.hosts = set()

    def init(self):
        operator, ready, conf = (f"{self.folder}/{n}" for n in ("operator", "ready", "holdfastd.conf"))
        subprocess.run([self.programs + "/holdfast", "init", self.repo, "--name", "server", "--operator-dir", operator],
                       check=True, stdout=subprocess.DEVNULL)
        with open(conf, "w") as f:
            f.write(f"store = {self.repo}\nlisten = 127.0.0.1:0\nready-file = {ready}\nreserve = 0\ngc-every = 0\nverify-cycle = 0\nprune-at = off\n")
        with open(self.folder + "/machine-id", "w") as f:
            f.write("0123456789abcdef0123456789abcdef\n")
        self.server = Server([self.programs + "/holdfastd", "--config", conf], self.log)
        end = time.monotonic() + 60
        while not (os.path.exists(ready) and os.path.getsize(ready)):
            if time.monotonic() > end or not self.server.alive():
                raise Failed(f"holdfastd did not start, see {self.log}")
            time.sleep(0.02)
        with open(ready) as f:
            self.operator = f"{self.programs}/holdfast --operator {operator} --server {f.read().strip()}"
        for s in self.corpus.hosts:
            self.enrol(f"h{s.host:02d}")

    def agent(self, host):
        return f"{self.programs}/holdfast-agent --state {self.folder}/{host} --machine-id {self.folder}/machine-id"

    def enrol(self, host):
        token = subprocess.run(self.operator + " enroll-token", shell=True, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(f"{self.agent(host)} enroll {token} --name {host}", shell=True, check=True, stdout=subprocess.DEVNULL)

    def backup_image(self, host, image):
        return f"{self.agent(host)} --json backup vol={image} --profile"

    def backup(self, s):
        return f"{self.backup_image(f'h{s.host:02d}', self.corpus.image(s))} > {self.answer}"

    def restore(self, s):
        return f"{self.agent(f'h{s.host:02d}')} --quiet restore latest --volume vol --to {self.out}"

    def check(self):
        return f"{self.operator} verify --trees"

    def said(self):
        return said(self.answer, "committed")

    def says_version(self):
        """The commit, or on a machine without git just the name."""
        try:
            p = subprocess.run(["git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "holdfast"
        return "holdfast " + p.stdout.strip()

    def memory(self):
        """The server's peak beside what it may have, in MiB."""
        p = subprocess.run(self.operator + " stats --json", shell=True, check=True, capture_output=True, text=True)
        chunks = json.loads(p.stdout)["chunks"]
        limit = SERVER_MIB + chunks * SERVER_CHUNK_BYTES / (1 << 20) + self.sessions * SERVER_SESSION_MIB
        return dict(server_rss_mib=self.server.peak_mib(), server_limit_mib=limit, chunks=chunks)


def said(path, event):
    """What the agent said of the point it made or restored: bytes read, sent, on the wire ..."""
    with open(path) as f:
        for line in f:
            what = json.loads(line)
            if what.get("event") == event:
                return what
    raise Failed(f"no word of '{event}' in {path}")


# ------------------------------------------------------------ several agents

def first_night(tool, states):
    """All these hosts back up at once; wall time, bytes read, CPU and the agents' memory."""
    for s in states:
        warm(tool.corpus.image(s))
    written()
    cpu, began = machine_cpu(), time.monotonic()
    served = tool.server.cpu()
    agents = []
    for s in states:
        answer = f"{tool.folder}/{s.name}.answer"
        with open(answer, "w") as f, open(tool.log, "ab") as log:
            argv = tool.backup_image(s.name, tool.corpus.image(s)).split()
            agents.append((subprocess.Popen(argv, stdout=f, stderr=log), answer))
    peak, own, most = Peak([p.pid for p, _ in agents]), 0, 0
    for p, _ in agents:
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        own += used.ru_utime + used.ru_stime
        most = max(most, used.ru_maxrss)
    wall = time.monotonic() - began
    own += tool.server.cpu() - served
    if bad := [p.args for p, _ in agents if p.returncode != 0]:
        raise Failed(f"agents failed, see {tool.log}: {bad}")
    read = sum(said(a, "committed")["read_bytes"] for _, a in agents)
    return dict(wall=round(wall, 3), read=read, cpu=round(own, 3), rss_mib=peak.mib(most),
                others=round(max(0, machine_cpu() - cpu - own) / wall, 2), **tool.memory())


def agents_at_once(place, corpus, programs, count, record):
    """The first night of `count` like hosts in a fresh store: one alone, the rest after it, and all at once."""
    states = corpus.hosts[:count]
    for name, nights in (("one", [states[:1], *([s] for s in states[1:])]), ("at-once", [states])):
        tool = Holdfast(place + "/agents", corpus, programs, sessions=count)
        try:
            tool.begin()
            for night in nights:
                record("agents-" + name, tool, first_night(tool, night))
                name = "after"
        finally:
            tool.end()


# -------------------------------------------------------------------- churn

def churn(place, corpus, programs, points, rounds, record):
    """A point of each successive state of one volume; then the oldest against the newest."""
    tool = Holdfast(place + "/churn", corpus, programs)
    image, oldest = place + "/churn.img", State(1, 0)
    deltas = corpus.churn()[:points - 1]
    subprocess.run(["cp", "--sparse=always", corpus.image(oldest), image], check=True)
    try:
        tool.begin()
        for n, delta in enumerate([None, *deltas], 1):
            if delta:
                apply_delta(image, delta)
            r = tool.step(f"{tool.backup_image('h01', image)} > {tool.answer}")
            record("churn-backup", tool, dict(r, point=n, repo=stored(tool.repo), **tool.said()))
        want = {1: corpus.used_sum(corpus.image(oldest), image + ".masked"), points: used_sum(image)}
        for r in range(rounds):
            for n in (1, points) if r % 2 == 0 else (points, 1):
                got = tool.step(f"{tool.agent('h01')} --json restore {n} --volume vol --to {tool.out} > {tool.answer}")
                received = said(tool.answer, "restored")["received_bytes"]
                record("churn-restore", tool, dict(got, point=n, round=r, received_mb=round(received / 1e6, 3)))
                if r == 0 and used_sum(tool.out) != want[n]:
                    raise Failed(f"point {n} after churn came back different")
                os.remove(tool.out)
        record("churn-check", tool, dict(tool.step(tool.check()), **tool.memory()))
    finally:
        tool.end()
        for path in (image, image + ".masked"):
            if os.path.exists(path):
                os.remove(path)
        shutil.rmtree(place + "/churn", ignore_errors=True)


# ---------------------------------------------------------------------- TLS

def tls(programs, megabytes, record):
    """MB/s of one core, each end: our mbedTLS and an unmodified one, each with the suite that is fastest there."""
    for name in ("tls_raw_bench", "tls_raw_plain_bench"):
        p = subprocess.run([f"{os.path.dirname(programs)}/bench/{name}", str(megabytes)], check=True, capture_output=True, text=True)
        rates = [[float(x) for x in line.split("(")[1].split(" MB/s")[0].split(",")] for line in p.stdout.splitlines()]
        record(name, None, dict(send=max(r[0] for r in rates), receive=max(r[1] for r in rates)))
