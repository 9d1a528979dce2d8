#!/usr/bin/env python3
"""track_mutants.py [BUILD [NAME]] - the tracking protocol without one of its rules each
must fail in the crash model; those of ORDER, which are about the order of single words, in
track_order, too.

A mutant is a copy of one source in which one piece of text, which must be there exactly
once, is another.  What is compiled is kept and only the changed file compiled anew; as a
control the protocol as it is must pass, also with cells of the log that hold 2 regions,
so that many cells lie in one sector."""
import os, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORE = "driver/core/"
SOURCES = ["track", "track_format", "track_log", "track_open", "track_print", "track_save",
           "track_store", "bits"]
TEST = "tests/driver/"
MODEL = ["track_model", "track_model_disk", "track_model_main"]
LIVES = "120000"
FEW = "30000"  # enough for averages
FLAGS = ["-std=c11", "-O1", "-D_POSIX_C_SOURCE=200809L"]

COARSE = "everything is reported, always"
ORDER = ["data before its region is durable", "the bit is set after the mark was looked at",
         "marks are forgotten after bits were copied",
         "regions are not logged for the checkpoint under way",
         "a cut during a checkpoint is not noticed", "a region is marked before it is durable"]

# name: file, text, what stands there instead; or several such.
MUTANTS = {
    "data before its region is durable": ("track",
        "		return bits_get(&t->marks, first);", "		return true;"),
    "the bit is set after the mark was looked at": ("track",
        "	if (first == last)\n		(void)bits_set(&t->current, first);",
        "	if (first == last && !bits_get(&t->marks, offset >> TRACK_REGION_SHIFT)) {\n"
        "		if (atomic_get(&t->place.open))\n			return false;\n	}\n"
        "	if (first == last)\n		(void)first;"),
    "marks are forgotten after bits were copied": ("track_save",
        "	track_log_begin(t, forget);", "	track_log_begin(t, false);\n	(void)forget;"),
    "a slot is thought empty before marks are forgotten": [("track_save",
        "	track_log_begin(t, forget);", "	track_log_begin(t, false);"), ("track_save",
        "	s->map = 0;\n	next_map(s);\n}\n\nstatic int",
        "	if (forget)\n		bits_clear_range(&t->marks, 0, UINT64_MAX);\n"
        "	s->map = 0;\n	next_map(s);\n}\n\nstatic int")],
    "the log is cleared before the slot is durable": ("track_log",
        "	if (had < l->head.checkpoint)", "	if (had < now)"),
    "regions are not logged for the checkpoint under way": ("track_log",
        "	uint64_t now = l->saving ? l->next : l->head.checkpoint;",
        "	uint64_t now = l->head.checkpoint;"),
    # Alone it is no loss but INVALID: the sequences tell.
    "the live slot is overwritten": [("track_save",
        "	return t->log.head.slot[map] == 0 ? 1 : 0;",
        "	return t->log.head.slot[map] == 1 ? 1 : 0;"), ("track_open",
        "is == TRACK_TORN || track_cell_sequence(cell) != sequence", "is == TRACK_TORN")],
    "previous is dropped at the cut": ("track_save",
        "		if (i == 0 || m->stale) {", "		if (i == 0) {"),
    "a cut forgets what was not committed": ("track",
        "		bits_merge(&t->previous, &t->current);",
        "		(void)bits_clear_range(&t->previous, 0, UINT64_MAX);\n"
        "		bits_merge(&t->previous, &t->current);"),
    "the nonce is not compared": ("track",
        "	return a == b && memcmp(a_nonce, b_nonce, HOTCOPY_NONCE) == 0;",
        "	(void)a_nonce;\n	(void)b_nonce;\n	return a == b;"),
    "the clean mark stays when a region is logged": ("track_open",
        "	clean = (h->flags & TRACK_CLEAN) != 0 && !logged;",
        "	clean = (h->flags & TRACK_CLEAN) != 0;\n	if (clean && logged)\n"
        "		bits_clear_range(&t->current, 0, UINT64_MAX);"),
    "a clean log is not written anew": ("track_save",
        "			if (clean)\n				s->step = TRACK_SAVE_NONE;", ""),
    "a torn cell of the log is empty": ("track_open",
        "memset(cell + TRACK_PAYLOAD_AT, 0xff, TRACK_PAYLOAD);",
        "memset(cell + TRACK_PAYLOAD_AT, 0, TRACK_PAYLOAD);"),
    "commit forgets current": ("track",
        "		(void)bits_clear_range(&t->previous, 0, UINT64_MAX);\n		m->flags",
        "		(void)bits_clear_range(&t->previous, 0, UINT64_MAX);\n"
        "		(void)bits_clear_range(&t->current, 0, UINT64_MAX);\n		m->flags"),
    "sums are not checked": ("track_format",
        "	if (track_load64(cell + AT_SUM) != track_sum(0, cell, AT_SUM))",
        "	if (0)"),
    "the fingerprint is skipped": ("track_open",
        "	return clean && now.clean != h->clean_print;", "	return false;"),
    "the boot print is skipped": ("track_open",
        "	if (now.ntfs && now.boot != h->boot_print)", "	if (0)"),
    "the length is not compared": ("track_open",
        "	if (h->length != t->length)", "	if (0)"),
    "sequences of slots are not compared": ("track_open",
        "is == TRACK_TORN || track_cell_sequence(cell) != sequence", "is == TRACK_TORN"),
    "a cut during a checkpoint is not noticed": ("track_save",
        "	same = m->epoch == s->epoch;\n	if (same) {",
        "	same = true;\n	if (same) {"),
    "metadata is not written through": ("track_store",
        "volume_io_write(t->volume, offset, from, n, true)",
        "volume_io_write(t->volume, offset, from, n, false)"),
    "one copy of the header is written in place": ("track_log",
        "	uint32_t copy = l->newest;", "	uint32_t copy = l->newest ^ 1;"),
    "a store error is kept to itself": ("track_log",
        "		tell = track_log_lose(t, HOTCOPY_WHY_STORE_ERROR, false);",
        "		tell = false;"),
    "INVALID is not durable": ("track_log",
        "		(void)track_log_head(t, &h);\n	track_log_mark_all", "		(void)h;\n	track_log_mark_all"),
    "writes into our extents are not noticed": ("track",
        "	if (track_store_owns(t, offset, end))", "	if (0)"),
    "regions after a crash are not whole": ("track_open",
        "		bits_set_range(&t->current, block, block + TRACK_REGION_BLOCKS - 1);",
        "		bits_set_range(&t->current, block, block);"),
    "an abort forgets": ("track",
        "		m->epoch += (uint32_t)rc;",
        "		m->epoch += (uint32_t)rc;\n"
        "		if (rc)\n			(void)bits_clear_range(&t->previous, 0, UINT64_MAX);"),
    "a region is marked before it is durable": ("track_log",
        "		if (changed) {\n", "		for (uint32_t k = from; k < c; k++)\n"
        "			mark(t, k);\n		if (changed) {\n"),
    # Caught by the bounds of how coarse a report may be.
    COARSE: ("track",
        "	if (t->memory.flags & all) {", "	if (t->memory.flags + 1 + all) {"),
}


