#include "tests/model/protocol.h"

#include <stdio.h>
#include <string.h>

#define ALL_CHUNKS ((1u << CHUNKS) - 1)

/* Where steps are collected. */
struct out {
	const struct state *from;
	enum rule broken;
	struct step *steps;
	size_t n;
};

static int
keeps(const struct out *o, enum rule rule)
{
	return o->broken != rule;
}

/* Begin a step: a copy of the state to change. */
static struct state *
step(struct out *o, const char *name, unsigned a, unsigned b)
{
	struct step *s = &o->steps[o->n++];

	s->to = *o->from;
	(void)snprintf(s->name, sizeof(s->name), "%s %u %u", name, a, b);
	return &s->to;
}

/* ------------------------------------------------------------------ look-ups -- */

/* Does a look-up give copies of this pack? */
static int
counts(const struct state *s, unsigned p, enum rule broken)
{
	if (s->pack[p].state == PACK_CONDEMNED)
		return broken == RULE_CONDEMNED_UNFOUND;
	return s->pack[p].state == PACK_OPEN || s->pack[p].state == PACK_SEALED;
}

static int
good(const struct state *s, unsigned p, unsigned c)
{
	return (s->pack[p].chunks & ~s->pack[p].bad & 1u << c) != 0;
}

/* The pack that a look-up gives: the first or the last that has it; -1 for none. */
static int
find(const struct state *s, unsigned c, int last, enum rule broken)
{
	int found = -1;

	for (unsigned p = 0; p < PACKS; p++)
		if (counts(s, p, broken) && good(s, p, c) && (found < 0 || last))
			found = (int)p;
	return found;
}

static void
mark(struct state *s, uint8_t chunks, int last, enum rule broken)
{
	for (unsigned c = 0; c < CHUNKS; c++) {
		int p = chunks & 1u << c ? find(s, c, last, broken) : -1;

		if (p >= 0)
			s->pack[p].live |= (uint8_t)(1u << c);
	}
}

/* A new copy: in the pack being filled, else in a new one.  Its place + 1, 0 for no room.
 */
static int
put(struct state *s, unsigned c)
{
	for (unsigned p = 0; p < PACKS; p++)
		if (s->pack[p].state == PACK_OPEN && !(s->pack[p].chunks & 1u << c)) {
			s->pack[p].chunks |= (uint8_t)(1u << c);
			s->lost &= (uint8_t) ~(1u << c);
			return (int)p + 1;
		}
	for (unsigned p = 0; p < PACKS; p++)
		if (s->pack[p].state == PACK_NONE) {
			memset(&s->pack[p], 0, sizeof(s->pack[p]));
			s->pack[p].state = PACK_OPEN;
			s->pack[p].chunks = (uint8_t)(1u << c);
			s->lost &= (uint8_t) ~(1u << c);
			return (int)p + 1;
		}
	return 0;
}

/* ------------------------------------------------------------------ sessions -- */

/* A lease ends: nothing waits for it any more. */
static void
leave(struct state *s, unsigned holder)
{
	for (unsigned p = 0; p < PACKS; p++)
		s->pack[p].waits &= (uint8_t) ~(1u << holder);
}

static void
begin(struct out *o, unsigned h)
{
	const struct state *s = o->from;

	if (s->session[h].state != SESSION_NONE || s->begins == 0 ||
	    s->point[POINTS - 1].state != POINT_NONE)
		return;
	for (uint8_t want = 1; want <= ALL_CHUNKS; want++) {
		for (unsigned b = 0; b <= POINTS; b++) {
			struct state *t;
			uint8_t left = s->session[h].left;

			if (b < POINTS && s->point[b].state != POINT_LIVE)
				continue;
			t = step(o, b < POINTS ? "begin, on a base" : "begin", h, want);
			t->begins--;
			memset(&t->session[h], 0, sizeof(t->session[h]));
			t->session[h].state = SESSION_BEGUN;
			t->session[h].id = ++t->clock;
			t->session[h].base = b < POINTS ? s->point[b].chunks : 0;
			t->session[h].want = want;
			t->session[h].left = left;
		}
	}
}

