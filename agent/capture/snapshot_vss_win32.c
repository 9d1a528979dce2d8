/*
 * The vss provider: volumes of a running Windows, by the Volume Shadow Copy Service.  The
 * session is vss.c's; here are its thread, the volumes' names and the copies' devices.
 */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_provider.h"
#include "agent/disk/device.h"
#include "agent/vss/com_thread.h"
#include "agent/vss/vss_com.h"
#include "proto/base/err.h"

/* Three retries, ten minutes apart: what the documentation recommends. */
#define ATTEMPTS 4
#define WAIT_MS (10u * 60 * 1000)
/* From the cut to here: DoSnapshotSet and the statuses have 25 minutes together. */
#define MADE_MAX_US ((int64_t)25 * 60 * 1000000)

struct volume {
	struct set *set;
	char *path;	/* As it was asked for. */
	char name[128]; /* As VSS has it. */
	unsigned no;
	struct device *copy;
	char device[512];
	uint64_t size;
};

struct set {
	const struct snapshot_options *options;
	struct com_thread *thread;
	struct vss_com *com;
	struct vss *vss;
	unsigned count;
	const char *names[VSS_VOLUMES_MAX];
	struct volume **volumes; /* While they are frozen. */
	struct snapshot_info *infos;
	struct err *err;
	int ok;
};

/* Only the tests need less: HOLDFAST_VSS_WAIT_MS in the environment. */
static uint32_t
wait_ms(void)
{
	const char *text = getenv("HOLDFAST_VSS_WAIT_MS");

	return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : WAIT_MS;
}

static int
on_open(void *arg)
{
	struct set *s = arg;

	return vss_com_new(&s->com, s->err);
}

static int
on_free(void *arg)
{
	struct set *s = arg;

	vss_free(s->vss);
	vss_com_free(s->com);
	return 0;
}

static void
set_free(void *set)
{
	struct set *s = set;

	if (s->thread != NULL)
		(void)com_thread_call(s->thread, on_free, s);
	com_thread_free(s->thread);
	free(s);
}

static int
set_open(const struct snapshot_options *options, void **set, struct err *err)
{
	struct set *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a snapshot set");
	s->options = options;
	s->err = err;
	if (com_thread_new(&s->thread, err) != 0 ||
	    com_thread_call(s->thread, on_open, s) != 0) {
		set_free(s);
		return -1;
	}
	*set = s;
	return 0;
}

static void
volume_close(void *volume)
{
	struct volume *v = volume;

	device_close(v->copy);
	free(v->path);
	free(v);
}

