#!/usr/bin/env python3
"""mutants.py WORK [NAME...] - seeded bugs in the driver, each of which a test must find.

Each is a change of a few words in driver/core or driver/nt.  Only the changed file is
compiled anew; the test that should notice gets a few seconds.  A mutant whose words are
not in the source any more, that does not compile, or that no test notices, is an error.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CC = os.environ.get("CC", "cc")
FLAGS = ["-std=c11", "-O1", "-g", "-fno-strict-aliasing", "-fshort-wchar", "-Wno-multichar",
         "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-I", f"{TREE}/tests/driver/shim",
         "-I", TREE, "-include", f"{TREE}/tests/driver/shim/hook.h", "-pthread"]
PLAIN = ["-std=c11", "-O1", "-g", "-fno-strict-aliasing", "-D_POSIX_C_SOURCE=200809L",
         "-D_DEFAULT_SOURCE", "-I", TREE, "-pthread"]
PROGRAMS = ["nt_exact", "nt_stuck", "nt_alloc", "nt_pause"]
# What only a unit test of the core can tell: the core alone, without the shim.
UNITS = ["volume_test", "copy_test", "set_test", "set_lend_test"]
VOLUME, COPY, SET, LEND = ([name] for name in UNITS)
EVERYTHING = ["nt_alloc", "0", "0"]
# Nothing here waits for luck: threads are stopped where it matters, disks hold requests back.
# What hangs is known by the shim's patience, or that of the units' disks, and said. A test that
# only does not end has noticed nothing: it gets more time once, and then that is an error.
PATIENCE_MS = 4000
SECONDS, MORE_SECONDS = 30, 120
HANGS = "does not end"

# name: (test, file, (old, new)...)
MUTANTS = {
    "the gate does not wait for writes in flight": (["nt_stuck", "the gate gives up"], "core/set_freeze.c", (
        "drained = drain(s, out->closed + timeout, caller);", "drained = SET_OK;")),
    "what was read from the disk is not looked at again": (["nt_pause", "read"], "core/copy_read.c", (
        "if (!bits_get(&c->must, offset >> c->want.chunk_shift))\n\t\t\tresult",
        "if (false)\n\t\t\tresult")),
    "must is cleared before kept is set": (["nt_pause", "copy"], "core/copy_before.c", (
        "\t\tbits_set(&c->kept, chunk);\n\t\tbits_clear(&c->must, chunk);",
        "\t\tbits_clear(&c->must, chunk);\n\t\tbits_set(&c->kept, chunk);")),
    "the state is looked at before the write is counted": (["nt_pause", "write"], "core/volume.c", (
        "\tatomic_add(&v->count, 1);\n\tif ((atomic_get(&v->state) & VOLUME_ASKS) == 0)",
        "\tuint32_t state = atomic_get(&v->state);\n"
        "\tatomic_add(&v->count, 1);\n\tif ((state & VOLUME_ASKS) == 0)")),
    "a held write goes on before the copy": (["nt_exact", "copies"], "core/volume_held.c", (
        "copy_before(v->engine, offset, length, now - waited);", ";")),
    "a copied chunk counts as one less": (["nt_exact", "copies"], "core/copy.c", (
        "(offset + (length < rest ? length : rest) - 1) >>",
        "(offset + (length < rest ? length : rest) - 1 - (length > 4096 ? 4096 : 0)) >>")),
    "volumes are frozen one after the other": (["nt_stuck", "next generation"], "core/set_freeze.c", (
        "\t\t\tvolume_gate_close(s->member[i].volume);\n\t}",
        "\t\t{\n\t\t\tvolume_gate_close(s->member[i].volume);\n"
        "\t\t\tvolume_gate_drained(s->member[i].volume, out->closed + timeout);\n"
        "\t\t\tcopy_begin(s->member[i].copy);\n"
        "\t\t\tvolume_gate_open(s->member[i].volume, s->member[i].copy);\n\t\t}\n\t}")),
    "UNNEEDED is taken before the cut": (["nt_exact", "let-go"], "core/set_event.c", (
        "if (atomic_get(&s->frozen) == 0)", "if (false)")),
    "DONE_READ lets go a chunk that was read in part": (["nt_exact", "let-go"], "core/copy_read.c", (
        "last = end == c->length ? c->chunks : end >> shift;",
        "last = end == c->length ? c->chunks : (end + (1u << shift) - 1) >> shift;")),
    "a gate that gives up stays closed": (["nt_stuck", "the gate gives up"], "core/set_freeze.c", (
        "\t\topen_all(s, false, out);\n\t\treturn drained;", "\t\treturn drained;")),
    "a held write wakes nobody": (["nt_exact", "copies"], "core/volume_held.c", (
        "\tv->waiting++;\n\tenv_event_set(&v->work);", "\tv->waiting++;")),
    "changes are noted before the gate": (["nt_stuck", "next generation"], "core/volume.c", (
        "volume_range_begin(struct volume *v, uint64_t offset, uint64_t length)\n{",
        "volume_range_begin(struct volume *v, uint64_t offset, uint64_t length)\n{\n"
        "\tif ((atomic_get(&v->state) & VOLUME_TRACKED) != 0)\n"
        "\t\t(void)volume_tracked(v, offset, length);"), (
        "return (state & VOLUME_TRACKED) == 0 || volume_tracked(v, offset, length);",
        "return true;"), "core/volume_held.c", (
        "if ((state & VOLUME_TRACKED) == 0 || volume_tracked(v, offset, length))",
        "if (true)")),
    "a write never leaves the filter": (EVERYTHING, "nt/write.c", (
        "\tvolume_write_done(f->volume);\n\tnt_leave(f);", "\tvolume_write_done(f->volume);")),
    "a cancelled request is completed by two": (["nt_pause", "cancel"], "nt/ctl.c", (
        "IoSetCancelRoutine(irp, NULL) != NULL)\n\t\t\tfound = irp;",
        "(IoSetCancelRoutine(irp, NULL), true))\n\t\t\tfound = irp;")),
    "an image is read beyond its end": (["nt_stuck", "the end of a volume"], "core/copy_read.c", (
        "offset > c->length || length > c->length - offset)\n\t\treturn COPY_BAD;\n\tatomic",
        "false)\n\t\treturn COPY_BAD;\n\tatomic")),
    "copies are taken for another volume's": (["nt_exact", "copies"], "core/copy_read.c", (
        "diff_get(c->want.diff, c->want.index, chunk", "diff_get(c->want.diff, 0, chunk")),
    "a wait under a spin lock": (["nt_exact", "copies"], "core/volume_held.c", (
        "\tv->held++;\n", "\tv->held++;\n\tenv_event_wait(&v->quiet, 1);\n")),
    "a write fails with its copy": (["nt_stuck", "reads for copies fail"], "nt/write.c", (
        "\t\tvolume_unknown_write(f->volume, HOTCOPY_WHY_RESIZED);\n\twrite_send(f, irp);",
        "\t\tvolume_unknown_write(f->volume, HOTCOPY_WHY_RESIZED);\n"
        "\tvolume_write_done(f->volume);\n\tnt_leave(f);\n"
        "\tnt_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);")),
    "a held write is not marked pending": (["nt_exact", "copies"], "nt/write.c", (
        "\tIoMarkIrpPending(irp);\n\tvolume_hold", "\tvolume_hold")),
    "a failed read for a copy is no loss": (["nt_stuck", "reads for copies fail"], "core/copy_before.c", (
        "\t\tdiff_give(c->want.diff, buffer);\n\t\tcopy_drop(c, HOTCOPY_WHY_READ_ERROR);",
        "\t\tput(c, chunk, buffer);")),
    "a call comes back in a critical region": (["nt_exact", "copies"], "nt/ctl.c", (
        "\tKeLeaveCriticalRegion();\n\treturn status;", "\treturn status;")),
    "who has drained tells nobody": (VOLUME, "core/volume.c", (
        "\t\tenv_event_set(&v->drained);", "\t\t;")),
    "what was read while the image was lost is served": (["nt_pause", "read"], "core/copy_read.c", (
        "return copy_dropped(c) != HOTCOPY_WHY_NONE ? COPY_LOST : result;", "return result;")),
    "one change of a thousand is not noted": (["nt_exact", "report"], "core/track.c", (
        "\t\t(void)bits_set(&t->current, first);\n",
        "{\t\tstatic uint32_t n;\n\t\tif (atomic_add(&n, 1) % 1000 != 999)\n\t\t(void)bits_set(&t->current, first);}\n")),
    "one block of a thousand is never told": (["nt_exact", "report"], "core/track.c", (
        "\t\t(void)bits_set(&t->current, first);\n",
        "{\t\tif (first % 1000 != 777)\n\t\t(void)bits_set(&t->current, first);}\n")),
    "what is excluded is kept": (["nt_exact", "let-go"], "core/set.c", (
        "i < extents && result == SET_OK; i++)\n\t\tcopy_exclude(", "false; i++)\n\t\tcopy_exclude(")),
    "only_changed is taken for everything": (["nt_exact", "report"], "core/set_freeze.c", (
        "\t\t\tcopy_only(m->copy, changed);", "\t\t\t;")),
    "a cut that is not durable narrows what is needed": (SET, "core/set_freeze.c", (
        "track_cut_store(t) != 0)", "(track_cut_store(t), false))"), (
        "if ((facts.state == HOTCOPY_TRACK_VALID ||", "if ((true || facts.state == HOTCOPY_TRACK_VALID ||")),
    "an excluded range begins a chunk too early": (COPY, "core/copy.c", (
        "first = (offset >> shift) + ((offset & (((uint64_t)1 << shift) - 1)) != 0);", "first = offset >> shift;")),
    "a device that goes ends no drain": (VOLUME, "core/volume_state.c", (
        "spoil(v, HOTCOPY_WHY_REMOVED);\n\tenv_event_set(&v->drained);", "spoil(v, HOTCOPY_WHY_REMOVED);")),
    "a first write into a region is not logged": (SET, "core/volume_held.c", (
        "\t\ttrack_log(v->track, offset, length);\n", "")),
    "the host overtakes our own write": (LEND, "core/copy_before.c", ("\t\tcopy_yield(c);\n", "")),
    "a dropped lender guards nothing": (LEND, "core/copy.c", (
        "if (dropped && copy_has_yielded(c))", "if (dropped)")),
    "who came late is not waited for": (VOLUME, "core/volume.c", ("\tempty(v, !now);\n", "")),
    "who comes later is waited for": (VOLUME, "core/volume.c", (
        "\tempty(v, now);\n", "\tempty(v, now);\n\tempty(v, !now);\n")),
    "a dropped image keeps copies": (COPY, "core/copy_before.c", (
        "&& atomic_get(&c->dropped) == HOTCOPY_WHY_NONE;", ";")),
    "a FREEZE that nobody waits for goes on": (SET, "core/set_freeze.c", (
        "return atomic_get(&s->abandoned) != 0 || gone(caller);", "return (gone(caller), s == NULL);")),
    "a hold that was taken back goes on": (SET, "core/set_freeze.c", ("leaves = gone(caller);", "leaves = (gone(caller), false);")),
    "a refused loan keeps its place": (LEND, "core/set.c", ("\t\tlender_parts(s);\n", "\t\t;\n")),
    "a buffer is given to the disk as it comes": (["nt_exact", "copies"], "nt/lower.c", (
        "if (((ULONG_PTR)buffer & f->lower->AlignmentRequirement) == 0)", "if (true)")),
    "passing only is forgotten at the cut": (SET, "core/volume_state.c", (
        "if ((state & VOLUME_PASSES) != 0)\n\t\treturn HOTCOPY_WHY_ASKED;\n\treturn (enum", "return (enum")),
}


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def compile_one(source, target, flags):
    r = run([CC, *flags, "-c", source, "-o", target])
    return r.returncode == 0, r.stdout


def shim_sources():
    sources = []
    for pattern in ("driver/core/*.c", "driver/nt/*.c", "tests/driver/shim/*.c", "tests/driver/rig/*.c"):
        sources += glob.glob(f"{TREE}/{pattern}")
    for p in PROGRAMS:
        sources += glob.glob(f"{TREE}/tests/driver/{p}_*.c")
    return sources


def unit_sources():
    return [*glob.glob(f"{TREE}/driver/core/*.c"), f"{TREE}/driver/sim/env_posix.c",
            *(f"{TREE}/tests/unit/driver/{u}.c" for u in UNITS)]


def build(work, sources, flags):
    """Objects of all, by their place in the tree."""
    objects = {}
    os.makedirs(work, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {}
        for s in sources:
            name = os.path.relpath(s, TREE)
            objects[name] = f"{work}/{name.replace('/', '.')}.o"
            jobs[pool.submit(compile_one, s, objects[name], flags)] = name
        for job in concurrent.futures.as_completed(jobs):
            ok, words = job.result()
            if not ok:
                sys.exit(f"mutants: {jobs[job]} does not compile:\n{words}")
    return objects


def link(objects, program, target):
    others = tuple(f"tests/driver/{p}_" for p in PROGRAMS if p != program)
    others += tuple(f"tests/unit/driver/{u}." for u in UNITS if u != program)
    libraries = ["-lcmocka"] if program in UNITS else []
    r = run([CC, "-pthread", *(o for n, o in objects.items() if not n.startswith(others)), "-o", target, *libraries])
    return r.returncode == 0, r.stdout


def noticed(program, arguments, patience=PATIENCE_MS, seconds=SECONDS):
    """What the test says of it, None if it is content, or HANGS."""
    environment = dict(os.environ, SHIM_PATIENCE_MS=str(patience), RAM_PATIENCE_MS=str(patience))
    try:
        r = run([program, *arguments], timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return HANGS
    if r.returncode == 0:
        return None
    for line in r.stdout.splitlines():
        if re.match(r"BAD|BUGCHECK|leaked|\[  FAILED  \] [a-z]", line):
            return line[:90]
    return f"ends with {r.returncode}"


def mutant(work, kinds, number, name):
    test, *edits = MUTANTS[name]
    unit = test[0] in UNITS
    changed, text, path = dict(kinds[unit]), None, None
    base = f"{work}/{test[0]}.{number}"

    def put():
        source, target = f"{base}.{os.path.basename(path)}", f"{base}.{os.path.basename(path)}.o"
        with open(source, "w") as f:
            f.write(text)
        ok, words = compile_one(source, target, PLAIN if unit else FLAGS)
        changed[path] = target
        return None if ok else f"does not compile:\n{words}"

    for e in [*edits, None]:
        if e is None or isinstance(e, str):
            error = put() if path else None
            if error:
                return False, error
            if e:
                path = f"driver/{e}"
                with open(f"{TREE}/{path}") as f:
                    text = f.read()
            continue
        if text.count(e[0]) != 1:
            return False, f"its words are {text.count(e[0])} times in {path}: {e[0]!r}"
        text = text.replace(e[0], e[1])
    ok, words = link(changed, test[0], base)
    if not ok:
        return False, f"does not link:\n{words}"
    # On a loaded machine a thread may come to its point too late: once more, then.
    said = noticed(base, test[1:])
    if said in (None, HANGS):
        said = noticed(base, test[1:], seconds=MORE_SECONDS)
    os.unlink(base)
    return said not in (None, HANGS), said or "NOT NOTICED"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    work, wanted = sys.argv[1], sys.argv[2:] or list(MUTANTS)
    os.makedirs(work, exist_ok=True)
    kinds = {False: build(f"{work}/shim", shim_sources(), FLAGS), True: build(f"{work}/unit", unit_sources(), PLAIN)}
    bad = 0
    # Unchanged, the tests must be content, or nothing here says anything.
    for test in (["nt_exact"], ["nt_stuck"], ["nt_pause"], EVERYTHING, VOLUME, COPY, SET, LEND):
        ok, words = link(kinds[test[0] in UNITS], test[0], f"{work}/{test[0]}")
        if not ok:
            sys.exit(f"mutants: {words}")
        said = noticed(f"{work}/{test[0]}", test[1:], 60000, MORE_SECONDS)
        if said:
            sys.exit(f"mutants: {test[0]} finds something in the unchanged driver: {said}")
    # Twice as many as there are processors: most of their time they wait for what hangs.
    with concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        jobs = [(n, pool.submit(mutant, work, kinds, i, n)) for i, n in enumerate(wanted)]
        for name, job in jobs:
            ok, said = job.result()
            bad += not ok
            print(f"{'caught' if ok else 'ERROR '} {name}: {said}", flush=True)
    print(f"{len(wanted) - bad} of {len(wanted)} mutants caught")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
