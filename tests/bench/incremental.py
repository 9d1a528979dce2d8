#!/usr/bin/env python3
"""incremental.py - what an incremental costs that is told what changed: rows that are judged.

  incremental.py [tracked] [listed] [days]	the first and the last without one

tracked: an NTFS of SIZE GiB, sparse, with CONTENT MiB of files.  Two agents with a store
each freeze it by the driver (the simulator, over its socket): one has tracking switched off
and reads all of it, one is told what was written.  In ROUNDS rounds a hundredth of the content changes (in
place, appended, new, deleted; through the driver, over nbdfuse), and both back up in turning
order.  What changed is what differs, in blocks of 64 KiB as the driver tracks them.  Judged are the
bytes read, those of the file system's tables too, without the slice that is proven and with it; wall
time; told is what is written of trees: by the server, and by the agent in its own files.
listed: the same by a list of these blocks (--changed-from), without the driver.
days: the corpus' days (make-corpus.sh), Holdfast with the list of changed blocks beside
borg2 with the same list and our map.

One line a row, build/bench/incremental-PART.json, exit 1 if a must is missed.  Environment:
PROGRAMS (bin), WORK, RESULTS, ROUNDS (5), SIZE (20), CONTENT (6144); for the days CORPUS, PEERS, DAYS (3).
"""
import contextlib
import glob
import hashlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

os.environ.setdefault("ROUNDS", "5")
GIB = int(os.environ.get("SIZE", "20"))
os.environ["SIZE"] = "1"        # maintenance.py's own
import maintenance
from maintenance import PROGRAMS, ROUNDS, WORK, run
from measure import written
from rows import MAP, OURS, row

CONTENT = int(os.environ.get("CONTENT", "6144")) << 20
BLOCK = 65536           # What the driver tracks (driver/core/TRACKING.md).
MIB = 1 << 20


# ------------------------------------------------------------------- the volume

