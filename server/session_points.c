#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>

#include "proto/layout/layout.h"
#include "proto/wire/frame.h"
#include "storage/store_retention.h"
#include "storage/store_verify.h"

/* Points in one frame: far below MSG_LEN_MAX with every volume there may be. */
#define BATCH 16u

static void
fill_volume(Wire__VolumeInfo *out, const struct store_volume *v)
{
	wire__volume_info__init(out);
	out->name = (char *)(uintptr_t)v->name;
	out->size = v->size;
	out->sector_size = v->sector_size;
	out->fs = (char *)(uintptr_t)v->fs;
	out->provider = (char *)(uintptr_t)v->provider;
	out->grade = (uint32_t)v->grade;
	out->root_id.data = (uint8_t *)(uintptr_t)v->root_id.b;
	out->root_id.len = CHUNK_ID_LEN;
	out->data_bytes = v->data_bytes;
	out->hole_bytes = v->hole_bytes;
	out->zero_bytes = v->zero_bytes;
	out->excluded_bytes = v->excluded_bytes;
}

static void
fill_excluded(const struct store_point *p, struct session_point_room *room)
{
	struct store_excluded e[STORE_EXCLUDED_MAX];
	size_t n = store_facts_excluded(p, e);

	for (size_t i = 0; i < n; i++) {
		wire__excluded__init(&room->excluded[i]);
		room->excluded[i].reason = e[i].reason;
		room->excluded[i].bytes = e[i].bytes;
		room->reasons[i] = &room->excluded[i];
	}
	room->counts.n_excluded = n;
	room->counts.excluded = room->reasons;
}

static void
fill_changes(
    const struct store_point *p, struct session_point_room *room, Wire__Point *out)
{
	struct store_changes c[STORE_VOLUMES_MAX];
	size_t n = store_facts_changes(p, c);

	for (size_t i = 0; i < n; i++) {
		wire__changes__init(&room->changes[i]);
		room->changes[i].volume = c[i].volume;
		room->changes[i].kept_bytes = c[i].kept_bytes;
		room->changes[i].proven_bytes = c[i].proven_bytes;
		room->changes[i].slices = c[i].slices;
		room->changed[i] = &room->changes[i];
	}
	out->n_changes = n;
	out->changes = room->changed;
}

void
session_point_fill(
    Wire__Point *out, const struct store_point *p, struct session_point_room *room)
{
	const struct store_counts *c = &p->counts;
	Wire__Counts *o = &room->counts;

	wire__point__init(out);
	out->host = (char *)(uintptr_t)p->host;
	out->sequence = p->sequence;
	out->time_us = p->time_us;
	out->frozen_at_us = p->frozen_at_us;
	out->note = (char *)(uintptr_t)p->note;
	out->record.data = (uint8_t *)(uintptr_t)p->record;
	out->record.len = sizeof(p->record);
	out->previous.data = (uint8_t *)(uintptr_t)p->previous;
	out->previous.len = sizeof(p->previous);

	for (uint32_t i = 0; i < p->volumes_count; i++) {
		fill_volume(&room->volumes[i], &p->volumes[i]);
		room->pointers[i] = &room->volumes[i];
	}
	out->n_volumes = p->volumes_count;
	out->volumes = room->pointers;

	wire__counts__init(o);
	o->read_bytes = c->read_bytes;
	o->sent_bytes = c->sent_bytes;
	o->new_bytes = c->new_bytes;
	o->known_bytes = c->known_bytes;
	o->zero_bytes = c->zero_bytes;
	o->hole_bytes = c->hole_bytes;
	o->excluded_bytes = c->excluded_bytes;
	o->chunks = c->chunks;
	o->new_chunks = c->new_chunks;
	o->duration_us = c->duration_us;
	o->stored_bytes = c->stored_bytes;
	fill_excluded(p, room);
	out->counts = o;
	fill_changes(p, room, out);
	store_facts_capture(p, room->capture);
	out->capture = room->capture;
	out->proven = store_facts_proven(p);
}

/*
 * Collecting points into frames, as many as SESSION_ROUND holds; the next round
 * goes on behind the last point, when these are on their way.
 */
struct listing {
	struct session_job *j;
	struct store_point points[BATCH];
	uint32_t count;	   /* In `points`, not yet in a frame. */
	uint64_t left;	   /* That may still come. */
	int64_t before_us; /* Of the last point. */
	int full;	   /* The round is. */
	struct session_point_room room[BATCH];
	char damage[BATCH][STORE_TEXT_MAX], suspect[BATCH][STORE_TEXT_MAX];
};

