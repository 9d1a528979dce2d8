#!/usr/bin/env python3
# Read a VHDX by [MS-VHDX] alone and compare it with a raw image: its bytes, and that
# what stands in the file stands there once.  Holes are skipped, so terabytes cost nothing.
# usage: vhdx.py FILE.vhdx RAW
import os
import struct
import sys
import uuid

MIB = 1 << 20


def crc32c(data):
    table = crc32c.table
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ table[(crc ^ b) & 255]
    return crc ^ 0xFFFFFFFF


crc32c.table = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    crc32c.table.append(i)


def must(what, text):
    if not what:
        sys.exit("vhdx.py: " + text)


def summed(data):
    return crc32c(data[:4] + bytes(4) + data[8:]) == struct.unpack_from("<I", data, 4)[0]


class Vhdx:
    def __init__(self, path):
        self.f = open(path, "rb")
        self.length = os.fstat(self.f.fileno()).st_size
        must(self.at(0, 8) == b"vhdxfile", "no file type identifier")
        heads = [self.at(n * 65536, 4096) for n in (1, 2)]
        must(all(h[:4] == b"head" and summed(h) for h in heads), "a header is wrong")
        head = max(heads, key=lambda h: struct.unpack_from("<Q", h, 8))
        log_version, version, log_len, log_at = struct.unpack_from("<HHIQ", head, 64)
        must((log_version, version) == (0, 1), "versions")
        must(head[48:64] == bytes(16), "the log is not empty")
        self.taken = [(0, MIB, "head"), (log_at, log_len, "log")]
        tables = [self.at(n * 65536, 65536) for n in (3, 4)]
        must(tables[0] == tables[1], "the region tables differ")
        must(tables[0][:4] == b"regi" and summed(tables[0]), "a region table is wrong")
        regions = {}
        for n in range(struct.unpack_from("<I", tables[0], 8)[0]):
            guid, at, length, _ = struct.unpack_from("<16sQII", tables[0], 16 + 32 * n)
            regions[str(uuid.UUID(bytes_le=guid))] = at, length
            self.taken.append((at, length, "region"))
        self.bat_at, bat_len = regions["2dc27766-f623-4200-9d64-115e9bfd4a08"]
        self.metadata(*regions["8b7ca206-4790-4b9a-b8fe-575f050f886e"])
        ratio = (1 << 23) * self.sector // self.block
        blocks = -(-self.size // self.block)
        must(bat_len >= 8 * (blocks + (blocks - 1) // ratio), "the BAT is too short")
        self.place = {}
        bat = self.at(self.bat_at, 8 * (blocks + (blocks - 1) // ratio))
        for n in range(len(bat) // 8):
            entry = struct.unpack_from("<Q", bat, 8 * n)[0]
            if n % (ratio + 1) == ratio:
                must(entry == 0, "a sector bitmap in a disk without a parent")
            elif entry & 7 == 6:
                self.place[n - n // (ratio + 1)] = (entry >> 20) * MIB
                self.taken.append(((entry >> 20) * MIB, self.block, "block"))
            else:
                # What is not present (0) reads as anything, by 2.5.1.1: zeros are 2.
                must(entry == 2, "entry %d is %x" % (n, entry))
        self.taken.sort()
        for one, two in zip(self.taken, self.taken[1:]):
            must(one[0] + one[1] <= two[0], "%s over %s" % (one, two))
        for at, length, what in self.taken:
            must(at % MIB == 0 and at + length <= self.length, "%s at %d" % (what, at))

    def at(self, offset, length):
        self.f.seek(offset)
        data = self.f.read(length)
        must(len(data) == length, "%d bytes at %d are not there" % (length, offset))
        return data

    def metadata(self, at, length):
        table = self.at(at, 65536)
        must(table[:8] == b"metadata", "no metadata")
        item = {}
        for n in range(struct.unpack_from("<H", table, 10)[0]):
            guid, where, size = struct.unpack_from("<16sII", table, 32 * (n + 1))
            must(where >= 65536 and where + size <= length, "an item's place")
            item[str(uuid.UUID(bytes_le=guid))] = self.at(at + where, size)
        self.block, flags = struct.unpack(
            "<II", item["caa16737-fa36-4d43-b3b6-33f0aa44e76b"])
        must(flags == 0, "it has a parent")
        self.size = struct.unpack("<Q", item["2fa54224-cd1b-4876-b211-5dbed83bf4b8"])[0]
        self.sector = struct.unpack("<I", item["8141bf1d-a96f-4709-ba47-f233a8faab5f"])[0]
        must(self.sector in (512, 4096) and self.size % self.sector == 0, "sectors")
        must(item["cda348c7-445d-4471-9cc9-e9885251c556"] == struct.pack("<I", 4096), "4K")
        must(len(item["beca12ab-b2e6-4523-93ef-c309e000c746"]) == 16, "the disk's id")


def data_of(fd, size):
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, end
        at = end


def main():
    disk = Vhdx(sys.argv[1])
    raw = open(sys.argv[2], "rb")
    must(os.fstat(raw.fileno()).st_size == disk.size, "the disk has %d bytes" % disk.size)
    need = set(disk.place)
    for at, end in data_of(raw.fileno(), disk.size):
        need.update(range(at // disk.block, (end - 1) // disk.block + 1))
    for n in sorted(need):
        length = min(disk.block, disk.size - n * disk.block)
        raw.seek(n * disk.block)
        there = raw.read(length)
        here = disk.at(disk.place[n], length) if n in disk.place else bytes(length)
        must(here == there, "block %d is not as the image" % n)


main()
