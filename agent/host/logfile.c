#include "agent/host/logfile.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

#define PATH_MAX_LEN 4096

struct logfile {
	pthread_mutex_t lock; /* Guards all below. */
	struct file *file;    /* NULL: it could not be opened the last time. */
	uint64_t len, max;
	char dir[PATH_MAX_LEN];
};

/* Number 0 is the one that is written; `out` has room for the directory and more. */
static void
path_of(const struct logfile *l, unsigned number, char out[PATH_MAX_LEN + 32])
{
	if (number == 0)
		(void)snprintf(out, PATH_MAX_LEN + 32, "%s/holdfast.log", l->dir);
	else
		(void)snprintf(
		    out, PATH_MAX_LEN + 32, "%s/holdfast.%u.log", l->dir, number);
}

static int
open_it(struct logfile *l, unsigned flags, struct err *err)
{
	char path[PATH_MAX_LEN + 32];

	path_of(l, 0, path);
	if (file_open(path, FILE_TO_WRITE | FILE_TO_MAKE | FILE_NO_LINK | flags, &l->file,
		err) != 0) {
		l->file = NULL;
		return -1;
	}
	if (file_size(l->file, &l->len, err) == 0)
		return 0;
	file_close(l->file);
	l->file = NULL;
	return -1;
}

/* Each becomes a number older; the oldest goes.  One that cannot is emptied instead. */
static void
rotate(struct logfile *l)
{
	char from[PATH_MAX_LEN + 32], to[PATH_MAX_LEN + 32];
	struct err ignored = ERR_INIT;
	unsigned i;
	int moved = -1;

	(void)file_sync(l->file, &ignored);
	file_close(l->file);
	l->file = NULL;
	for (i = LOGFILE_OLD; i > 0; i--) {
		path_of(l, i - 1, from);
		path_of(l, i, to);
		err_clear(&ignored);
		moved = file_replace(from, to, &ignored);
	}
	err_clear(&ignored);
	(void)open_it(l, moved == 0 ? 0 : FILE_TO_EMPTY, &ignored);
}

int
logfile_open(const char *dir, uint64_t max, struct logfile **out, struct err *err)
{
	struct logfile *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (strlen(dir) >= sizeof(l->dir)) {
		free(l);
		return err_set(err, ERR_LIMIT, "%.80s...: path too long", dir);
	}
	strcpy(l->dir, dir);
	l->max = max != 0 ? max : LOGFILE_MAX;
	if (file_make_dir(dir, err) != 0 || open_it(l, 0, err) != 0) {
		free(l);
		return -1;
	}
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	return 0;
}

void
logfile_close(struct logfile *l)
{
	struct err ignored = ERR_INIT;

	if (l == NULL)
		return;
	if (l->file != NULL) {
		(void)file_sync(l->file, &ignored);
		file_close(l->file);
	}
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void
logfile_write(struct logfile *l, const char *line, size_t len)
{
	struct err ignored = ERR_INIT;

	pthread_mutex_lock(&l->lock);
	if (l->file != NULL && l->len > 0 && l->len + len > l->max)
		rotate(l);
	else if (l->file == NULL)
		(void)open_it(l, 0, &ignored);
	err_clear(&ignored);
	if (l->file != NULL && file_write(l->file, l->len, line, len, &ignored) == 0)
		l->len += len;
	pthread_mutex_unlock(&l->lock);
}