static int
volume_add(void *set, const char *path, void **volume, struct err *err)
{
	struct volume *v;

	if (device_path_kind(path) == DEVICE_DISK)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: VSS freezes volumes; a disk is frozen by its volumes", path);
	if ((v = calloc(1, sizeof(*v))) == NULL || (v->path = _strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to add %s", path);
	}
	v->set = set;
	if (vss_com_volume(path, v->name, sizeof(v->name), err) != 0) {
		volume_close(v);
		return -1;
	}
	*volume = v;
	return 0;
}

static int
volume_same(const void *volume, const void *other)
{
	const struct volume *a = volume, *b = other;

	return strcmp(a->name, b->name) == 0;
}

static int64_t
now_us(void)
{
	FILETIME t;

	GetSystemTimeAsFileTime(&t);
	return vss_com_time(
	    (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime));
}

/* The instant of the cut: after it writers thawed, repaired files and were asked. */
static int64_t
frozen_at(const struct set *s)
{
	int64_t now = now_us(), made = vss_com_made(s->com);

	/* A provider that does not tell, or tells local time, is not believed. */
	return made <= now && now - made < MADE_MAX_US ? made : now;
}

static int
open_copy(struct set *s, struct volume *v, struct snapshot_info *info)
{
	if (vss_device(s->vss, v->no, v->device, sizeof(v->device), s->err) != 0 ||
	    device_open(v->device, 0, &v->copy, s->err) != 0)
		return err_context(s->err, "%.80s: its shadow copy", v->path);
	v->size = device_size(v->copy);
	info->size = v->size;
	info->sector_size = device_sector_size(v->copy);
	info->grade = s->options->no_writers || vss_is_torn(s->vss)
			  ? SNAPSHOT_CRASH
			  : SNAPSHOT_APPLICATION;
	/* VSS flushes file systems before it holds the writes. */
	info->flushed = 1;
	info->frozen_at = frozen_at(s);
	return 0;
}

static int
on_freeze(void *arg)
{
	struct set *s = arg;

	if (vss_freeze(s->vss, s->err) != 0)
		return -1;
	for (unsigned i = 0; i < s->count; i++)
		if (open_copy(s, s->volumes[i], &s->infos[i]) != 0)
			return -1;
	return 0;
}

static int
set_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	struct set *s = set;
	struct vss_job job = { .ops = &vss_com_ops,
		.arg = s->com,
		.volumes = s->names,
		.copy = s->options->type == SNAPSHOT_COPY,
		.no_autorecovery = s->options->no_autorecovery,
		.no_writers = s->options->no_writers,
		.attempts = ATTEMPTS,
		.wait_ms = wait_ms(),
		.stop = s->options->stop,
		.say = s->options->say,
		.say_arg = s->options->say_arg };
	int rc;

	/* What may take how long is documented for each step: vss.c. */
	(void)timeout_ms;
	if (count > VSS_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "VSS freezes at most %d volumes at once",
		    VSS_VOLUMES_MAX);
	s->count = (unsigned)count;
	s->volumes = (struct volume **)volumes;
	s->infos = infos;
	s->err = err;
	for (unsigned i = 0; i < s->count; i++) {
		s->volumes[i]->no = i;
		s->names[i] = s->volumes[i]->name;
		job.bootable |= vss_com_boots(s->names[i]);
	}
	job.count = s->count;
	if ((s->vss = vss_new(&job)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	rc = com_thread_call(s->thread, on_freeze, s);
	s->volumes = NULL;
	return rc;
}

static int
volume_read(void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct volume *v = volume;

	return device_read(v->copy, offset, buf, len, err);
}

struct asking {
	struct volume *v;
	struct err *err;
	char device[512];
};

static int
on_confirm(void *arg)
{
	struct asking *a = arg;

	return vss_device(a->v->set->vss, a->v->no, a->device, sizeof(a->device), a->err);
}

/* A copy that was lost (no room for the difference area) is in no list any more. */
static int
volume_confirm(void *volume, struct err *err)
{
	struct volume *v = volume;
	struct asking a = { .v = v, .err = err };
	struct device_look look;

	if (com_thread_call(v->set->thread, on_confirm, &a) != 0)
		return err_context(err, "%.80s: its shadow copy is gone", v->path);
	if (strcmp(a.device, v->device) != 0 || device_look(v->copy, &look, err) != 0 ||
	    look.size != v->size) {
		err_clear(err);
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%.100s: its shadow copy is another one", v->path);
	}
	return 0;
}

static const char *
set_method(const void *set)
{
	const struct set *s = set;

	return s->vss != NULL ? vss_method(s->vss) : "";
}

static int
on_finish(void *arg)
{
	struct set *s = arg;

	return vss_finish(s->vss, s->ok, s->err);
}

static int
set_finish(void *set, int ok, struct err *err)
{
	struct set *s = set;

	if (s->vss == NULL)
		return 0;
	s->ok = ok;
	s->err = err;
	return com_thread_call(s->thread, on_finish, s);
}

const struct snapshot_provider snapshot_vss = {
	.name = "vss",
	.open = set_open,
	.add = volume_add,
	.same = volume_same,
	.freeze = set_freeze,
	.read = volume_read,
	.confirm = volume_confirm,
	.method = set_method,
	.finish = set_finish,
	.close = volume_close,
	.free = set_free,
};
