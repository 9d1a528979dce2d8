#include "agent/snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/snapshot_provider.h"
#include "proto/base/err.h"

/* Volumes in one set; a host has at most 26 letters and a few without. */
#define VOLUMES_MAX 256

struct snapshot_volume {
	const struct snapshot_provider *provider;
	void *own;		   /* The provider's. */
	struct snapshot_info info; /* Once frozen. */
	char *path;
};

struct snapshot {
	const struct snapshot_provider *provider;
	int frozen;
	size_t count;
	struct snapshot_volume *volume[VOLUMES_MAX];
};

const struct snapshot_provider *
snapshot_provider_find(const char *name)
{
	static const struct snapshot_provider *const all[] = { &snapshot_offline };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

const char *
snapshot_provider_name(const struct snapshot_provider *provider)
{
	return provider->name;
}

int
snapshot_open(
    const struct snapshot_provider *provider, struct snapshot **out, struct err *err)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a snapshot set");
	s->provider = provider;
	*out = s;
	return 0;
}

static void
volume_free(struct snapshot_volume *v, int ok)
{
	if (v->own != NULL)
		v->provider->close(v->own, ok);
	free(v->path);
	free(v);
}

int
snapshot_add(
    struct snapshot *s, const char *path, struct snapshot_volume **out, struct err *err)
{
	struct snapshot_volume *v;

	assert(!s->frozen);
	if (s->count == VOLUMES_MAX)
		return err_set(
		    err, ERR_LIMIT, "a set has at most %d volumes", VOLUMES_MAX);
	if ((v = calloc(1, sizeof(*v))) == NULL || (v->path = strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to add %s", path);
	}
	v->provider = s->provider;
	if (v->provider->add(path, &v->own, err) == -1) {
		volume_free(v, 0);
		return -1;
	}
	for (size_t i = 0; i < s->count; i++)
		if (v->provider->same(s->volume[i]->own, v->own)) {
			(void)err_set(err, ERR_EXISTS, "%s is in the set already, as %s",
			    path, s->volume[i]->path);
			volume_free(v, 0);
			return -1;
		}
	s->volume[s->count++] = v;
	*out = v;
	return 0;
}

int
snapshot_freeze(struct snapshot *s, uint32_t timeout_ms, struct err *err)
{
	struct snapshot_info infos[VOLUMES_MAX];
	void *own[VOLUMES_MAX];

	assert(!s->frozen);
	memset(infos, 0, sizeof(infos));
	for (size_t i = 0; i < s->count; i++)
		own[i] = s->volume[i]->own;
	if (s->provider->freeze(own, s->count, timeout_ms, infos, err) == -1)
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

int
snapshot_confirm(struct snapshot *s, struct err *err)
{
	assert(s->frozen);
	for (size_t i = 0; i < s->count; i++)
		if (s->provider->confirm(s->volume[i]->own, err) == -1)
			return -1;
	return 0;
}

void
snapshot_close(struct snapshot *s, int ok)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		volume_free(s->volume[i], ok);
	free(s);
}
