/* track_model.c - a world: host, agent, server, and what they know to be true. */
#include "tests/driver/track_model.h"

#include <string.h>

#include "driver/core/track.h"
#include "driver/core/track_state.h"

#define REGIONS_MAX 5u
#define PER_REGION 4u
static const uint32_t places[PER_REGION] = { 0, 1, 5, 1023 };

struct id {
	uint64_t generation;
	uint8_t nonce[HOTCOPY_NONCE];
};

/* Blocks are known by their places: a set is 20 bits. */
struct truth {
	struct id point;      /* that the server holds; generation 0: none */
	struct id cut;	      /* the last that the agent made; 0: none any more */
	uint32_t since_point; /* what changed */
	uint32_t since_cut;
};

struct world {
	struct volume v;
	struct track *t;
	struct truth truth;
	uint64_t length;
	uint32_t places;
	uint8_t guid[16];
	uint64_t nonces;
	bool create, quiet, foreign, inside;
	int held; /* a place; -1: none */
	/* A snapshot of the machine, to be reverted to. */
	uint8_t old_disk[MODEL_STORE_MAX];
	struct truth old_truth;
	bool has_old;
	struct model_count *count;
	const char *wrong;
};

static bool
chance(uint32_t percent)
{
	return model_random(100) < percent;
}

static uint64_t
block_of(uint32_t place)
{
	return (uint64_t)(place / PER_REGION) * TRACK_REGION_BLOCKS +
	       places[place % PER_REGION];
}

static bool
is_same(const struct id *a, uint64_t generation, const uint8_t *nonce)
{
	return a->generation != 0 && a->generation == generation &&
	       memcmp(a->nonce, nonce, HOTCOPY_NONCE) == 0;
}

static void
changed(struct world *w, uint32_t set)
{
	w->truth.since_point |= set;
	w->truth.since_cut |= set;
}

/* A write of one place; "held" ones go on later. */
static void
write_one(struct world *w, uint32_t place, bool may_log)
{
	uint64_t offset =
	    (block_of(place) << HOTCOPY_TRACK_SHIFT) + model_random(16) * 4096;

	if (offset + 4096 > w->v.length)
		return;
	while (!track_write(w->t, offset, 4096)) {
		if (!may_log) {
			w->held = (int)place;
			return;
		}
		track_log(w->t, offset, 4096);
	}
	/* It may be on the disk from now on. */
	changed(w, 1u << place);
}

/* Over the border of regions: from the last place of one to the third of another. */
static void
write_range(struct world *w)
{
	uint32_t regions = w->places / PER_REGION, from, to, set = 0;
	uint64_t offset, length;

	if (regions < 2)
		return;
	from = model_random(regions - 1);
	to = from + 1 + (from > 0 ? model_random(regions - 1 - from) : 0);
	offset = block_of(from * PER_REGION + 3) << HOTCOPY_TRACK_SHIFT;
	length = ((block_of(to * PER_REGION + 2) + 1) << HOTCOPY_TRACK_SHIFT) - offset;
	for (uint32_t p = from * PER_REGION + 3; p <= to * PER_REGION + 2; p++)
		set |= 1u << p;
	if (offset + length > w->v.length)
		return;
	while (!track_write(w->t, offset, (uint32_t)length))
		track_log(w->t, offset, length);
	changed(w, set);
}

/* Another processor. */
static void
other(void *who, bool locked)
{
	struct world *w = who;

	if (w->inside || !chance(10))
		return;
	w->inside = true;
	if (w->held < 0)
		write_one(w, model_random(w->places), !locked && chance(50));
	w->inside = false;
}

static void
let_go(struct world *w)
{
	int held = w->held;

	w->held = -1;
	if (held >= 0)
		write_one(w, (uint32_t)held, true);
}

static bool
reported(const struct world *w, bool now, uint32_t place)
{
	uint64_t block = block_of(place);
	uint8_t byte = 0;

	track_report(w->t, now, block & ~(uint64_t)7, 8, &byte);
	return (byte >> (block & 7) & 1) != 0;
}

