#!/usr/bin/env python3
"""formats.py BUILD_DIR - the tables of storage/FORMAT.md and proto/WIRE.md against the code.

A table of bytes stands below a line that begins with **Name**.  Its rows must
follow one another without gaps, make the length that the line gives, and say of
each field what BUILD_DIR/bin/formats (tests/tools/formats_main.c) finds in what
the code writes: every row that is neither reserved nor a magic is checked."""
import re, subprocess, sys

bad = 0


def wrong(what):
    global bad
    bad = 1
    print(what)


def number(expression, variables):
    """The value of "64 + 36 * n"; None if it is no such thing."""
    if not re.fullmatch(r"[0-9a-z+* -]+", expression) or expression.strip() == "-":
        return None
    try:
        return eval(expression, {"__builtins__": {}}, variables)
    except (NameError, SyntaxError):
        return None


def tables(path):
    """Name -> (the line above the table, [(offset, size, meaning, limit)])."""
    out, name, above = {}, None, ""
    for line in open(path, encoding="utf-8"):
        if line.startswith("**"):
            name, above = line.split("**")[1], line
            out[name] = (above, [])
        elif name and line.startswith("|"):
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if cells[0] not in ("offset", "---") and len(cells) == 4:
                out[name][1].append(cells)
        elif name and line.strip() and out[name][1]:
            name = None
    return {k: v for k, v in out.items() if v[1]}


class Told:
    """What the code says of one structure."""
    def __init__(self, length, content):
        self.length, self.content, self.variables, self.said = int(length), bytes.fromhex(content), {}, []


def check_rows(name, above, rows, told):
    at, spans = 0, []
    for offset, size, meaning, limit in rows:
        here = number(offset, told.variables)
        n = len(told.content) - at if size == "-" else number(size, told.variables)
        if here != at:
            wrong("%s: '%s' is at %s, %d comes next" % (name, meaning, offset, at))
        if n is None:
            wrong("%s: '%s' has size '%s'" % (name, meaning, size))
            return
        spans.append((at, n, meaning, limit))
        if "reserved" == meaning and any(told.content[at:at + n]):
            wrong("%s: what is reserved at %d is not zero" % (name, at))
        magic = re.match(r"magic `(\w+)`( and a newline)?$", meaning)
        if magic:
            want = magic.group(1).encode() + (b"\n" if magic.group(2) else b"")
            if told.content[at:at + n] != want:
                wrong("%s: the magic is %r, not %r" % (name, told.content[at:at + n], want))
        at += n
    stated = re.search(r"\b(\d+) bytes", above)
    if at != len(told.content) or (told.length and at != told.length):
        wrong("%s: the rows make %d bytes, the code %d" % (name, at, len(told.content)))
    if told.length and (not stated or int(stated.group(1)) != told.length):
        wrong("%s: the line above does not say %d bytes" % (name, told.length))
    named = set()
    for what, row, *rest in told.said:
        found = [s for s in spans if re.match(re.escape(row) + r"(\W|$)", s[2])]
        if len(found) != 1:
            wrong("%s: %d rows begin with '%s'" % (name, len(found), row))
            continue
        start, n, meaning, limit = found[0]
        content = told.content[start:start + n]
        named.add(meaning)
        if what == "value" and int.from_bytes(content, "little") != int(rest[0]):
            wrong("%s: '%s' at %d, %d bytes, is %d, not %s" % (name, row, start, n, int.from_bytes(content, "little"), rest[0]))
        if what == "bytes" and content != bytes.fromhex(rest[0]):
            wrong("%s: '%s' at %d, %d bytes, is not what the code writes" % (name, row, start, n))
        if what == "at" and (start, n) != (int(rest[0]), int(rest[1])):
            wrong("%s: '%s' is at %d, %d bytes; in the code %s, %s" % (name, row, start, n, *rest))
        if what == "limit" and rest[0] not in re.findall(r"\d+", limit):
            wrong("%s: '%s' does not have the limit %s" % (name, row, rest[0]))
    for _, _, meaning, _ in spans:
        if meaning != "reserved" and not meaning.startswith("magic") and meaning not in named:
            wrong("%s: nothing checks the row '%s'" % (name, meaning))


def main():
    paths = {"FORMAT.md": "storage/FORMAT.md", "WIRE.md": "proto/WIRE.md"}
    documents = {k: open(p, encoding="utf-8").read() for k, p in paths.items()}
    all_tables = {**tables(paths["FORMAT.md"]), **tables(paths["WIRE.md"])}
    structures, types, reasons = {}, set(), set()
    now = None
    for line in subprocess.run([sys.argv[1] + "/bin/formats"], check=True, capture_output=True, text=True).stdout.splitlines():
        word, *rest = line.split("\t")
        if word == "struct":
            now = structures[rest[0]] = Told(*rest[1:])
        elif word == "var":
            now.variables[rest[0]] = int(rest[1])
        elif word in ("value", "bytes", "at", "limit"):
            now.said.append((word, *rest))
        elif word == "text":
            if rest[1] not in re.findall(r"\d+", documents[rest[0]]):
                wrong("%s does not have %s (%s)" % tuple(rest))
        elif word == "word":
            if rest[1] not in documents[rest[0]]:
                wrong("%s does not have '%s'" % tuple(rest))
        elif word == "type":
            types.add(int(rest[0]))
        elif word == "reason":
            reasons.add(int(rest[0]))
        elif word == "message":
            row = re.search(r"^\| *\d+ *\| *%s *\|.*" % rest[0], documents["WIRE.md"], re.M)
            if not row or rest[1] not in re.findall(r"\d+", row.group(0)):
                wrong("WIRE.md: %s does not have the limit %s" % tuple(rest))
        else:
            wrong("formats says '%s'" % line)
    for name, (above, rows) in all_tables.items():
        if name not in structures:
            wrong("the code says nothing of '%s'" % name)
        else:
            check_rows(name, above, rows, structures[name])
    for name in structures:
        if name not in all_tables:
            wrong("no document has a table of '%s'" % name)
    for what, have, title in (("types of records", types, "| type | what | payload |"),
                              ("reasons", reasons, "| reason | why |")):
        part = documents["FORMAT.md"].split(title)[1].split("\n\n")[0]
        listed = {int(n) for n in re.findall(r"^\| (\d+) \|", part, re.M)}
        if listed != have:
            wrong("FORMAT.md's %s are %s, the code's %s" % (what, sorted(listed), sorted(have)))
    if len(structures) < 15:
        wrong("only %d structures were checked" % len(structures))
    sys.exit(bad)


main()
