#include "agent/restore/target.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/target_medium.h"
#include "agent/restore/target_skip.h"
#include "proto/base/err.h"

/* What is compared with what is there, at a time. */
#define WINDOW (256u * 1024)
/* The system begins to put on the medium what was written, each time it is so much. */
#define ONWARD ((uint64_t)8 << 20)

struct target {
	struct target_medium *m;
	unsigned flags;
	uint64_t size;
	atomic_uint_fast64_t written;

	/* Of a view, which shares the medium: where its bytes go, in order. */
	struct target *whole;
	struct target_piece *pieces;
	unsigned count;
	struct target_skip skip;
};

/* ---------------------------------------------------------------- opening -- */

int
target_open(const char *path, uint64_t size, uint32_t sector_size, unsigned flags,
    struct target **out, struct err *err)
{
	struct target *t = calloc(1, sizeof(*t));
	int is_device, rc;

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	t->size = size;
	t->flags = flags;
	is_device = target_medium_is_device(path, err);
	if (is_device < 0)
		rc = -1;
	else if (is_device && (flags & TARGET_VHDX) != 0)
		rc = err_set(err, ERR_UNSUPPORTED,
		    "%s: a VHDX is a file, not what lies on a device", path);
	else if (is_device)
		rc = target_medium_device(path, size, flags, &t->m, err);
	else if ((flags & TARGET_VHDX) != 0)
		rc = target_medium_vhdx(path, size, sector_size, flags, &t->m, err);
	else
		rc = target_medium_file(path, size, flags, &t->m, err);
	if (rc == 0 && is_device && (flags & TARGET_ENDS_LAST) != 0)
		rc = target_medium_ends(t->m, &t->m, err);
	if (rc != 0) {
		free(t);
		return -1;
	}
	*out = t;
	return 0;
}

const char *
target_note(const struct target *t)
{
	return t->m->note;
}

int
target_fresh(const struct target *t)
{
	return t->m->fresh;
}

int
target_need(struct target *t, uint64_t bytes, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint64_t room;

	/* A file system that does not tell says so when it is full. */
	if (!t->m->fresh || t->m->ops->room == NULL ||
	    t->m->ops->room(t->m, &room, &ignored) != 0 || room >= bytes)
		return 0;
	return err_set(err, ERR_NOSPACE,
	    "%s: too little room: %llu bytes are free there, the data has %llu",
	    t->m->path, (unsigned long long)room, (unsigned long long)bytes);
}

int
target_in_place(const struct target *t)
{
	return t->m->in_place;
}

uint64_t
target_written(const struct target *t)
{
	return atomic_load(&t->written);
}

/* ---------------------------------------------------------------- writing -- */

/*
 * What is written through a view counts for the whole, too.  Left alone, half a minute
 * of a restore would be in memory only: a power cut would cost it, and the end would
 * wait for all of it.  Errors stay for settle() and finish() to say.
 */
static void
wrote(struct target *t, uint64_t n)
{
	struct target *whole = t->whole != NULL ? t->whole : t;
	uint64_t before = atomic_fetch_add(&whole->written, n);

	if (whole != t)
		atomic_fetch_add(&t->written, n);
	if (before / ONWARD != (before + n) / ONWARD && t->m->ops->onward != NULL)
		t->m->ops->onward(t->m);
}

static int
write_at(struct target *t, uint64_t offset, const uint8_t *p, size_t len, struct err *err)
{
	const struct target *whole = t->whole != NULL ? t->whole : t;

	if (offset > whole->size || len > whole->size - offset)
		return err_set(
		    err, ERR_LIMIT, "%s: past the end of the volume", t->m->path);
	if (t->m->ops->write(t->m, offset, p, len, err) != 0)
		return -1;
	wrote(t, len);
	return 0;
}

