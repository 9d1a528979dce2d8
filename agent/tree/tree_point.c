#include "agent/tree/tree_point.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/session/reading.h"
#include "agent/tree/group_cache.h"
#include "agent/tree/tree_ahead.h"
#include "agent/tree/tree_fetch.h"
#include "agent/tree/tree_link.h"
#include "agent/tree/tree_nodes.h"
#include "agent/tree/tree_reader.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/tls/cert.h"
#include "proto/wire/frame.h"

/* Well below the server's silence-timeout, 5 minutes if nobody changed it. */
#define AWAKE_MS 20000u

struct volume {
	struct tree_volume seen; /* Its texts are ours. */
	struct chunk_id root_id;
	struct tree_of of;
	int open; /* `of` has its root. */
};

struct tree_point {
	struct tree_link *link;
	struct group_cache *cache;
	struct tree_nodes *nodes;
	struct tree_fetch *fetch;
	struct tree_ahead *ahead;
	char host[CERT_NAME_MAX];
	uint64_t sequence;
	char suspect[READING_DOUBT_MAX];
	uint8_t *layout;
	size_t layout_len;
	struct volume *volumes;
	unsigned count;
	pthread_mutex_t lock; /* Guards the volumes' `open`; held while one is opened. */
};

/* ---------------------------------------------------------------- finding it -- */

struct finding {
	struct tree_point *p;
	uint64_t sequence;
};

static int
take_volume(struct volume *v, const Wire__VolumeInfo *w)
{
	if (w->root_id.len != CHUNK_ID_LEN)
		return -1;
	memcpy(v->root_id.b, w->root_id.data, CHUNK_ID_LEN);
	v->seen.name = strdup(w->name);
	v->seen.fs = strdup(w->fs);
	v->seen.size = w->size;
	v->seen.sector_size = w->sector_size;
	return v->seen.name == NULL || v->seen.fs == NULL ? -1 : 0;
}

