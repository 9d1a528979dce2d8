#!/usr/bin/env python3
"""check_abi.py - every structure of driver/abi/hotcopy.h has the same size and its members
the same places with gcc, clang and MinGW-w64 for x64 and i686, and no hole between them.

What gcc says of each is compiled into assertions for the others."""
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
HEADER = "driver/abi/hotcopy.h"
COMPILERS = ("gcc", "clang", "x86_64-w64-mingw32-gcc-posix", "i686-w64-mingw32-gcc-posix")


def structures(text):
    """{name: [(member, is an array without length)]}"""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = {}
    for name, body in re.findall(r"\bstruct (hotcopy_\w+) \{(.*?)\n\};", text, re.S):
        members = []
        for line in body.split(";"):
            words = re.sub(r"^\s*(struct )?\w+\s+", "", line.strip())
            members += [(re.match(r"\w+", m.strip()).group(), m.strip().endswith("[]")) for m in words.split(",") if m.strip()]
        found[name] = members
    return found


def compile_with(compiler, source, out):
    subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{TOP}", *out, source], check=True)


def main():
    found = structures(open(os.path.join(TOP, HEADER), encoding="utf-8").read())
    places = [(s, m, tail) for s, members in found.items() for m, tail in members]
    if len(found) < 20 or len(places) < 90:
        sys.exit(f"only {len(found)} structures and {len(places)} members were found: mend check_abi.py")
    with tempfile.TemporaryDirectory() as work:
        tell = [f'#include <stddef.h>\n#include <stdio.h>\n#include "{HEADER}"\nint\nmain(void)\n{{']
        for s in found:
            tell.append(f'printf("%zu %zu\\n", sizeof(struct {s}), (size_t)0);')
        for s, m, tail in places:
            size = "0" if tail else f"sizeof((({'struct ' + s} *)0)->{m})"
            tell.append(f'printf("%zu %zu\\n", offsetof(struct {s}, {m}), (size_t){size});')
        tell.append("return 0;\n}\n")
        with open(f"{work}/tell.c", "w", encoding="utf-8") as f:
            f.write("\n".join(tell))
        compile_with("gcc", f"{work}/tell.c", ["-o", f"{work}/tell"])
        said = [tuple(map(int, line.split())) for line in
                subprocess.run([f"{work}/tell"], check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()]
        sizes = dict(zip(found, (n for n, _ in said)))
        asserts, end = [f'#include <stddef.h>\n#include "{HEADER}"'], {}
        for s, n in sizes.items():
            asserts.append(f'_Static_assert(sizeof(struct {s}) == {n}, "sizeof {s}");')
        for (s, m, _), (offset, size) in zip(places, said[len(found):]):
            asserts.append(f'_Static_assert(offsetof(struct {s}, {m}) == {offset}, "{s}.{m}");')
            if end.get(s, 0) != offset:
                sys.exit(f"{s}: a hole before {m}: uninitialised bytes would pass")
            end[s] = offset + size
        for s, n in sizes.items():
            if end[s] != n or n % 8 != 0:
                sys.exit(f"{s}: a hole at its end, or not of whole 8 bytes")
        with open(f"{work}/assert.c", "w", encoding="utf-8") as f:
            f.write("\n".join(asserts) + "\ntypedef int not_empty;\n")
        for compiler in COMPILERS:
            compile_with(compiler, f"{work}/assert.c", ["-fsyntax-only"])
    print(f"{len(found)} structures, {len(places)} members, {len(COMPILERS)} compilers")


main()
