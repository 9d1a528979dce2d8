"""corpus.py - the volumes that are backed up, as make-corpus.sh left them."""
import collections
import json
import os
import subprocess
import sys

from measure import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
NTFSMAP = f"{sys.executable} {HERE}/ntfsmap.py"


class State(collections.namedtuple("State", "host day")):
    """A host's volume on day 0 (the full backup) or later."""

    @property
    def name(self):
        return f"h{self.host:02d}" + (f"-d{self.day}" if self.day else "")

    def before(self):
        return State(self.host, self.day - 1)


class Corpus:
    def __init__(self, folder, hosts, days, memory):
        self.folder, self.memory = folder, memory
        self.hosts = [State(k, 0) for k in range(1, hosts + 1)]
        self.days = [State(1, d) for d in range(1, days + 1)]
        for s in self.hosts + self.days:
            if not os.path.exists(self.image(s)):
                raise Failed(f"no {self.image(s)} in the corpus")
        self.volume_bytes = os.path.getsize(self.image(self.hosts[0]))

    def image(self, s):
        return f"{self.folder}/host-{s.host:02d}" + (f".day-{s.day}" if s.day else "") + ".img"

    def changed(self, s):
        """The numbers of the 64 KiB blocks in which a day differs from the one before."""
        return f"{self.folder}/host-{s.host:02d}.day-{s.day}.changed64k"

    def churn(self):
        """What changed in each successive state of host-01, oldest first."""
        folder = self.folder + "/churn"
        return [f"{folder}/{n}" for n in sorted(os.listdir(folder)) if n.endswith(".delta")] if os.path.isdir(folder) else []

    def used_sum(self, image, scratch):
        """SHA-256 over the used clusters, page files aside, as ntfsclone sees them; remembered for images of the corpus."""
        stat = os.stat(image)
        key = f"{image} {stat.st_size} {stat.st_mtime_ns}"
        known = remembered(self.memory)
        if key in known:
            return known[key]
        if os.path.exists(scratch):
            os.remove(scratch)
        subprocess.run(["cp", "--sparse=always", image, scratch], check=True)
        out = used_sum(scratch)
        os.remove(scratch)
        remember(self.memory, key, out)
        return out


def used_sum(image):
    """The same of an image that may be changed: its page files are zeroed in place."""
    p = subprocess.run(f"{NTFSMAP} mask {image} && ntfsclone --save-image -q -f -o - {image} | sha256sum; "
                       "exit $((PIPESTATUS[0]))", shell=True, executable="/bin/bash", capture_output=True, text=True, check=False)
    if p.returncode != 0:
        raise Failed(f"ntfsclone of {image}: {p.stderr}")
    return p.stdout.split()[0]


def apply_delta(image, delta):
    """Make the image's next state."""
    with open(image, "r+b", buffering=0) as out, open(delta, "rb") as f:
        while record := f.read(8 + 4096):
            out.seek(int.from_bytes(record[:8], "little") * 4096)
            out.write(record[8:])


def remembered(path):
    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def remember(path, key, value):
    known = remembered(path)
    known[key] = value
    with open(path + ".new", "w") as f:
        json.dump(known, f, indent=1)
    os.replace(path + ".new", path)