static int
take_point(struct tree_point *p, const Wire__Point *w, struct err *err)
{
	if (strlen(w->host) >= sizeof(p->host))
		return err_set(err, ERR_PROTOCOL, "a host's name is too long");
	strcpy(p->host, w->host);
	p->sequence = w->sequence;
	if (reading_doubt(w, p->suspect) < 2)
		p->suspect[0] = '\0';
	p->volumes = calloc(w->n_volumes + 1, sizeof(*p->volumes));
	p->layout = malloc(w->layout.len + 1);
	if (p->volumes == NULL || p->layout == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (w->layout.len > 0)
		memcpy(p->layout, w->layout.data, w->layout.len);
	p->layout_len = w->layout.len;
	for (; p->count < w->n_volumes; p->count++) {
		struct volume *v = &p->volumes[p->count];

		if (take_volume(v, w->volumes[p->count]) != 0)
			return err_set(err, ERR_PROTOCOL, "a volume cannot be read");
		v->of.host = p->host;
		v->of.sequence = p->sequence;
		v->of.volume = p->count;
	}
	return 0;
}

static int
on_points(void *arg, const struct channel_frame *f, struct err *err)
{
	struct finding *find = arg;
	struct frame view;
	ProtobufCMessage *m;
	const Wire__Points *points;
	int rc = 0;

	if (f == NULL)
		return 1;
	if (f->kind != MSG_POINTS)
		return err_set(
		    err, ERR_PROTOCOL, "%s where Points was due", msg_name(f->kind));
	view = (struct frame){ f->kind, f->flags, f->request, f->payload, f->len };
	if (msg_unpack(&view, &m, err) != 0)
		return -1;
	points = (const Wire__Points *)m;
	if (points->n_points > 0 && find->p->volumes == NULL)
		rc = take_point(find->p, points->points[0], err);
	msg_free(m);
	return rc != 0 ? -1 : (f->flags & FRAME_MORE) != 0;
}

static int
find_point(struct tree_point *p, const char *host, uint64_t sequence, struct err *err)
{
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;
	struct finding find = { p, sequence };
	const char *whose = host[0] != '\0' ? host : "this host";

	m.host = (char *)(uintptr_t)host;
	m.sequence = sequence;
	m.limit = 1;
	m.layout = 1;
	if (tree_link_ask(p->link, 0, &m.base, on_points, &find, err) != 0)
		return -1;
	if (p->volumes != NULL)
		return 0;
	if (sequence != 0)
		return err_set(err, ERR_NOTFOUND, "no point %llu of %s",
		    (unsigned long long)sequence, whose);
	return err_set(err, ERR_NOTFOUND, "%s has no points", whose);
}

/* ------------------------------------------------------------------ the whole -- */

static int
make_caches(struct tree_point *p, const struct tree_point_config *config, struct err *err)
{
	size_t cache = config->cache_bytes != 0 ? config->cache_bytes : TREE_READER_CACHE;

	p->cache = group_cache_new(cache);
	p->nodes = tree_nodes_new(p->link,
	    config->leaves_bytes != 0 ? config->leaves_bytes : TREE_READER_LEAVES);
	if (p->cache == NULL || p->nodes == NULL ||
	    (p->fetch = tree_fetch_new(p->link, p->cache)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (config->no_ahead)
		return 0;
	return tree_ahead_open(p->nodes, p->fetch, cache / 2, &p->ahead, err);
}

int
tree_point_open(
    const struct tree_point_config *config, struct tree_point **out, struct err *err)
{
	struct tree_link_config link = { config->dial, config->arg,
		config->sessions != 0 ? config->sessions : TREE_READER_SESSIONS,
		config->retry_for_ms != 0 ? config->retry_for_ms : TREE_READER_RETRY_MS,
		AWAKE_MS };
	struct tree_point *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	pthread_mutex_init(&p->lock, NULL);
	if (tree_link_open(&link, &p->link, err) != 0 ||
	    find_point(p, config->host, config->sequence, err) != 0 ||
	    make_caches(p, config, err) != 0) {
		tree_point_close(p);
		return -1;
	}
	tree_link_hold(p->link, p->host, p->sequence);
	*out = p;
	return 0;
}

void
tree_point_close(struct tree_point *p)
{
	if (p == NULL)
		return;
	if (p->link != NULL)
		tree_link_cancel(p->link);
	tree_ahead_close(p->ahead);
	tree_fetch_free(p->fetch);
	tree_nodes_free(p->nodes);
	group_cache_free(p->cache);
	tree_link_close(p->link);
	for (unsigned i = 0; p->volumes != NULL && i <= p->count; i++) {
		free((char *)(uintptr_t)p->volumes[i].seen.name);
		free((char *)(uintptr_t)p->volumes[i].seen.fs);
	}
	free(p->volumes);
	free(p->layout);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void
tree_point_cancel(struct tree_point *p)
{
	tree_link_cancel(p->link);
}

const char *
tree_point_host(const struct tree_point *p)
{
	return p->host;
}

uint64_t
tree_point_sequence(const struct tree_point *p)
{
	return p->sequence;
}

const char *
tree_point_suspect(const struct tree_point *p)
{
	return p->suspect;
}

unsigned
tree_point_volumes(const struct tree_point *p)
{
	return p->count;
}

const struct tree_volume *
tree_point_volume(const struct tree_point *p, unsigned i)
{
	return &p->volumes[i].seen;
}

const uint8_t *
tree_point_layout(const struct tree_point *p, size_t *len)
{
	*len = p->layout_len;
	return p->layout_len > 0 ? p->layout : NULL;
}

void
tree_point_counts(struct tree_point *p, struct tree_point_counts *out)
{
	struct tree_fetch_counts c;

	tree_fetch_count(p->fetch, &c);
	*out = (struct tree_point_counts){ .groups = c.groups,
		.received_bytes = c.received_bytes,
		.hits = c.hits,
		.misses = c.misses };
	tree_nodes_counts(p->nodes, &out->nodes, &out->leaves_most);
	out->cache_most = group_cache_most(p->cache);
	out->sessions = tree_link_sessions(p->link);
}

struct tree_nodes *
tree_point_nodes(struct tree_point *p)
{
	return p->nodes;
}

struct tree_fetch *
tree_point_fetch(struct tree_point *p)
{
	return p->fetch;
}

struct tree_ahead *
tree_point_ahead(struct tree_point *p)
{
	return p->ahead;
}

/* ------------------------------------------------------------------- volumes -- */

static int
no_volume(const struct tree_point *p, const char *name, struct err *err)
{
	char names[120] = "";
	size_t n = 0;

	for (unsigned i = 0; i < p->count && n + 1 < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
		    i > 0 ? ", " : "", p->volumes[i].seen.name);
	if (name[0] == '\0')
		return err_set(err, ERR_NOTFOUND,
		    "point %s/%llu has %u volumes: name one of %s", p->host,
		    (unsigned long long)p->sequence, p->count, names);
	return err_set(err, ERR_NOTFOUND, "point %s/%llu has no volume '%.60s', but %s",
	    p->host, (unsigned long long)p->sequence, name, names);
}

int
tree_point_root(
    struct tree_point *p, const char *name, const struct tree_of **out, struct err *err)
{
	struct volume *v = NULL;
	int rc = 0;

	for (unsigned i = 0; i < p->count; i++)
		if (name[0] == '\0' ? p->count == 1
				    : strcmp(p->volumes[i].seen.name, name) == 0)
			v = &p->volumes[i];
	if (v == NULL)
		return no_volume(p, name, err);
	pthread_mutex_lock(&p->lock);
	if (!v->open)
		rc = tree_nodes_root(p->nodes, &v->of, &v->root_id, err);
	if (rc == 0) {
		v->open = 1;
		*out = &v->of;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}
