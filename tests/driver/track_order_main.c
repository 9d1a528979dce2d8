/*
 * track_order_main.c - track_order [INTERRUPTIONS]: every order of the steps of two
 * writers, a checkpoint and a cut, within a bound on how often one is interrupted; a step
 * is one look at a shared word, one lock, one write to the disk.  After each step at
 * which something became true or durable the power may go: what a start would report must
 * have all that may have been written.
 *
 * A run is led by its list of choices; the next list is the last one with its last choice
 * that can be raised.  So all are made, each once, with nothing kept but the list.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/core/track_state.h"
#include "driver/core/volume.h"

#define LENGTH ((uint64_t)3 << HOTCOPY_TRACK_SHIFT)
#define STORE_AT ((uint64_t)1 << HOTCOPY_TRACK_SHIFT)
#define OTHER ((uint64_t)2 << HOTCOPY_TRACK_SHIFT)
#define STORE (7u * TRACK_PAGE)
#define STACK (64u << 10)
#define TASKS 3u
#define CHOICES 4096u
#define ARENA (256u << 10)

void order_yield(void);

static uint8_t disk[STORE];
static union {
	uint64_t align;
	uint8_t byte[ARENA];
} arena;
static size_t used;

static struct {
	ucontext_t context;
	uint8_t stack[STACK];
	void (*run)(void);
	const struct env_mutex *waits;
	bool done;
} task[TASKS];
static ucontext_t leader;
static int now = -1; /* the task that runs; -1: none, nothing yields */

static struct track *t;
static bool written; /* the host's write may be on the disk */
static bool dirty;   /* look again what a start would say */
static unsigned in_flight, bound;
static struct env_mutex gate;
static bool draining;

static uint8_t choice[CHOICES], most[CHOICES];
static unsigned made, depth;

void
order_yield(void)
{
	if (now >= 0)
		swapcontext(&task[now].context, &leader);
}

void *
env_alloc(size_t bytes)
{
	void *p = arena.byte + used;

	used += (bytes + 15) & ~(size_t)15;
	if (used > ARENA)
		abort();
	return memset(p, 0, bytes);
}

void
env_free(void *p)
{
	(void)p;
}

void
env_mutex_init(struct env_mutex *mutex)
{
	mutex->space[0] = 0;
}

void
env_mutex_take(struct env_mutex *mutex)
{
	order_yield();
	while (mutex->space[0] != 0) {
		if (now < 0)
			abort();
		task[now].waits = mutex;
		order_yield();
	}
	mutex->space[0] = 1;
}

void
env_mutex_give(struct env_mutex *mutex)
{
	mutex->space[0] = 0;
}

void
env_mutex_done(struct env_mutex *mutex)
{
	(void)mutex;
}

void
env_event_init(struct env_event *event, enum env_event_kind kind)
{
	(void)event;
	(void)kind;
}

void
env_event_set(struct env_event *event)
{
	(void)event;
}

void
env_event_done(struct env_event *event)
{
	(void)event;
}

bool
env_event_wait(struct env_event *event, uint64_t time)
{
	(void)event;
	(void)time;
	order_yield();
	return true;
}

uint64_t
env_now(void)
{
	return 0;
}

uint64_t
volume_length(const struct volume *v)
{
	(void)v;
	return LENGTH;
}

uint32_t
volume_sector(const struct volume *v)
{
	(void)v;
	return 512;
}

int
volume_read(struct volume *v, uint64_t offset, void *buffer, uint32_t length)
{
	(void)v;
	memset(buffer, 0, length);
	if (offset >= STORE_AT && offset < STORE_AT + STORE)
		memcpy(buffer, disk + (offset - STORE_AT), length);
	return 0;
}

int
volume_io_write(
    struct volume *v, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	(void)v;
	if (!through || offset < STORE_AT || offset + length > STORE_AT + STORE)
		abort();
	order_yield();
	memcpy(disk + (offset - STORE_AT), buffer, length);
	dirty = true;
	return 0;
}

static struct track *
start(bool create)
{
	static const struct hotcopy_extent e = { STORE_AT, STORE };
	struct hotcopy_track how = { .extents = 1 };
	struct track_notice notice = { NULL, NULL };
	struct track *new;

	how.flags = create ? HOTCOPY_TRACK_CREATE : 0;
	new = track_open(NULL, &how, &e, notice);
	if (new == NULL)
		abort();
	return new;
}

/* What a start from this disk would report of the block. */
static bool
would_report(void)
{
	static uint8_t kept[STORE];
	size_t was = used;
	int who = now;
	uint8_t byte;

	now = -1;
	memcpy(kept, disk, STORE);
	track_report(start(false), true, 0, 8, &byte);
	memcpy(disk, kept, STORE);
	used = was;
	now = who;
	return (byte & 1) != 0;
}

/* A host's write; in flight only while it may pass, as volume.c counts it. */
static void
writer(void)
{
	for (;;) {
		bool passes;

		env_mutex_take(&gate);
		in_flight++;
		env_mutex_give(&gate);
		passes = track_write(t, 0, 512);
		if (passes) {
			written = dirty = true;
			order_yield();
		}
		in_flight--;
		if (passes)
			return;
		track_log(t, 0, 512);
	}
}