@contextlib.contextmanager
def mounted(image):
    at = WORK + "/mnt"
    os.makedirs(at, exist_ok=True)
    run(["ntfs-3g", "-o", "rw,noatime,big_writes", image, at])
    try:
        yield at
    finally:
        run(["umount", at])
        # The FUSE daemon writes on after the unmount.
        while subprocess.run(["fuser", "-s", image], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            time.sleep(0.05)


class Content:
    """Bytes that occur nowhere else: noise, or lines of text with a number now and then."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.lines = b"".join(b"%08x the same old words in another order, %d of them\n" % (self.r.getrandbits(32), self.r.getrandbits(20))
                              for _ in range(1 << 16))

    def make(self, size, noise):
        if noise:
            return self.r.randbytes(size)
        parts = []
        for at in range(0, size, 4096):
            n = min(4096, size - at)
            begin = self.r.randrange(len(self.lines) - 4096)
            parts.append((b"%016x" % self.r.getrandbits(64) + self.lines[begin:begin + 4080])[:n])
        return b"".join(parts)

    def size(self):
        """Of a file: many small ones, most bytes in large ones."""
        x = self.r.random()
        if x < 0.70:
            return self.r.randrange(500, 60000)
        if x < 0.95:
            return self.r.randrange(60000, 4 << 20)
        return self.r.randrange(4 << 20, 64 << 20)

    def write(self, path):
        size, noise = self.size(), self.r.random() < 0.33
        with open(path, "wb", buffering=0) as f:
            for at in range(0, size, 4 << 20):
                f.write(self.make(min(4 << 20, size - at), noise))
        return size


def fill(at, content):
    done = n = 0
    while done < CONTENT:
        if n % 500 == 0:
            os.makedirs(f"{at}/{n // 500}")
        done += content.write(f"{at}/{n // 500}/{n}")
        n += 1


def change(at, content, number):
    """A hundredth of the content: 40 % written in place, 20 % appended, 25 % new, 15 % deleted."""
    r, part = content.r, CONTENT // 100
    files = sorted(f"{d}/{n}" for d, _, names in os.walk(at) for n in names)
    sizes = {f: os.path.getsize(f) for f in files}
    r.shuffle(files)
    done = 0
    for path in (f for f in files if sizes[f] > 1 << 20):
        if done >= part * 40 // 100:
            break
        with open(path, "r+b", buffering=0) as f:
            for _ in range(3):
                n = min(4096 * r.choice((1, 4, 16, 64, 256)), sizes[path] // 2)
                f.seek(r.randrange(sizes[path] - n) & ~4095)
                f.write(content.make(n, False))
                done += n
    done = 0
    for path in files[::7]:
        if done >= part * 20 // 100:
            break
        n = r.randrange(1000, 2 << 20)
        with open(path, "ab", buffering=0) as f:
            f.write(content.make(n, False))
        done += n
    done, n = 0, 0
    os.makedirs(f"{at}/new-{number}")
    while done < part * 25 // 100:
        done += content.write(f"{at}/new-{number}/{n}")
        n += 1
    done = 0
    for path in files[1::7]:
        if done >= part * 15 // 100:
            break
        if sizes[path] < part // 4:
            done += sizes[path]
            os.unlink(path)


class Blocks:
    """Which blocks differ from the last look: a hash of each that the image has, no second image."""

    def __init__(self, image):
        self.image, self.hashes = image, {}
        self.look()

    def look(self):
        now, changed = {}, []
        with open(self.image, "rb", buffering=0) as f:
            at, size = 0, os.path.getsize(self.image)
            while at < size:
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA) // BLOCK * BLOCK
                except OSError:         # Nothing but holes.
                    break
                end = (os.lseek(f.fileno(), at, os.SEEK_HOLE) + BLOCK - 1) // BLOCK * BLOCK
                f.seek(at)
                for at in range(at, end, BLOCK):
                    now[at] = hashlib.sha1(f.read(BLOCK)).digest()
                at += BLOCK
        for at in sorted(now.keys() | self.hashes.keys()):
            if now.get(at) != self.hashes.get(at):
                changed.append(at)
        self.hashes = now
        return changed


def write_list(path, blocks, size):
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{at} {min(BLOCK, size - at)}\n" for at in blocks)


# --------------------------------------------------------------------- the agents

class Store(maintenance.Store):
    """One store and one agent, which is told what changed or is not."""

    def __init__(self, name, conf):
        maintenance.WORK = self.work = f"{WORK}/{name}"
        super().__init__()
        self.name = name
        self.start("gc-every = 0\nverify-cycle = 0\nprune-at = off\n")
        maintenance.WORK = self.work
        run(self.of("enroll", self.operator("enroll-token").strip(), "--name", name))
        with open(f"{self.work}/{name}/agent.conf", "w", encoding="ascii") as f:
            f.write("[agent]\n" + conf)

    def of(self, *words):
        maintenance.WORK = self.work
        return self.agent(self.name, *words)

    def trees(self):
        """Bytes of packs that hold trees."""
        total = 0
        for path in glob.glob(self.repo + "/packs/*"):
            with open(path, "rb") as f:
                if f.read(7)[6:7] == b"\x02":
                    total += os.path.getsize(path)
        return total

    def backup(self, *words):
        written()
        trees, served = self.trees(), self.server.cpu()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        p = subprocess.run(self.of("--json", "--quiet", "backup", *words), check=True, capture_output=True, text=True)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        said = json.loads(p.stdout.splitlines()[-1])
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return dict(said, agent_cpu=own, cpu=own + self.server.settle() - served, wall=wall, trees=self.trees() - trees,
                    local=(after.ru_oublock - before.ru_oublock) * 512)


class Listed:
    """Changes go into the image, and the agent is given a list of them."""
    conf = "fast-proof = 1\n"

    def __init__(self, image):
        self.image = self.disk = image
        self.list = WORK + "/list"
        write_list(self.list, [], 0)
        self.whole = "", (f"c={image}",)  # agent.conf and words of who compares all

    def words(self, blocks):
        write_list(self.list, blocks, GIB << 30)
        return (f"c={self.image}", "--changed-from", self.list)

    def stop(self):
        pass


class Tracked:
    """They go through the driver, which knows them."""
    conf = "track-proof = 1\n"

    def __init__(self, image):
        self.control, nbd, fuse = (f"{WORK}/{n}" for n in ("control", "nbd", "fuse"))
        self.disk = fuse + "/disk"
        os.makedirs(fuse, exist_ok=True)
        self.started = []
        # Frozen and read the same way: what differs is the list.
        self.whole = "tracking = off\n", self.words(None)
        # Its number is there when it listens; the socket is there a moment before.
        self.start(["nbdkit", "-f", "--exit-with-parent", "-P", nbd + ".pid", "-U", nbd, PROGRAMS + "/holdfast-hotcopy-plugin.so", f"disk=c:{image}",
                    f"control={self.control}"], nbd + ".pid")
        self.start(["nbdfuse", self.disk, f"nbd+unix:///c?socket={nbd}"], self.disk)

    def start(self, command, until):
        self.started.append(subprocess.Popen(command))
        end = time.monotonic() + 60
        while not os.path.exists(until):
            if time.monotonic() > end or self.started[-1].poll() is not None:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.05)

    def words(self, _):
        return (f"c=hotcopy:{self.control}:c",)

    def stop(self):
        subprocess.run(["umount", os.path.dirname(self.disk)], check=False)
        for p in self.started[::-1]:
            p.terminate()
            p.wait(60)


def make_volume(image, content):
    with open(image, "wb") as f:
        f.truncate(GIB << 30)
    run(["mkntfs", "-q", "-Q", "-F", "-s", "512", "-p", "0", "-H", "255", "-S", "63", image])
    with mounted(image) as at:
        fill(at, content)


def measure_volume(Way):
    os.makedirs(WORK, exist_ok=True)
    image, content = WORK + "/c.img", Content(1)
    stores, steps, way = {}, {"whole": [], "told": []}, None
    try:
        make_volume(image, content)
        blocks, way = Blocks(image), Way(image)
        print(f"a volume of {GIB} GiB with {len(blocks.hashes) * BLOCK >> 20} MiB in blocks", file=sys.stderr)
        for name, conf, words in (("whole", *way.whole), ("told", way.conf, way.words([]))):
            stores[name] = Store(name, conf)
            print(f"{name}, first: {stores[name].backup(*words)['wall']:.1f} s", file=sys.stderr)
        for n in range(ROUNDS):
            with mounted(way.disk) as at:
                change(at, content, n)
            changed = blocks.look()
            words = dict(whole=way.whole[1], told=way.words(changed))
            for name in ("whole", "told") if n % 2 else ("told", "whole"):
                steps[name].append(dict(stores[name].backup(*words[name]), changed=len(changed) * BLOCK))
                print(f"round {n + 1} of {ROUNDS}, {name}: " + json.dumps(steps[name][-1]), file=sys.stderr)
    finally:
        if way:
            way.stop()
        for s in stores.values():
            s.stop()
            shutil.rmtree(s.work, ignore_errors=True)
        if os.path.exists(image):
            os.remove(image)
    return steps


def volume_rows(name, steps):
    told, whole = steps["told"], steps["whole"]

    def median(f):
        return statistics.median(f(t, w) for t, w in zip(told, whole))

    if not all(t["kept_bytes"] for t in told):
        raise SystemExit("nothing was kept: the list was not used")
    load = f"load {os.getloadavg()[0]:.1f}"
    changed = median(lambda t, w: t["changed"]) / MIB

    def read(t):
        return t["read_bytes"] + t["map_bytes"]

    yield row(f"{name}, 1 % changed: read, tables too, no slice", "MiB", median(lambda t, w: (read(t) - t["proven_bytes"]) / t["changed"]) * changed, changed,
              "changed", 1.5, note=f"of these {median(lambda t, w: t['map_bytes']) / MIB:.1f} of tables; a full compare reads "
              f"{median(lambda t, w: read(w)) / MIB:.0f}")
    yield row(f"{name}, 1 % changed: read, tables too, with a slice of 1 %", "MiB", median(lambda t, w: read(t)) / MIB,
              median(lambda t, w: 1.5 * t["changed"] + t["proven_bytes"]) / MIB, "1.5 x changed and the slice", 1.0,
              note=f"the slice: {median(lambda t, w: t['proven_bytes']) / MIB:.1f} MiB")
    ratio = median(lambda t, w: w["wall"] / t["wall"])
    yield row(f"{name}, 1 % changed: wall of a full compare beside it", "s", median(lambda t, w: w["wall"]), median(lambda t, w: w["wall"]) / ratio,
              "told what changed", 10, more_is_better=True, note=load)
    yield row(f"{name}, 1 % changed: CPU, the server's too", "s", median(lambda t, w: t["cpu"]), median(lambda t, w: w["cpu"]), "a full compare", None,
              note=f"the agent's own: {median(lambda t, w: t['agent_cpu']):.2f} and {median(lambda t, w: w['agent_cpu']):.2f}")
    yield row(f"{name}, 1 % changed: trees in the store, a changed MiB", "KiB", median(lambda t, w: t["trees"] / t["changed"]) * 1024,
              median(lambda t, w: w["trees"] / w["changed"]) * 1024, "a full compare", None, note=f"in all {median(lambda t, w: t['trees']) / MIB:.2f} MiB")
    yield row(f"{name}, 1 % changed: the agent's own files, a changed MiB", "KiB", median(lambda t, w: t["local"] / t["changed"]) * 1024,
              median(lambda t, w: w["local"] / w["changed"]) * 1024, "a full compare", None, note=f"in all {median(lambda t, w: t['local']) / MIB:.2f} MiB")


# ----------------------------------------------------------------------- the days

def measure_days():
    import holdfast
    import peers
    from corpus import Corpus
    from measure import stored, warm

    class Told(holdfast.Holdfast):
        """An agent that is given each day's list."""

        def backup(self, s):
            if not s.day:
                return super().backup(s).replace(" --profile", " --profile --changed-from /dev/null")
            path = f"{self.folder}/{s.name}.list"
            with open(self.corpus.changed(s), encoding="ascii") as f:
                write_list(path, [int(line) * BLOCK for line in f], self.corpus.volume_bytes)
            return super().backup(s).replace(" --profile", f" --profile --changed-from {path}")

        def enrol(self, host):
            super().enrol(host)
            with open(f"{self.folder}/{host}/agent.conf", "w", encoding="ascii") as f:
                f.write("[agent]\nfast-proof = 1\n")

    corpus = Corpus(os.environ["CORPUS"], 1, int(os.environ.get("DAYS", "3")), WORK + "/remembered.json")
    tools = [Told(WORK, corpus, PROGRAMS), peers.Borg2Map(WORK, corpus, os.environ["PEERS"])]
    steps = {t.name: [] for t in tools}
    for n in range(ROUNDS):
        try:
            for t in tools:
                t.begin()
            for k, state in enumerate(corpus.hosts + corpus.days):
                warm(corpus.image(state))
                for t in tools if (n + k) % 2 else tools[::-1]:
                    grown = stored(t.repo)
                    mapped = t.step(t.before(state)) if t.before(state) else dict(cpu=0)
                    got = t.step(t.backup(state))
                    if state.day:
                        steps[t.name].append(dict(got, map_cpu=mapped["cpu"], day=state.day, round=n, grown=stored(t.repo) - grown, **t.said()))
        finally:
            for t in tools:
                t.end()
        print(f"days, round {n + 1} of {ROUNDS}", file=sys.stderr)
    return steps


def days_rows(steps):
    ours, peer = steps[OURS], steps[MAP]

    def of(those, key):
        """The median over the rounds of a day's mean."""
        return statistics.median(statistics.mean(s[key] for s in those if s["round"] == n) for n in {s["round"] for s in those})

    for s in peer:
        s["whole_cpu"] = s["cpu"] + s["map_cpu"]
    yield row("a day by its list of changes, CPU", "s", of(ours, "cpu"), of(peer, "whole_cpu"), MAP, 0.15,
              note=f"its map: {of(peer, 'map_cpu'):.2f} s; our server's part: {of(ours, 'server_cpu'):.2f} s; read {of(ours, 'read_bytes') / MIB:.1f} MiB")
    yield row("a day by its list of changes, stored", "MB", of(ours, "grown") / 1e6, of(peer, "grown") / 1e6, MAP, 0.5)


def main():
    parts = {"tracked": (lambda: measure_volume(Tracked), lambda s: volume_rows("tracked", s)), "days": (measure_days, days_rows),
             "listed": (lambda: measure_volume(Listed), lambda s: volume_rows("listed", s))}
    table, steps = [], {}
    os.makedirs(WORK, exist_ok=True)
    for name in sys.argv[1:] or ("tracked", "days"):
        steps[name] = parts[name][0]()
        table += parts[name][1](steps[name])
    os.makedirs(RESULTS := os.environ["RESULTS"], exist_ok=True)
    with open(f"{RESULTS}/incremental-{'-'.join(steps)}.json", "w", encoding="ascii") as f:
        json.dump(dict(rounds=ROUNDS, gib=GIB, content=CONTENT, rows=table, steps=steps), f, indent=1)
    for r in table:
        print(f"{'told' if r['must'] is None else 'ok  ' if r['ok'] else 'MISS'} {r['name']}: {r['ours']:g} {r['unit']} of {r['peer']:g} ({r['peer_name']}), "
              f"{r['ratio']:.3f}, {r['bound']} {r['must']}{'; ' + r['note'] if r['note'] else ''}")
    sys.exit(any(r["ok"] is not True and r["must"] is not None for r in table))


if __name__ == "__main__":
    main()
