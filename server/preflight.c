#include "server/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/log.h"
#include "server/config.h"

#define VERDICTS_MAX 65536u /* Hosts remembered; of more each is judged anew. */

/* What was said of a host, and of which points and which image. */
struct verdict {
	char host[STORE_NAME_MAX];
	uint64_t points, image;
	int64_t point_us;
	char *text; /* NULL: it can be restored. */
};

struct preflight {
	char path[CONFIG_PATH_MAX + 16];
	pthread_mutex_t lock; /* Of all below. */
	struct drivers *drivers;
	struct stat seen;	  /* Of the file they were read from. */
	uint64_t image;		  /* Counts the readings. */
	struct verdict *verdicts; /* By host. */
	size_t count, room;
};

static int
read_table(const char *path, struct stat *st, struct drivers **out, struct err *err)
{
	char *text = NULL;
	ssize_t got = 0;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;

	if (fd < 0)
		return err_os(err, errno, "rescue-dir: %.300s", path);
	if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode) || st->st_size < 0 ||
	    (uint64_t)st->st_size > DRIVERS_TEXT_MAX) {
		(void)err_set(
		    err, ERR_LIMIT, "not a file of at most %u bytes", DRIVERS_TEXT_MAX);
	} else if ((text = malloc((size_t)st->st_size + 1)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory to read it");
	} else {
		while (len < (size_t)st->st_size &&
		       (got = read(fd, text + len, (size_t)st->st_size - len)) > 0)
			len += (size_t)got;
		rc = got < 0 ? err_os(err, errno, "cannot be read")
			     : drivers_parse(text, len, out, err);
	}
	free(text);
	(void)close(fd);
	return rc == 0 ? 0 : err_context(err, "rescue-dir: %.300s", path);
}

