#!/usr/bin/env python3
"""bench.py - measure backup tools on the corpus, peer by peer, in one run.
Usage: WORK=dir [CORPUS=dir PEERS=dir HOSTS=8 DAYS=5 TAG= RESULTS=file] bench.py PEER [PEER..]   (no peer: list them)
WORK receives repositories and results.jsonl; CORPUS comes from make-corpus.sh; PEERS from get-peers.sh (PEERS must lie
beside WORK and CORPUS, under one folder).  Network peers need WORK/tls/{cert,key,both}.pem (any self-signed pair).
Every step is one line: peer step user sys wall rss_mb repo_apparent repo_disk rc [server cpu]."""
import json, os, resource, shutil, subprocess, sys, time, hashlib, glob
W = os.environ["WORK"]; C = os.environ.get("CORPUS", W + "/corpus"); IN = os.environ.get("PEERS", W + "/peers") + "/in"
HERE = os.path.dirname(os.path.abspath(__file__))
TAG = os.environ.get("TAG", "")
REPO = W + "/repo" + TAG; OUT = W + "/restore" + TAG; CA = W + "/cache" + TAG
HOSTS = int(os.environ.get("HOSTS", 8)); DAYS = int(os.environ.get("DAYS", 5))
RES = os.environ.get("RESULTS", W + "/results.jsonl")
TICK = os.sysconf("SC_CLK_TCK")

def img(k): return f"{C}/host-{k:02d}.img"
def day(d): return f"{C}/host-01.day-{d}.img"

def du(path):
    a = b = n = 0
    for d, _, fs in os.walk(path):
        for f in fs:
            s = os.lstat(os.path.join(d, f)); a += s.st_size; b += s.st_blocks * 512; n += 1
    return a, b, n

