"""A writer whose every state is known, and whether an image is one of them.

prefix.py write FILE OFFSET BLOCKS   until SIGTERM: write 1, 2, 3 ... each to the next block of a
                                     fixed order, over and over; says "going" after a round
prefix.py check IMAGE OFFSET BLOCKS  the image is what was written up to some number, no more, no
                                     less; prints the number
"""
import os
import random
import signal
import struct
import sys

BLOCK = 4096


def order(blocks):
    o = list(range(blocks))
    random.Random(11).shuffle(o)
    return o


def content(number):
    return struct.pack("<Q", number) * (BLOCK // 8)


def write(path, offset, blocks):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    fd, o, number = os.open(path, os.O_WRONLY), order(blocks), 0
    while not stop:
        os.pwrite(fd, content(number + 1), offset + BLOCK * o[number % blocks])
        number += 1
        if number == blocks:
            print("going", flush=True)
    os.fsync(fd)


def check(path, offset, blocks):
    numbers = []
    with open(path, "rb") as f:
        f.seek(offset)
        for _ in range(blocks):
            block = f.read(BLOCK)
            numbers.append(struct.unpack_from("<Q", block)[0])
            assert block == content(numbers[-1]), f"a torn block: {numbers[-1]}"
    last = max(numbers)
    for i, at in enumerate(order(blocks)):
        # The newest of those that go there.
        should = last - (last - 1 - i) % blocks if i < last else 0
        assert numbers[at] == should, f"block {at} has {numbers[at]}, not {should} of {last}"
    print(last)


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
