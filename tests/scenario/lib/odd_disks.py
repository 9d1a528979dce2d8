"""Disks as nobody should make them, each a file in DIRECTORY.

odd_disks.py DIRECTORY make|change

Their bytes are noise in every sector, so that each has to come back.  `change` is what
an administrator does between two backups: partitions come, go, move and grow.
"""
import os
import random
import struct
import sys
import zlib

SECTOR, MIB = 512, 1 << 20
where, what = sys.argv[1:]
change = what == "change"
noise = random.Random(5)


def entry(kind, start, count, active=0):
    return struct.pack("<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, count)


def put_mbr(disk, entries, at=0):
    disk[at + 446 : at + 510] = b"".join(entries).ljust(64, b"\0")
    disk[at + 510 : at + 512] = b"\x55\xaa"


def put_gpt(disk, parts, ss=SECTOR, entries=128, end=None, mbr=None, at=2, first=None):
    """`parts`: slot -> (first sector, last)."""
    sectors = (end or len(disk)) // ss
    length = entries * 128
    rows = -(-length // ss)
    array = bytearray(length)
    for slot, (low, high) in parts.items():
        array[slot * 128 : slot * 128 + 56] = struct.pack(
            "<16s16sQQQ", b"kind of a type!!", b"partition %06d" % slot, low, high, 0)
    disk[446:510] = bytes(64)
    put_mbr(disk, mbr or [entry(0xEE, 1, sectors - 1)])
    for here, other, table in ((1, sectors - 1, at), (sectors - 1, 1, sectors - 1 - rows)):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, other,
            first or at + rows, sectors - 2 - rows, b"an id of a disk!", table, entries, 128, zlib.crc32(array))
        head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
        disk[here * ss : here * ss + 512] = head.ljust(512, b"\0")
        disk[table * ss : table * ss + length] = array


def fat(disk, at, length):
    """A FAT16 that calls all but its root free."""
    sectors = length // SECTOR
    disk[at : at + 512] = struct.pack("<3s8sHBHBHHBHHHIIBBBI11s8s", b"\xeb\x3c\x90", b"MSDOS5.0", 512, 1, 1, 2, 512,
        sectors if sectors < 65536 else 0, 0xF8, 64, 63, 255, at // SECTOR, 0, 0x80, 0, 0x29, 7, b"NO NAME    ",
        b"FAT16   ").ljust(510, b"\0") + b"\x55\xaa"
    for n in range(2):
        start = at + (1 + 64 * n) * SECTOR
        disk[start : start + 64 * SECTOR] = b"\xf8\xff\xff\xff".ljust(64 * SECTOR, b"\0")
    disk[at + 129 * SECTOR : at + 161 * SECTOR] = bytes(32 * SECTOR)


def chain(disk, base, links):
    """An extended partition at `base`; `links`: (sector from base, partitions, next or 0)."""
    for here, parts, following in links:
        rows = [entry(0x83, *p) for p in parts]
        if following:
            rows.append(entry(5, following, 100))
        put_mbr(disk, rows, (base + here) * SECTOR)


def overlapping(d):
    put_mbr(d, [entry(7, 64, 10000), entry(0x83, 5000, 2000 + 100 * change)])
    fat(d, 64 * SECTOR, 10000 * SECTOR)


def beyond_the_end(d):
    put_mbr(d, [entry(7, 64, 1 << 20), entry(7, 1 << 30, 5), entry(0x83, 200, 300 + change)])


def unsorted_gpt(d):
    put_gpt(d, {7: (100, 199), 2: (5000, 6000 + 500 * change), 0: (300, 4000), 90 - change: (4001, 4001)})


def hybrid(d):
    put_gpt(d, {0: (100, 999), 1: (1000, 4000)}, mbr=[entry(0xEE, 1, 99), entry(7, 100, 900, 0x80), entry(0x83, 1000, 3001)])


def protective_alone(d):
    put_mbr(d, [entry(0xEE, 1, len(d) // SECTOR - 1)])


def sectors_of_4096(d):
    put_gpt(d, {0: (6, 500), 4: (600, 700 + 50 * change)}, ss=4096)


def backup_inside(d):
    put_gpt(d, {0: (64, 4000)}, end=len(d) - MIB)


def entries_elsewhere(d):
    put_gpt(d, {0: (3000, 4000), 1: (6000, 7000)}, at=40, first=128)


def table_over_table(d):
    put_gpt(d, {0: (1, 500), 1: (600, 700)}, first=1)


def short_table(d):
    put_gpt(d, {0: (3, 500), 3: (501, len(d) // SECTOR - 3)}, entries=4)


def broken_primary(d):
    put_gpt(d, {0: (64, 4000), 1: (4001, 5000)})
    d[SECTOR + 40] ^= 1


def whole(d):
    put_mbr(d, [entry(7, 1, len(d) // SECTOR - 1)])
    fat(d, SECTOR, 10000 * SECTOR)
    d[SECTOR + 510] = 0


def dynamic(d):
    put_mbr(d, [entry(0x42, 63, len(d) // SECTOR - 63 - 2048)])
    fat(d, 63 * SECTOR, 10000 * SECTOR)


def nothing(d):
    put_mbr(d, [entry(7, 0, 0), entry(0, 64, 100), entry(7, 200, 0), entry(0x83, 300, 1 + change)])


def ring(d):
    put_mbr(d, [entry(5, 100, 8000)])
    chain(d, 100, [(0, [(10, 50)], 200), (200, [(10, 50)], 400), (400, [(10, 50)], 200)])


def two_in_a_link(d):
    put_mbr(d, [entry(5, 100, 8000), entry(6, 9000, 100)])
    chain(d, 100, [(0, [], 200), (200, [(10, 50), (80, 90)], 400), (400, [(10, 50 + change)], 0)])


def link_in_a_partition(d):
    put_mbr(d, [entry(0xF, 100, 12000)])
    chain(d, 100, [(0, [(10, 10000)], 5000), (5000, [(10, 50)], 0)])
    fat(d, 110 * SECTOR, 10000 * SECTOR)
    put_mbr(d, [entry(0x83, 10, 50)], 5100 * SECTOR)


def moved(d):
    by = 1000 if change else 0
    put_mbr(d, [entry(0x83, 64 + by, 2000), entry(0x83, 4000, 2000 + 3 * by), entry(6, 10001 - by, 900)])


def come_and_gone(d):
    put_mbr(d, [entry(0x83, 64, 2000)] if change else [entry(0x83, 64, 500), entry(0x83, 600, 500), entry(5, 2000, 4000)])
    if not change:
        chain(d, 2000, [(0, [(10, 990)], 1000), (1000, [(10, 50)], 0)])


def becomes_gpt(d):
    if change:
        put_gpt(d, {0: (2048, 4000)})
    else:
        put_mbr(d, [entry(7, 2048, 4000)])


ALL = [overlapping, beyond_the_end, unsorted_gpt, hybrid, protective_alone, sectors_of_4096, backup_inside,
    entries_elsewhere, table_over_table, short_table, broken_primary, whole, dynamic, nothing, ring, two_in_a_link,
    link_in_a_partition, moved, come_and_gone, becomes_gpt]

for make in ALL:
    disk = bytearray(noise.randbytes(6 * MIB))
    make(disk)
    with open(os.path.join(where, make.__name__), "wb") as f:
        f.write(disk)
# More partitions than a host may have, each of a sector.
disk = bytearray(noise.randbytes(MIB))
put_gpt(disk, {n: (100 + n, 100 + n) for n in range(200 + change)}, entries=256)
with open(os.path.join(where, "many"), "wb") as f:
    f.write(disk)
