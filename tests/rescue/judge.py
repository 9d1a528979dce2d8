"""judge.py - is a restored disk what its source was?  By the tools of others, and by
bytes where every byte counts.  Raises Failed with the first difference."""
import hashlib
import os
import re
import struct
import subprocess
import tempfile

import victims
from machine import Failed
from victims import MIB, SECTOR, UEFI_PARTS, run

# What lies outside of volumes: (first byte, bytes) by kind of victim.
BIOS_SYSTEM, BIOS_DATA = (2048, 120 * 2048), (2048 + 120 * 2048 + 2048, 60 * 2048)


def bytes_equal(a, b, offset, length, what):
    with open(a, "rb") as fa, open(b, "rb") as fb:
        fa.seek(offset)
        fb.seek(offset)
        for at in range(0, length, MIB):
            x, y = (f.read(min(MIB, length - at)) for f in (fa, fb))
            if x != y:
                n = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), min(len(x), len(y)))
                raise Failed(f"{what} differs at byte {offset + at + n} of {b}")


def copy_out(disk, start, sectors, part):
    """A partition as a sparse file, holes where the disk has them."""
    with open(disk, "rb") as src, open(part, "wb") as dst:
        dst.truncate(sectors * SECTOR)
        at, end = start * SECTOR, (start + sectors) * SECTOR
        while at < end:
            try:
                at = os.lseek(src.fileno(), at, os.SEEK_DATA)
                stop = min(os.lseek(src.fileno(), at, os.SEEK_HOLE), end)
            except OSError:
                break
            while at < stop:
                data = os.pread(src.fileno(), min(MIB, stop - at), at)
                os.pwrite(dst.fileno(), data, at - start * SECTOR)
                at += len(data)


def file_sums(image):
    sums = {}
    with victims.mounted(image, "ro") as root:
        for folder, _, files in os.walk(root):
            for name in files:
                with open(f"{folder}/{name}", "rb") as f:
                    sums[f"{folder}/{name}"[len(root):]] = hashlib.sha256(f.read()).hexdigest()
    if not sums:
        raise Failed(f"no files on {image}")
    return sums


def ntfs_equal(a, a_part, b, b_part, name):
    """Files by SHA-256, ntfsfix -n clean, a boot sector that knows its place; all that
    ntfsclone keeps if neither place nor size changed."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(b))) as work:
        copy_out(a, *a_part, f"{work}/a")
        copy_out(b, *b_part, f"{work}/b")
        said = run("ntfsfix", "-n", f"{work}/b").decode()
        if "processed successfully" not in said:
            raise Failed(f"ntfsfix -n of {name}: {said}")
        if file_sums(f"{work}/a") != file_sums(f"{work}/b"):
            raise Failed(f"{name}: files differ")
        with open(f"{work}/b", "rb") as f:
            hidden = struct.unpack_from("<I", f.read(SECTOR), 28)[0]
        if hidden != b_part[0]:
            raise Failed(f"{name}: its boot sector says {hidden} sectors before it, not {b_part[0]}")
        if a_part == b_part:
            kept = [subprocess.run(f"ntfsclone --save-image -q -o - {work}/{x} 2> /dev/null | sha256sum",
                                   shell=True, check=True, stdout=subprocess.PIPE).stdout for x in "ab"]
            if kept[0] != kept[1]:
                raise Failed(f"{name}: ntfsclone sees a difference")


def bios(source, restored):
    """Boot code, signature, table and gap; the extended partition's table; both volumes."""
    bytes_equal(source, restored, 0, 2048 * SECTOR, "the MBR or the gap")
    bytes_equal(source, restored, (BIOS_DATA[0] - 2048) * SECTOR, 2048 * SECTOR, "the extended partition's table")
    for name, part in (("SYSTEM", BIOS_SYSTEM), ("DATA", BIOS_DATA)):
        ntfs_equal(source, part, restored, part, name)


def gpt(disk):
    """By sgdisk, which must find nothing wrong: number -> (first sector, sectors, what must not change)."""
    said = run("sgdisk", "-v", disk).decode()
    if "No problems found" not in said:
        raise Failed(f"sgdisk -v of {disk}: {said}")
    printed = run("sgdisk", "-p", disk).decode()
    parts = {0: (0, 0, re.search(r"Disk identifier \(GUID\): (\S+)", printed).group(1))}
    for number in re.findall(r"^ +(\d+) ", printed, re.M):
        info = run("sgdisk", "-i", number, disk).decode()
        first = int(re.search(r"First sector: (\d+)", info).group(1))
        last = int(re.search(r"Last sector: (\d+)", info).group(1))
        fixed = re.findall(r"(?:GUID code|unique GUID|Attribute flags|Partition name): (\S+)", info)
        parts[int(number)] = (first, last - first + 1, tuple(fixed))
    return parts


def uefi(source, restored):
    """GUIDs, attributes and names; the ESP's files; both NTFS.  The table byte by byte if
    the disks are of one size."""
    a, b = gpt(source), gpt(restored)
    if {n: v[2] for n, v in a.items()} != {n: v[2] for n, v in b.items()}:
        raise Failed(f"the partitions differ:\n{a}\n{b}")
    if os.path.getsize(source) == os.path.getsize(restored):
        bytes_equal(source, restored, 0, 2048 * SECTOR, "the table")
        bytes_equal(source, restored, os.path.getsize(source) - 33 * SECTOR, 33 * SECTOR, "the backup table")
    esp = []
    for disk, parts in ((source, a), (restored, b)):
        at = f"{disk}@@{parts[1][0] * SECTOR}"
        esp.append((run("mdir", "-/", "-b", "-i", at, "::"),
                    hashlib.sha256(run("mtype", "-i", at, "::/EFI/Microsoft/Boot/bootmgfw.efi")).hexdigest()))
    if esp[0] != esp[1]:
        raise Failed("the ESP's files differ")
    for n in (3, 4):
        ntfs_equal(source, a[n][:2], restored, b[n][:2], UEFI_PARTS[n][4] + f" {n}")