int
preflight_open(const char *dir, struct preflight **out, struct err *err)
{
	struct preflight *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the preflight");
	(void)snprintf(p->path, sizeof(p->path), "%s/modules.alias", dir);
	if (read_table(p->path, &p->seen, &p->drivers, err) != 0) {
		free(p);
		return -1;
	}
	p->image = 1;
	(void)pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

void
preflight_close(struct preflight *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->count; i++)
		free(p->verdicts[i].text);
	free(p->verdicts);
	drivers_free(p->drivers);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* A new image came since: its table instead.  One that cannot be read changes nothing. */
static void
refresh(struct preflight *p)
{
	struct drivers *d = NULL;
	struct err err = ERR_INIT;
	struct stat st;

	if (stat(p->path, &st) != 0 ||
	    (st.st_ino == p->seen.st_ino && st.st_size == p->seen.st_size &&
		st.st_mtim.tv_sec == p->seen.st_mtim.tv_sec &&
		st.st_mtim.tv_nsec == p->seen.st_mtim.tv_nsec))
		return;
	if (read_table(p->path, &p->seen, &d, &err) != 0) {
		log_event(
		    LOG_WARN, "preflight: %s: the table of before is used", err.text);
		p->seen = st; /* Said once. */
		return;
	}
	drivers_free(p->drivers);
	p->drivers = d;
	p->image++;
}

/* ---------------------------------------------------------------------- a host -- */

/* Looking for the newest point with disks. */
struct search {
	struct layout *layout;
	unsigned left; /* Points that may still be looked at. */
	int found;
	struct preflight_report *out;
};

static int
look(void *arg, const struct store_point *point)
{
	struct search *s = arg;
	struct err ignored = ERR_INIT;

	/* Commit let only good ones in; one that is not has no disks to restore. */
	if (layout_parse(point->facts, point->facts_len, point->volumes_count, s->layout,
		&ignored) == 0 &&
	    s->layout->disks_count > 0) {
		s->found = 1;
		s->out->sequence = point->sequence;
		s->out->time_us = point->time_us;
	}
	return s->found || --s->left == 0;
}

int
preflight_host(struct preflight *p, struct store *store, const char *host,
    struct preflight_report *out, struct err *err)
{
	struct search s = { .left = PREFLIGHT_POINTS_MAX, .out = out };
	int rc;

	memset(out, 0, sizeof(*out));
	(void)snprintf(out->host, sizeof(out->host), "%s", host);
	s.layout = malloc(sizeof(*s.layout));
	if (s.layout == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a layout");
	rc = store_points(store, host, INT64_MAX, look, &s, err);
	if (rc >= 0) {
		(void)pthread_mutex_lock(&p->lock);
		refresh(p);
		preflight_judge(p->drivers, s.found ? s.layout : NULL, out);
		(void)pthread_mutex_unlock(&p->lock);
	}
	free(s.layout);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- what was said -- */

/* Where `host` is or would be. */
static size_t
place(const struct preflight *p, const char *host, int *there)
{
	size_t from = 0, to = p->count;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int order = strcmp(p->verdicts[mid].host, host);

		if (order == 0) {
			*there = 1;
			return mid;
		}
		if (order < 0)
			from = mid + 1;
		else
			to = mid;
	}
	*there = 0;
	return from;
}

/* The remembered verdict, if it still holds. */
static const struct verdict *
recall(struct preflight *p, const char *host, uint64_t points, int64_t point_us)
{
	int there;
	size_t at = place(p, host, &there);
	const struct verdict *v;

	if (!there)
		return NULL;
	v = &p->verdicts[at];
	return v->points == points && v->point_us == point_us && v->image == p->image
		   ? v
		   : NULL;
}

/* Remember it; without memory it is judged again. */
static void
remember(struct preflight *p, const struct verdict *what, const char *text)
{
	int there;
	size_t at = place(p, what->host, &there);
	struct verdict *v;

	if (!there) {
		if (p->count == VERDICTS_MAX)
			return;
		if (p->count == p->room) {
			size_t room = p->room == 0 ? 16 : p->room * 2;

			v = realloc(p->verdicts, room * sizeof(*v));
			if (v == NULL)
				return;
			p->verdicts = v;
			p->room = room;
		}
		memmove(&p->verdicts[at + 1], &p->verdicts[at],
		    (p->count++ - at) * sizeof(*v));
		p->verdicts[at].text = NULL;
	}
	v = &p->verdicts[at];
	free(v->text);
	*v = *what;
	v->text = text[0] != '\0' ? strdup(text) : NULL;
	if (text[0] != '\0' && v->text == NULL)
		v->image = 0; /* Holds for no image. */
}

static void
summarize(const struct preflight_report *r, char text[PREFLIGHT_FLAG_MAX])
{
	text[0] = '\0';
	if (r->disks_count == 0 || r->problems_count == 0)
		return;
	if (r->problems_count == 1)
		(void)snprintf(text, PREFLIGHT_FLAG_MAX, "%.250s", r->problems[0]);
	else
		(void)snprintf(text, PREFLIGHT_FLAG_MAX, "%.230s, and %u more",
		    r->problems[0], r->problems_count - 1);
}

int
preflight_flag(struct preflight *p, struct store *store, const char *host,
    uint64_t points, int64_t point_us, char text[PREFLIGHT_FLAG_MAX], struct err *err)
{
	struct verdict now = { .points = points, .point_us = point_us };
	struct preflight_report *r;
	const struct verdict *v;
	int rc;

	text[0] = '\0';
	if (points == 0)
		return 0;
	(void)pthread_mutex_lock(&p->lock);
	refresh(p);
	now.image = p->image;
	v = recall(p, host, points, point_us);
	if (v != NULL && v->text != NULL)
		(void)snprintf(text, PREFLIGHT_FLAG_MAX, "%s", v->text);
	(void)pthread_mutex_unlock(&p->lock);
	if (v != NULL)
		return 0;
	r = malloc(sizeof(*r));
	if (r == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the preflight");
	rc = preflight_host(p, store, host, r, err);
	if (rc == 0) {
		summarize(r, text);
		(void)snprintf(now.host, sizeof(now.host), "%s", host);
		(void)pthread_mutex_lock(&p->lock);
		remember(p, &now, text);
		(void)pthread_mutex_unlock(&p->lock);
	}
	free(r);
	return rc;
}
