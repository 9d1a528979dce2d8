/*
 * usage: store_sweep TABLE DESIGN [--stride N] [--seed N] [--minutes N] [WORK...]
 *        store_sweep TABLE DESIGN --only WORK KIND CALL SEED
 *        store_sweep TABLE DESIGN --steps	the crash table in DESIGN against the
 * calls store_sweep TABLE DESIGN --calls	prints them A stride of N runs one in N of
 * the cases, spread evenly; minutes go through all of them, with other seeds each time,
 * until they are over.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/fs_fault.h"
#include "storage/store.h"
#include "tests/unit/storage/sweep/sweep.h"

/* How a case goes wrong, and how it ends. */
struct kind {
	const char *name;
	enum fs_fault_kind fault;
	int reads; /* Reading calls count, too. */
	int cut;   /* It ends with the power; -1: every other time. */
	int again; /* And a second time while it is being opened. */
	unsigned seeds;
};

static const struct kind kinds[] = {
	{ "eio", FS_FAULT_EIO, 0, -1, 0, 1 },
	{ "enospc", FS_FAULT_ENOSPC, 0, -1, 0, 1 },
	{ "short", FS_FAULT_SHORT, 0, -1, 0, 1 },
	{ "kill", FS_FAULT_DIE, 0, 0, 0, 1 },
	{ "cut", FS_FAULT_DIE, 0, 1, 0, 4 },
	{ "cuts", FS_FAULT_DIE, 0, 1, 1, 2 },
	{ "killcut", FS_FAULT_DIE, 0, 0, 1, 2 },
	{ "read", FS_FAULT_EIO, 1, 0, 0, 1 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct {
	const char *table, *design, *work, *kind;
	uint64_t call, seed, cases, stride, base;
	uint64_t live_ok, live_failed, acked, failed;
} now;

void
sweep_fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s, %s at call %llu, seed %llu: ", now.work, now.kind,
	    (unsigned long long)now.call, (unsigned long long)now.seed);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nagain: store_sweep %s %s --only %s %s %llu %llu\n", now.table,
	    now.design, now.work, now.kind, (unsigned long long)now.call,
	    (unsigned long long)now.seed);
	fflush(NULL);
	_Exit(1);
}

/* A test's own assertion ends the program: say where. */
static void
at_exit(void)
{
	if (now.kind != NULL)
		sweep_fail("ended by an assertion");
}

/* What leads to the state of a work; made once, copied for each case. */
static void
prepare(const struct sweep_work *work, struct sweep *w)
{
	memset(w, 0, sizeof(*w));
	w->now = "";
	if ((w->ff = fs_fault_new(7)) == NULL)
		abort();
	if (work->before != NULL)
		work->before(w);
}

/*
 * The fault has passed and nobody has died: does it go on?  And the next process, on
 * the same machine, sees what was written and may not be durable: it must not build
 * on that when all is sent again.
 */
static void
go_on(struct sweep *w)
{
	struct sweep_point lost[SWEEP_POINTS_MAX];
	struct err err = ERR_INIT;
	unsigned n = 0;

	for (unsigned i = 0; i < w->n_points; i++)
		if (w->points[i].state == SWEEP_TRIED)
			lost[n++] = w->points[i];

	if (w->s == NULL && sweep_open(w, &err) != 0) {
		if (w->made)
			sweep_fail(
			    "the fault has passed, and it does not open: %s", err.text);
		return;
	}
	/* A failed sync ends the journal's writer until it is opened again. */
	if (sweep_backup(w, "gamma", 900, &err) == 0)
		now.live_ok++;
	else if (strstr(err.text, "opened again") != NULL)
		now.live_failed++;
	else
		sweep_fail("the fault has passed, and no backup works: %s", err.text);
	sweep_close(w);
	err_clear(&err);
	if (sweep_open(w, &err) != 0)
		sweep_fail("it does not open for the next process: %s", err.text);
	for (unsigned i = 0; i < n; i++)
		if (sweep_backup(w, lost[i].host, lost[i].n, &err) != 0)
			sweep_fail("the next process makes no backup: %s", err.text);
	sweep_close(w);
}

