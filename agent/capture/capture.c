#include "agent/capture/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/capture/capture_device.h"
#include "agent/capture/capture_parts.h"
#include "agent/capture/twice.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/wire/msg_check.h"

/* ------------------------------------------------------------------- taking hold -- */

static int
open_sources(struct capture *c, const struct settings *s,
    const struct capture_disks *disks, struct err *err)
{
	for (unsigned i = 0; i < s->count; i++, c->frozen++)
		if (snapshot_add(c->snapshot, s->volumes[i].path, &c->views[i], err) != 0)
			return err_context(err, "volume %s", s->volumes[i].name);
	for (unsigned i = 0; i < s->disks_count; i++)
		if (capture_open_disk(c, s, disks, i, err) != 0)
			return err_context(err, "disk %s", s->disks[i].name);
	return 0;
}

/* `failed`: as for choose_provider().  `choice` is filled where there is one. */
static int
new_after(const struct settings *s, const struct snapshot_options *options,
    const struct capture_disks *disks, const char *failed, struct choice *choice,
    struct capture **out, struct err *err)
{
	struct snapshot_options o = *options;
	struct capture *c;

	if (s->count + s->disks_count > SETTINGS_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d volumes and disks",
		    SETTINGS_VOLUMES_MAX);
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)snprintf(c->note, sizeof(c->note), "%s", s->note);
	if (s->vss_copy)
		o.type = SNAPSHOT_COPY;
	c->hotcopy = o.hotcopy != NULL ? *o.hotcopy : s->hotcopy;
	/* What stands in for VSS does not ask it. */
	if (failed != NULL)
		c->hotcopy.flush = 0;
	o.hotcopy = &c->hotcopy;
	if (choose_provider(s, failed, &c->choice, err) != 0)
		goto fail;
	*choice = c->choice;
	capture_track_open(c, &o);
	if (snapshot_open(
		snapshot_provider_find(c->choice.provider), &o, &c->snapshot, err) != 0 ||
	    open_sources(c, s, disks, err) != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	capture_free(c);
	return -1;
}

int
capture_new(const struct settings *s, const struct snapshot_options *options,
    const struct capture_disks *disks, struct capture **out, struct err *err)
{
	struct choice choice;

	return new_after(s, options, disks, NULL, &choice, out, err);
}

void
capture_note(struct capture *c, const char *who, const char *text)
{
	size_t len = strlen(c->note);

	if (text[0] != '\0')
		(void)snprintf(c->note + len, sizeof(c->note) - len, "%s%s: %s",
		    len > 0 ? "; " : "", who, text);
}

struct capture_volume *
capture_add(struct capture *c, const char *name, uint64_t size, uint32_t sector_size,
    struct err *err)
{
	struct capture_volume *v;

	for (unsigned i = 0; i < c->count; i++)
		if (strcmp(c->volumes[i].name, name) == 0) {
			err_set(err, ERR_EXISTS, "two volumes are called '%.63s'", name);
			return NULL;
		}
	v = &c->volumes[c->count++];
	memset(v, 0, sizeof(*v));
	(void)snprintf(v->name, sizeof(v->name), "%s", name);
	v->size = size;
	v->sector_size = sector_size;
	/* Of what is read live and settled, nothing changed. */
	v->info.size = size;
	v->info.sector_size = sector_size;
	v->info.grade = SNAPSHOT_EXCLUSIVE;
	v->info.frozen_at = c->frozen_at;
	return v;
}

void
capture_set_view(
    struct capture_volume *v, struct snapshot_volume *view, uint64_t offset, uint64_t len)
{
	v->view = view;
	v->view_offset = offset;
	v->view_size = len;
	v->info = *snapshot_info(view);
}

/* ---------------------------------------------------------------------- freezing -- */

/* Of a disk without volumes nothing needs freezing. */
static int
freeze(struct capture *c, uint32_t timeout_ms, struct err *err)
{
	int rc;

	if (c->frozen > 0) {
		capture_track_cut(c);
		rc = snapshot_freeze(c->snapshot, timeout_ms, err);
		capture_track_seen(c);
		if (rc != 0)
			return -1;
	}
	(void)snprintf(c->method, sizeof(c->method), "%s%s%s",
	    c->frozen > 0 ? snapshot_method(c->snapshot) : "nothing to freeze",
	    c->choice.why[0] != '\0' ? "; " : "", c->choice.why);
	/* Words of a system in its own language are in it, cut where there was no room. */
	msg_check_clean(c->method);
	return 0;
}

