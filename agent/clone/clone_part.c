#include "agent/clone/clone_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/clone/clone_feed.h"
#include "agent/clone/clone_proof.h"
#include "agent/clone/clone_ranges.h"
#include "agent/host/progress.h"
#include "agent/host/stop.h"
#include "agent/map/changes.h"
#include "agent/restore/target.h"
#include "proto/base/err.h"

#define LIVE_TRIES 3u
/* Zeros that are not written, but left out or made otherwise. */
#define ZERO_BLOCK (64u * 1024)
/* What goes nowhere is whole sectors, of this many bytes at least. */
#define SECTOR 512u

/* Reading the source, on the feed's thread. */
struct reading {
	struct clone_part *part;
	struct stop *stop;
};

static int
read_source(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct reading *r = arg;

	if (stop_asked(r->stop))
		return err_set(err, ERR_CANCELED, "interrupted");
	return capture_read(r->part->volume, offset, buf, len, err);
}

/* The next of `len` bytes that have a place (1) or none (0) in the target: `*n`. */
static int
first_placed(const struct clone_part *p, uint64_t offset, size_t len, size_t *n)
{
	int placed;

	*n = len;
	if (!p->partly)
		return 1;
	*n = len < SECTOR ? len : SECTOR;
	placed = !target_nowhere(p->to, offset, *n);
	for (size_t more; *n < len; *n += more) {
		more = len - *n < SECTOR ? len - *n : SECTOR;
		if (target_nowhere(p->to, offset + *n, more) == placed)
			break;
	}
	return placed;
}

static int
read_and_hash(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct reading *r = arg;
	uint8_t *p = buf;

	if (read_source(arg, offset, buf, len, err) != 0)
		return -1;
	for (size_t n; r->part->proof != NULL && len > 0; offset += n, p += n, len -= n)
		if (first_placed(r->part, offset, len, &n))
			clone_proof_add(r->part->proof, p, n);
	return 0;
}

/* What was written since its file system was flushed; NULL: nobody knows. */
static int
take_written(struct capture_volume *v, struct changes **out, struct err *err)
{
	int known;

	if (v->view == NULL)
		return 0;
	if (changes_new(v->size, out, err) != 0 ||
	    (known = capture_written(v, *out, err)) == -1)
		return -1;
	if (known == 0) {
		changes_free(*out);
		*out = NULL;
	}
	return 0;
}

