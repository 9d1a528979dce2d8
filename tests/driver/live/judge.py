"""judge.py - is an image of a volume that programs (work.py) wrote to of use?"""
import os
import shutil

from stack import run
import work


def ntfs(at, image, folder="."):
    """A copy is mended as an administrator would, and what programs keep in `folder` is looked
    at; `at` is for files.  Transactions by database, the stamp, what was half done."""
    found = {"short": 0}
    copy, look = image + ".mended", f"{at}/look"
    run("cp", "--sparse=always", image, copy)
    run("ntfsfix", copy)
    out = run("ntfsfix", "-n", copy)
    assert "processed successfully" in out, out
    os.makedirs(look, exist_ok=True)
    run("ntfs-3g", "-o", "ro", copy, look)
    try:
        files = f"{at}/files"
        shutil.rmtree(files, ignore_errors=True)
        os.mkdir(files)
        for name in os.listdir(f"{look}/{folder}"):
            path = f"{look}/{folder}/{name}"
            if name.endswith("-shm"):
                continue
            if not os.path.isdir(path):
                found["short"] += work.salvage(path, f"{files}/{name}")
            elif name == "churn":
                found["broken"] = work.churn_check(path, frozen=True)
    finally:
        run("umount", look)
    assert found["short"] <= 2, "more ends are missing than programs write"
    for name in sorted(os.listdir(files)):
        if name.endswith(".db"):
            found[name[:-3]] = work.sqlite_check(f"{files}/{name}")
    if os.path.exists(f"{files}/stamp"):
        found["stamp"] = work.stamp(f"{files}/stamp")
    os.unlink(copy)
    return found