static void
wrong(struct world *w, const char *what)
{
	if (w->wrong == NULL)
		w->wrong = what;
}

static void
count_tightness(struct world *w, const struct track_facts *f, uint32_t set)
{
	struct model_count *c = w->count;
	uint32_t n = 0;

	/* Said, but not sent yet. */
	if (w->held >= 0)
		set |= 1u << w->held;
	if (f->state == HOTCOPY_TRACK_VALID) {
		c->valid++;
		for (uint32_t p = 0; p < w->places; p++) {
			c->exact += reported(w, true, p);
			c->truth += set >> p & 1;
		}
		return;
	}
	c->recovered++;
	for (uint32_t p = 0; p < w->places; p++) {
		n += reported(w, true, p);
		if (p % PER_REGION == PER_REGION - 1) {
			c->regions += n > 0;
			c->regions_true += (set >> (p - 3) & 15) != 0;
			n = 0;
		}
	}
}

/* Would the agent trust it against the server's point?  Then it must be true. */
static void
check(struct world *w, bool now, const char *what)
{
	struct track_facts f;
	uint32_t set = w->truth.since_point;

	w->inside = true;
	track_facts(w->t, &f);
	w->count->checks++;
	if ((f.state == HOTCOPY_TRACK_VALID || f.state == HOTCOPY_TRACK_RECOVERED) &&
	    is_same(&w->truth.point, f.base, f.base_nonce)) {
		for (uint32_t p = 0; p < w->places; p++)
			if ((set >> p & 1) && !reported(w, now, p))
				wrong(w, what);
		if (now)
			count_tightness(w, &f, set);
	} else {
		w->count->invalid++;
	}
	w->inside = false;
}

static bool
trusted(const struct world *w)
{
	struct track_facts f;

	track_facts(w->t, &f);
	return f.state == HOTCOPY_TRACK_VALID || f.state == HOTCOPY_TRACK_RECOVERED;
}

static void
commit(struct world *w)
{
	struct track_facts f;

	if (w->truth.point.generation == 0 ||
	    track_commit(w->t, w->truth.point.generation, w->truth.point.nonce) != 0)
		return;
	track_facts(w->t, &f);
	if (!is_same(&w->truth.point, f.base, f.base_nonce))
		wrong(w, "a commit that was taken is not the base");
}

static void
draw(struct world *w, uint8_t nonce[HOTCOPY_NONCE])
{
	memset(nonce, 0, HOTCOPY_NONCE);
	w->nonces++;
	memcpy(nonce + 8, &w->nonces, sizeof(w->nonces));
	nonce[0] = (uint8_t)model_random(256);
}

static void
cut(struct world *w)
{
	uint8_t nonce[HOTCOPY_NONCE];

	draw(w, nonce);
	w->inside = true; /* drained */
	w->truth.cut.generation = track_cut(w->t, nonce);
	memcpy(w->truth.cut.nonce, nonce, sizeof(nonce));
	w->truth.since_cut = 0;
	w->inside = false;
	check(w, false, "missed at the cut");
}

/* The upload has ended: the server holds what was at the last cut. */
static void
server_stores(struct world *w)
{
	if (w->truth.cut.generation == 0)
		return;
	w->truth.point = w->truth.cut;
	w->truth.since_point = w->truth.since_cut;
}

static void
abort_cut(struct world *w)
{
	struct truth *r = &w->truth;

	if (r->cut.generation == 0 || is_same(&r->point, r->cut.generation, r->cut.nonce))
		return;
	if (track_abort(w->t, r->cut.generation, r->cut.nonce) == 0 &&
	    track_commit(w->t, r->cut.generation, r->cut.nonce) == 0)
		wrong(w, "what was aborted is committed");
	r->cut.generation = 0;
}

