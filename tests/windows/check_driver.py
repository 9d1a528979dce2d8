#!/usr/bin/env python3
"""check_driver.py BUILD DIRECTORY... - what Windows will see of the hot-copy driver, as
BUILD/x64 and BUILD/i686 hold it, and of hotcopyctl.exe.

hotcopy.sys: native, relocatable, NX, nothing both writable and executable, no debug section,
a right checksum, no time and no DIRECTORY of its making; imports only what driver/nt/DESIGN.md
lists as older than NT 6; general registers alone; nothing of a compiler's own library.
Offsets are of "PE Format" in Microsoft's documentation (win32/debug/pe-format).
"""
import os
import re
import struct
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# What a routine of the table is called where it is exported, if otherwise.
HAL = {"KfAcquireSpinLock": "KeAcquireSpinLock", "KfReleaseSpinLock": "KeReleaseSpinLock",
       "KfRaiseIrql": "KeRaiseIrql", "KfLowerIrql": "KeLowerIrql", "KeGetCurrentIrql": "KeGetCurrentIrql"}
KERNEL = {"KeAcquireSpinLockRaiseToDpc": "KeAcquireSpinLock", "KefAcquireSpinLockAtDpcLevel": "KeAcquireSpinLock",
          "KefReleaseSpinLockFromDpcLevel": "KeReleaseSpinLock", "ObfReferenceObject": "ObReferenceObject"}
# hotcopyctl.exe: what it imports today, each taken for no newer than Server 2003 from general
# knowledge; not every page was looked up. It holds that nothing new comes in unseen.
CTL = {
    "kernel32.dll": set("""CloseHandle CopyFileW CreateEventW CreateFileW CreateThread DeleteCriticalSection DeleteFileW
        DeviceIoControl EnterCriticalSection FindFirstVolumeW FindNextVolumeW FindVolumeClose FlushFileBuffers FormatMessageW GetConsoleMode
        GetCurrentProcess GetDiskFreeSpaceW GetLastError GetModuleFileNameW GetModuleHandleA GetModuleHandleW GetOverlappedResult
        GetProcAddress GetStartupInfoA GetStartupInfoW GetStdHandle GetSystemDirectoryW GetVolumeInformationW
        GetVolumeNameForVolumeMountPointW GetVolumePathNameW GetVolumePathNamesForVolumeNameW InitializeCriticalSection
        LeaveCriticalSection LoadLibraryA FreeLibrary MoveFileExW MultiByteToWideChar ReadFile SetConsoleCtrlHandler
        SetDllDirectoryW SetEndOfFile SetEvent SetFileAttributesW SetFilePointerEx SetLastError SetUnhandledExceptionFilter Sleep TlsGetValue VirtualProtect
        VirtualQuery WaitForMultipleObjects WaitForSingleObject WideCharToMultiByte WriteConsoleW WriteFile""".split()),
    "advapi32.dll": set("""AdjustTokenPrivileges ChangeServiceConfigW CloseServiceHandle CreateServiceW CryptAcquireContextW
        CryptGenRandom CryptReleaseContext DeleteService LookupPrivilegeValueW OpenProcessToken OpenSCManagerW OpenServiceW
        RegCloseKey RegCreateKeyExW RegDeleteKeyW RegDeleteValueW RegEnumKeyExW RegFlushKey RegOpenKeyExW RegQueryValueExW
        RegSetValueExW""".split()),
    "msvcrt.dll": None,
}
bad = []


