#include "agent/map/ntfs_compare.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/ntfs.h"
#include "agent/map/roll.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"

/* Offsets in the header. */
enum { AT_ROOT = 8, AT_BOOT = 40, AT_TIME = 72, AT_LSN = 80, AT_HASH = 88 };

/* Attributes that only this file asks for. */
enum { STANDARD_INFORMATION = 0x10, REPARSE_POINT = 0xc0 };

/* Microseconds from 1601, where NTFS begins to count (0.1 us), to 1970. */
#define EPOCH_US (INT64_C(11644473600) * 1000000)

static const uint8_t magic[8] = { 'H', 'F', 'M', 'F', 'T', 'H', '_', '1' };

struct ntfs_compare {
	const struct ntfs_compare_rules *rules;
	struct ntfs_compare_task task;
	int running, done;
	struct roll *old;	 /* NULL: nothing to compare with. */
	struct roll_writer *new; /* NULL: it could not be written. */
	uint64_t old_time, old_lsn;
	uint8_t boot[32];
	uint64_t time, lsn; /* The newest so far. */
	int same;	    /* The record at hand is as it was. */
};

int
ntfs_compare_new(
    const struct ntfs_compare_rules *rules, struct ntfs_compare **out, struct err *err)
{
	struct ntfs_compare *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->rules = rules;
	*out = c;
	return 0;
}

/* Close what is open. */
static void
stop(struct ntfs_compare *c)
{
	struct err ignored = ERR_INIT;

	roll_close(c->old);
	c->old = NULL;
	/* What cannot be written is not there next time, and all is read then. */
	if (c->new != NULL && roll_finish(c->new, NULL, &ignored) != 0)
		c->done = 0;
	c->new = NULL;
	c->running = 0;
}

void
ntfs_compare_free(struct ntfs_compare *c)
{
	if (c == NULL)
		return;
	stop(c);
	free(c);
}

void
ntfs_compare_task(struct ntfs_compare *c, const struct ntfs_compare_task *task)
{
	stop(c);
	c->task = *task;
	c->done = 0;
}

void
ntfs_compare_again(struct ntfs_compare *c)
{
	stop(c);
	c->done = 0;
}

int
ntfs_compare_done(const struct ntfs_compare *c)
{
	return c->done;
}

/* ------------------------------------------------------------------ the files -- */

static void
make_header(const struct ntfs_compare *c, const struct chunk_id *root, uint64_t time,
    uint64_t lsn, uint8_t h[ROLL_HEADER])
{
	memset(h, 0, ROLL_HEADER);
	memcpy(h, magic, sizeof(magic));
	memcpy(h + AT_ROOT, root->b, CHUNK_ID_LEN);
	memcpy(h + AT_BOOT, c->boot, sizeof(c->boot));
	store_le64(h + AT_TIME, time);
	store_le64(h + AT_LSN, lsn);
	blake3(h, AT_HASH, NULL, h + AT_HASH, 32);
}

int
ntfs_compare_seal(
    const struct ntfs_compare *c, const struct chunk_id *root, struct err *err)
{
	uint8_t h[ROLL_HEADER];

	if (!c->done)
		return err_set(err, ERR_NOTFOUND, "no records were compared");
	make_header(c, root, c->time, c->lsn, h);
	return roll_seal(c->task.new_path, h, err);
}

static void
doubt(struct ntfs_compare *c, const char *why)
{
	if (c->task.changes != NULL)
		changes_doubt(c->task.changes, why);
}

/* Open the hashes of the base, if they are of this volume. */
static int
open_old(struct ntfs_compare *c, struct err *err)
{
	uint8_t h[ROLL_HEADER], want[ROLL_HEADER];
	int found;

	if (c->task.changes == NULL || c->task.base == NULL)
		return 0;
	if ((found = roll_open(c->task.old_path, h, &c->old, err)) == -1)
		return -1;
	if (found) {
		c->old_time = load_le64(h + AT_TIME);
		c->old_lsn = load_le64(h + AT_LSN);
		make_header(c, c->task.base, c->old_time, c->old_lsn, want);
		found = memcmp(h, want, sizeof(h)) == 0;
	}
	if (!found) {
		roll_close(c->old);
		c->old = NULL;
		doubt(c, "no records of this file system are remembered with the newest "
			 "point");
	}
	return 0;
}

int
ntfs_compare_begin(struct ntfs_compare *c, const struct ntfs *v, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint8_t boot[512];

	if (c->running || c->done)
		return 0; /* A second look at the same records. */
	if (v->src->read(v->src->arg, 0, boot, sizeof(boot), err) != 0)
		return -1;
	blake3(boot, sizeof(boot), NULL, c->boot, sizeof(c->boot));
	c->time = c->lsn = 0;
	if (open_old(c, err) != 0)
		return -1;
	if (roll_create(c->task.new_path, ROLL_HEADER, &c->new, &ignored) != 0)
		c->new = NULL;
	c->running = 1;
	return 0;
}

void
ntfs_compare_end(struct ntfs_compare *c, int damaged)
{
	if (!c->running)
		return;
	if (damaged)
		doubt(c, "the MFT is damaged");
	if (c->old != NULL && (c->time < c->old_time || c->lsn < c->old_lsn))
		doubt(c, "the volume was put back to an earlier state");
	c->done = c->new != NULL;
	stop(c);
}

/* ---------------------------------------------------------------- the records -- */

