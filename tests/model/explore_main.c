/*
 * explore_main.c - every order of steps of protocol.h, with bounds on how often
 * each may happen.
 *
 *	gc_model [short|long|mutants]
 *
 * short and long explore some small worlds whole and print how many states there
 * were; mutants takes each rule away in turn and fails unless a broken promise is
 * found.  Exit 1 with the steps that lead there if a promise is broken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/protocol.h"

/* A world: how often what may happen, in the order of struct state. */
struct world {
	const char *name;
	uint8_t begins, crashes, rots, cycles, revokes, readers, prunes;
	int half; /* It begins with a point that needs one of the two chunks of a pack. */
	int is_long;
};

static const struct world worlds[] = {
	{ "sessions", 2, 0, 0, 1, 0, 0, 1, 0, 0 },
	{ "crashes", 2, 1, 0, 1, 0, 0, 1, 0, 0 },
	{ "rot", 2, 0, 1, 1, 0, 0, 0, 0, 0 },
	{ "readers", 2, 0, 0, 1, 0, 1, 1, 0, 0 },
	{ "revocation", 2, 0, 0, 1, 1, 0, 1, 0, 0 },
	{ "two cycles", 1, 0, 0, 2, 0, 0, 1, 1, 0 },
	{ "two and readers", 1, 0, 0, 2, 0, 1, 1, 1, 0 },
	{ "two and all", 1, 1, 1, 2, 1, 1, 1, 1, 1 },
	{ "rot and pruning", 2, 0, 1, 1, 0, 0, 1, 0, 1 },
	{ "two by two", 2, 0, 0, 2, 0, 0, 2, 1, 1 },
	{ "three sessions", 3, 0, 0, 1, 0, 0, 2, 0, 1 },
	{ "a bit of all", 2, 1, 0, 1, 1, 1, 1, 0, 1 },
};

/* The states met: an array, and a table that finds them in it. */
struct seen {
	struct state *states;
	uint32_t *parents, *table;
	uint32_t n, max, slots;
};

