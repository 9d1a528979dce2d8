#include "agent/capture/snapshot.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_provider.h"
#include "proto/base/err.h"
#include "proto/wire/msg_check.h"

/* A host has at most 26 letters and a few without. */
#define VOLUMES_MAX SNAPSHOT_VOLUMES_MAX

struct snapshot_volume {
	const struct snapshot_provider *provider;
	void *own;		   /* The provider's. */
	struct snapshot_info info; /* Once frozen. */
	char *path;
	unsigned place; /* In the set. */
};

struct snapshot {
	const struct snapshot_provider *provider;
	struct snapshot_options options;
	void *own;	   /* The provider's. */
	int tried, frozen; /* To freeze; with success. */
	int finished;
	char method[SNAPSHOT_METHOD_MAX];
	size_t count;
	struct snapshot_volume *volume[VOLUMES_MAX];
};

const struct snapshot_provider *
snapshot_provider_find(const char *name)
{
	for (size_t i = 0; snapshot_providers[i] != NULL; i++)
		if (strcmp(snapshot_providers[i]->name, name) == 0)
			return snapshot_providers[i];
	return NULL;
}

const char *
snapshot_provider_name(const struct snapshot_provider *provider)
{
	return provider->name;
}

const char *
snapshot_grade_name(enum snapshot_grade grade)
{
	return grade == SNAPSHOT_EXCLUSIVE     ? "exclusive"
	       : grade == SNAPSHOT_APPLICATION ? "application"
					       : "crash";
}

int
snapshot_open(const struct snapshot_provider *provider,
    const struct snapshot_options *options, struct snapshot **out, struct err *err)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a snapshot set");
	s->provider = provider;
	if (options != NULL)
		s->options = *options;
	if (provider->open != NULL && provider->open(&s->options, &s->own, err) == -1) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

static void
volume_free(struct snapshot_volume *v)
{
	if (v->own != NULL)
		v->provider->close(v->own);
	free(v->path);
	free(v);
}

int
snapshot_add(
    struct snapshot *s, const char *path, struct snapshot_volume **out, struct err *err)
{
	struct snapshot_volume *v;

	assert(!s->tried);
	if (s->count == VOLUMES_MAX)
		return err_set(
		    err, ERR_LIMIT, "a set has at most %d volumes", VOLUMES_MAX);
	if ((v = calloc(1, sizeof(*v))) == NULL || (v->path = strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to add %s", path);
	}
	v->provider = s->provider;
	if (v->provider->add(s->own, path, &v->own, err) == -1) {
		volume_free(v);
		return -1;
	}
	for (size_t i = 0; i < s->count; i++)
		if (v->provider->same(s->volume[i]->own, v->own)) {
			(void)err_set(err, ERR_EXISTS, "%s is in the set already, as %s",
			    path, s->volume[i]->path);
			volume_free(v);
			return -1;
		}
	v->place = (unsigned)s->count;
	s->volume[s->count++] = v;
	*out = v;
	return 0;
}

static void
set_method(struct snapshot *s)
{
	const char *more = s->provider->method != NULL ? s->provider->method(s->own) : "";

	(void)snprintf(s->method, sizeof(s->method), "%s%s%s", s->provider->name,
	    more[0] != '\0' ? ": " : "", more);
	/* Names of writers are in it, cut where there was no more room. */
	msg_check_clean(s->method);
}

int
snapshot_freeze(struct snapshot *s, uint32_t timeout_ms, struct err *err)
{
	struct snapshot_info infos[VOLUMES_MAX];
	void *own[VOLUMES_MAX];
	int rc;

	assert(!s->tried);
	s->tried = 1;
	memset(infos, 0, sizeof(infos));
	for (size_t i = 0; i < s->count; i++)
		own[i] = s->volume[i]->own;
	rc = s->provider->freeze(s->own, own, s->count, timeout_ms, infos, err);
	set_method(s);
	if (rc == -1)
		return -1;
	for (size_t i = 0; i < s->count; i++)
		s->volume[i]->info = infos[i];
	s->frozen = 1;
	return 0;
}

const struct snapshot_info *
snapshot_info(const struct snapshot_volume *v)
{
	return &v->info;
}

int
snapshot_read(
    struct snapshot_volume *v, uint64_t offset, void *buf, size_t len, struct err *err)
{
	if (offset > v->info.size || len > v->info.size - offset)
		return err_set(err, ERR_LIMIT,
		    "%s: read of %zu bytes at %llu is past its end", v->path, len,
		    (unsigned long long)offset);
	if (len == 0)
		return 0;
	return v->provider->read(v->own, offset, buf, len, err);
}

unsigned
snapshot_unkept(const struct snapshot_volume *v, const struct volmap_unkept **out)
{
	return v->provider->unkept != NULL ? v->provider->unkept(v->own, out) : 0;
}

int
snapshot_written(struct snapshot_volume *v,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	return v->provider->written != NULL ? v->provider->written(v->own, each, arg, err)
					    : 0;
}

unsigned
snapshot_paths(const struct snapshot *s, const char *out[SNAPSHOT_VOLUMES_MAX])
{
	for (size_t i = 0; i < s->count; i++)
		out[i] = s->volume[i]->path;
	return (unsigned)s->count;
}

unsigned
snapshot_place(const struct snapshot_volume *v)
{
	return v->place;
}

int
snapshot_tracks(const struct snapshot *s)
{
	return s->provider->tracking != NULL;
}

struct tracking *
snapshot_tracking(const struct snapshot *s)
{
	return s->provider->tracking != NULL ? s->provider->tracking(s->own) : NULL;
}

int
snapshot_confirm(struct snapshot *s, struct err *err)
{
	assert(s->frozen);
	for (size_t i = 0; i < s->count; i++)
		if (s->provider->confirm(s->volume[i]->own, err) == -1)
			return -1;
	return 0;
}

const char *
snapshot_method(const struct snapshot *s)
{
	return s->method;
}

int
snapshot_finish(struct snapshot *s, int ok, struct err *err)
{
	assert(!s->finished && (s->frozen || !ok));
	s->finished = 1;
	if (!s->tried || s->provider->finish == NULL)
		return 0;
	return s->provider->finish(s->own, ok, err);
}

void
snapshot_close(struct snapshot *s)
{
	struct err ignored = ERR_INIT;

	if (s == NULL)
		return;
	if (!s->finished)
		(void)snapshot_finish(s, 0, &ignored);
	for (size_t i = 0; i < s->count; i++)
		volume_free(s->volume[i]);
	if (s->provider->free != NULL)
		s->provider->free(s->own);
	free(s);
}