class Image:
    def __init__(self, path):
        self.path, self.data = path, open(path, "rb").read()
        pe = self.u32(0x3c)
        self.machine, count, self.time, _, _, size, self.flags = struct.unpack_from("<HHIIIHH", self.data, pe + 4)
        self.optional = pe + 24
        self.wide = self.u16(self.optional) == 0x20b
        self.sections = []
        for i in range(count):
            at = self.optional + size + 40 * i
            length, address, raw, offset = struct.unpack_from("<IIII", self.data, at + 8)
            self.sections.append((self.section_name(at), address, max(length, raw), offset, self.u32(at + 36)))

    def section_name(self, at):
        name = self.data[at:at + 8].rstrip(b"\0")
        if not name.startswith(b"/"):
            return name.decode()
        symbols, count = struct.unpack_from("<II", self.data, self.u32(0x3c) + 12)
        text = symbols + 18 * count + int(name[1:])
        return self.data[text:self.data.index(b"\0", text)].decode()

    def u16(self, at):
        return struct.unpack_from("<H", self.data, at)[0]

    def u32(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def check(self, holds, what):
        if not holds:
            bad.append(f"{self.path}: {what}")

    def at(self, address):
        for _, start, length, offset, _ in self.sections:
            if start <= address < start + length:
                return offset + address - start
        raise ValueError(f"{self.path}: address {address:#x} is in no section")

    def directory(self, n):
        return struct.unpack_from("<II", self.data, self.optional + (112 if self.wide else 96) + 8 * n)

    def text(self, at):
        return self.data[at:self.data.index(b"\0", at)].decode()

    def imports(self):
        """(dll in lower case, name), of each."""
        at, size = self.at(self.directory(1)[0]), 8 if self.wide else 4
        while self.u32(at + 12) != 0:
            dll = self.text(self.at(self.u32(at + 12))).lower()
            entry = self.at(self.u32(at) or self.u32(at + 16))
            while int.from_bytes(self.data[entry:entry + size], "little") != 0:
                name = int.from_bytes(self.data[entry:entry + size], "little")
                ordinal = name >> (8 * size - 1)
                yield dll, f"ordinal {name & 0xffff}" if ordinal else self.text(self.at(name) + 2)
                entry += size
            at += 20

    def checksum(self):
        """As ImageHlp computes it: 16-bit ones' complement sum without the field, and the length."""
        skip = self.optional + 64
        data = self.data[:skip] + bytes(4) + self.data[skip + 4:]
        data += bytes(len(data) % 2)
        total = sum(struct.unpack(f"<{len(data) // 2}H", data))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        return total + len(self.data)


def routines():
    """The names that driver/nt/DESIGN.md lists with a version before NT 6."""
    text = open(os.path.join(TOP, "driver/nt/DESIGN.md"), encoding="utf-8").read()
    table = text.split("## Routines used")[1].split("\n## ")[0]
    names = set()
    for row in re.findall(r"^\|(.*)\|$", table, re.M):
        cells = [c.strip() for c in row.split("|")]
        versions = re.findall(r"NT (\d+)\.(\d+)", cells[-1])
        for major, minor in versions:
            if (int(major), int(minor)) > (5, 2):
                bad.append(f"driver/nt/DESIGN.md: newer than NT 5.2: {cells[0]}")
        if versions or "in headers" in cells[0]:
            names |= set(re.findall(r"\b[A-Za-z]\w+", cells[0]))
    return names


def check_common(p, machine, directories):
    p.check(p.data[:2] == b"MZ" and p.machine == machine, f"not for machine {machine:#x}")
    characteristics = p.u16(p.optional + 70)
    for flag, name in ((0x40, "DYNAMIC_BASE"), (0x100, "NX_COMPAT")):
        p.check(characteristics & flag, f"{name} is not set")
    p.check(not p.flags & 1 and p.directory(5)[1] > 8, "no relocations")
    for name, _, _, _, flags in p.sections:
        p.check(not (flags & 0x80000000 and flags & 0x20000000), f"section {name} is writable and executable")
    p.check(p.time == 0, "carries the time of its making")
    for directory in directories:
        p.check(directory.encode() not in p.data, f"carries the path {directory}")


def check_code(p, prefix):
    """Registers that the kernel does not save for a driver, and what a compiler adds."""
    code = subprocess.run([prefix + "objdump", "-d", "--no-show-raw-insn", "-j", ".text", p.path], check=True,
                          stdout=subprocess.PIPE).stdout.decode().splitlines()
    lines = [l for l in code if re.match(r"\s+[0-9a-f]+:\t", l)]
    p.check(len(lines) > 500, f"only {len(lines)} instructions were found")
    for line in lines:
        if re.search(r"%(xmm|ymm|zmm|mm|st)\b|%(xmm|ymm|zmm|mm)\d|\t(f[a-z]|emms|ldmxcsr)", line):
            p.check(False, f"a register that the kernel does not save: {line.strip()}")
    symbols = subprocess.run([prefix + "nm", p.path], check=True, stdout=subprocess.PIPE).stdout.decode()
    for name in re.findall(r"\b_*(u?(?:div|mod)di3|stack_chk\w*|chkstk\w*|pei386\w*|alloca\w*)\b", symbols):
        p.check(False, f"has {name}, which is of a compiler's library")


def check_sys(path, machine, prefix, directories, known):
    p = Image(path)
    check_common(p, machine, directories)
    p.check(p.u16(p.optional + 68) == 1, "the subsystem is not native")
    p.check(struct.unpack_from("<HH", p.data, p.optional + 48) == (5, 2), "the subsystem's version is not 5.2")
    entry = p.u32(p.optional + 16)
    p.check(any(a <= entry < a + n and f & 0x20000000 for _, a, n, _, f in p.sections), "its entry is in no code")
    p.check(p.u32(p.optional + 32) == 0x1000, "sections are not aligned to pages")
    p.check(p.u32(p.optional + 64) == p.checksum(), f"checksum {p.u32(p.optional + 64):#x}, not {p.checksum():#x}")
    for name, *_ in p.sections:
        p.check(not name.startswith((".debug", ".gnu", ".stab")), f"section {name} would be mapped")
    p.check(p.machine != 0x8664 or p.directory(3)[1] > 0, "no table of functions to unwind")
    n = 0
    for dll, name in p.imports():
        n += 1
        by = {"ntoskrnl.exe": KERNEL, "hal.dll": HAL}.get(dll)
        p.check(by is not None and (name in known and dll == "ntoskrnl.exe" or by.get(name) in known),
                f"imports {name} of {dll}: not in driver/nt/DESIGN.md's table of what NT 5.2 has")
    p.check(n > 20, f"only {n} imports: the table was not read")
    check_code(p, prefix)
    print(f"{path}: {n} imports, {len(p.sections)} sections, {len(p.data)} bytes")


def check_ctl(path, machine, directories):
    p = Image(path)
    check_common(p, machine, directories)
    p.check(p.u16(p.optional + 68) == 3, "the subsystem is not the console")
    p.check(struct.unpack_from("<HH", p.data, p.optional + 48) == (5, 2), "the subsystem's version is not 5.2")
    n = 0
    for dll, name in p.imports():
        n += 1
        p.check(dll in CTL and (CTL[dll] is None or name in CTL[dll]), f"imports {name} of {dll}: does NT 5.2 have it?")
    p.check(n > 50, f"only {n} imports: the table was not read")
    print(f"{path}: {n} imports, {len(p.data)} bytes")


def main():
    build, *directories = sys.argv[1:]
    known = routines()
    for arch, machine, prefix in (("x64", 0x8664, "x86_64-w64-mingw32-"), ("i686", 0x14c, "i686-w64-mingw32-")):
        check_sys(f"{build}/{arch}/hotcopy.sys", machine, prefix, directories, known)
        check_ctl(f"{build}/{arch}/hotcopyctl.exe", machine, directories)
    print("\n".join(bad))
    sys.exit(1 if bad else 0)


main()