static void
backup(struct world *w)
{
	commit(w);
	check(w, true, "missed before a backup");
	cut(w);
	if (chance(90))
		(void)track_cut_store(w->t);
	if (chance(50))
		write_one(w, model_random(w->places), true);
	if (chance(15)) {
		abort_cut(w);
		return;
	}
	if (chance(90))
		server_stores(w);
	if (chance(85))
		commit(w);
}

static void
work(struct world *w)
{
	w->t->due = 1;
	for (uint32_t n = 1 + model_random(4); n > 0 && track_work(w->t); n--)
		let_go(w);
}

static void
operate(struct world *w)
{
	uint32_t what = model_random(32);

	let_go(w);
	if (what < 12)
		write_one(w, model_random(w->places), true);
	else if (what < 14)
		write_range(w);
	else if (what < 17)
		(void)track_checkpoint(w->t);
	else if (what < 19)
		work(w);
	else if (what < 24)
		backup(w);
	else if (what < 25)
		cut(w);
	else if (what < 27)
		(void)track_cut_store(w->t);
	else if (what < 28)
		server_stores(w);
	else if (what < 30)
		commit(w);
	else if (what < 31)
		abort_cut(w);
	else if (chance(20))
		track_invalidate(
		    w->t, chance(50) ? HOTCOPY_WHY_UNKNOWN_WRITE : HOTCOPY_WHY_ASKED);
	check(w, true, "missed while running");
}

static void
start(struct world *w)
{
	struct hotcopy_extent e[2] = { { MODEL_STORE_AT, w->v.store_bytes / 2 },
		{ MODEL_STORE_AT + w->v.store_bytes / 2, w->v.store_bytes / 2 } };
	struct hotcopy_track how = { .extents = 2 };
	struct track_notice notice = { NULL, NULL };

	model_memory_reset();
	w->v.other = NULL;
	w->v.log_mutex = NULL;
	w->v.log_held = false;
	w->v.lost_from = w->v.lost_to = 0;
	memcpy(w->v.view, w->v.disk, w->v.store_bytes);
	w->inside = false;
	w->held = -1;
	how.flags = w->create ? HOTCOPY_TRACK_CREATE : 0;
	memcpy(how.guid, w->guid, sizeof(how.guid));
	draw(w, how.nonce);
	w->t = track_open(&w->v, &how, e, notice);
	w->create = false;
	w->v.log_mutex = &w->t->log.mutex;
	w->v.other = other;
	w->v.who = w;
	w->v.log_stamp++;
}

/* The last acts of a life that is not cut short. */
static void
clean(struct world *w)
{
	let_go(w);
	w->v.other = NULL; /* the last processor */
	if (track_clean(w->t) != 0)
		return;
	if (chance(30)) {
		write_one(w, model_random(w->places), true);
		return;
	}
	w->quiet = true;
}

/* The host takes the clusters of our file. */
static void
written_into(struct world *w)
{
	uint32_t at = model_random(w->v.store_bytes / 4096) * 4096;

	let_go(w);
	w->v.other = NULL;
	while (!track_write(w->t, MODEL_STORE_AT + at, 4096))
		track_log(w->t, MODEL_STORE_AT + at, 4096);
	w->v.forbidden = true;
	memset(w->v.disk + at, (int)model_random(256), 4096);
	memset(w->v.view + at, 0x55, 4096);
	for (uint32_t n = 0; n < 4; n++)
		operate(w);
	if (w->v.broke)
		wrong(w, "written where the host had written");
	w->v.forbidden = false;
	w->create = true;
}

static void
end(struct world *w)
{
	uint32_t how = model_random(100);

	if (how < 40) {
		clean(w);
	} else if (how < 43) {
		track_resized(w->t, w->v.length + 65536);
		write_one(w, model_random(w->places), true);
	} else if (how < 46) {
		written_into(w);
	}
}

/* Both copies of the header are whole and the same. */
static bool
heads_agree(const struct world *w)
{
	struct track_head a, b;

	return track_head_get(w->v.disk, 0, &a) &&
	       track_head_get(w->v.disk + TRACK_PAGE, TRACK_HEAD_AT(1), &b) &&
	       a.serial == b.serial;
}

