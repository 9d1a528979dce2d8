#!/usr/bin/env python3
"""cases.py NAME...|all|ci - machines are lost and come back, in QEMU.

Each case is a function below; its doc-comment is the claim.  Without a name lists them.
One line a case: passed or why not, wall seconds, CPU seconds of the guests.
HOLDFAST_BUILD is the build's folder, HOLDFAST_WORK an empty one (without it a private
one, removed at the end); exit 1 if a case failed.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import judge
import victims
from machine import SERVER, Disk, Failed, Machine

BOOT = 600  # Seconds for a firmware, a kernel, a loader; some 20 on two quiet cores.
RESTORE = 1800  # The same for a restore.
MADE = {"bios": victims.BIOS_MIB, "uefi": victims.UEFI_MIB}
CASES, CI = {}, []


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


def in_ci(function):
    CI.append(function.__name__.replace("_", "-"))
    return case(function)


class Bench:
    """What one case has: a folder, victims, machines that are stopped at its end."""

    def __init__(self, work):
        self.work, self.machines, self.notes = work, [], []

    def victim(self, kind, mib=8, seed=1):
        path = f"{self.work}/{kind}-{seed}.img"
        getattr(victims, kind)(path, mib, seed)
        return path

    def machine(self, *arguments, **more):
        m = Machine(f"{self.work}/machine{len(self.machines) + 1}", *arguments, **more)
        self.machines.append(m)
        return m

    def note(self, text):
        self.notes.append(text)

    def end(self):
        for m in self.machines:
            m.power_cut()
        return sum(m.cpu() for m in self.machines)


def zero(path, offset, length):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(bytes(length))


# ---------------------------------------------------------------- the victims themselves
@case
def victims_need_what_they_should(b):
    """A BIOS victim boots, and not without its gap; a UEFI victim does not boot by itself."""
    disk = Disk(b.victim("bios"))
    m = b.machine("bios", [disk], boot="disk")
    m.start()
    m.wait("BOOT-OK bios 1", BOOT, never="BOOT-BAD")
    m.power_cut()
    zero(disk.path, 512, 2047 * 512)
    m.start()
    time.sleep(20)  # Nothing says that nothing comes; it took 4 s before.
    if any("BOOT-" in line for _, line in m.lines):
        raise Failed("it booted without the gap")
    m.power_cut()
    m = b.machine("uefi", [Disk(b.victim("uefi"))], boot="")
    m.start()
    m.wait("Nothing to boot", BOOT, never="BOOT-")


# ---------------------------------------------------------------- running
def run(name, work):
    b = Bench(work)
    began, why = time.monotonic(), None
    os.makedirs(work, exist_ok=True)
    try:
        CASES[name](b)
    except Exception as e:  # Also what a case did not think of is one case's failure.
        why = "".join(traceback.format_exception(e)[-2:]) if not isinstance(e, Failed) else str(e)
    cpu = b.end()
    print(f"{'FAILED' if why else 'passed'} {name:34} {time.monotonic() - began:7.1f} s, guests {cpu:6.1f} CPU s"
          + "".join(f"; {n}" for n in b.notes), flush=True)
    if why:
        print(why, flush=True)
    else:
        shutil.rmtree(work)
    return why is None


def main(names):
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ["LC_ALL"] = "C.UTF-8"
    if not names:
        print("\n".join(f"{name}\t{function.__doc__}" for name, function in CASES.items()))
        return 0
    names = {"all": list(CASES), "ci": CI}.get(names[0], names)
    for name in names:
        if name not in CASES:
            sys.exit(f"no case '{name}'")
    own = os.environ.get("HOLDFAST_WORK")
    work = own or tempfile.mkdtemp(prefix="holdfast-rescue.")
    try:
        failed = [name for name in names if not run(name, f"{work}/{name}")]
    finally:
        if not own:
            shutil.rmtree(work)
    if failed:
        print("failed: " + " ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
