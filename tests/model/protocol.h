/*
 * protocol.h - the protocol between sessions, pruning and garbage collection, as
 * a state machine small enough to be explored whole.
 *
 * It is a model of storage/store_gc.h, store_lease.c and store_commit.c, not
 * their code: a tree is a set of chunks, a pack a set of copies, and each step
 * is what the code does under one lock.  What it shows is that the rules
 * suffice, whatever the order; that the code keeps the rules is shown by the
 * random explorer, which drives the real functions.
 *
 * The rules can be taken away one at a time (enum rule), and then the explorer
 * must find a state that breaks a promise.
 */
#ifndef TESTS_MODEL_PROTOCOL_H
#define TESTS_MODEL_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define CHUNKS 2u
#define PACKS 5u
#define POINTS 3u
#define SESSIONS 2u
#define ROOTS (POINTS + SESSIONS + 1u)
#define READER SESSIONS /* Its bit among those that a condemned pack waits for. */

enum rule {
	RULE_NONE,
	RULE_HAVE_MARKS,      /* HAVE marks the chunk while a cycle is on. */
	RULE_HAVE_PINS,	      /* A pack that an older lease was told of stays. */
	RULE_BASES_ARE_ROOTS, /* What a live backup began with is marked. */
	RULE_READERS_ARE_ROOTS,
	RULE_NEW_POINTS,       /* Points made since the cycle began are marked. */
	RULE_CHECK_AGAIN,      /* A commit looks again if something was condemned. */
	RULE_OPEN_LEASES,      /* Packs younger than an open lease are no candidates. */
	RULE_PINS_MOVE,	       /* A rewritten pack's pins go to where its copies are. */
	RULE_GROWN_SINCE_COPY, /* A rewritten pack that got new marks stays. */
	RULE_WAIT_FOR_LEASES,  /* A condemned file stays while older leases live. */
	RULE_ROT_BEFORE_CONDEMN,
	RULE_ROT_BEFORE_SWEEP,	/* Quarantine since: condemned copies come back. */
	RULE_CONDEMNED_UNFOUND, /* Nobody is told of a condemned copy. */
	RULE_REMOVED_STAYS,	/* A recorded removal outlives a crash. */
	RULES
};

enum pack_state {
	PACK_NONE,
	PACK_OPEN,
	PACK_SEALED,
	PACK_CONDEMNED,
	PACK_REMOVED /* Recorded as removed; the file may be there. */
};

enum point_state { POINT_NONE, POINT_LIVE, POINT_PRUNED };
enum session_state { SESSION_NONE, SESSION_BEGUN, SESSION_CHECKED };
enum gc_phase { GC_IDLE, GC_MARK, GC_SWEEP };

/* Every member is a small number or a set of bits; chunks, packs by their place. */
struct state {
	uint8_t clock;
	struct {
		uint8_t state, chunks, bad, sealed;
		uint8_t live,
		    copied; /* Marks of the cycle; those when it was rewritten. */
		uint8_t candidate, rewritten;
		uint8_t waits;	/* Condemned: leases older than that, by bit. */
		uint8_t rotted; /* Condemned, and something was quarantined since. */
	} pack[PACKS];
	struct {
		uint8_t state, chunks;
	} point[POINTS];
	struct {
		uint8_t state, id, base, want, have, mine, need;
		uint8_t pins;	/* Packs. */
		uint8_t rotted; /* The copy that it was told of is bad: no promise. */
		uint8_t old;	/* Older than the cycle. */
		uint8_t stale;	/* Something was condemned since its check. */
		uint8_t revoked;
		uint8_t left; /* Id of an unfinished lease of this host, or 0. */
	} session[SESSIONS];
	struct {
		uint8_t open, revoked, chunks, place; /* Pack + 1. */
	} reader;
	struct {
		uint8_t phase, todo, listed, rotted;
		uint8_t copies; /* Packs that this cycle wrote to. */
		uint8_t roots[ROOTS];
	} gc;
	uint8_t lost; /* Chunks whose last copy rotted: nobody's fault. */
	/* How often each may still happen. */
	uint8_t begins, crashes, rots, cycles, revokes, readers, prunes;
};

/* A state that follows, and the step that leads there. */
struct step {
	struct state to;
	char name[40];
};

#define STEPS_MAX 128u

/* All steps from `s` without the rule `broken`; returns how many are in `out`. */
size_t protocol_steps(const struct state *s, enum rule broken, struct step *out);

/* NULL, or the promise that `s` breaks. */
const char *protocol_broken(const struct state *s);

const char *protocol_rule(enum rule rule);

#endif /* TESTS_MODEL_PROTOCOL_H */