static void
have(struct out *o, unsigned h, unsigned c)
{
	const struct state *s = o->from;
	uint8_t bit = (uint8_t)(1u << c);
	int first = find(s, c, 0, o->broken), last = find(s, c, 1, o->broken);

	if (first < 0) {
		step(o, "need", h, c)->session[h].need |= bit;
		return;
	}
	for (int p = first;; p = last) {
		struct state *t = step(o, "have", h, c);

		t->session[h].have |= bit;
		t->session[h].pins |= (uint8_t)(1u << p);
		if (s->gc.phase == GC_MARK && keeps(o, RULE_HAVE_MARKS))
			t->pack[p].live |= bit;
		if (p == last)
			return;
	}
}

static void
check(struct out *o, unsigned h)
{
	const struct state *s = o->from;
	struct state *t = step(o, "check", h, 0);
	/* What is shared with the base is not looked at, unless something rotted. */
	uint8_t known = s->lost ? 0 : s->session[h].base;

	t->session[h].stale = 0;
	for (unsigned c = 0; c < CHUNKS; c++) {
		uint8_t bit = (uint8_t)(1u << c);

		if ((s->session[h].want & bit) == 0 || (known & bit) != 0 ||
		    find(s, c, 0, o->broken) >= 0)
			continue;
		t->session[h].base &= (uint8_t)~bit;
		t->session[h].have &= (uint8_t)~bit;
		t->session[h].mine &= (uint8_t)~bit;
		t->session[h].need |= bit;
	}
	if (t->session[h].need == 0)
		t->session[h].state = SESSION_CHECKED;
}

static void
record(struct out *o, unsigned h)
{
	const struct state *s = o->from;
	struct state *t;
	unsigned i = 0;

	if (s->session[h].stale && keeps(o, RULE_CHECK_AGAIN)) {
		step(o, "check again", h, 0)->session[h].state = SESSION_BEGUN;
		return;
	}
	while (i < POINTS && s->point[i].state != POINT_NONE)
		i++;
	if (i == POINTS)
		return;
	t = step(o, "commit", h, i);
	t->point[i].state = POINT_LIVE;
	t->point[i].chunks = s->session[h].want;
	memset(&t->session[h], 0, sizeof(t->session[h]));
	leave(t, h);
}

static void
end_session(struct out *o, unsigned h)
{
	const struct state *s = o->from;
	struct state *t = step(o, "session dies", h, 0);
	uint8_t left = s->session[h].left;

	/* What it put stays pinned by its lease, for the host's next one. */
	if (!s->session[h].revoked && s->session[h].mine && left == 0)
		left = s->session[h].id;
	memset(&t->session[h], 0, sizeof(t->session[h]));
	t->session[h].left = left;
	leave(t, h);
}

static void
revoke(struct out *o, unsigned h)
{
	const struct state *s = o->from;
	struct state *t;

	if (s->revokes == 0)
		return;
	if (s->session[h].left != 0) {
		t = step(o, "revoke what is left of", h, 0);
		t->session[h].left = 0;
		t->revokes--;
	}
	if (s->session[h].state != SESSION_NONE && !s->session[h].revoked) {
		t = step(o, "revoke", h, 0);
		t->session[h].revoked = 1;
		t->revokes--;
	}
}