def pstat(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    hwm = [l for l in open(f"/proc/{pid}/status") if l.startswith("VmHWM")]
    return (sum(map(int, f[11:15])) / TICK, int(hwm[0].split()[1]) / 1024)

def kids(pid):
    out = [pid]
    for p in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            for c in open(p).read().split(): out += kids(int(c))
        except OSError: pass
    return out

class Peer:
    name = "?"; env = {}; server = None; srv = None
    def __init__(self):
        self.env = dict(os.environ, **self.env)
    def run(self, step, cmd, shell=True, quiet=False, repo=True, ok=(0,)):
        s0 = sum(pstat(p)[0] for p in kids(self.srv.pid)) if self.srv else 0
        t = time.time()
        p = subprocess.Popen(["bash", "-c", "set -o pipefail; " + cmd], env=self.env, stdout=open(W + "/bench.out" + TAG, "ab"), stderr=subprocess.STDOUT)
        _, st, ru = os.wait4(p.pid, 0)
        wall = time.time() - t; rc = os.waitstatus_to_exitcode(st)
        r = dict(peer=self.name, step=step, user=round(ru.ru_utime, 2), sys=round(ru.ru_stime, 2), wall=round(wall, 2), rss_mb=round(ru.ru_maxrss / 1024), rc=rc)
        if self.srv:
            x = [pstat(q) for q in kids(self.srv.pid)]
            r["srv_cpu"] = round(sum(a for a, _ in x) - s0, 2); r["srv_rss_mb"] = round(max(b for _, b in x))
        if repo:
            a, b, n = du(REPO); r.update(repo=a, disk=b, files=n)
        if not quiet:
            with open(RES, "a") as f: f.write(json.dumps(r) + "\n")
            print(f"{self.name:22s} {step:10s} cpu {r['user']+r['sys']:7.2f}+{r.get('srv_cpu',0):6.2f} wall {wall:7.2f} rss {r['rss_mb']:5d} repo {r.get('repo',0)/1e6:9.1f} files {r.get('files',0)} rc {rc}", flush=True)
        if rc not in ok: print("  FAILED:", cmd, flush=True)
        return r
    def cmp(self, path, want):
        rc = subprocess.run(["cmp", "-s", path, want]).returncode
        r = dict(peer=self.name, step="verify", ok=rc == 0)
        with open(RES, "a") as f: f.write(json.dumps(r) + "\n")
        print("   restore identical:", rc == 0, flush=True)
    def start(self): pass
    def stop(self): pass
    def bench(self):
        for d in (REPO, OUT): shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
        print(f"== {self.name}  load {os.getloadavg()}", flush=True)
        # calibration: one-thread zstd -3 of host-01, next to each peer
        self.run("calib", f"zstd -3 --single-thread -q -c {img(1)} > /dev/null", repo=False)
        self.start()
        try:
            self.init()
            self.run("full1", self.backup("h01", img(1)))
            for k in range(2, HOSTS + 1): self.run(f"full{k}", self.backup(f"h{k:02d}", img(k)))
            for d in range(1, DAYS + 1): self.run(f"inc{d}", self.backup(f"h01-d{d}", day(d)))
            if os.environ.get("STOP") == "inc": return
            self.run("restore", self.restore(f"h01-d{DAYS}", day(DAYS)), repo=False)
            self.cmp(self.out(day(DAYS)), day(DAYS)); shutil.rmtree(OUT); os.makedirs(OUT)
            self.run("check", self.check())
        finally:
            self.stop()
            shutil.rmtree(REPO, ignore_errors=True); shutil.rmtree(OUT, ignore_errors=True)
    def out(self, src): return OUT + "/out.img"

class Restic(Peer):
    name = "restic-0.19"; env = dict(RESTIC_PASSWORD="x", RESTIC_CACHE_DIR=CA + "-restic", RESTIC_REPOSITORY=REPO, RESTIC_PROGRESS_FPS="0.1")
    opt = "--compression auto --pack-size 64"; bin = IN + " restic"
    def init(self):
        shutil.rmtree(CA + "-restic", ignore_errors=True)
        self.run("init", f"{self.bin} init", quiet=True)
    def backup(self, n, p): return f"{self.bin} backup -q --no-scan {self.opt} --host {n} --tag {n} {p}"
    def restore(self, n, src): return f"{self.bin} restore -q --sparse --host {n} latest --target {OUT}"
    def out(self, src): return OUT + src
    def check(self): return f"{self.bin} check -q --read-data"

class ResticTls(Restic):
    name = "restic-0.19-tls"
    env = dict(Restic.env, RESTIC_REPOSITORY="rest:https://127.0.0.1:18443/", RESTIC_CACERT=W + "/tls/cert.pem")
    def start(self):
        self.srv = subprocess.Popen([IN, "restic-rest-server", "--path", REPO, "--no-auth", "--tls", "--tls-cert", W + "/tls/cert.pem", "--tls-key", W + "/tls/key.pem", "--listen", "127.0.0.1:18443", "--tls-min-ver", "1.3"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
    def stop(self): self.srv.terminate(); self.srv.wait(); self.srv = None

class Borg(Peer):
    name = "borg-1.4-buzhash"; chunker = "buzhash,19,23,21,4095"
    env = dict(BORG_BASE_DIR=CA + "-borg", BORG_REPO=REPO + "/r", BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes", BORG_RELOCATED_REPO_ACCESS_IS_OK="yes", BORG_PASSPHRASE="x")
    bin = IN + " borg"; remote = ""
    def init(self):
        shutil.rmtree(CA + "-borg", ignore_errors=True); os.makedirs(CA + "-borg")
        self.run("init", f"{self.bin} init --encryption none", quiet=True)
    def backup(self, n, p): return f"{self.bin} create --files-cache disabled --compression zstd,3 --chunker-params {self.chunker} ::{n} {p}"
    def restore(self, n, src): return f"cd {OUT} && {self.bin_abs()} extract --sparse --stdout ::{n} > {OUT}/out.img"
    def bin_abs(self): return self.bin
    def check(self): return f"{self.bin} check --verify-data"

class BorgFixed(Borg): name = "borg-1.4-fixed4M"; chunker = "fixed,4194304"
class BorgFixed64(Borg): name = "borg-1.4-fixed64K"; chunker = "fixed,65536"
class BorgSmall(Borg): name = "borg-1.4-buz128K"; chunker = "buzhash,14,20,17,4095"

class Borg2(Borg):
    name = "borg2-b25-fastcdc"; bin = IN + " borg2"; params = "fastcdc,19,23,21,2"
    env = dict(Borg.env, BORG_REPO=REPO + "/r", BORG_BASE_DIR=CA + "-borg2")
    def init(self):
        shutil.rmtree(CA + "-borg2", ignore_errors=True); os.makedirs(CA + "-borg2")
        self.run("init", f"{self.bin} repo-create -e authenticated-blake3 -C zstd,3 --chunker-params {self.params}", quiet=True)
    def backup(self, n, p): return f"{self.bin} create --files-cache disabled {n} {p}"
    def restore(self, n, src): return f"cd {OUT} && {self.bin} extract --sparse --stdout {n} > {OUT}/out.img"
class Borg2Small(Borg2): name = "borg2-b25-cdc128K"; params = "fastcdc,14,20,17,2"

class Borg2Map(Borg2):
    """borg2 --map: free clusters and page files 'zero'; days: unchanged 64 KiB blocks 'same' (CBT known for free)."""
    name = "borg2-map-fixed4M"; params = "fixed,4194304"
    def backup(self, n, p):
        m = f"{REPO}/map.{n}"
        if "-d" in n:
            d = int(n.rsplit("-d", 1)[1]); ref = "h01" if d == 1 else f"h01-d{d-1}"
            return f"python3 {HERE}/ntfsmap.py map {p} --changed {C}/host-01.day-{d}.changed64k --old {img(1) if d == 1 else day(d-1)} > {m} && {self.bin} create --files-cache disabled --map {m} --reuse-from {ref} {n} {p}; rc=$?; rm -f {m}; exit $rc"
        return f"python3 {HERE}/ntfsmap.py map {p} > {m} && {self.bin} create --files-cache disabled --map {m} {n} {p}; rc=$?; rm -f {m}; exit $rc"
    def cmp(self, path, want): print("   ntfsresize rc", subprocess.run(["ntfsresize", "-fi", path], stdout=subprocess.DEVNULL).returncode)
class Borg2Map128(Borg2Map): name = "borg2-map-cdc128K"; params = "fastcdc,14,20,17,2"

class Desync(Peer):
    name = "desync-1.0.4"; bin = IN + " desync"
    def init(self): os.makedirs(REPO + "/store", exist_ok=True)
    def backup(self, n, p): return f"{self.bin} --digest sha256 make -n 2 -s {REPO}/store {REPO}/{n}.caibx {p}"
    def restore(self, n, src): return f"{self.bin} --digest sha256 extract -n 2 -s {REPO}/store {REPO}/{n}.caibx {OUT}/out.img"
    def check(self): return f"{self.bin} --digest sha256 verify -n 2 -s {REPO}/store"

class Holdfast(Peer):
    """holdfastd on loopback, one agent a host; TLS and fsync included.  The days by full compare, without a change list."""
    name = "holdfast"
    def start(self):
        b = os.environ["HOLDFAST_BIN"]; self.b = b; st = REPO + "/store"; self.states = W + "/agents" + TAG
        shutil.rmtree(self.states, ignore_errors=True); os.makedirs(self.states)
        subprocess.run([b + "/holdfast", "init", st, "--name", "server", "--operator-dir", self.states + "/op"], check=True, stdout=subprocess.DEVNULL)
        ready, conf = self.states + "/ready", self.states + "/conf"
        open(conf, "w").write(f"store = {st}\nlisten = 127.0.0.1:0\nready-file = {ready}\n")
        self.srv = subprocess.Popen([b + "/holdfastd", "--config", conf], stderr=open(W + "/holdfastd.log" + TAG, "ab"))
        for _ in range(1200):
            if os.path.exists(ready) and open(ready).read().strip(): break
            time.sleep(0.05)
        self.op = f"{b}/holdfast --operator {self.states}/op --server {open(ready).read().strip()}"
    def stop(self): self.srv.terminate(); self.srv.wait(); self.srv = None; shutil.rmtree(self.states, ignore_errors=True)
    def host(self, n): return n.split("-")[0]
    def agent(self, n): return f"{self.b}/holdfast-agent --state {self.states}/{self.host(n)}"
    def init(self):
        for k in range(1, HOSTS + 1):
            h = f"h{k:02d}"; t = subprocess.run(self.op + " enroll-token", shell=True, check=True, capture_output=True, text=True).stdout.strip()
            subprocess.run(f"{self.agent(h)} enroll {t} --name {h}", shell=True, check=True, stdout=subprocess.DEVNULL)
    def backup(self, n, p): return f"{self.agent(n)} backup vol={p} --quiet"
    def restore(self, n, src): return f"{self.agent(n)} restore latest --volume vol --to {OUT}/out.img"
    def check(self): return f"{self.op} verify --trees"
    def cmp(self, path, want):
        x = [subprocess.run(f"ntfsclone --save-image -q -o - {p} 2>/dev/null | sha256sum", shell=True, capture_output=True, text=True).stdout for p in (path, want)]
        rc = subprocess.run(["ntfsresize", "-fi", path], stdout=subprocess.DEVNULL).returncode
        print("   used clusters identical (page files aside they must be):", x[0] == x[1], " ntfsresize rc", rc)

PEERS = {c.name: c for c in (Holdfast, Restic, ResticTls, Borg, BorgFixed, BorgFixed64, BorgSmall, Borg2, Borg2Small, Borg2Map, Borg2Map128, Desync)}
if __name__ == "__main__":
    if len(sys.argv) < 2: print("\n".join(PEERS))
    for n in sys.argv[1:]: PEERS[n]().bench()
