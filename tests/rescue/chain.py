"""chain.py - the real programs around a machine: a server with its store, hosts that
were backed up, the netboot folder as `./dev rescue` makes it.

	with Chain(work) as c:
		c.start()
		c.backup("web01", "bios", image)
		token = c.token("web01")
		words = c.boots(token, "holdfast.disk=auto")	# for DHCP's bootfile

HOLDFAST_BUILD is the build's folder.  The server listens on ports of its own, the same
again after a restart.  Programs are ended by their handles, whatever happens.
"""
import glob
import os
import re
import socket
import subprocess
import time

from machine import SERVER, Failed, die_with_parent

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 300  # Seconds for what takes one, on the slowest machine.


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Chain:
    def __init__(self, work, listen="127.0.0.1", address=SERVER, http=None):
        """address: the server as machines in the rescue call it."""
        self.work = os.path.abspath(work)
        self.build = os.path.abspath(os.environ["HOLDFAST_BUILD"])
        self.server, self.script = None, None
        self.listen, self.address = listen, address
        self.port, free = free_ports(2)
        self.http = http or free
        os.makedirs(self.work, exist_ok=True)
        with open(f"{self.work}/machine-id", "w") as f:
            f.write("0123456789abcdef0123456789abcdef\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # ------------------------------------------------------------ programs
    def program(self, name, *arguments, fails=None):
        """What it printed; with FAILS, a text, it must fail and say that."""
        try:
            done = subprocess.run([f"{self.build}/bin/{name}", *arguments], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=PATIENCE, preexec_fn=die_with_parent)
        except subprocess.TimeoutExpired:
            raise Failed(f"{name} {' '.join(arguments)} does not end") from None
        if fails is None and done.returncode:
            raise Failed(f"{name} {' '.join(arguments)}: {done.stderr[-400:]}")
        if fails is not None and (not done.returncode or fails not in done.stderr):
            raise Failed(f"{name} {' '.join(arguments)}: not refused with '{fails}' but: {done.stderr[-400:]}")
        return done.stdout

    def operator(self, *arguments, **more):
        return self.program("holdfast", "--operator", f"{self.work}/operator", "--server", f"{self.listen}:{self.port}",
                            *arguments, **more)

    def agent(self, name, *arguments, **more):
        return self.program("holdfast-agent", "--state", f"{self.work}/agent-{name}", "--machine-id",
                            f"{self.work}/machine-id", *arguments, **more)

    # ------------------------------------------------------------ the server
    def init(self, netboot):
        self.program("holdfast", "init", f"{self.work}/store", "--name", "server", "--operator-dir",
                     f"{self.work}/operator")
        with open(f"{self.work}/holdfastd.conf", "w") as f:
            f.write(f"store = {self.work}/store\nlisten = {self.listen}:{self.port}\nready-file = {self.work}/ready\n")
            if netboot:
                f.write(f"rescue-dir = {self.work}/netboot\nrescue-listen = {self.listen}:{self.http}\n")

    def start(self, netboot=True):
        """Make the store and the netboot folder if they are not there, and serve them."""
        if not os.path.exists(f"{self.work}/store"):
            self.init(netboot)
            if netboot:
                self.netboot()
        ready = f"{self.work}/ready"
        if os.path.exists(ready):
            os.remove(ready)
        with open(f"{self.work}/server.log", "ab") as log:
            self.server = subprocess.Popen([f"{self.build}/bin/holdfastd", "--config", f"{self.work}/holdfastd.conf"],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           preexec_fn=die_with_parent)
        end = time.monotonic() + PATIENCE
        while not (os.path.exists(ready) and os.path.getsize(ready)):
            if self.server.poll() is not None or time.monotonic() > end:
                with open(f"{self.work}/server.log") as f:
                    raise Failed(f"holdfastd did not start: {f.read()[-600:]}")
            time.sleep(0.02)

    def kill(self):
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None

    def server_cpu(self):
        with open(f"/proc/{self.server.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ------------------------------------------------------------ hosts
    def enrol(self, name):
        token = self.operator("enroll-token").strip()
        self.agent(name, "enroll", token, "--name", name)

    def backup(self, name, *disks):
        """disks: "disk0=IMAGE" and so on; the host is enrolled if it is new."""
        if not os.path.exists(f"{self.work}/agent-{name}"):
            self.enrol(name)
        arguments = [x for disk in disks for x in ("--disk", disk)]
        return self.agent(name, "backup", *arguments)

    def token(self, name, *more):
        return self.operator("restore-token", name, *more).strip().splitlines()[-1].split()[-1]

    @staticmethod
    def mistyped(token):
        """One character is another."""
        return token[:-1] + ("0" if token[-1] != "0" else "1")

    def signed(self):
        """Debian's signed shim and GRUB for disks, as the image was made from."""
        cache = f"{os.path.dirname(self.build)}/rescue/cache"
        return [glob.glob(f"{cache}/{package}_*/usr/lib/{file}")[0] for package, file in (
            ("shim-signed", "shim/shimx64.efi.signed"),
            ("grub-efi-amd64-signed", "grub/x86_64-efi-signed/grubx64.efi.signed"))]

    # ------------------------------------------------------------ what boots
    @property
    def reach(self):
        return (self.port, self.http)

    def netboot(self, *more):
        """The folder that the server's rescue-dir names, as `./dev rescue` makes it."""
        done = subprocess.run([f"{TOP}/rescue/image/build.sh", os.path.dirname(self.build),
                               f"{self.build}/bin/holdfast-rescue", "--server", f"{self.address}:{self.port}", "--ca",
                               f"{self.work}/operator/ca.pem", "--out", f"{self.work}/netboot",
                               *(more or ("--no-iso",))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=3 * PATIENCE)
        if done.returncode:
            raise Failed(f"./dev rescue: {done.stdout[-800:]}")

    def command_line(self, token, *more):
        a = ["console=ttyS0", "quiet", f"holdfast.server={self.address}:{self.port}"]
        if token:
            a.append(f"holdfast.token={token}")
        return " ".join(a + list(more))

    def boots(self, token, *more):
        """boot.ipxe with the words of an unattended restore put in, as docs/bare-metal.md
        says: what DHCP names as bootfile.  All comes from holdfastd, by HTTP."""
        path = f"{self.work}/netboot/boot.ipxe"
        if self.script is None:
            with open(path) as f:
                self.script = f.read()
        words = " ".join([f"holdfast.token={token}"] * bool(token) + list(more))
        with open(f"{path}.new", "w") as f:
            f.write(re.sub("^(kernel .*)$", rf"\1 quiet {words}", self.script, flags=re.M))
        os.rename(f"{path}.new", path)
        return f"http://{self.address}:{self.http}/boot.ipxe"

    def grub_says(self, token, *more):
        """The same for GRUB's menu, by TFTP."""
        path = f"{self.work}/netboot/grub/grub.cfg"
        with open(path) as f:
            menu = f.read()
        with open(path, "w") as f:
            f.write(re.sub(r"^(\s*linux .*)$", r"\1 " + self.command_line(token, *more), menu, flags=re.M))

    def kernel(self, token, *more):
        """For Machine.start(): no network boot, the fast form."""
        return {"kernel": f"{self.work}/netboot/vmlinuz", "initrd": f"{self.work}/netboot/initrd.img",
                "append": self.command_line(token, *more)}