int
clone_part_look(struct clone_part *p, const struct clone_work *w, struct err *err)
{
	struct capture_volume *v = p->volume;
	struct reading reading = { p, w->stop };
	struct volmap_source source = { .read = read_source,
		.arg = &reading,
		.size = v->size,
		.sector_size = v->sector_size,
		.flushed = v->info.flushed,
		.is_disk = v->is_disk,
		.holes = v->holes,
		.holes_count = v->holes_count };
	struct changes *written = NULL;
	int rc;

	clone_part_free(p);
	source.unkept_count = capture_unkept(v, &source.unkept);
	rc = take_written(v, &written, err);
	source.written = written;
	if (rc == 0)
		rc = clone_ranges_make(&source, &p->ranges, err);
	changes_free(written);
	if (rc != 0 || !w->verify)
		return rc;
	p->proof = clone_proof_new(clone_ranges_bytes(p->ranges, CLONE_DATA));
	return p->proof != NULL ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

void
clone_part_free(struct clone_part *p)
{
	clone_ranges_free(p->ranges);
	clone_proof_free(p->proof);
	p->ranges = NULL;
	p->proof = NULL;
}

/* --------------------------------------------------------------------- writing -- */

static int
is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* The block of `len` bytes at most that begins at `offset`. */
static size_t
block_len(uint64_t offset, uint64_t len)
{
	uint64_t n = ZERO_BLOCK - offset % ZERO_BLOCK;

	return (size_t)(len < n ? len : n);
}

/* Zeros that are written as all else is: nobody knows what is there. */
static int
write_zeros(struct clone_part *p, uint64_t offset, uint64_t len, struct err *err)
{
	static const uint8_t zeros[ZERO_BLOCK];
	uint64_t same = 0;

	for (size_t n; len > 0; offset += n, len -= n) {
		n = block_len(offset, len);
		if (target_update(p->to, offset, zeros, n, &same, err) != 0)
			return -1;
	}
	return 0;
}

/* Data: runs of blocks that are zeros, and runs that are not. */
static int
write_data(struct clone_part *p, struct clone_work *w, const struct clone_slab *s,
    int again, struct err *err)
{
	const uint64_t offset = s->range.offset;
	const size_t len = (size_t)s->range.len;
	int zero, rc;

	for (size_t at = 0, n, end; at < len; at = end) {
		n = block_len(offset + at, len - at);
		zero = is_zero(s->p + at, n);
		for (end = at + n; end < len; end += n) {
			n = block_len(offset + end, len - end);
			if (is_zero(s->p + end, n) != zero)
				break;
		}
		w->zero += zero ? end - at : 0;
		if (zero && !again)
			rc = target_zero(p->to, offset + at, end - at, err);
		else
			rc = target_update(
			    p->to, offset + at, s->p + at, end - at, &w->same, err);
		if (rc != 0)
			return -1;
	}
	return 0;
}

static int
write_slab(struct clone_part *p, struct clone_work *w, const struct clone_slab *s,
    int again, struct err *err)
{
	const struct clone_range *r = &s->range;

	switch (r->kind) {
	case CLONE_HOLE:
		/* Data was written where it is free by now. */
		if (again && w->holes_zeroed)
			return write_zeros(p, r->offset, r->len, err);
		return target_hole(p->to, r->offset, r->len, err);
	case CLONE_ZERO:
		return again ? write_zeros(p, r->offset, r->len, err)
			     : target_zero(p->to, r->offset, r->len, err);
	default:
		break;
	}
	progress_add(w->progress, PROGRESS_READ, r->len);
	w->done += r->len;
	progress_at(w->progress, w->done);
	return write_data(p, w, s, again, err);
}

static int
copy_once(struct clone_part *p, struct clone_work *w, int again, struct err *err)
{
	struct reading reading = { p, w->stop };
	const struct clone_feed_job job = { .ranges = p->ranges,
		.read_kinds = 1u << CLONE_DATA,
		.read = read_and_hash,
		.arg = &reading,
		.stop = w->stop };
	uint64_t before = target_written(p->to), now;
	struct clone_slab *s;
	struct clone_feed *f;
	int more, rc = 0;

	if (clone_feed_new(&job, &f, err) != 0)
		return -1;
	while (rc == 0 && (more = clone_feed_next(f, &s, err)) != 0) {
		rc = more < 0 ? -1 : write_slab(p, w, s, again, err);
		if (more > 0)
			clone_feed_give(f, s);
		now = target_written(p->to);
		progress_add(w->progress, PROGRESS_SENT, now - before);
		before = now;
	}
	clone_feed_free(f);
	return rc;
}

int
clone_part_copy(struct clone_part *p, struct clone_work *w, struct err *err)
{
	const struct clone_work begun = *w;
	char line[SETTINGS_NAME_MAX + 64];
	int settled;

	for (unsigned tries = 1;; tries++) {
		if (copy_once(p, w, tries > 1, err) != 0)
			return -1;
		if ((settled = capture_settled(p->volume, err)) != 0)
			return settled < 0 ? -1 : 0;
		if (tries == LIVE_TRIES)
			return err_set(err, ERR_BUSY,
			    "it changes while it is read, and nothing here freezes it: "
			    "stop what writes there");
		(void)snprintf(line, sizeof(line),
		    "%s changed while it was read; reading it again", p->volume->name);
		if (w->say != NULL)
			w->say(w->say_arg, line);
		w->done = begun.done;
		w->zero = begun.zero;
		w->same = begun.same;
		if (clone_part_look(p, w, err) != 0)
			return -1;
	}
}

/* --------------------------------------------------------------------- checking -- */

static int
read_target(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return target_read(arg, offset, buf, len, err);
}

static int
check_slab(struct clone_part *p, struct clone_work *w, const struct clone_slab *s,
    struct err *err)
{
	const struct clone_range *r = &s->range;
	uint64_t offset = r->offset;
	const uint8_t *q = s->p;

	if (r->kind == CLONE_HOLE && !w->holes_zeroed)
		return 0;
	progress_add(w->progress, PROGRESS_READ, r->len);
	w->checked += r->len;
	if (r->kind != CLONE_DATA) {
		if (is_zero(s->p, (size_t)r->len))
			return 0;
		return err_set(err, ERR_CORRUPT,
		    "between bytes %llu and %llu are no zeros when it is read back",
		    (unsigned long long)r->offset,
		    (unsigned long long)(r->offset + r->len));
	}
	w->done += r->len;
	progress_at(w->progress, w->done);
	for (size_t n, len = (size_t)r->len; len > 0; offset += n, q += n, len -= n)
		if (first_placed(p, offset, len, &n) &&
		    clone_proof_check(p->proof, offset, q, n, err) != 0)
			return -1;
	return 0;
}

int
clone_part_check(struct clone_part *p, struct clone_work *w, struct err *err)
{
	const struct clone_feed_job job = { .ranges = p->ranges,
		.read_kinds = 1u << CLONE_DATA | 1u << CLONE_ZERO |
			      (w->holes_zeroed ? 1u << CLONE_HOLE : 0),
		.read = read_target,
		.arg = p->to,
		.stop = w->stop };
	struct clone_slab *s;
	struct clone_feed *f;
	int more, rc = 0;

	clone_proof_begin(p->proof);
	if (clone_feed_new(&job, &f, err) != 0)
		return -1;
	while (rc == 0 && (more = clone_feed_next(f, &s, err)) != 0) {
		rc = more < 0 ? -1 : check_slab(p, w, s, err);
		if (more > 0)
			clone_feed_give(f, s);
	}
	clone_feed_free(f);
	return rc == 0 ? clone_proof_end(p->proof, err) : -1;
}