/* Write runs of blocks of `p` that differ from `there`. */
static int
write_differing(struct target *t, uint64_t offset, const uint8_t *p, const uint8_t *there,
    size_t len, uint64_t *same, struct err *err)
{
	size_t at, end, n;

	for (at = 0; at < len; at = end) {
		for (end = at; end < len; end += n) {
			n = TARGET_BLOCK - (offset + end) % TARGET_BLOCK;
			if (n > len - end)
				n = len - end;
			if (memcmp(p + end, there + end, n) == 0)
				break;
		}
		if (end == at) {
			*same += n;
			end += n;
		} else if (write_at(t, offset + at, p + at, end - at, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
update_at(struct target *t, uint64_t offset, const uint8_t *p, size_t len, uint64_t *same,
    struct err *err)
{
	uint8_t *there;
	size_t n;
	int rc = 0;

	if ((t->flags & TARGET_KEEP) == 0)
		return write_at(t, offset, p, len, err);
	if ((there = malloc(WINDOW)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (; len > 0 && rc == 0; offset += n, p += n, len -= n) {
		n = len < WINDOW ? len : WINDOW;
		rc = t->m->ops->read(t->m, offset, there, n, err);
		if (rc == 0)
			rc = write_differing(t, offset, p, there, n, same, err);
	}
	free(there);
	return rc;
}

static int
zero_by_writing(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	static const uint8_t zeros[WINDOW];
	uint64_t same = 0;
	size_t n;

	for (; len > 0; offset += n, len -= n) {
		n = len < WINDOW ? (size_t)len : WINDOW;
		if (update_at(t, offset, zeros, n, &same, err) != 0)
			return -1;
	}
	return 0;
}

static int
zero_at(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	uint64_t head, middle;

	/* To look first is cheaper than to write what is zero already. */
	if ((t->flags & TARGET_KEEP) != 0)
		return zero_by_writing(t, offset, len, err);
	if (t->m->fresh)
		return 0;
	head = (TARGET_BLOCK - offset % TARGET_BLOCK) % TARGET_BLOCK;
	if (head > len)
		head = len;
	middle = (len - head) / TARGET_BLOCK * TARGET_BLOCK;
	if (middle > 0 && !t->m->ops->zero(t->m, offset + head, middle))
		return zero_by_writing(t, offset, len, err);
	wrote(t, middle);
	if (zero_by_writing(t, offset, head, err) != 0)
		return -1;
	return zero_by_writing(t, offset + head + middle, len - head - middle, err);
}

static int
hole_at(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	uint64_t head;

	if ((t->flags & TARGET_CLEAR) != 0)
		return zero_at(t, offset, len, err);
	head = (TARGET_BLOCK - offset % TARGET_BLOCK) % TARGET_BLOCK;
	if ((t->flags & TARGET_DISCARD) == 0 || t->m->ops->discard == NULL || head >= len)
		return 0;
	len = (len - head) / TARGET_BLOCK * TARGET_BLOCK;
	if (len > 0)
		t->m->ops->discard(t->m, offset + head, len);
	return 0;
}

/* ------------------------------------------------------------------- views -- */

/* Where a run of bytes of a target really is: in `held`, else there, or nowhere. */
struct place {
	uint64_t offset, len;
	uint8_t *held;
	int nowhere;
};

/* The first of `len` bytes from `offset` that lie together. */
static struct place
place_of(const struct target *t, uint64_t offset, uint64_t len)
{
	struct place p = { offset, len, NULL, 0 };
	unsigned i = 0;

	if (t->whole == NULL)
		return p;
	if (!target_skip_first(&t->skip, offset, len, &p.len)) {
		p.nowhere = 1;
		return p;
	}
	len = p.len;
	while (i < t->count && t->pieces[i].from + t->pieces[i].len <= offset)
		i++;
	if (i == t->count || t->pieces[i].from > offset) {
		p.nowhere = 1;
		if (i < t->count && t->pieces[i].from - offset < len)
			p.len = t->pieces[i].from - offset;
		return p;
	}
	p.offset = t->pieces[i].to + (offset - t->pieces[i].from);
	if (t->pieces[i].held != NULL)
		p.held = t->pieces[i].held + (offset - t->pieces[i].from);
	if (t->pieces[i].from + t->pieces[i].len - offset < len)
		p.len = t->pieces[i].from + t->pieces[i].len - offset;
	return p;
}

int
target_view(struct target *whole, const struct target_piece *pieces, unsigned n,
    uint64_t size, unsigned flags, struct target **out, struct err *err)
{
	struct target *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->pieces = calloc(n + 1, sizeof(*pieces))) == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	for (unsigned i = 0; i < n; i++)
		t->pieces[i] = pieces[i];
	t->count = n;
	t->whole = whole;
	t->m = whole->m;
	t->flags = flags;
	t->size = size;
	*out = t;
	return 0;
}

void
target_view_skip(struct target *view, const struct target_skip *skip)
{
	view->skip = *skip;
}

int
target_nowhere(const struct target *t, uint64_t offset, uint64_t len)
{
	struct place p;

	if (t == NULL)
		return 0;
	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (!p.nowhere)
			return 0;
	}
	return 1;
}

int
target_read(struct target *t, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, out += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.nowhere)
			memset(out, 0, p.len);
		else if (p.held != NULL)
			memcpy(out, p.held, p.len);
		else if (t->m->ops->read(t->m, p.offset, out, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_write(
    struct target *t, uint64_t offset, const uint8_t *p, size_t len, struct err *err)
{
	struct place at;

	for (; len > 0; offset += at.len, p += at.len, len -= at.len) {
		at = place_of(t, offset, len);
		if (at.held != NULL)
			memcpy(at.held, p, at.len);
		else if (!at.nowhere && write_at(t, at.offset, p, at.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_update(struct target *t, uint64_t offset, const uint8_t *p, size_t len,
    uint64_t *same, struct err *err)
{
	struct place at;

	for (; len > 0; offset += at.len, p += at.len, len -= at.len) {
		at = place_of(t, offset, len);
		if (at.held != NULL)
			memcpy(at.held, p, at.len);
		else if (!at.nowhere &&
			 update_at(t, at.offset, p, at.len, same, err) != 0)
			return -1;
	}
	return 0;
}

int
target_zero(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.held != NULL)
			memset(p.held, 0, p.len);
		else if (!p.nowhere && zero_at(t, p.offset, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_hole(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.held == NULL && !p.nowhere && hole_at(t, p.offset, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_settle(struct target *t, struct err *err)
{
	return t->m->ops->settle(t->m, err);
}

/* ----------------------------------------------------------------- ending -- */

int
target_finish(struct target *t, struct err *err)
{
	int rc = t->m->ops->finish(t->m, err);

	target_abandon(t);
	return rc;
}

void
target_abandon(struct target *t)
{
	if (t == NULL)
		return;
	free(t->pieces);
	if (t->whole == NULL)
		t->m->ops->close(t->m);
	free(t);
}