static void
session(struct out *o, unsigned h)
{
	const struct state *s = o->from;
	uint8_t done;

	begin(o, h);
	revoke(o, h);
	if (s->session[h].state == SESSION_NONE)
		return;
	end_session(o, h);
	if (s->session[h].revoked)
		return;
	if (s->session[h].state == SESSION_CHECKED) {
		record(o, h);
		return;
	}
	done = s->session[h].base | s->session[h].have | s->session[h].mine;
	for (unsigned c = 0; c < CHUNKS; c++) {
		uint8_t bit = (uint8_t)(1u << c);

		if ((s->session[h].want & bit) == 0 || (done & bit) != 0)
			continue;
		if ((s->session[h].need & bit) == 0) {
			have(o, h, c);
		} else {
			struct state *t = step(o, "put", h, c);

			t->session[h].need &= (uint8_t)~bit;
			t->session[h].mine |= bit;
			if (!put(t, c))
				o->n--;
		}
	}
	/* A client may commit what it never asked for: all the more is it looked at. */
	if (s->session[h].need == 0)
		check(o, h);
}

/* ------------------------------------------------------- reading and the rest -- */

static void
reader(struct out *o)
{
	const struct state *s = o->from;
	struct state *t;

	if (!s->reader.open) {
		for (unsigned i = 0; s->readers > 0 && i < POINTS; i++) {
			if (s->point[i].state != POINT_LIVE)
				continue;
			t = step(o, "read point", i, 0);
			t->readers--;
			t->reader.open = 1;
			t->reader.chunks = s->point[i].chunks;
		}
		return;
	}
	t = step(o, "end reading", 0, 0);
	memset(&t->reader, 0, sizeof(t->reader));
	leave(t, READER);
	if (s->reader.revoked)
		return;
	if (s->revokes > 0) {
		t = step(o, "revoke the reader", 0, 0);
		t->revokes--;
		t->reader.revoked = 1;
	}
	for (unsigned c = 0; c < CHUNKS; c++) {
		int p = s->reader.chunks & 1u << c ? find(s, c, 0, o->broken) : -1;

		if (p < 0 || s->reader.place == p + 1)
			continue;
		step(o, "locate", c, (unsigned)p)->reader.place = (uint8_t)(p + 1);
	}
}

static void
rot(struct out *o)
{
	const struct state *s = o->from;

	for (unsigned p = 0; s->rots > 0 && p < PACKS; p++) {
		for (unsigned c = 0; c < CHUNKS; c++) {
			struct state *t;
			int other = 0;

			if (!counts(s, p, RULE_NONE) || !good(s, p, c))
				continue;
			t = step(o, "quarantine", p, c);
			t->rots--;
			t->pack[p].bad |= (uint8_t)(1u << c);
			for (unsigned h = 0; h < SESSIONS; h++)
				if (t->session[h].pins & 1u << p ||
				    t->session[h].mine & 1u << c)
					t->session[h].rotted |= (uint8_t)(1u << c);
			if (t->gc.phase != GC_IDLE)
				t->gc.rotted = 1;
			for (unsigned q = 0; q < PACKS; q++)
				t->pack[q].rotted = t->pack[q].state == PACK_CONDEMNED;
			for (unsigned q = 0; q < PACKS; q++)
				other |= t->pack[q].state != PACK_NONE &&
					 t->pack[q].state != PACK_REMOVED &&
					 good(t, q, c);
			if (!other)
				t->lost |= (uint8_t)(1u << c);
		}
	}
}

static void
crash(struct out *o)
{
	struct state *t;

	if (o->from->crashes == 0)
		return;
	t = step(o, "crash", 0, 0);
	t->crashes--;
	for (unsigned h = 0; h < SESSIONS; h++) {
		uint8_t left = t->session[h].left;

		if (t->session[h].mine && !t->session[h].revoked && left == 0)
			left = t->session[h].id;
		memset(&t->session[h], 0, sizeof(t->session[h]));
		t->session[h].left = left;
	}
	memset(&t->reader, 0, sizeof(t->reader));
	memset(&t->gc, 0, sizeof(t->gc));
	for (unsigned p = 0; p < PACKS; p++) {
		if (t->pack[p].state == PACK_REMOVED && keeps(o, RULE_REMOVED_STAYS))
			memset(&t->pack[p], 0, sizeof(t->pack[p]));
		if (t->pack[p].state == PACK_OPEN)
			t->pack[p].sealed = ++t->clock;
		if (t->pack[p].state == PACK_OPEN || t->pack[p].state == PACK_CONDEMNED)
			t->pack[p].state = PACK_SEALED;
		t->pack[p].live = t->pack[p].copied = t->pack[p].candidate = 0;
		t->pack[p].rewritten = t->pack[p].waits = t->pack[p].rotted = 0;
	}
}

