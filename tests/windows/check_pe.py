#!/usr/bin/env python3
"""check_pe.py PROGRAM VERSION DIRECTORY... - what Windows will see of a program of ours.

Imports of system DLLs alone; ASLR with its relocations, DEP; nothing both writable and
executable; its version and manifest; no time and no DIRECTORY of its making.  Offsets are of
"PE Format" in Microsoft's documentation (win32/debug/pe-format).
"""
import re
import struct
import sys

# The "known DLLs" of every Windows since Server 2012: no other is safe from one of its name
# beside the program.  What else is needed is loaded late (cmake/windows.cmake).
SYSTEM = set("""advapi32 kernel32 msvcrt ole32 oleaut32 psapi rpcrt4 setupapi shell32 user32
ws2_32""".split())
FLAGS = {0x0020: "HIGH_ENTROPY_VA", 0x0040: "DYNAMIC_BASE", 0x0100: "NX_COMPAT"}
bad = []


def check(holds, what):
    if not holds:
        bad.append(what)


class Program:
    def __init__(self, data):
        self.data = data
        pe = self.u32(0x3c)
        check(data[:2] == b"MZ" and data[pe:pe + 4] == b"PE\0\0", "not a PE file")
        self.machine, count, self.time, _, _, size, self.characteristics = struct.unpack_from("<HHIIIHH", data, pe + 4)
        self.optional = pe + 24
        check(self.machine == 0x8664, "not for x86_64")
        check(struct.unpack_from("<H", data, self.optional)[0] == 0x20b, "not PE32+")
        self.sections = []
        for i in range(count):
            at = self.optional + size + 40 * i
            name = data[at:at + 8].rstrip(b"\0").decode()
            length, address, raw, offset = struct.unpack_from("<IIII", data, at + 8)
            self.sections.append((name, address, max(length, raw), offset, self.u32(at + 36)))

    def u32(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def at(self, address):
        """The offset in the file of an address in memory."""
        for _, start, length, offset, _ in self.sections:
            if start <= address < start + length:
                return offset + address - start
        raise ValueError(f"address {address:#x} is in no section")

    def directory(self, n):
        return struct.unpack_from("<II", self.data, self.optional + 112 + 8 * n)

    def imports(self):
        at = self.at(self.directory(1)[0])
        while self.u32(at + 12) != 0:
            name = self.at(self.u32(at + 12))
            yield self.data[name:self.data.index(b"\0", name)].decode().lower()
            at += 20

    def relocations(self):
        """How many addresses are listed for moving."""
        address, size = self.directory(5)
        if size == 0:
            return 0
        at, end, n = self.at(address), self.at(address) + size, 0
        while at < end:
            block = self.u32(at + 4)
            if block < 8:
                break
            kinds = struct.unpack_from(f"<{(block - 8) // 2}H", self.data, at + 8)
            n += sum(1 for k in kinds if k >> 12 == 10)
            at += block
        return n

    def resources(self, kind):
        """The bytes of every resource of this kind."""
        root = self.at(self.directory(2)[0])

        def walk(at, depth):
            named, ids = struct.unpack_from("<HH", self.data, at + 12)
            for i in range(named + ids):
                name, to = struct.unpack_from("<II", self.data, at + 16 + 8 * i)
                if depth == 0 and name != kind:
                    continue
                if to >> 31:
                    yield from walk(root + (to & 0x7fffffff), depth + 1)
                else:
                    address, size = struct.unpack_from("<II", self.data, root + to)
                    yield self.data[self.at(address):self.at(address) + size]
        return list(walk(root, 0))


def main():
    path, version, *directories = sys.argv[1:]
    p = Program(open(path, "rb").read())
    characteristics = struct.unpack_from("<H", p.data, p.optional + 70)[0]
    for flag, name in FLAGS.items():
        check(characteristics & flag, f"{name} is not set")
    check(not p.characteristics & 1, "relocations are stripped: ASLR would move nothing")
    check(p.relocations() > 100, f"only {p.relocations()} relocations: ASLR would move nothing")
    for name, _, _, _, flags in p.sections:
        check(not (flags & 0x80000000 and flags & 0x20000000), f"section {name} is writable and executable")
    check(p.time == 0, "carries the time of its making")
    for directory in directories:
        check(directory.encode() not in p.data, f"carries the path {directory}")
    imports = set(p.imports())
    for dll in sorted(imports):
        check(dll.endswith(".dll") and dll[:-4] in SYSTEM, f"imports {dll}, which may lie beside it: see late_dlls")
    check("kernel32.dll" in imports, "imports no kernel32.dll: the table was not read")
    manifests = p.resources(24)
    check(len(manifests) == 1, f"{len(manifests)} manifests")
    for m in manifests:
        text = m.decode()
        for want in (">true</longPathAware>", ">UTF-8</activeCodePage>", 'level="asInvoker"',
                     "{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}", "{1f676c76-80e1-4239-95bb-83d0f6d0da78}",
                     "{4a2f28e3-53b9-4441-ba9c-d69d4a4a6e38}", f'version="{version}.0"'):
            check(want in text, f"the manifest has no {want}")
    versions = p.resources(16)
    check(len(versions) == 1, f"{len(versions)} version resources")
    major, minor, patch = map(int, version.split("."))
    for v in versions:
        fixed = v.index(struct.pack("<I", 0xfeef04bd))
        check(struct.unpack_from("<4H", v, fixed + 8) == (minor, major, 0, patch), f"the version is not {version}")
        strings = v.decode("utf-16-le", "replace")
        check(re.search(f"ProductVersion\0+{re.escape(version)}\0", strings), f"no ProductVersion {version}")
    check(len(p.resources(11)) == 1, "no message table for the Event Log")
    for line in bad:
        print(f"{path}: {line}")
    print(f"{len(imports)} DLLs, {p.relocations()} relocations, {len(p.sections)} sections, {len(p.data)} bytes")
    return 1 if bad else 0


sys.exit(main())
