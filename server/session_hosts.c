#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/frame.h"
#include "server/registry.h"
#include "storage/store_space.h"
#include "storage/store_verify.h"

/* Hosts in one frame: with their backups far below MSG_LEN_MAX. */
#define BATCH 64u
/* "vss, hotcopy, offline": as many as there may be. */
#define PROVIDERS_MAX 80

/* Of a host's newest point, what the list says. */
struct backup {
	int there;
	char providers[PROVIDERS_MAX], capture[STORE_CAPTURE_MAX];
	Wire__LastBackup m, *list[1];
};

/* Hosts by name, as many as a round holds. */
struct hosts {
	struct session_job *j;
	int backups, full;
	char after[STORE_NAME_MAX]; /* The last one told of. */
	struct store_peer peers[BATCH];
	struct store_brake brakes[BATCH];
	uint64_t damaged[BATCH];
	struct store_suspects suspects[BATCH];
	char rescue[BATCH][PREFLIGHT_FLAG_MAX];
	struct backup backup[BATCH];
	struct store_point point; /* Room. */
	Wire__Host items[BATCH];
	Wire__Host *pointers[BATCH];
	size_t count;
};

/* ------------------------------------------------------------- the newest backup -- */

/* Each provider once, in the order of the volumes. */
static void
say_providers(const struct store_point *p, char out[PROVIDERS_MAX])
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < p->volumes_count && n < PROVIDERS_MAX; i++) {
		int new = 1;

		for (uint32_t k = 0; k < i; k++)
			new &=
			    strcmp(p->volumes[i].provider, p->volumes[k].provider) != 0;
		if (new)
			n += (size_t)snprintf(out + n, PROVIDERS_MAX - n, "%s%s",
			    n > 0 ? ", " : "", p->volumes[i].provider);
	}
}

static int
is_whole(void *arg, const struct store_point *p)
{
	struct store_changes c[STORE_VOLUMES_MAX];
	Wire__LastBackup *m = arg;

	if (store_facts_changes(p, c) > 0)
		return 0;
	m->whole = p->sequence;
	m->whole_us = p->time_us;
	return 1;
}

static int
take_backup(struct hosts *h, const struct store_peer *p, struct backup *b)
{
	struct store *store = h->j->s->world->store;
	const struct store_counts *n = &h->point.counts;
	struct store_changes c[STORE_VOLUMES_MAX];
	size_t changes;

	b->there = h->backups && p->points > 0;
	if (!b->there)
		return 0;
	if (store_point_get(store, p->name, 0, &h->point, &h->j->err) != 0) {
		/* Pruned since the host was read. */
		b->there = 0;
		if (h->j->err.code != ERR_NOTFOUND)
			return -1;
		err_clear(&h->j->err);
		return 0;
	}
	wire__last_backup__init(&b->m);
	b->m.sequence = h->point.sequence;
	say_providers(&h->point, b->providers);
	b->m.providers = b->providers;
	store_facts_capture(&h->point, b->capture);
	b->m.capture = b->capture;
	b->m.read_bytes = n->read_bytes;
	b->m.sent_bytes = n->sent_bytes;
	b->m.stored_bytes = n->stored_bytes;
	b->m.duration_us = n->duration_us;
	b->m.proven = store_facts_proven(&h->point);
	changes = store_facts_changes(&h->point, c);
	for (size_t i = 0; i < changes; i++) {
		b->m.kept_bytes += c[i].kept_bytes;
		b->m.proven_bytes += c[i].proven_bytes;
		if (b->m.slices < c[i].slices)
			b->m.slices = c[i].slices;
	}
	if (changes == 0) {
		(void)is_whole(&b->m, &h->point);
		return 0;
	}
	return store_points(store, p->name, INT64_MAX, is_whole, &b->m, &h->j->err) < 0
		   ? -1
		   : 0;
}

/* ------------------------------------------------------------------------ telling -- */

static void
fill(struct hosts *h, size_t i)
{
	struct store_peer *p = &h->peers[i];
	const struct store_suspects *s = &h->suspects[i];
	Wire__Host *o = &h->items[i];

	wire__host__init(o);
	o->name = p->name;
	o->group = p->group;
	o->revoked = p->revoked;
	o->enrolled_us = p->enrolled_us;
	o->seen_us = p->seen_us;
	o->points = p->points;
	o->point_us = p->point_us;
	o->program = p->program;
	o->serial.data = p->serial;
	o->serial.len = sizeof(p->serial);
	o->cert_ends_us = p->cert_ends_us;
	o->online = registry_count(h->j->s->world->registry, p->name) > 0;
	o->alarm = p->alarm;
	o->brake = h->brakes[i].text;
	o->damaged = h->damaged[i];
	o->rescue = h->rescue[i];
	o->suspect = s->n;
	o->suspect_first = s->first;
	o->suspect_last = s->last;
	o->suspect_us = s->since_us;
	h->backup[i].list[0] = &h->backup[i].m;
	o->backup = h->backup[i].list;
	o->n_backup = (size_t)h->backup[i].there;
}

static void
flush(struct hosts *h, uint16_t flags)
{
	Wire__Hosts m = WIRE__HOSTS__INIT;
	struct store_alarm alarms[STORE_NOTICES_MAX];
	char *texts[STORE_NOTICES_MAX];

	for (size_t i = 0; i < h->count; i++) {
		fill(h, i);
		h->pointers[i] = &h->items[i];
	}
	m.n_hosts = h->count;
	m.hosts = h->pointers;
	if ((flags & FRAME_MORE) == 0) {
		m.n_alarms = store_alarms(h->j->s->world->store, alarms);
		for (size_t i = 0; i < m.n_alarms; i++)
			texts[i] = alarms[i].text;
		m.alarms = texts;
	}
	session_reply(h->j, &m.base, flags);
	h->count = 0;
}

static int
collect(void *arg, const struct store_peer *p)
{
	struct hosts *h = arg;
	struct session_job *j = h->j;
	struct store *store = j->s->world->store;
	size_t i;

	/* Operators have names and certificates, but nothing to back up. */
	if (p->role != CERT_AGENT && p->role != CERT_RESCUE)
		return 0;
	if (strcmp(p->name, h->after) <= 0 && h->after[0] != '\0')
		return 0;
	if (h->count == BATCH)
		flush(h, FRAME_MORE);
	h->full = j->out_bytes >= SESSION_ROUND;
	if (h->full)
		return 1;
	i = h->count;
	if (store_brake_of(store, p->name, &h->brakes[i], &j->err) != 0 ||
	    store_points_hurt(store, p->name, &h->damaged[i], &j->err) != 0 ||
	    store_suspects(store, p->name, &h->suspects[i], &j->err) != 0 ||
	    session_check_flag(j->s, p, h->rescue[i], &j->err) != 0 ||
	    take_backup(h, p, &h->backup[i]) != 0)
		return -1;
	h->peers[i] = *p;
	memcpy(h->after, p->name, sizeof(h->after));
	h->count++;
	return j->err.code != ERR_NONE || atomic_load(&j->s->gone);
}

void
session_hosts_run(struct session_job *j)
{
	struct hosts *h = j->state;

	if (h == NULL && (h = calloc(1, sizeof(*h))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
		return;
	}
	j->state = h;
	j->state_free = free;
	h->j = j;
	h->full = 0;
	h->backups = ((const Wire__ListHosts *)j->msg)->backups;
	if (store_peers(j->s->world->store, collect, h, &j->err) < 0)
		return;
	j->more = h->full;
	if (!h->full)
		flush(h, 0);
}