/* ------------------------------------------------------------- the collection -- */

static void
gc_begin(struct out *o)
{
	uint8_t oldest = UINT8_MAX;
	struct state *t;

	if (o->from->cycles == 0)
		return;
	t = step(o, "cycle begins", 0, 0);
	t->cycles--;
	memset(&t->gc, 0, sizeof(t->gc));
	t->gc.phase = GC_MARK;
	for (unsigned i = 0; i < POINTS; i++)
		if (t->point[i].state == POINT_LIVE) {
			t->gc.listed |= (uint8_t)(1u << i);
			t->gc.todo |= (uint8_t)(1u << i);
			t->gc.roots[i] = t->point[i].chunks;
		}
	for (unsigned h = 0; h < SESSIONS; h++) {
		unsigned id = t->session[h].state != SESSION_NONE ? t->session[h].id : 0;

		t->session[h].old = id != 0;
		if (id != 0 && t->session[h].base && keeps(o, RULE_BASES_ARE_ROOTS)) {
			t->gc.todo |= (uint8_t)(1u << (POINTS + h));
			t->gc.roots[POINTS + h] = t->session[h].base;
		}
		if (id != 0 && !t->session[h].revoked && id < oldest)
			oldest = (uint8_t)id;
		if (t->session[h].left != 0 && t->session[h].left < oldest)
			oldest = t->session[h].left;
	}
	if (t->reader.open && keeps(o, RULE_READERS_ARE_ROOTS)) {
		t->gc.todo |= (uint8_t)(1u << (POINTS + SESSIONS));
		t->gc.roots[POINTS + SESSIONS] = t->reader.chunks;
	}
	for (unsigned p = 0; p < PACKS; p++)
		t->pack[p].candidate =
		    t->pack[p].state == PACK_SEALED &&
		    (t->pack[p].sealed < oldest || !keeps(o, RULE_OPEN_LEASES));
}

static void
gc_rewrite(struct out *o, unsigned p)
{
	const struct state *s = o->from;
	struct state *t;

	if (!s->pack[p].candidate || s->pack[p].state != PACK_SEALED ||
	    s->pack[p].rewritten || s->pack[p].live == 0 ||
	    s->pack[p].live == s->pack[p].chunks)
		return;
	t = step(o, "rewrite pack", p, 0);
	t->pack[p].rewritten = 1;
	t->pack[p].copied = s->pack[p].live;
	for (unsigned c = 0; c < CHUNKS; c++) {
		int to;

		if (!(s->pack[p].live & 1u << c) || !good(s, p, c))
			continue;
		if ((to = put(t, c)) == 0) {
			o->n--;
			return;
		}
		t->gc.copies |= (uint8_t)(1u << (to - 1));
	}
}

/* Marks what came since the cycle began, under the gate. */
static void
mark_rest(const struct out *o, struct state *t)
{
	for (unsigned i = 0; keeps(o, RULE_NEW_POINTS) && i < POINTS; i++)
		if (t->point[i].state == POINT_LIVE && !(t->gc.listed & 1u << i))
			mark(t, t->point[i].chunks, 0, o->broken);
	for (unsigned h = 0; keeps(o, RULE_BASES_ARE_ROOTS) && h < SESSIONS; h++)
		if (t->session[h].state != SESSION_NONE)
			mark(t, t->session[h].base, 0, o->broken);
	if (t->reader.open && keeps(o, RULE_READERS_ARE_ROOTS))
		mark(t, t->reader.chunks, 0, o->broken);
}