/* Run one case; the number of calls that it made, 0 if the fault did not come. */
static uint64_t
run_case(const struct sweep_work *work, const struct sweep *before, const struct kind *k,
    uint64_t call, uint64_t seed)
{
	struct sweep w = *before;
	struct err err = ERR_INIT;
	uint64_t calls;
	int fired;

	now.call = call;
	now.seed = seed;
	now.cases++;
	if ((w.ff = fs_fault_copy(before->ff, seed)) == NULL)
		abort();
	fs_fault_count_reads(w.ff, k->reads);
	fs_fault_arm(w.ff, call, k->fault);
	if (work->run(&w, &err) == 0)
		now.acked++;
	else
		now.failed++;
	calls = fs_fault_calls(w.ff);
	fired = fs_fault_fired(w.ff);
	fs_fault_count_reads(w.ff, 0);
	if (k->fault != FS_FAULT_DIE) {
		fs_fault_arm(w.ff, 0, FS_FAULT_NONE);
		go_on(&w);
	}
	sweep_close(&w);
	fs_fault_restart(w.ff, k->cut == 1 || (k->cut == -1 && call % 2 == 1));
	if (k->again) {
		fs_fault_arm(w.ff, 1 + seed * 2654435761u % 40, FS_FAULT_DIE);
		err_clear(&err);
		(void)sweep_open(&w, &err);
		sweep_close(&w);
		fs_fault_restart(w.ff, 1);
	}
	sweep_check(&w);
	fs_fault_free(w.ff);
	return fired ? calls : 0;
}

static void
note_call(void *arg, uint64_t nth, const char *what, const char *name)
{
	const struct sweep *w = arg;

	(void)nth;
	sweep_steps_note(w->now, what, name);
}

/* Without a fault: how many calls, those that read too if asked for. */
static uint64_t
count_calls(const struct sweep_work *work, const struct sweep *before, int reads)
{
	struct sweep w = *before;
	struct err err = ERR_INIT;
	uint64_t n;

	now.kind = "none";
	if ((w.ff = fs_fault_copy(before->ff, 1)) == NULL)
		abort();
	fs_fault_count_reads(w.ff, reads);
	if (!reads)
		fs_fault_watch(w.ff, note_call, &w);
	sweep_steps_begin();
	fs_fault_arm(w.ff, 0, FS_FAULT_NONE);
	if (work->run(&w, &err) != 0)
		sweep_fail("without a fault: %s", err.text);
	n = fs_fault_calls(w.ff);
	fs_fault_watch(w.ff, NULL, NULL);
	fs_fault_count_reads(w.ff, 0);
	sweep_close(&w);
	fs_fault_restart(w.ff, 0);
	sweep_check(&w);
	fs_fault_free(w.ff);
	return n;
}

/* The least numbers of calls, by the table; exits if it has none. */
static void
least(const char *name, unsigned long long *changes, unsigned long long *all)
{
	FILE *f = fopen(now.table, "r");
	char line[200], word[80];

	*all = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (line[0] != '#' &&
		    sscanf(line, "%79s %llu %llu", word, changes, all) == 3 &&
		    strcmp(word, name) == 0)
			break;
		else
			*all = 0;
	if (f == NULL || *all == 0)
		sweep_fail("%s has no line for it", now.table);
	fclose(f);
}

