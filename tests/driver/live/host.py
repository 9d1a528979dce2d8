"""host.py - a machine that is backed up: disks under the simulated driver, a server, an agent that freezes by the driver.

A backup is watched: the server stands still until the frozen image was read beside the
agent (frozen.py), so each point can be held against the very image that it was made of.
"""
import json
import os
import signal
import subprocess

import frozen
from stack import PATIENCE, Stack, await_, run

CHUNK = 1 << 18  # HOTCOPY_CHUNK_SHIFT_MAX


class Point:
    """One that the agent was told of, or that `holdfast points` has."""

    def __init__(self, said, what, images):
        self.sequence, self.said, self.what, self.images = what["sequence"], said, what, images
        self.note = what["note"]
        self.kept = said["kept_bytes"] if said else None


class Failed(AssertionError):
    """A backup that ended badly: its words."""


class Host(Stack):
    """`server_of`: another one, whose server this one's agents use."""

    def __init__(self, work, build, name="pc", server_of=None):
        super().__init__(work, build)
        self.chief = server_of or self
        self.bin, self.name = build + "/bin/", name
        self.server, self.port, self.address = None, 0, None
        self.known_set = 1
        self.environment = {}  # of agents
        self.own = {}  # volume: extents that no image has
        self.processes = []
        with open(f"{work}/machine-id", "w", encoding="ascii") as f:
            f.write("0123456789abcdef0123456789abcdef\n")

    # ---------------------------------------------------------------- the server

    def init(self):
        run(self.bin + "holdfast", "init", f"{self.work}/store", "--name", "server", "--operator-dir", f"{self.work}/operator")
        self.server_start()

    def server_start(self, **environment):
        ready, conf = f"{self.work}/ready", f"{self.work}/holdfastd.conf"
        if os.path.exists(ready):
            os.unlink(ready)
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"store = {self.work}/store\nlisten = 127.0.0.1:{self.port}\nready-file = {ready}\n")
        with open(f"{self.work}/server.log", "ab") as log:
            self.server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", self.bin + "holdfastd", "--config", conf], stderr=log,
                                           env={**os.environ, **environment})
        await_(lambda: self.server.poll() is not None or (os.path.exists(ready) and os.path.getsize(ready) > 0), PATIENCE)
        assert self.server.poll() is None, "the server has ended"
        with open(ready, encoding="ascii") as f:
            self.address = f.read().strip()
        self.port = int(self.address.rsplit(":", 1)[1])  # Agents find it again.

    def server_stop(self, how=signal.SIGTERM):
        self.server.send_signal(how)
        status = self.server.wait(PATIENCE)
        assert how == signal.SIGKILL or status == 0, f"the server ended with {status}"
        self.server = None

    def operator(self, *args):
        c = self.chief
        return run(c.bin + "holdfast", "--operator", f"{c.work}/operator", "--server", c.address, *args)

    # ----------------------------------------------------------------- the agent

    def agent(self, *args, state="agent"):
        return [self.bin + "holdfast-agent", "--state", f"{self.work}/{state}", "--machine-id", f"{self.work}/machine-id", *args]

    def enrol(self, state="agent", name=None):
        token = self.operator("enroll-token").strip()
        run(*self.agent("enroll", token, "--name", name or self.name, state=state))

    def conf(self, *lines, state="agent"):
        with open(f"{self.work}/{state}/agent.conf", "w", encoding="ascii") as f:
            f.write("[agent]\nprovider = hotcopy\n" + "".join(f"{line}\n" for line in lines))

    def place(self, volume):
        return f"hotcopy:{self.socket}:{volume}"

    def begin(self, volumes, *args, state="agent"):
        """A backup, under way."""
        out, err = open(f"{self.work}/backup.out", "w+b"), open(f"{self.work}/backup.err", "w+b")
        p = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.agent("--json", "--quiet", "backup", *[f"{v}={self.place(v)}" for v in volumes],
                                                                            "--provider", "hotcopy", "--retry-for", f"{PATIENCE}s", *args, state=state)],
                             stdout=out, stderr=err, env={**os.environ, **self.environment})
        p.files = out, err
        self.processes.append(p)
        return p

    def ended(self, p, seconds=PATIENCE):
        """What it said, or Failed with its words."""
        p.wait(seconds)
        self.processes.remove(p)
        texts = []
        for f in p.files:
            f.seek(0)
            texts.append(f.read().decode("utf-8", "replace"))
            f.close()
        p.words = texts[1]
        if p.returncode != 0:
            raise Failed(f"the agent ended with {p.returncode}: {texts[1][-1500:]}")
        return next(json.loads(line) for line in texts[0].splitlines() if '"committed"' in line)

    def watch(self, p, volumes):
        """While the server stands still: the images that the agent has frozen, or None if it has ended."""
        def active():
            if p.poll() is not None:
                return True
            with self.handle() as h:
                return all(h.info(h.volume(v))["state"] == "active" for v in volumes)
        await_(active, PATIENCE)
        if p.poll() is not None:
            return None
        images = {}
        for i, v in enumerate(volumes):
            h, self.known_set = frozen.bind(self, self.known_set, i)
            path = f"{self.work}/{v}.frozen"
            with h:
                unkept = frozen.read(h, os.path.getsize(f"{self.work}/{v}.img"), path)
            images[v] = frozen.Frozen(path, unkept)
        return images

    def backup(self, volumes, *args, state="agent", meanwhile=None):
        """One whole backup; meanwhile(p, images) is called once the image was read, and the server goes on."""
        server = self.chief.server
        server.send_signal(signal.SIGSTOP)
        try:
            p = self.begin(volumes, *args, state=state)
            images = self.watch(p, volumes)
        finally:
            server.send_signal(signal.SIGCONT)
        if meanwhile is not None:
            meanwhile(p, images)
        said = self.ended(p)
        assert images is not None
        return Point(said, self.point(said["sequence"]), images)

    # --------------------------------------------------------------- its points

    def points(self):
        return {p["sequence"]: p for p in json.loads(self.operator("points", self.name, "--json"))}

    def point(self, sequence):
        return self.points()[sequence]

    def told(self, what):
        return next(h[what] for h in json.loads(self.operator("hosts", "--json")) if h["name"] == self.name)

    def alarm(self):
        return self.told("alarm")

    def settled_points(self):
        """After an agent was killed: once its session is over, what it had asked for was made, or will not be."""
        await_(lambda: not self.told("online"))
        return self.points()

    def restore(self, sequence, volume, to=None):
        to = to or f"{self.work}/{volume}.restored"
        self.operator("restore", f"{self.name}/{sequence}", "--volume", volume, "--to", to, "--force", "--quiet")
        return to

    def equal(self, point):
        """All volumes of a point are what was frozen."""
        for v, image in point.images.items():
            image.check(self.restore(point.sequence, v), self.own.get(v, ()))

    def track(self, volume, at, nonce):
        """A tracking store at this byte, as whole copy chunks: it is in no image."""
        with self.handle() as d:
            v = d.info(d.volume(volume))
            length = -(-v["store_bytes"] // CHUNK) * CHUNK
            d.track(v["volume"], [(at, length)], create=nonce)
            self.own[volume] = [(at, length)]

    # ------------------------------------------------------------------ its end

    def kernel(self, how, *parameters):
        """nbdkit goes, by SIGKILL (a crash) or SIGTERM (a shutdown), and comes back."""
        self.stop(how)
        self.start(*parameters, record=False)

    def start(self, *parameters, record=False):
        self.known_set = 1
        super().start(*parameters, record=record)

    def close(self):
        for p in self.processes:
            p.kill()
            p.wait()
        super().close()
        if self.server is not None:
            self.server.kill()
            self.server.wait()


def copy(path, to):
    run("cp", "-r", "--sparse=always", path, to)