static int
is_dead(const struct out *o, const struct state *t, unsigned p)
{
	if (!t->pack[p].candidate || t->pack[p].state != PACK_SEALED)
		return 0;
	for (unsigned h = 0; keeps(o, RULE_HAVE_PINS) && h < SESSIONS; h++)
		if (t->session[h].state != SESSION_NONE && t->session[h].old &&
		    !t->session[h].revoked && t->session[h].pins & 1u << p)
			return 0;
	if (t->pack[p].rewritten)
		return t->pack[p].live == t->pack[p].copied ||
		       !keeps(o, RULE_GROWN_SINCE_COPY);
	return t->pack[p].live == 0;
}

/* Who was told of what is in `p` now counts on its copies. */
static void
move_pins(struct state *s, unsigned p)
{
	for (unsigned h = 0; h < SESSIONS; h++)
		if (s->session[h].pins & 1u << p)
			s->session[h].pins |= s->gc.copies;
}

static void
gc_condemn(struct out *o)
{
	uint8_t waits = 0;
	struct state *t;

	if (o->from->gc.todo != 0)
		return;
	t = step(o, "condemn", 0, 0);
	if (t->gc.rotted && keeps(o, RULE_ROT_BEFORE_CONDEMN)) {
		t->gc.phase = GC_SWEEP; /* Nothing to sweep: the cycle ends. */
		return;
	}
	mark_rest(o, t);
	for (unsigned h = 0; h < SESSIONS; h++) {
		if (t->session[h].state == SESSION_NONE)
			continue;
		t->session[h].stale = 1;
		waits |= (uint8_t)(1u << h);
	}
	waits |= (uint8_t)(t->reader.open << READER);
	for (unsigned p = 0; p < PACKS; p++)
		if (is_dead(o, t, p)) {
			t->pack[p].state = PACK_CONDEMNED;
			t->pack[p].waits = waits;
			if (t->pack[p].rewritten && keeps(o, RULE_PINS_MOVE))
				move_pins(t, p);
		}
	t->gc.phase = GC_SWEEP;
}

/* Those of the leases that a pack waits for that still hold it. */
static uint8_t
holders(const struct state *s, uint8_t waits)
{
	uint8_t held = 0;

	for (unsigned h = 0; h < SESSIONS; h++)
		if (waits & 1u << h && s->session[h].state != SESSION_NONE &&
		    !s->session[h].revoked)
			held |= (uint8_t)(1u << h);
	if (waits & 1u << READER && s->reader.open && !s->reader.revoked)
		held |= 1u << READER;
	return held;
}

static void
gc_sweep(struct out *o)
{
	const struct state *s = o->from;
	int any = 0;
	struct state *t;

	for (unsigned p = 0; p < PACKS; p++) {
		any |= s->pack[p].state == PACK_REMOVED;
		if (s->pack[p].state == PACK_REMOVED) {
			t = step(o, "unlink pack", p, 0);
			memset(&t->pack[p], 0, sizeof(t->pack[p]));
		}
		if (s->pack[p].state != PACK_CONDEMNED)
			continue;
		if (s->pack[p].rotted && keeps(o, RULE_ROT_BEFORE_SWEEP)) {
			t = step(o, "pack comes back", p, 0);
			t->pack[p].state = PACK_SEALED;
			t->pack[p].rotted = t->pack[p].waits = 0;
			continue;
		}
		if (holders(s, s->pack[p].waits) == 0 || !keeps(o, RULE_WAIT_FOR_LEASES))
			step(o, "record removal", p, 0)->pack[p].state = PACK_REMOVED;
	}
	if (any)
		return;
	/* What is held stays condemned, for the next cycle to remove. */
	t = step(o, "cycle ends", 0, 0);
	memset(&t->gc, 0, sizeof(t->gc));
	for (unsigned p = 0; p < PACKS; p++)
		t->pack[p].live = t->pack[p].copied = t->pack[p].candidate =
		    t->pack[p].rewritten = 0;
	for (unsigned h = 0; h < SESSIONS; h++)
		t->session[h].old = 0;
}