void
ntfs_compare_raw(struct ntfs_compare *c, const uint8_t *p, uint32_t len)
{
	struct err ignored = ERR_INIT;
	uint8_t now[8] = { 0 }, was[8] = { 0 };
	struct chunk_id id;

	if (!c->running)
		return;
	if (memcmp(p, "FILE", 4) == 0 && (load_le16(p + 22) & 1) != 0) {
		chunk_id_of(c->task.keys, CHUNK_META, p, len, &id);
		memcpy(now, id.b, sizeof(now));
		now[0] |= 1; /* Never 0. */
		if (load_le64(p + 8) > c->lsn)
			c->lsn = load_le64(p + 8);
	}
	c->same = c->old != NULL && roll_next(c->old, was, sizeof(was)) &&
		  memcmp(now, was, sizeof(now)) == 0;
	if (c->new != NULL && roll_add(c->new, now, sizeof(now), &ignored) != 0) {
		(void)roll_finish(c->new, NULL, &(struct err)ERR_INIT);
		c->new = NULL;
	}
}

/* Is the last part of the name, behind a dot, one of the types?  Without one all is. */
static int
is_of_type(const char *types, const uint8_t *name, size_t units)
{
	char one[16];
	size_t dot, len;

	for (dot = units; dot > 0 && load_le16(name + 2 * (dot - 1)) != '.'; dot--)
		continue;
	for (; *types != '\0'; types += len) {
		types += strspn(types, " ");
		len = strcspn(types, " ");
		if (len == 0 || len >= sizeof(one))
			continue;
		memcpy(one, types, len);
		one[len] = '\0';
		if (ntfs_name_is(name + 2 * dot, units - dot, one))
			return 1;
	}
	return 0;
}

/*
 * Offset	Size	Standard information
 * 8		8	when the content was last changed
 * 16		8	when the record was
 * 32		4	attributes: 4 a system file
 *
 * Non-zero if it speaks for reading the file.
 */
static int
look_at_standard(struct ntfs_compare *c, const struct ntfs_attr *a)
{
	int64_t since =
	    (c->task.cut_us + EPOCH_US) * 10 - (int64_t)c->rules->recent_s * 10000000;
	uint64_t written, changed;

	if (!a->resident || a->value_len < 36)
		return 1;
	written = load_le64(a->value + 8);
	changed = load_le64(a->value + 16);
	if (changed > c->time)
		c->time = changed;
	if ((load_le32(a->value + 32) & 4) != 0)
		return 1;
	return c->rules->recent_s > 0 && since > 0 &&
	       (written >= (uint64_t)since || changed >= (uint64_t)since);
}

/* May the stream be open, or is it so large that it may be for long? */
static int
look_at_stream(
    const struct ntfs_compare *c, const struct ntfs *v, const struct ntfs_attr *a)
{
	uint64_t cluster = v->boot.cluster_size;

	if (a->resident)
		return 0;
	return a->valid < a->size ||
	       a->allocated > (a->size + cluster - 1) / cluster * cluster ||
	       (c->rules->large > 0 && a->size >= c->rules->large);
}

/* Is the file to be read even if its record is as it was? */
static int
is_doubtful(
    struct ntfs_compare *c, const struct ntfs *v, uint32_t n, const struct ntfs_record *r)
{
	int doubtful = n < NTFS_FIRST_OTHER || r->is_extension, known = 0, more;
	uint32_t at = r->attrs;
	struct ntfs_attr a;

	while ((more = ntfs_attr_next(r, &at, &a)) == 1)
		switch (a.type) {
		case STANDARD_INFORMATION:
			known = 1;
			doubtful |= look_at_standard(c, &a);
			break;
		case NTFS_FILE_NAME:
			doubtful |=
			    !a.resident || a.value_len < 66 ||
			    66 + 2u * a.value[64] > a.value_len ||
			    is_of_type(c->rules->types, a.value + 66, a.value[64]);
			break;
		case NTFS_DATA:
			doubtful |= look_at_stream(c, v, &a);
			break;
		case NTFS_ATTRIBUTE_LIST:
		case REPARSE_POINT:
			doubtful = 1;
			break;
		default:
			break;
		}
	return doubtful || !known || more == -1;
}

/* All clusters of an attribute are to be read. */
static void
read_runs(struct ntfs_compare *c, const struct ntfs *v, const struct ntfs_attr *a)
{
	uint64_t cluster = v->boot.cluster_size;
	struct ntfs_runs it;
	struct ntfs_run run;
	int more;

	ntfs_runs_begin(&it, a, v->boot.clusters);
	while ((more = ntfs_runs_next(&it, &run)) == 1)
		if (run.lcn != -1)
			changes_add(c->task.changes, (uint64_t)run.lcn * cluster,
			    run.len * cluster);
	if (more == -1)
		doubt(c, "the MFT is damaged");
}

void
ntfs_compare_record(
    struct ntfs_compare *c, const struct ntfs *v, uint32_t n, const struct ntfs_record *r)
{
	uint32_t at = r->attrs;
	struct ntfs_attr a;
	int all;

	if (!c->running)
		return;
	/* Its time counts in any case. */
	all = is_doubtful(c, v, n, r) || !c->same;
	if (c->task.changes == NULL || c->old == NULL)
		return;
	while (ntfs_attr_next(r, &at, &a) == 1)
		if (!a.resident && (all || a.type != NTFS_DATA || a.flags != 0))
			read_runs(c, v, &a);
}