/* When: the instant of the set, the same for all of it. */
static int64_t
instant(const struct capture *c)
{
	struct timespec now;
	const struct snapshot_volume *view = c->views[0];

	for (unsigned i = 0; i < SETTINGS_DISKS_MAX && view == NULL; i++) {
		const struct capture_source *d = c->disks[i];

		if (d != NULL)
			view = d->view;
		for (unsigned k = 0; d != NULL && view == NULL && k < d->disk.count; k++)
			view = d->pieces[k];
	}
	if (view != NULL)
		return snapshot_info(view)->frozen_at;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int
capture_freeze(
    struct capture *c, const struct settings *s, uint32_t timeout_ms, struct err *err)
{
	const struct snapshot_info *info;
	struct capture_volume *v;
	unsigned i;

	if (freeze(c, timeout_ms, err) != 0)
		return -1;
	c->frozen_at = instant(c);
	for (i = 0; i < s->count; i++) {
		info = snapshot_info(c->views[i]);
		c->devices |= capture_device_is(s->volumes[i].path);
		v = capture_add(
		    c, s->volumes[i].name, info->size, info->sector_size, err);
		if (v == NULL)
			return -1;
		capture_set_view(v, c->views[i], 0, info->size);
	}
	for (i = 0; i < s->disks_count; i++)
		if (capture_add_disk(c, s, i, err) != 0)
			return err_context(err, "disk %s", s->disks[i].name);
	capture_track_volumes(c);
	return 0;
}

/* May somebody else freeze it who asks nobody?  vss has tried again by itself. */
static int
may_stand_in(const struct settings *s, const struct choice *choice,
    const struct snapshot_options *o, const struct err *err)
{
	return strcmp(s->provider, SETTINGS_AUTO) == 0 &&
	       strcmp(choice->provider, "vss") == 0 && err->code != ERR_CANCELED &&
	       err->code != ERR_NOMEM && !stop_asked(o->stop);
}

int
capture_begin(const struct settings *s, const struct snapshot_options *options,
    const struct capture_disks *disks, uint32_t timeout_ms, struct capture **out,
    struct err *err)
{
	struct choice choice = { "", "" }, instead = { "", "" };
	struct err failed, why;
	size_t len;

	*out = NULL;
	if (new_after(s, options, disks, NULL, &choice, out, err) == 0 &&
	    capture_freeze(*out, s, timeout_ms, err) == 0)
		return 0;
	if (!may_stand_in(s, &choice, options, err))
		return -1;
	failed = *err;
	capture_free(*out);
	*out = NULL;
	err_clear(err);
	if (new_after(s, options, disks, failed.text, &instead, out, err) == 0 &&
	    capture_freeze(*out, s, timeout_ms, err) == 0)
		return 0;
	if (instead.provider[0] != '\0')
		return err_context(err, "vss failed (%.80s), and then", failed.text);
	/* Why vss failed must not be pushed out of the line. */
	why = *err;
	*err = failed;
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof(err->text) - len,
	    "; nothing stands in: %s", why.text);
	return -1;
}

/* ----------------------------------------------------------------------- reading -- */

int
capture_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	const struct capture_volume *v = arg;
	uint8_t *p = buf;
	size_t n;

	if (offset > v->size || len > v->size - offset)
		return err_set(err, ERR_LIMIT,
		    "%s: read of %zu bytes at %llu is past its end", v->name, len,
		    (unsigned long long)offset);
	if (v->view != NULL && offset < v->view_size) {
		n = len < v->view_size - offset ? len : (size_t)(v->view_size - offset);
		if (snapshot_read(v->view, v->view_offset + offset, p, n, err) != 0)
			return -1;
		offset += n;
		p += n;
		len -= n;
	}
	if (v->live != NULL && len > 0)
		return twice_read(v->live, v->live_offset + offset, p, len, err);
	memset(p, 0, len);
	return 0;
}

int
capture_settled(struct capture_volume *v, struct err *err)
{
	return v->live == NULL ? 1 : twice_settled(v->live, err);
}

int
capture_confirm(struct capture *c, struct err *err)
{
	int settled;

	for (unsigned i = 0; i < SETTINGS_DISKS_MAX; i++) {
		if (c->disks[i] == NULL || c->disks[i]->table == NULL)
			continue;
		if ((settled = twice_settled(c->disks[i]->table, err)) < 0)
			return -1;
		if (settled == 0)
			return err_set(err, ERR_SNAPSHOT_LOST,
			    "a disk's partition table changed while it was read");
	}
	return c->frozen == 0 ? 0 : snapshot_confirm(c->snapshot, err);
}

int
capture_finish(struct capture *c, int ok, struct err *err)
{
	capture_track_finish(c, ok);
	return c->frozen == 0 ? 0 : snapshot_finish(c->snapshot, ok, err);
}

void
capture_free(struct capture *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->count; i++) {
		twice_free(c->volumes[i].live);
		free(c->volumes[i].holes);
		free(c->volumes[i].unkept);
	}
	snapshot_close(c->snapshot);
	capture_track_close(c);
	for (unsigned i = 0; i < SETTINGS_DISKS_MAX; i++)
		capture_close_disk(c->disks[i]);
	free(c);
}