static void
collect(struct out *o)
{
	const struct state *s = o->from;

	switch (s->gc.phase) {
	case GC_IDLE:
		gc_begin(o);
		break;
	case GC_MARK:
		for (unsigned r = 0; r < ROOTS; r++) {
			if (!(s->gc.todo & 1u << r))
				continue;
			/* Of two copies a look-up may give either. */
			for (int last = 0; last < 2; last++) {
				struct state *t = step(o, "mark root", r, (unsigned)last);

				t->gc.todo &= (uint8_t) ~(1u << r);
				t->gc.roots[r] = 0;
				mark(t, s->gc.roots[r], last, o->broken);
			}
		}
		for (unsigned p = 0; s->gc.todo == 0 && p < PACKS; p++)
			gc_rewrite(o, p);
		gc_condemn(o);
		break;
	case GC_SWEEP:
		gc_sweep(o);
		break;
	}
}

/* ------------------------------------------------------------------------ all -- */

/* Only the order of times matters: give them the lowest numbers that keep it. */
static void
renumber(struct state *s)
{
	uint8_t *times[PACKS + 2 * SESSIONS], map[256] = { 0 }, next = 0;
	size_t n = 0;

	for (unsigned p = 0; p < PACKS; p++)
		times[n++] = &s->pack[p].sealed;
	for (unsigned h = 0; h < SESSIONS; h++) {
		times[n++] = &s->session[h].id;
		times[n++] = &s->session[h].left;
	}
	for (size_t i = 0; i < n; i++)
		map[*times[i]] = 1;
	map[0] = 0;
	for (unsigned v = 1; v < 256; v++)
		if (map[v])
			map[v] = ++next;
	for (size_t i = 0; i < n; i++)
		*times[i] = map[*times[i]];
	s->clock = next;
}

static uint8_t
swap(uint8_t bits, unsigned a, unsigned b)
{
	uint8_t differ = (uint8_t)((bits >> a ^ bits >> b) & 1);

	return bits ^ (uint8_t)(differ << a | differ << b);
}

static void
swap_sessions(struct state *s)
{
	uint8_t root = s->gc.roots[POINTS];
	struct state was = *s;

	s->session[0] = was.session[1];
	s->session[1] = was.session[0];
	s->gc.roots[POINTS] = s->gc.roots[POINTS + 1];
	s->gc.roots[POINTS + 1] = root;
	s->gc.todo = swap(s->gc.todo, POINTS, POINTS + 1);
	for (unsigned p = 0; p < PACKS; p++)
		s->pack[p].waits = swap(s->pack[p].waits, 0, 1);
}

static void
swap_chunks(struct state *s)
{
	uint8_t *sets[64];
	size_t n = 0;

	for (unsigned p = 0; p < PACKS; p++) {
		sets[n++] = &s->pack[p].chunks;
		sets[n++] = &s->pack[p].bad;
		sets[n++] = &s->pack[p].live;
		sets[n++] = &s->pack[p].copied;
	}
	for (unsigned i = 0; i < POINTS; i++)
		sets[n++] = &s->point[i].chunks;
	for (unsigned h = 0; h < SESSIONS; h++) {
		sets[n++] = &s->session[h].base;
		sets[n++] = &s->session[h].want;
		sets[n++] = &s->session[h].have;
		sets[n++] = &s->session[h].mine;
		sets[n++] = &s->session[h].need;
		sets[n++] = &s->session[h].rotted;
	}
	for (unsigned r = 0; r < ROOTS; r++)
		sets[n++] = &s->gc.roots[r];
	sets[n++] = &s->reader.chunks;
	sets[n++] = &s->lost;
	for (size_t i = 0; i < n; i++)
		*sets[i] = swap(*sets[i], 0, 1);
}

