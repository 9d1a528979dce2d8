#include "agent/backup/suspect.h"

#include <stdio.h>
#include <string.h>

#include "agent/backup/cache.h"
#include "agent/host/state.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/wire/msg_check.h"

#define NOTE_MAX (64u * 1024) /* It is read in large steps. */
#define ENDING "=suspect"

int
suspect_store(const char *path, const struct suspect *s, struct err *err)
{
	char text[sizeof(s->how) + 32];

	(void)snprintf(text, sizeof(text), "%d %llu %s", s->told,
	    (unsigned long long)s->since, s->how);
	return file_store(path, text, strlen(text), 0600, err);
}

int
suspect_load(const char *path, struct suspect *out, struct err *err)
{
	struct buf text = BUF_INIT(NOTE_MAX);
	struct err why = ERR_INIT;
	unsigned long long since;
	int found = file_load(path, &text, &why), told, at = 0;

	memset(out, 0, sizeof(*out));
	if (found == -1 && why.code == ERR_NOMEM) {
		buf_free(&text);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	if (found == 0)
		return 0;
	(void)snprintf(out->how, sizeof(out->how), "%s",
	    "what was noted of a wrong list of changes cannot be read");
	if (found == 1 && buf_add(&text, "", 1, &why) == 0 &&
	    sscanf((char *)text.p, "%d %llu %n", &told, &since, &at) == 2 && at > 0) {
		out->told = told != 0;
		out->since = since;
		(void)snprintf(out->how, sizeof(out->how), "%s", (char *)text.p + at);
	}
	buf_free(&text);
	/* A disk may have put anything there, and the server takes lines of UTF-8 alone. */
	msg_check_clean(out->how);
	return 1;
}

/* --------------------------------------------------------------------- of a state -- */

struct listing {
	const struct state *st;
	int (*each)(void *arg, const char *volume, const struct suspect *s);
	void *arg;
};

static int
on_name(void *arg, const char *name, struct err *err)
{
	const struct listing *l = arg;
	size_t len = strlen(name), end = strlen(ENDING);
	char path[STATE_PATH_MAX], file[CACHE_NAME_MAX + 16], volume[CACHE_NAME_MAX];
	struct suspect s;
	int found;

	if (len <= end || strcmp(name + len - end, ENDING) != 0 ||
	    len - end >= CACHE_NAME_MAX)
		return 0;
	(void)snprintf(file, sizeof(file), "cache/%s", name);
	if (state_path(l->st, file, path, err) != 0 ||
	    (found = suspect_load(path, &s, err)) == -1)
		return -1;
	(void)snprintf(volume, sizeof(volume), "%.*s", (int)(len - end), name);
	cache_volume(volume);
	return found ? l->each(l->arg, volume, &s) : 0;
}

int
suspect_each(const struct state *st,
    int (*each)(void *arg, const char *volume, const struct suspect *s), void *arg,
    struct err *err)
{
	struct listing l = { st, each, arg };
	char dir[STATE_PATH_MAX];
	enum file_kind kind;

	if (state_path(st, "cache", dir, err) != 0 || file_kind(dir, &kind, err) != 0)
		return -1;
	return kind == FILE_IS_DIR ? file_list(dir, on_name, &l, err) : 0;
}
