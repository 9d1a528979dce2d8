"""peers.py - today's tools, each told to do what a backup of volumes needs.

A tool keeps all it writes below its own folder.  backup(), restore() and check()
give the shell command of a step; bench.py runs and measures it.  They are run as
their manuals advise for large images, with zstd -3 where there is a choice.
"""
import os
import shutil
import socket
import subprocess
import time

from corpus import NTFSMAP
from measure import Failed, Server, run


class Tool:
    name = "?"
    version = ""	 # The command that says it, inside the peers' tree.
    stock = True	 # Knows nothing of ours: no NTFS map.
    every_byte = True	 # Restores free clusters and page files too.

    def __init__(self, place, corpus, peers):
        self.folder, self.corpus = f"{place}/{self.name}", corpus
        self.repo, self.cache, self.log = self.folder + "/repo", self.folder + "/cache", f"{place}/{self.name}.log"
        self.out = self.folder + "/restored.img"
        self.inside = f"{peers}/in"
        self.server = None
        self.env = dict(os.environ, SHOW=f"{place} {corpus.folder}")

    def begin(self):
        """An empty repository, and whatever serves it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for d in (self.repo, self.cache):
            os.makedirs(d)
        self.init()

    def init(self):
        pass

    def end(self):
        if self.server:
            self.server.stop()
            self.server = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def step(self, command):
        return run(command, self.log, self.env, self.server)

    def before(self, state):
        """What has to be done before backup(), as a measured command of its own, or None."""

    def restored(self, state):
        return self.out

    def said(self):
        """What the last step's output adds to its figures."""
        return {}

    def says_version(self):
        p = subprocess.run(f"{self.inside} {self.version}", shell=True, env=self.env, capture_output=True, text=True, check=True)
        return (p.stdout or p.stderr).splitlines()[0].strip()


class Restic(Tool):
    name, version = "restic-0.19", "restic version"
    options = "--compression auto --pack-size 64"

    def init(self):
        self.env.update(RESTIC_PASSWORD="x", RESTIC_CACHE_DIR=self.cache, RESTIC_REPOSITORY=self.repo, RESTIC_PROGRESS_FPS="0.1")
        self.serve()
        self.step(f"{self.inside} restic init")

    def serve(self):
        pass

    def backup(self, s):
        return f"{self.inside} restic backup -q --no-scan {self.options} --host {s.name} --tag {s.name} {self.corpus.image(s)}"

    def restore(self, s):
        return f"{self.inside} restic restore -q --sparse --host {s.name} latest --target {self.folder}/out"

    def restored(self, s):
        return f"{self.folder}/out{self.corpus.image(s)}"

    def check(self):
        return f"{self.inside} restic check -q --read-data"


class ResticTls(Restic):
    """Through rest-server on loopback, TLS 1.3."""
    name = "restic-0.19-tls"

    def serve(self):
        key, cert = self.folder + "/key.pem", self.folder + "/cert.pem"
        subprocess.run(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost "
                       f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}", shell=True, check=True, capture_output=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.server = Server([self.inside, "restic-rest-server", "--path", self.repo, "--no-auth", "--tls", "--tls-cert", cert,
                              "--tls-key", key, "--tls-min-ver", "1.3", "--listen", f"127.0.0.1:{port}"], self.log, env=self.env)
        self.env.update(RESTIC_REPOSITORY=f"rest:https://127.0.0.1:{port}/", RESTIC_CACERT=cert)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return
            except OSError as e:
                if time.monotonic() > end or not self.server.alive():
                    raise Failed(f"rest-server did not start, see {self.log}") from e
                time.sleep(0.05)


class NtfscloneRestic(Restic):
    """A clone that knows NTFS, piped into a store that deduplicates: two stock tools together."""
    name, every_byte = "ntfsclone-restic", False

    def backup(self, s):
        return (f"ntfsclone -q -f --save-image -o - {self.corpus.image(s)} | "
                f"{self.inside} restic backup -q --stdin --stdin-filename vol {self.options} --host {s.name} --tag {s.name}")

    def restore(self, s):
        return f"{self.inside} restic dump -q --host {s.name} latest vol | ntfsclone -q --restore-image --overwrite {self.out} -"

    def restored(self, s):
        return self.out


class Borg(Tool):
    name, version = "borg-1.4-128K", "borg --version"
    chunker = "buzhash,14,20,17,4095"

    def init(self):
        self.env.update(BORG_BASE_DIR=self.cache, BORG_REPO=self.repo + "/r", BORG_PASSPHRASE="x",
                        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes", BORG_RELOCATED_REPO_ACCESS_IS_OK="yes")
        self.step(f"{self.inside} {self.create_repo()}")

    def create_repo(self):
        return "borg init --encryption none"

    def backup(self, s):
        return (f"{self.inside} borg create --files-cache disabled --compression zstd,3 "
                f"--chunker-params {self.chunker} ::{s.name} {self.corpus.image(s)}")

    def restore(self, s):
        return f"{self.inside} borg extract --sparse --stdout ::{s.name} > {self.out}"

    def check(self):
        return f"{self.inside} borg check --verify-data"


class BorgFixed(Borg):
    name, chunker = "borg-1.4-fixed64K", "fixed,65536"


class Borg2(Borg):
    name, version = "borg2-cdc128K", "borg2 --version"
    chunker = "fastcdc,14,20,17,2"

    def create_repo(self):
        return f"borg2 repo-create -e authenticated-blake3 -C zstd,3 --chunker-params {self.chunker}"

    def backup(self, s):
        return f"{self.inside} borg2 create --files-cache disabled {s.name} {self.corpus.image(s)}"

    def restore(self, s):
        return f"{self.inside} borg2 extract --sparse --stdout {s.name} > {self.out}"

    def check(self):
        return f"{self.inside} borg2 check --verify-data"


class Borg2Map(Borg2):
    """Given our NTFS map: free clusters and page files are 'zero'; and, on days, for free what has not changed: 'same'."""
    name, stock, every_byte = "borg2-map-cdc128K", False, False

    def before(self, s):
        image, map_file = self.corpus.image(s), f"{self.folder}/{s.name}.map"
        days = f"--changed {self.corpus.changed(s)} --old {self.corpus.image(s.before())}" if s.day else ""
        return f"{NTFSMAP} map {image} {days} > {map_file}"

    def backup(self, s):
        base = f"--reuse-from {s.before().name}" if s.day else ""
        return (f"{self.inside} borg2 create --files-cache disabled --map {self.folder}/{s.name}.map {base} "
                f"{s.name} {self.corpus.image(s)}")


class Desync(Tool):
    name = "desync-1.0.4"

    def says_version(self):
        package = f"{os.path.dirname(self.inside)}/apt/cache/archives/desync_*.deb"
        return "desync " + subprocess.run(f"dpkg-deb -f {package} Version", shell=True, capture_output=True, text=True, check=True).stdout.strip()

    def init(self):
        os.makedirs(self.repo + "/store")

    def tool(self, verb):
        return f"{self.inside} desync --digest sha256 {verb} -n 2 -s {self.repo}/store"

    def backup(self, s):
        return f"{self.tool('make')} {self.repo}/{s.name}.caibx {self.corpus.image(s)}"

    def restore(self, s):
        return f"{self.tool('extract')} {self.repo}/{s.name}.caibx {self.out}"

    def check(self):
        return self.tool("verify")


# The first four are asked for by the rows.
PEERS = {c.name: c for c in (ResticTls, Borg2Map, Desync, Borg, Restic, NtfscloneRestic, BorgFixed, Borg2)}
NEEDED = list(PEERS)[:4]