/* Of states that differ by the names of sessions and chunks only, one for all. */
static void
rename_all(struct state *s)
{
	struct state other = *s;

	for (int i = 1; i < 4; i++) {
		if (i % 2 == 1)
			swap_sessions(&other);
		else
			swap_chunks(&other);
		if (memcmp(&other, s, sizeof(other)) < 0)
			*s = other;
	}
}

size_t
protocol_steps(const struct state *s, enum rule broken, struct step *out)
{
	struct out o = { .from = s, .broken = broken, .steps = out };

	for (unsigned h = 0; h < SESSIONS; h++)
		session(&o, h);
	reader(&o);
	for (unsigned i = 0; s->prunes > 0 && i < POINTS; i++)
		if (s->point[i].state == POINT_LIVE) {
			struct state *t = step(&o, "prune point", i, 0);

			t->point[i].state = POINT_PRUNED;
			t->point[i].chunks = 0;
			t->prunes--;
		}
	for (unsigned p = 0; p < PACKS; p++)
		if (s->pack[p].state == PACK_OPEN) {
			struct state *t = step(&o, "seal pack", p, 0);

			t->pack[p].state = PACK_SEALED;
			t->pack[p].sealed = ++t->clock;
		}
	rot(&o);
	collect(&o);
	crash(&o);
	for (size_t i = 0; i < o.n; i++) {
		renumber(&out[i].to);
		rename_all(&out[i].to);
	}
	return o.n;
}

/* A good copy that is or can be found; a condemned one can while something rotted. */
static int
is_safe(const struct state *s, unsigned c)
{
	for (unsigned p = 0; p < PACKS; p++)
		if (good(s, p, c) &&
		    (counts(s, p, RULE_NONE) ||
			(s->pack[p].state == PACK_CONDEMNED && s->pack[p].rotted)))
			return 1;
	return (s->lost & 1u << c) != 0;
}

const char *
protocol_broken(const struct state *s)
{
	for (unsigned c = 0; c < CHUNKS; c++) {
		if (is_safe(s, c))
			continue;
		for (unsigned i = 0; i < POINTS; i++)
			if (s->point[i].state == POINT_LIVE &&
			    s->point[i].chunks & 1u << c)
				return "a point has lost a chunk";
		if (s->reader.open && !s->reader.revoked && s->reader.chunks & 1u << c)
			return "a reader has lost a chunk of its point";
		for (unsigned h = 0; h < SESSIONS; h++)
			if (s->session[h].state != SESSION_NONE &&
			    !s->session[h].revoked &&
			    ((((s->session[h].have | s->session[h].mine) &
				  ~s->session[h].rotted) |
				 s->session[h].base) &
				1u << c))
				return "a session has lost a chunk that it was told is "
				       "there";
	}
	for (unsigned p = 0; s->gc.phase == GC_IDLE && p < PACKS; p++)
		if (s->pack[p].state == PACK_REMOVED)
			return "a file recorded as removed stays for ever";
	if (s->reader.place != 0 && !s->reader.revoked &&
	    (s->pack[s->reader.place - 1].state == PACK_NONE ||
		s->pack[s->reader.place - 1].state == PACK_REMOVED))
		return "a reader has lost the file it reads";
	return NULL;
}

const char *
protocol_rule(enum rule rule)
{
	static const char *const names[RULES] = { "all rules", "HAVE marks", "HAVE pins",
		"bases are roots", "readers' points are roots", "new points are marked",
		"a commit checks again", "open leases keep younger packs",
		"pins move with the copies", "a pack that grew since its copy stays",
		"files wait for older leases", "rot before condemning ends the cycle",
		"rot before removal brings copies back", "condemned copies are not found",
		"a recorded removal outlives a crash" };

	return names[rule];
}