static void
checkpoint(void)
{
	(void)track_checkpoint(t);
}

static const uint8_t nonce[HOTCOPY_NONCE] = { 7 };

/* The gate is closed, whoever is in flight comes down, the cut is made, it opens. */
static void
cut(void)
{
	env_mutex_take(&gate);
	draining = true;
	while (in_flight > 0)
		order_yield();
	draining = false;
	(void)track_cut(t, nonce);
	env_mutex_give(&gate);
	(void)track_cut_store(t);
}

static void
enter(void)
{
	task[now].run();
	task[now].done = true;
	swapcontext(&task[now].context, &leader);
}

static bool
may_run(unsigned i)
{
	if (task[i].run == NULL || task[i].done)
		return false;
	if (task[i].run == cut && draining && in_flight > 0)
		return false;
	return task[i].waits == NULL || task[i].waits->space[0] == 0;
}

/* Which goes on: the one that ran is choice 0; others only while the bound lasts. */
static int
choose(int last, unsigned *left)
{
	int can[TASKS];
	unsigned n = 0, i;
	bool stays = last >= 0 && may_run((unsigned)last);

	if (stays)
		can[n++] = last;
	for (i = 0; i < TASKS && !(stays && *left == 0); i++)
		if ((int)i != last && may_run(i))
			can[n++] = (int)i;
	if (n == 0)
		return -1;
	if (made == CHOICES)
		abort();
	if (made >= depth)
		choice[made] = 0;
	most[made] = (uint8_t)(n - 1);
	i = choice[made++];
	if (stays && i > 0)
		--*left;
	return can[i];
}

static bool
run(void)
{
	unsigned left = bound;
	int last = -1;

	made = 0;
	for (;;) {
		last = choose(last, &left);
		if (last < 0)
			break;
		task[last].waits = NULL;
		now = last;
		swapcontext(&leader, &task[last].context);
		now = -1;
		if (dirty && written && !would_report())
			return false;
		dirty = false;
	}
	for (unsigned i = 0; i < TASKS; i++)
		if (task[i].run != NULL && !task[i].done)
			abort(); /* all wait */
	return true;
}

static void
prepare(void (*const who[TASKS])(void), const uint8_t *begin, bool logged)
{
	used = 0;
	memcpy(disk, begin, STORE);
	written = dirty = false;
	in_flight = 0;
	draining = false;
	env_mutex_init(&gate);
	t = start(false);
	/* Another block of the region: the mark is there, our bit is not. */
	while (logged && !track_write(t, OTHER, 512))
		track_log(t, OTHER, 512);
	for (unsigned i = 0; i < TASKS; i++) {
		task[i].run = who[i];
		task[i].done = false;
		task[i].waits = NULL;
		getcontext(&task[i].context);
		task[i].context.uc_stack.ss_sp = task[i].stack;
		task[i].context.uc_stack.ss_size = STACK;
		task[i].context.uc_link = NULL;
		makecontext(&task[i].context, enter, 0);
	}
}

/* The next list of choices; false: that was the last. */
static bool
next(void)
{
	depth = made;
	while (depth > 0 && choice[depth - 1] == most[depth - 1])
		depth--;
	if (depth == 0)
		return false;
	choice[depth - 1]++;
	return true;
}

static bool
explore(
    const char *name, void (*const who[TASKS])(void), const uint8_t *begin, bool logged)
{
	uint64_t runs = 0;

	depth = 0;
	do {
		prepare(who, begin, logged);
		runs++;
		if (!run()) {
			printf("%s: a write that had passed would not be reported, order",
			    name);
			for (unsigned i = 0; i < made; i++)
				printf("%u", choice[i]);
			printf("\n");
			return false;
		}
	} while (next());
	printf("%-40s %u interruptions: %llu orders\n", name, bound,
	    (unsigned long long)runs);
	return true;
}

int
main(int argc, char **argv)
{
	static void (*const save[TASKS])(void) = { writer, checkpoint, NULL };
	static void (*const saves[TASKS])(void) = { writer, checkpoint, writer };
	static void (*const cuts[TASKS])(void) = { writer, cut, NULL };
	static void (*const both[TASKS])(void) = { writer, checkpoint, cut };
	static uint8_t clean[STORE];

	bound = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
	if (track_store_bytes(LENGTH) != STORE)
		abort();
	t = start(true);
	track_cut(t, nonce);
	if (track_cut_store(t) != 0 || track_commit(t, 2, nonce) != 0)
		abort();
	memcpy(clean, disk, STORE);
	/* Two of them are few enough for one interruption more. */
	bound++;
	if (!explore("a writer, a checkpoint", save, clean, false) ||
	    !explore("a writer, a cut", cuts, clean, false) ||
	    !explore("logged: a writer, a checkpoint", save, clean, true))
		return 1;
	bound--;
	return explore("two writers, a checkpoint", saves, clean, false) &&
		       explore("a writer, a checkpoint, a cut", both, clean, false) &&
		       explore("logged: two writers, a checkpoint", saves, clean, true)
		   ? 0
		   : 1;
}
