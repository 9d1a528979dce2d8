#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_parts.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "agent/map/changes.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

/* ------------------------------------------------- by the capture, for its provider -- */

void
capture_track_open(struct capture *c, struct snapshot_options *o)
{
	const struct snapshot_provider *p = snapshot_provider_find(c->choice.provider);
	struct err ignored = ERR_INIT;

	if (o->tracking == NULL || !o->tracking->on || p == NULL || p->tracking != NULL)
		return;
	c->track = *o->tracking;
	/* Where nobody tracks nothing changes for the applications. */
	if (hotcopy_link_open(NULL, &c->driver, &ignored) == 0) {
		o->no_autorecovery = 1;
		return;
	}
	c->driver = NULL;
	/* A driver that answers a moment later must not vouch for what was repaired. */
	if (strcmp(p->name, "vss") == 0)
		c->track.on = 0;
}

void
capture_track_cut(struct capture *c)
{
	const char *paths[SNAPSHOT_VOLUMES_MAX];
	struct err ignored = ERR_INIT;

	if (!c->track.on || snapshot_tracks(c->snapshot))
		return;
	/* Without memory for it there is none for much else, which will say so. */
	if (tracking_begin(c->driver, paths, snapshot_paths(c->snapshot, paths),
		&c->track, &c->tracking, &ignored) != 0)
		c->tracking = NULL;
	else
		tracking_cut(c->tracking);
}

void
capture_track_seen(struct capture *c)
{
	if (c->tracking != NULL)
		tracking_seen(c->tracking);
}

void
capture_track_finish(struct capture *c, int ok)
{
	if (c->tracking == NULL)
		return;
	tracking_finish(c->tracking, ok);
	tracking_free(c->tracking);
	c->tracking = NULL;
	for (unsigned i = 0; i < c->count; i++)
		c->volumes[i].tracking = NULL;
}

void
capture_track_close(struct capture *c)
{
	capture_track_finish(c, 0);
	hotcopy_link_close(c->driver);
}

/* --------------------------------------------------------------- of each volume -- */

#define SUM 32u

/* The driver's, as a root has it. */
static void
seal(const struct capture_volume *v, const char *volume, struct tracking_generation *g)
{
	uint8_t bytes[HOTCOPY_NONCE + 8 + SUM];

	if (g->number == 0)
		return;
	memcpy(bytes, g->nonce, HOTCOPY_NONCE);
	store_le64(bytes + HOTCOPY_NONCE, v->view_offset);
	blake3(volume, strlen(volume), NULL, bytes + HOTCOPY_NONCE + 8, SUM);
	blake3(bytes, sizeof(bytes), NULL, g->nonce, HOTCOPY_NONCE);
}

/* What the driver has, of the view. */
static void
look(const struct capture_volume *v, struct tracking_view *out)
{
	memset(out, 0, sizeof(*out));
	out->why = "";
	if (v->tracking != NULL)
		tracking_view(v->tracking, snapshot_place(v->view), out);
}

void
capture_track_volumes(struct capture *c)
{
	struct tracking *t = c->tracking;
	struct tracking_view view;

	if (t == NULL && c->frozen > 0)
		t = snapshot_tracking(c->snapshot);
	for (unsigned i = 0; i < c->count; i++) {
		struct capture_volume *v = &c->volumes[i];

		if (v->view == NULL || t == NULL)
			continue;
		v->tracking = t;
		capture_tracked(v, &view);
		v->info.generation = view.began.number;
		memcpy(v->info.nonce, view.began.nonce, sizeof(v->info.nonce));
	}
}

void
capture_tracked(const struct capture_volume *v, struct tracking_view *out)
{
	look(v, out);
	seal(v, out->volume, &out->began);
	seal(v, out->volume, &out->base);
	if (out->base.number != 0 && out->length != snapshot_info(v->view)->size) {
		out->base.number = 0;
		out->why = "the volume has another length than its view";
	}
}

void
capture_began(const struct capture_volume *v, struct tracking_generation *out)
{
	struct tracking_view view;

	look(v, &view);
	*out = view.began;
}

/* A range of the view, as the volume has it. */
struct shifted {
	const struct capture_volume *v;
	struct changes *out;
};

static int
add_shifted(void *arg, uint64_t offset, uint64_t len)
{
	const struct shifted *s = arg;
	const struct capture_volume *v = s->v;
	uint64_t end = offset + len < offset ? UINT64_MAX : offset + len;

	if (offset < v->view_offset)
		offset = v->view_offset;
	if (end > v->view_offset + v->view_size)
		end = v->view_offset + v->view_size;
	if (offset < end)
		changes_add(s->out, offset - v->view_offset, end - offset);
	return 0;
}

int
capture_changed(struct capture_volume *v, struct changes *out, struct err *err)
{
	struct shifted s = { v, out };

	if (v->tracking == NULL)
		return err_set(
		    err, ERR_UNSUPPORTED, "%s: its changes are not tracked", v->name);
	if (v->size > v->view_size)
		changes_add(out, v->view_size, v->size - v->view_size);
	return tracking_list(v->tracking, snapshot_place(v->view), add_shifted, &s, err);
}

int
capture_written(struct capture_volume *v, struct changes *out, struct err *err)
{
	struct shifted s = { v, out };
	int rc = v->view != NULL ? snapshot_written(v->view, add_shifted, &s, err) : 0;

	if (rc == 1 && v->size > v->view_size)
		changes_add(out, v->view_size, v->size - v->view_size);
	return rc;
}

unsigned
capture_unkept(struct capture_volume *v, const struct volmap_unkept **out)
{
	const uint64_t from = v->view_offset, to = from + v->view_size;
	const struct volmap_unkept *all;
	unsigned n, count = 0;

	free(v->unkept);
	v->unkept = NULL;
	*out = NULL;
	n = v->view != NULL ? snapshot_unkept(v->view, &all) : 0;
	if (n == 0 || (v->unkept = calloc(n, sizeof(*v->unkept))) == NULL)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t begin = all[i].offset > from ? all[i].offset : from;
		uint64_t end =
		    all[i].offset + all[i].len < to ? all[i].offset + all[i].len : to;

		if (begin < end)
			v->unkept[count++] = (struct volmap_unkept){ begin - from,
				end - begin, all[i].reason };
	}
	*out = v->unkept;
	return count;
}

void
capture_distrust(struct capture *c)
{
	struct tracking *t = c->tracking;

	if (t == NULL && c->frozen > 0)
		t = snapshot_tracking(c->snapshot);
	if (t != NULL)
		tracking_distrust(t);
}