/* What verify learned of a point and what holds it; nothing if it was pruned meanwhile.
 */
static void
add_verdict(struct session_job *j, const struct store_point *p, Wire__Point *out,
    struct store_kept *k, char damage[STORE_TEXT_MAX], char suspect[STORE_TEXT_MAX])
{
	struct store *store = j->s->world->store;
	struct err ignored = ERR_INIT;

	if (store_kept_one(store, p->host, p->sequence, k, &ignored) == 0) {
		out->verified_us = k->verified_us;
		out->suspect_us = k->suspect_us;
		if (store_is_locked(store, k))
			out->locked_us = k->locked_us;
		/* Who holds it and why is not the host's business. */
		if (k->held && j->s->role != CERT_AGENT && j->s->role != CERT_RESCUE) {
			out->held_by = k->held_by;
			out->held_why = k->held_why;
		}
	}
	err_clear(&ignored);
	if (store_point_hurt(store, p->host, p->sequence, damage, &ignored) > 0)
		out->damage = damage;
	err_clear(&ignored);
	if (store_point_suspect(store, p->host, p->sequence, suspect, &ignored) > 0)
		out->suspect = suspect;
}

/* As the host gave it, for those who asked. */
static void
add_layout(const struct store_point *p, Wire__Point *out)
{
	const uint8_t *at;

	out->layout.len = layout_find(p->facts, p->facts_len, &at);
	out->layout.data = (uint8_t *)(uintptr_t)at;
}

static void
flush(struct listing *l, uint16_t flags)
{
	Wire__Points m = WIRE__POINTS__INIT;
	Wire__Point items[BATCH], *pointers[BATCH];

	for (uint32_t i = 0; i < l->count; i++) {
		session_point_fill(&items[i], &l->points[i], &l->room[i]);
		add_verdict(l->j, &l->points[i], &items[i], &l->room[i].kept,
		    l->damage[i], l->suspect[i]);
		pointers[i] = &items[i];
	}
	if (((const Wire__ListPoints *)l->j->msg)->layout)
		for (uint32_t i = 0; i < l->count; i++)
			add_layout(&l->points[i], &items[i]);
	m.n_points = l->count;
	m.points = pointers;
	session_reply(l->j, &m.base, flags);
	l->count = 0;
}

static int
collect(void *arg, const struct store_point *p)
{
	struct listing *l = arg;

	if (l->count == BATCH)
		flush(l, FRAME_MORE);
	l->full = l->j->out_bytes >= SESSION_ROUND;
	if (l->full)
		return 1;
	l->points[l->count++] = *p;
	l->before_us = p->time_us;
	return --l->left == 0 || l->j->err.code != ERR_NONE ||
	       atomic_load(&l->j->s->gone);
}

/* The job's listing, made at its first round; NULL: it failed. */
static struct listing *
listing_of(struct session_job *j, uint32_t limit)
{
	struct listing *l = j->state;

	if (l == NULL && (l = calloc(1, sizeof(*l))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
	} else if (j->state == NULL) {
		l->left = limit == 0 ? UINT64_MAX : limit;
		l->before_us = INT64_MAX;
		j->state = l;
		j->state_free = free;
	}
	return l;
}

void
session_points_run(struct session_job *j)
{
	const Wire__ListPoints *m = (const Wire__ListPoints *)j->msg;
	struct store *store = j->s->world->store;
	struct listing *l;
	struct store_peer peer;
	const char *host = m->host;
	uint64_t sequence = m->sequence;

	if (session_may_see(j->s, &host, 0, &j->err) != 0)
		return;
	/* A rescue that may read one point is shown that one. */
	if (j->s->role == CERT_RESCUE &&
	    (sequence != 0 || j->s->rescue.only || j->s->rescue.over) &&
	    session_may_read(j->s, &sequence, &j->err) != 0)
		return;
	if (host[0] != '\0' && store_peer_by_name(store, host, &peer, &j->err) != 0)
		return;
	if ((l = listing_of(j, m->limit)) == NULL)
		return;
	l->j = j;
	l->full = 0;
	if (sequence != 0) {
		if (host[0] == '\0')
			(void)err_set(
			    &j->err, ERR_PROTOCOL, "a point's number without its host");
		else if (store_point_get(store, host, sequence, &l->points[0], &j->err) ==
			 0)
			l->count = 1;
	} else {
		(void)store_points(store, host[0] != '\0' ? host : NULL, l->before_us,
		    collect, l, &j->err);
	}
	j->more = l->full;
	if (!l->full)
		flush(l, 0);
}