static uint64_t
hash(const struct state *s)
{
	const uint8_t *p = (const uint8_t *)s;
	uint64_t h = 0xcbf29ce484222325u, word;

	for (size_t i = 0, n; i < sizeof(*s); i += n) {
		n = sizeof(*s) - i < sizeof(word) ? sizeof(*s) - i : sizeof(word);
		word = 0;
		memcpy(&word, p + i, n);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

static void *
more(void *p, size_t n, size_t size)
{
	p = realloc(p, n * size);
	if (p == NULL) {
		(void)fprintf(stderr, "gc_model: no memory for %zu states\n", n);
		exit(2);
	}
	return p;
}

static void
grow(struct seen *seen)
{
	seen->max = seen->max == 0 ? 1u << 16 : 2 * seen->max;
	seen->states = more(seen->states, seen->max, sizeof(*seen->states));
	seen->parents = more(seen->parents, seen->max, sizeof(*seen->parents));
	seen->slots = 2 * seen->max;
	seen->table = more(seen->table, seen->slots, sizeof(*seen->table));
	memset(seen->table, 0xff, seen->slots * sizeof(*seen->table));
	for (uint32_t i = 0; i < seen->n; i++) {
		uint64_t at = hash(&seen->states[i]) % seen->slots;

		while (seen->table[at] != UINT32_MAX)
			at = (at + 1) % seen->slots;
		seen->table[at] = i;
	}
}

/* 1 if it is new. */
static int
add(struct seen *seen, const struct state *s, uint32_t parent)
{
	uint64_t at;

	if (seen->n == seen->max)
		grow(seen);
	at = hash(s) % seen->slots;
	for (; seen->table[at] != UINT32_MAX; at = (at + 1) % seen->slots)
		if (memcmp(&seen->states[seen->table[at]], s, sizeof(*s)) == 0)
			return 0;
	seen->table[at] = seen->n;
	seen->parents[seen->n] = parent;
	seen->states[seen->n++] = *s;
	return 1;
}

/* What led to state `i`, first step first. */
static void
print_steps(const struct seen *seen, uint32_t i, enum rule broken)
{
	struct step steps[STEPS_MAX];
	size_t n;

	if (i == 0)
		return;
	print_steps(seen, seen->parents[i], broken);
	n = protocol_steps(&seen->states[seen->parents[i]], broken, steps);
	for (size_t k = 0; k < n; k++)
		if (memcmp(&steps[k].to, &seen->states[i], sizeof(steps[k].to)) == 0) {
			(void)printf("    %s\n", steps[k].name);
			return;
		}
}

/* With nobody about, do two more cycles free every pack that no point needs? */
static const char *
unreclaimed(const struct state *from, enum rule broken)
{
	struct step steps[STEPS_MAX];
	struct state s = *from;
	uint8_t live = 0;
	size_t n;

	if (s.reader.open || s.gc.phase != GC_IDLE)
		return NULL;
	for (unsigned h = 0; h < SESSIONS; h++)
		if (s.session[h].state != SESSION_NONE || s.session[h].left != 0)
			return NULL;
	s.begins = s.crashes = s.rots = s.revokes = s.readers = s.prunes = 0;
	s.cycles = 2; /* What comes back in one is removed by the next. */
	/* Marking goes on by the last step, all else by the first. */
	while ((n = protocol_steps(&s, broken, steps)) > 0)
		s = steps[s.gc.phase == GC_MARK ? n - 1 : 0].to;
	for (unsigned i = 0; i < POINTS; i++)
		live |= s.point[i].chunks;
	for (unsigned p = 0; p < PACKS; p++)
		if (s.pack[p].state != PACK_NONE && (s.pack[p].chunks & live) == 0)
			return "a pack that nobody needs stays";
	return NULL;
}

/* Explore a world.  NULL, or the promise broken. */
static const char *
explore(const struct world *w, enum rule broken, int tell, uint32_t *states)
{
	struct seen seen = { 0 };
	struct step steps[STEPS_MAX];
	struct state first;
	const char *why = NULL;

	memset(&first, 0, sizeof(first));
	first.begins = w->begins;
	first.crashes = w->crashes;
	first.rots = w->rots;
	first.cycles = w->cycles;
	first.revokes = w->revokes;
	first.readers = w->readers;
	first.prunes = w->prunes;
	if (w->half) {
		first.pack[0].state = PACK_SEALED;
		first.pack[0].chunks = 3;
		first.pack[0].sealed = first.clock = 1;
		first.point[0].state = POINT_LIVE;
		first.point[0].chunks = 1;
	}
	(void)add(&seen, &first, 0);
	for (uint32_t i = 0; why == NULL && i < seen.n; i++) {
		const struct state now = seen.states[i];
		size_t n = protocol_steps(&now, broken, steps);

		why = unreclaimed(&now, broken);
		if (why != NULL && tell)
			print_steps(&seen, i, broken);
		for (size_t k = 0; why == NULL && k < n; k++) {
			if (!add(&seen, &steps[k].to, i))
				continue;
			why = protocol_broken(&steps[k].to);
			if (why != NULL && tell)
				print_steps(&seen, seen.n - 1, broken);
		}
	}
	*states = seen.n;
	free(seen.states);
	free(seen.parents);
	free(seen.table);
	return why;
}

static int
explore_all(int with_long)
{
	uint64_t all = 0;

	for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
		const char *why;
		uint32_t n;

		if (worlds[i].is_long && !with_long)
			continue;
		why = explore(&worlds[i], RULE_NONE, 1, &n);
		(void)printf("%-16s %10u states: %s\n", worlds[i].name, n,
		    why != NULL ? why : "every promise kept");
		(void)fflush(stdout);
		if (why != NULL)
			return 1;
		all += n;
	}
	(void)printf("%llu states, all orders of steps\n", (unsigned long long)all);
	return 0;
}

/* The world in which a rule is missed soonest. */
static const struct world *
world_of(enum rule rule)
{
	switch (rule) {
	case RULE_REMOVED_STAYS:
		return &worlds[1];
	case RULE_ROT_BEFORE_CONDEMN:
	case RULE_ROT_BEFORE_SWEEP:
		return &worlds[2];
	case RULE_READERS_ARE_ROOTS:
	case RULE_WAIT_FOR_LEASES:
		return &worlds[3];
	case RULE_PINS_MOVE:
		return &worlds[5];
	default:
		return &worlds[0];
	}
}

static int
explore_mutants(void)
{
	int missed = 0;

	for (int rule = RULE_NONE + 1; rule < RULES; rule++) {
		const struct world *w = world_of((enum rule)rule);
		uint32_t n;
		const char *why = explore(w, (enum rule)rule, 0, &n);

		(void)printf("without \"%s\": %s (%s)\n", protocol_rule((enum rule)rule),
		    why != NULL ? why : "nothing is noticed", w->name);
		(void)fflush(stdout);
		missed += why == NULL;
	}
	return missed != 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "short";

	if (argc > 2 || (strcmp(what, "short") != 0 && strcmp(what, "long") != 0 &&
			    strcmp(what, "mutants") != 0)) {
		(void)fprintf(stderr, "usage: gc_model [short|long|mutants]\n");
		return 2;
	}
	if (strcmp(what, "mutants") == 0)
		return explore_mutants();
	return explore_all(strcmp(what, "long") == 0);
}