static void
sweep_one(const struct sweep_work *work, unsigned round)
{
	unsigned long long want, want_all;
	uint64_t cases = now.cases, n, all;
	struct sweep before;

	now.work = work->name;
	now.kind = "none";
	prepare(work, &before);
	n = count_calls(work, &before, 0);
	all = count_calls(work, &before, 1);
	least(work->name, &want, &want_all);
	if (n < want || all < want_all)
		sweep_fail("%llu calls, %llu with reading ones; %s wants %llu and %llu: "
			   "what has left the layer?",
		    (unsigned long long)n, (unsigned long long)all, now.table, want,
		    want_all);
	for (size_t k = 0; k < KINDS; k++) {
		now.kind = kinds[k].name;
		for (uint64_t call = 1; call <= (kinds[k].reads ? all : n); call++)
			for (unsigned i = 0; i < kinds[k].seeds; i++)
				if ((call * KINDS + k + i * 3 + now.base) % now.stride ==
				    0)
					(void)run_case(work, &before, &kinds[k], call,
					    now.base * 1000003 + round * 7919 +
						call * 13 + i + 1);
	}
	now.kind = NULL;
	fs_fault_free(before.ff);
	printf("%-14s %5llu calls that change, %5llu with reading ones: %llu cases\n",
	    work->name, (unsigned long long)n, (unsigned long long)all,
	    (unsigned long long)(now.cases - cases));
	fflush(stdout);
}

static const struct sweep_work *
find_work(const char *name)
{
	for (size_t i = 0; sweep_works[i] != NULL; i++)
		if (strcmp(sweep_works[i]->name, name) == 0)
			return sweep_works[i];
	fprintf(stderr, "no work '%s'\n", name);
	exit(2);
}

static void
only(char **argv)
{
	const struct sweep_work *work = find_work(argv[0]);
	struct sweep before;

	now.work = argv[0];
	now.kind = argv[1];
	prepare(work, &before);
	for (size_t k = 0; k < KINDS; k++)
		if (strcmp(kinds[k].name, argv[1]) == 0)
			printf("%llu calls\n", (unsigned long long)run_case(work, &before,
						   &kinds[k], strtoull(argv[2], NULL, 10),
						   strtoull(argv[3], NULL, 10)));
	fs_fault_free(before.ff);
	now.kind = NULL;
}

static void
all_calls(void)
{
	for (size_t i = 0; sweep_works[i] != NULL; i++) {
		struct sweep before;

		now.work = sweep_works[i]->name;
		prepare(sweep_works[i], &before);
		(void)count_calls(sweep_works[i], &before, 0);
		fs_fault_free(before.ff);
	}
	now.kind = NULL;
}

static void
go_round(char **names, int n, unsigned round)
{
	if (n == 0)
		for (size_t i = 0; sweep_works[i] != NULL; i++)
			sweep_one(sweep_works[i], round);
	for (int i = 0; i < n; i++)
		sweep_one(find_work(names[i]), round);
}

int
main(int argc, char **argv)
{
	time_t began = time(NULL);
	long minutes = 0;
	int i = 3;

	if (argc < 3) {
		fprintf(stderr, "usage: store_sweep TABLE DESIGN [--stride N] [--seed N] "
				"[--minutes N] [WORK...]\n");
		return 2;
	}
	atexit(at_exit);
	now.table = argv[1];
	now.design = argv[2];
	now.stride = 1;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		if (strcmp(argv[i], "--steps") == 0) {
			all_calls();
			return sweep_steps_check(now.design) != 0;
		}
		if (strcmp(argv[i], "--calls") == 0) {
			all_calls();
			sweep_steps_print();
			return 0;
		}
		if (strcmp(argv[i], "--only") == 0 && i + 4 < argc) {
			only(argv + i + 1);
			return 0;
		}
		if (i + 1 == argc)
			return 2;
		if (strcmp(argv[i], "--stride") == 0)
			now.stride = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			now.base = strtoull(argv[i + 1], NULL, 10);
		else
			minutes = strtol(argv[i + 1], NULL, 10);
	}
	for (unsigned round = 0;; round++) {
		go_round(argv + i, argc - i, round);
		if (minutes == 0 || time(NULL) - began >= minutes * 60)
			break;
	}
	printf(
	    "%llu cases: %llu acknowledged to the end, %llu not; it went on %llu times, "
	    "%llu times it had to be opened again\n",
	    (unsigned long long)now.cases, (unsigned long long)now.acked,
	    (unsigned long long)now.failed, (unsigned long long)now.live_ok,
	    (unsigned long long)now.live_failed);
	return 0;
}