/* A cell of a map is as it was: the disk only said that it had written it.  (Of one of
   the log nobody could know.) */
static void
lose_write(struct world *w)
{
	struct track_layout l;
	uint32_t at;

	track_layout(&l, w->length);
	at = l.map_at[model_random(4)] + model_random(l.map_cells);
	memcpy(w->v.disk + at * TRACK_CELL, w->old_disk + at * TRACK_CELL, TRACK_CELL);
}

/* A length that is wrong for one start. */
static void
start_resized(struct world *w)
{
	w->v.length -= 1 << 20;
	start(w);
	write_one(w, 0, true);
	check(w, true, "trusted with another length");
	w->v.length = w->length;
}

/* What happens while the machine is off. */
static void
off(struct world *w)
{
	if (w->foreign && (w->quiet ? chance(30) : chance(3))) {
		if (w->quiet)
			w->v.log_stamp += 1000;
		else
			w->v.boot_stamp++;
		changed(w, 1u << model_random(w->places));
	}
	if (chance(2) && heads_agree(w))
		model_rot(&w->v);
	if (w->has_old && chance(2))
		lose_write(w);
	if (chance(3)) {
		memcpy(w->old_disk, w->v.disk, w->v.store_bytes);
		w->old_truth = w->truth;
		w->has_old = true;
	} else if (w->has_old && chance(3)) {
		struct truth new = w->truth;

		/* The disk as it was; the server knows nothing of it. */
		memcpy(w->v.disk, w->old_disk, w->v.store_bytes);
		w->truth = w->old_truth;
		w->truth.point = new.point;
		if (is_same(&w->old_truth.cut, new.point.generation, new.point.nonce))
			w->truth.since_point = w->old_truth.since_cut;
		else if (!is_same(
			     &w->old_truth.point, new.point.generation, new.point.nonce))
			w->truth.since_point = (1u << w->places) - 1;
	}
}

static void
live(struct world *w)
{
	struct volume *v = &w->v;

	w->count->lives++;
	w->quiet = false;
	v->cut_in = v->fail_in = 0;
	v->length = w->length;
	if (setjmp(v->power) != 0) {
		w->count->cuts_of_power++;
	} else {
		if (chance(60))
			v->cut_in = 1 + model_random(chance(50) ? 8 : 40);
		if (chance(10)) {
			v->fail_in = 1 + model_random(16);
			v->cut_in = chance(70) ? v->fail_in + 1 + model_random(6) : 0;
		}
		if (chance(2))
			start_resized(w);
		start(w);
		check(w, true, "missed after a start");
		if (!trusted(w) && chance(60))
			backup(w);
		for (uint32_t n = 2 + model_random(8); n > 0 && w->wrong == NULL; n--)
			operate(w);
		end(w);
	}
	/* Nobody uploads any more. */
	if (!is_same(&w->truth.point, w->truth.cut.generation, w->truth.cut.nonce))
		w->truth.cut.generation = chance(50) ? 0 : w->truth.cut.generation;
	off(w);
	if (chance(3))
		w->create = true;
}

bool
model_world(uint64_t seed, unsigned lives, struct model_count *count, const char **what)
{
	static struct world w;
	uint32_t regions;

	memset(&w, 0, sizeof(w));
	model_seed(seed);
	regions = 1 + model_random(REGIONS_MAX);
	w.count = count;
	w.places = regions * PER_REGION;
	w.foreign = chance(80);
	w.length = w.v.length = (uint64_t)regions << TRACK_REGION_SHIFT;
	w.v.sector = chance(50) ? 512 : 4096;
	w.v.store_bytes = (uint32_t)track_store_bytes(w.v.length);
	w.v.store_bytes = (w.v.store_bytes + 8191) & ~8191u;
	w.guid[3] = (uint8_t)seed;
	w.create = true;
	while (lives-- > 0 && w.wrong == NULL)
		live(&w);
	*what = w.wrong;
	return w.wrong == NULL;
}
