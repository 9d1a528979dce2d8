#!/usr/bin/env python3
"""victims.py bios|uefi OUT [MIB] [SEED] - disks of machines that are to be lost.

Each boots by its firmware, by loaders that lie where a real machine has them, reads
files from NTFS, checks their SHA-256 and says on the serial line

	BOOT-OK NAME SEED		all is there (the words come from a file on NTFS)
	BOOT-BAD NAME			it boots, and a file is not what it was

bios	MBR, GRUB's core in the sectors behind it, a NTFS system partition, an extended
	partition with a second NTFS in it.  Nothing boots without the gap.
uefi	GPT as Windows makes it: ESP, MSR, C: and recovery, the loader only at
	\\EFI\\Microsoft\\Boot\\bootmgfw.efi: without an entry in NVRAM it does not boot.

Volumes are files, put into a sparse image: no loop devices.  MIB of noise and MIB of
text (8 by default) lie on the system's volume.
"""
import contextlib
import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

MIB = 1 << 20
SECTOR = 512
GRUB = "/usr/lib/grub/"
DISK_GUID = "11111111-2222-4333-8444-555555555555"
DISK_SIGNATURE = 0x1BADB002
# number: (first MiB, MiB, type, attributes, name); as Windows Setup lays them out.
UEFI_PARTS = {
    1: (1, 100, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", (63,), "EFI system partition"),
    2: (101, 16, "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", (63,), "Microsoft reserved partition"),
    3: (117, 300, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", (), "Basic data partition"),
    4: (417, 30, "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", (0, 63), "Basic data partition"),
}
UEFI_MIB = 448
BIOS_MIB = 200


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')[-600:]}")
    return done.stdout


@contextlib.contextmanager
def mounted(image, options="rw,noatime"):
    """A NTFS image, as a folder; afterwards the driver has ended and let go of it."""
    point = tempfile.mkdtemp(prefix="volume.", dir=os.path.dirname(os.path.abspath(image)))
    driver = subprocess.Popen(["ntfs-3g", "-o", options + ",no_detach", image, point], stderr=subprocess.PIPE)
    try:
        while not os.path.ismount(point):
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(timeout=0.02)
                raise RuntimeError(f"ntfs-3g of {image}: {driver.stderr.read().decode()}")
        yield point
    finally:
        # A driver that has ended already left nothing to unmount.
        subprocess.run(["umount", point], stderr=subprocess.DEVNULL)
        driver.wait(timeout=120)
        os.rmdir(point)


def ntfs(path, mib, start, label):
    with open(path, "wb") as f:
        f.truncate(mib * MIB)
    run("mkntfs", "-q", "-Q", "-F", "-H", "255", "-S", "63", "-p", str(start), "-s", "512", "-c", "4096",
        "-L", label, path)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def fill(root, name, seed, mib):
    """A system of MIB noise and MIB text, its sums, and the words to say when it boots."""
    rnd = random.Random(seed)
    sums = []
    words = [b"%d.dll " % rnd.randrange(10**6) for _ in range(500)]
    for i in range(mib):
        text = b"".join(rnd.choices(words, k=MIB // 6))
        for path, data in ((f"f{i}.dll", rnd.randbytes(MIB - i)), (f"t{i}.txt", text[:MIB - 700 * i])):
            write(f"{root}/Windows/System32/{path}", data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {path}\n")
    for i in range(200):
        write(f"{root}/Users/Иван/small {i}.txt", b"small %d\n" % i)
    write(f"{root}/Windows/sums.txt", "".join(sums).encode())
    write(f"{root}/Windows/marker.txt", f"BOOT-OK {name} {seed}\n".encode())


def put(disk, part, offset):
    """The data of a partition's image, into the disk, holes left."""
    with open(part, "rb") as src, open(disk, "r+b") as dst:
        end = os.path.getsize(part)
        at = 0
        while at < end:
            try:
                at = os.lseek(src.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(src.fileno(), at, os.SEEK_HOLE)
            while at < stop:
                data = os.pread(src.fileno(), min(MIB, stop - at), at)
                os.pwrite(dst.fileno(), data, offset + at)
                at += len(data)


# What the loaders do; $c is the system's volume.
CHECK = """
if hashsum --hash sha256 --check ($c)/Windows/sums.txt --prefix ($c)/Windows/System32 ; then
	%s
	cat ($c)/Windows/marker.txt
else
	echo "BOOT-BAD %s"
fi
sleep 2
halt
"""
SERIAL = "serial --unit=0 --speed=115200\nterminal_output serial\n"
MODULES = "ntfs serial terminal echo cat hashsum gcry_sha256 sleep halt test normal search search_fs_file".split()


def core_in_gap(disk, core):
    """GRUB's boot code into the MBR and its core behind it, as grub-install would."""
    with open(GRUB + "i386-pc/boot.img", "rb") as f:
        boot = bytearray(f.read())
    sectors = (len(core) + SECTOR - 1) // SECTOR
    if sectors > 2047:
        raise RuntimeError("GRUB's core does not fit into the gap")
    struct.pack_into("<Q", boot, 92, 1)  # Where the core begins,
    boot[100] = 0xFF  # on the disk that the BIOS booted,
    boot[102:104] = b"\x90\x90"  # whatever number it gives it.
    core = bytearray(core)
    struct.pack_into("<QH", core, 500, 2, sectors - 1)  # Its first sector's list of the rest.
    with open(disk, "r+b") as f:
        f.write(boot[:440])
        f.seek(SECTOR)
        f.write(core)


def mbr_entry(active, kind, start, sectors):
    # 0xfe 0xff 0xff: beyond what cylinders, heads and sectors can say.
    return struct.pack("<B3sB3sII", 0x80 if active else 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, sectors)


def bios(out, mib=8, seed=1):
    """The extended partition ends 1 MiB before the disk does; its NTFS is the first logical."""
    system, data = 120, 60
    first, extended = 2048, 2048 + system * 2048
    logical = extended + 2048
    with open(out, "wb") as f:
        f.truncate(BIOS_MIB * MIB)
        f.seek(440)
        f.write(struct.pack("<IH", DISK_SIGNATURE, 0) + mbr_entry(True, 7, first, system * 2048) +
                mbr_entry(False, 15, extended, (data + 1) * 2048) + bytes(32) + b"\x55\xaa")
        f.seek(extended * SECTOR + 446)
        f.write(mbr_entry(False, 7, 2048, data * 2048) + bytes(48) + b"\x55\xaa")
    work = tempfile.mkdtemp(prefix="victim.", dir=os.path.dirname(os.path.abspath(out)))
    try:
        ntfs(f"{work}/system", system, first, "SYSTEM")
        with mounted(f"{work}/system") as root:
            fill(root, "bios", seed, mib)
            write(f"{root}/boot/grub/grub.cfg",
                  (SERIAL + "set c=hd0,msdos1" + CHECK % ("cat (hd0,msdos5)/second.txt", "bios")).encode())
        ntfs(f"{work}/data", data, logical, "DATA")
        with mounted(f"{work}/data") as root:
            write(f"{root}/second.txt", b"read from the logical partition\n")
            write(f"{root}/noise.bin", random.Random(seed + 1).randbytes(MIB))
        put(out, f"{work}/system", first * SECTOR)
        put(out, f"{work}/data", logical * SECTOR)
        run("grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", f"{work}/core",
            "biosdisk", "part_msdos", *MODULES)
        with open(f"{work}/core", "rb") as f:
            core_in_gap(out, f.read())
    finally:
        shutil.rmtree(work)


def data(out, mib=64, seed=1):
    """A second disk: MBR, one NTFS, nothing to boot."""
    with open(out, "wb") as f:
        f.truncate(mib * MIB)
        f.seek(440)
        f.write(struct.pack("<IH", DISK_SIGNATURE + seed, 0) + mbr_entry(False, 7, 2048, (mib - 2) * 2048) +
                bytes(48) + b"\x55\xaa")
    ntfs(f"{out}.volume", mib - 2, 2048, "MORE")
    with mounted(f"{out}.volume") as root:
        write(f"{root}/more.bin", random.Random(seed).randbytes(4 * MIB))
    put(out, f"{out}.volume", MIB)
    os.remove(f"{out}.volume")


def partition_guid(number):
    return f"AAAAAAAA-{number:04d}-4000-8000-00000000000{number}"


def uefi_table(out):
    command = ["sgdisk", "-o", "-U", DISK_GUID]
    for n, (start, size, kind, attributes, name) in UEFI_PARTS.items():
        command += [f"-n{n}:{start * 2048}:{(start + size) * 2048 - 1}", f"-t{n}:{kind}", f"-c{n}:{name}",
                    f"-u{n}:{partition_guid(n)}"] + [f"-A{n}:set:{bit}" for bit in attributes]
    run(*command, out)


def uefi_loader(work):
    """GRUB with its script inside, as one file."""
    write(f"{work}/mem/boot/grub/grub.cfg",
          (SERIAL + "search --no-floppy --file --set=c /Windows/marker.txt" + CHECK % ("true", "uefi")).encode())
    run("tar", "-C", f"{work}/mem", "-cf", f"{work}/mem.tar", "boot")
    run("grub-mkimage", "-O", "x86_64-efi", "-m", f"{work}/mem.tar", "-p", "(memdisk)/boot/grub", "-o",
        f"{work}/loader.efi", "part_gpt", "fat", "tar", "memdisk", "true", *MODULES)
    return f"{work}/loader.efi"


def esp_files(work, seed, signed):
    """(path, below \\EFI)"""
    if signed is None:
        return ((uefi_loader(work), "Microsoft/Boot/bootmgfw.efi"),)
    write(f"{work}/grub.cfg", (SERIAL + f"echo BOOT-OK signed {seed}\nsleep 2\nhalt\n").encode())
    return ((signed[0], "Microsoft/Boot/bootmgfw.efi"), (signed[1], "Microsoft/Boot/grubx64.efi"),
            (f"{work}/grub.cfg", "debian/grub.cfg"))


def uefi(out, mib=8, seed=1, signed=None):
    """signed: paths of Debian's signed shim and GRUB, for Secure Boot.  That GRUB reads no
    NTFS: what it says is on the ESP."""
    with open(out, "wb") as f:
        f.truncate(UEFI_MIB * MIB)
    uefi_table(out)
    work = tempfile.mkdtemp(prefix="victim.", dir=os.path.dirname(os.path.abspath(out)))
    try:
        with open(f"{work}/p1", "wb") as f:
            f.truncate(UEFI_PARTS[1][1] * MIB)
        run("mkfs.vfat", "-F", "32", "-s", "1", "-h", "2048", "-n", "SYSTEM", "-i", "CAFEBABE", f"{work}/p1")
        run("mmd", "-i", f"{work}/p1", "::/EFI", "::/EFI/Microsoft", "::/EFI/Microsoft/Boot",
            "::/EFI/debian")
        for path, inside in esp_files(work, seed, signed):
            run("mcopy", "-i", f"{work}/p1", path, f"::/EFI/{inside}")
        for n, label in ((3, "Windows"), (4, "Recovery")):
            ntfs(f"{work}/p{n}", UEFI_PARTS[n][1], UEFI_PARTS[n][0] * 2048, label)
            with mounted(f"{work}/p{n}") as root:
                if n == 3:
                    fill(root, "uefi", seed, mib)
                else:
                    write(f"{root}/Recovery/WindowsRE/Winre.wim", random.Random(seed + 2).randbytes(2 * MIB))
        for n in (1, 3, 4):
            put(out, f"{work}/p{n}", UEFI_PARTS[n][0] * MIB)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    {"bios": bios, "uefi": uefi}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
