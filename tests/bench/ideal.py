"""ideal.py - what no store can beat by much: every distinct file once, in one solid zstd -3 stream.

Usage: ideal.py PLACE IMAGE...; PLACE is for a temporary file.  Prints bytes.
No page or hibernation file, no metadata.  Files are read through ntfs-3g, so that
nothing of ours has a say; hosts in order, paths sorted within a host.
"""
import hashlib
import os
import subprocess
import sys
import tempfile

LEFT_OUT = ("pagefile.sys", "hiberfil.sys", "swapfile.sys")


def files(mount):
    for folder, folders, names in os.walk(mount):
        folders.sort()
        for name in sorted(names):
            if not (folder == mount and name.lower() in LEFT_OUT):
                yield os.path.join(folder, name)


def ideal(images, place):
    """Bytes."""
    seen = set()
    with tempfile.TemporaryFile(dir=place) as out:
        with subprocess.Popen(["zstd", "-3", "--single-thread", "-q", "-c"], stdin=subprocess.PIPE, stdout=out) as z:
            for image in images:
                add(image, seen, z.stdin)
        size = os.fstat(out.fileno()).st_size
    if z.returncode != 0:
        sys.exit("zstd failed")
    return size


def add(image, seen, out):
    with tempfile.TemporaryDirectory() as mount:
        subprocess.run(["ntfs-3g", "-o", "ro", image, mount], check=True)
        try:
            for path in files(mount):
                with open(path, "rb") as f:
                    content = f.read()
                digest = hashlib.sha256(content).digest()
                if digest not in seen:
                    seen.add(digest)
                    out.write(content)
        finally:
            subprocess.run(["umount", mount], check=True)


if __name__ == "__main__":
    print(ideal(sys.argv[2:], sys.argv[1]))
