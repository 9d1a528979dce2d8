#include "agent/map/roll.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

#define ROOM (64u * 1024) /* It is written and read in pieces of this. */

struct roll_writer {
	struct file *f;
	size_t header; /* Its bytes. */
	uint64_t at;   /* Where `room` goes. */
	size_t held;   /* Bytes in it. */
	uint8_t room[ROOM];
};

struct roll {
	struct file *f;
	uint64_t at;	 /* Behind what `room` has. */
	size_t from, to; /* Bytes of it that are not given yet. */
	uint8_t room[ROOM];
};

int
roll_create(const char *path, size_t header, struct roll_writer **out, struct err *err)
{
	struct roll_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (file_open(path, FILE_TO_WRITE | FILE_TO_MAKE | FILE_TO_EMPTY, &w->f, err) !=
	    0) {
		free(w);
		return -1;
	}
	w->header = header;
	w->held = header; /* Zeros until it is known. */
	*out = w;
	return 0;
}

static int
flush(struct roll_writer *w, struct err *err)
{
	if (file_write(w->f, w->at, w->room, w->held, err) != 0)
		return -1;
	w->at += w->held;
	w->held = 0;
	return 0;
}

int
roll_add(struct roll_writer *w, const void *p, size_t len, struct err *err)
{
	const uint8_t *from = p;
	size_t n;

	for (; len > 0; from += n, len -= n) {
		if (w->held == ROOM && flush(w, err) != 0)
			return -1;
		n = len < ROOM - w->held ? len : ROOM - w->held;
		memcpy(w->room + w->held, from, n);
		w->held += n;
	}
	return 0;
}

int
roll_finish(struct roll_writer *w, const uint8_t *header, struct err *err)
{
	struct err ignored = ERR_INIT;
	int rc;

	if (w == NULL)
		return 0;
	rc = flush(w, err);
	if (rc == 0 && header != NULL)
		rc = file_write(w->f, 0, header, w->header, err);
	if (file_finish(w->f, rc == 0 ? err : &ignored) != 0)
		rc = -1;
	free(w);
	return rc;
}

int
roll_seal(const char *path, const uint8_t header[ROLL_HEADER], struct err *err)
{
	struct err ignored = ERR_INIT;
	struct file *f;
	int rc;

	if (file_open(path, FILE_TO_WRITE, &f, err) != 0)
		return -1;
	rc = file_write(f, 0, header, ROLL_HEADER, err);
	if (file_finish(f, rc == 0 ? err : &ignored) != 0)
		rc = -1;
	return rc;
}

int
roll_open(
    const char *path, uint8_t header[ROLL_HEADER], struct roll **out, struct err *err)
{
	struct roll *r = calloc(1, sizeof(*r));
	struct err ignored = ERR_INIT;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (file_open(path, FILE_IN_ORDER, &r->f, &ignored) != 0 ||
	    !roll_next(r, header, ROLL_HEADER)) {
		roll_close(r);
		return 0;
	}
	*out = r;
	return 1;
}

void
roll_close(struct roll *r)
{
	if (r == NULL)
		return;
	if (r->f != NULL)
		file_close(r->f);
	free(r);
}

/* Have something to give: 1, or 0 at the end. */
static int
fill(struct roll *r)
{
	struct err ignored = ERR_INIT;

	r->from = 0;
	if (file_read(r->f, r->at, r->room, ROOM, &r->to, &ignored) != 0)
		r->to = 0;
	r->at += r->to;
	return r->to > 0;
}

int
roll_next(struct roll *r, void *p, size_t len)
{
	uint8_t *to = p;
	size_t n;

	for (; len > 0; to += n, len -= n) {
		if (r->from == r->to && !fill(r))
			return 0;
		n = len < r->to - r->from ? len : r->to - r->from;
		memcpy(to, r->room + r->from, n);
		r->from += n;
	}
	return 1;
}