class Kit:
    """A test compiled against the protocol as it is; "first" is looked for headers in first."""
    def __init__(self, tests, work, arguments, first=TOP):
        self.arguments, self.first, self.objects = arguments, first, {}
        os.makedirs(work)
        for name in SOURCES + tests:
            room = TEST if name in tests else CORE
            path = os.path.join(first, room, name + ".c")
            self.objects[name] = (path if os.path.exists(path) else os.path.join(TOP, room, name + ".c"),
                                  os.path.join(work, name + ".o"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda p: self.compile(*p), self.objects.values()))
        self.objects = {name: o for name, (_, o) in self.objects.items()}

    def compile(self, source, out):
        subprocess.run(["gcc", *FLAGS, "-I", self.first, "-I", TOP, "-c", source, "-o", out], check=True)

    def run(self, changed, program, arguments=None):
        subprocess.run(["gcc", *{**self.objects, **changed}.values(), "-o", program], check=True)
        try:
            p = subprocess.run([program, *(arguments or self.arguments)], capture_output=True, text=True,
                               timeout=240)
        except subprocess.TimeoutExpired:
            return 124, "hangs"
        return p.returncode, p.stdout.strip().split("\n")[-1][:60]


def mutant(name, kit, work):
    edits = MUTANTS[name] if isinstance(MUTANTS[name], list) else [MUTANTS[name]]
    here = tempfile.mkdtemp(dir=work)
    texts, changed = {}, {}
    for file, old, new in edits:
        if file not in texts:
            with open(os.path.join(TOP, CORE, file + ".c"), encoding="utf-8") as f:
                texts[file] = f.read()
        if texts[file].count(old) != 1:
            return "%s: its text is %d times in %s.c" % (name, texts[file].count(old), file)
        texts[file] = texts[file].replace(old, new)
    for file, text in texts.items():
        source = os.path.join(here, file + ".c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        changed[file] = os.path.join(here, file + ".o")
        kit.compile(source, changed[file])
    rc, said = kit.run(changed, os.path.join(here, "m"), [FEW, "7"] if name == COARSE else None)
    print("%-55s %s" % (name, said if rc else "NOT CAUGHT"), flush=True)
    return None if rc in (1, 2) else "%s: not caught (%d)" % (name, rc)


def small_cells(work):
    """The same with 2 regions in a cell of the log."""
    where = os.path.join(work, "small")
    os.makedirs(os.path.join(where, CORE))
    for name in os.listdir(os.path.join(TOP, CORE)):
        if name.startswith("track") or name.startswith("bits"):
            text = open(os.path.join(TOP, CORE, name), encoding="utf-8").read()
            if name == "track_format.h":
                assert text.count("#define TRACK_LOG_SHIFT 11u") == 1
                text = text.replace("#define TRACK_LOG_SHIFT 11u", "#define TRACK_LOG_SHIFT 1u")
            with open(os.path.join(where, CORE, name), "w", encoding="utf-8") as f:
                f.write(text)
    kit = Kit(MODEL, os.path.join(work, "small-objects"), [FEW, "7"], where)
    rc, said = kit.run({}, os.path.join(work, "small-model"))
    print("%-55s %s" % ("the protocol, 2 regions in a cell", said), flush=True)
    return "the protocol with small cells fails: " + said if rc else None


def main():
    only = sys.argv[2:] or list(MUTANTS)
    with tempfile.TemporaryDirectory() as work:
        model = Kit(MODEL, os.path.join(work, "model"), [LIVES, "7"])
        order = Kit(["track_order_main"], os.path.join(work, "order"), ["2"], os.path.join(TOP, TEST, "order"))
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(mutant, n, model, work) for n in only]
            jobs += [pool.submit(mutant, n, order, work) for n in only if n in ORDER]
            if len(only) > 1:
                jobs.append(pool.submit(small_cells, work))
            bad = [b for b in (j.result() for j in jobs) if b]
    for b in bad:
        print("FAILED", b)
    print("%d mutants, %d of them also in track_order" % (len(only), len([n for n in only if n in ORDER])))
    return 1 if bad else 0


sys.exit(main())
