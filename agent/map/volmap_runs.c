#include "agent/map/volmap_runs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/sorter.h"
#include "agent/map/volmap_blocks.h"
#include "agent/map/volmap_claims.h"
#include "agent/map/volmap_dense.h"

void
volmap_runs_init(struct volmap_runs *r, uint32_t clusters, uint32_t cluster_size,
    const struct volmap_limits *limits)
{
	memset(r, 0, sizeof(*r));
	r->clusters = clusters;
	r->cluster_size = cluster_size;
	r->limits = *limits;
}

static void
free_sorter(struct volmap_runs *r, struct sorter **s)
{
	if (*s != NULL)
		r->spilled += sorter_spilled(*s);
	sorter_free(*s);
	*s = NULL;
}

static void
free_blocks(struct volmap_runs *r)
{
	if (r->blocks != NULL)
		r->spilled += sorter_spilled(volmap_blocks_sorter(r->blocks));
	volmap_blocks_free(r->blocks);
	r->blocks = NULL;
}

static void
free_dense(struct volmap_runs *r)
{
	if (r->dense != NULL)
		r->spilled += volmap_dense_spilled(r->dense);
	volmap_dense_free(r->dense);
	r->dense = NULL;
}

void
volmap_runs_free(struct volmap_runs *r)
{
	free_sorter(r, &r->by_file);
	free_sorter(r, &r->by_lcn);
	free_blocks(r);
	free_dense(r);
	volmap_claims_free(r->claims);
	r->claims = NULL;
	free(r->left_out);
	r->left_out = NULL;
	r->left_out_count = r->left_out_room = 0;
	r->count = 0;
	r->last.len = 0;
}

uint32_t
volmap_runs_unit(const struct volmap_runs *r)
{
	return r->cluster_size > 65536 ? r->cluster_size / 65536 : 1;
}

uint64_t
volmap_runs_valid(const struct volmap_runs *r, const struct volmap_run *run)
{
	if (run->valid == 0)
		return (uint64_t)run->len * r->cluster_size;
	return (uint64_t)(run->len - 1) * r->cluster_size +
	       (uint64_t)run->valid * volmap_runs_unit(r);
}

/* Add up what a sorter tells, over all there are. */
static uint64_t
of_all(const struct volmap_runs *r, uint64_t (*tell)(const struct sorter *s))
{
	uint64_t sum = 0;

	if (r->by_file != NULL)
		sum += tell(r->by_file);
	if (r->by_lcn != NULL)
		sum += tell(r->by_lcn);
	return r->blocks != NULL ? sum + tell(volmap_blocks_sorter(r->blocks)) : sum;
}

uint64_t
volmap_runs_memory(const struct volmap_runs *r)
{
	return of_all(r, sorter_memory) + r->left_out_room * sizeof(*r->left_out) +
	       (r->dense != NULL ? volmap_dense_memory(r->dense) : 0) +
	       (r->claims != NULL ? volmap_claims_memory(r->claims) : 0);
}

uint64_t
volmap_runs_spilled(const struct volmap_runs *r)
{
	return r->spilled + of_all(r, sorter_spilled) +
	       (r->dense != NULL ? volmap_dense_spilled(r->dense) : 0);
}

/* ------------------------------------------------------------------- filling -- */

void
volmap_runs_drop(struct volmap_runs *r, const struct err *why)
{
	static const struct err too_many = { ERR_LIMIT, 0,
		"more fragments than fit the map" };

	volmap_runs_free(r);
	r->overflow = 1;
	r->why = why != NULL ? *why : too_many;
}

/*
 * No room: go on without the table, since a point that shares less is better
 * than none.  -1 if it was memory, whose want would end the backup anyway.
 */
static int
give_up(struct volmap_runs *r, struct err *err)
{
	struct err why = *err;

	if (err->code == ERR_NOMEM)
		return -1;
	memset(err, 0, sizeof(*err));
	volmap_runs_drop(r, why.code == ERR_LIMIT ? NULL : &why);
	return 0;
}

/* A sorter of runs; it may take a third of the memory, as there are three. */
static int
new_sorter(struct volmap_runs *r, struct sorter **out, struct err *err)
{
	*out = sorter_new(VOLMAP_RECORD_LEN, r->limits.memory / 3, r->limits.spill);
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, "no memory for a volume map");
}

static int
put(struct sorter *s, enum volmap_order order, const struct volmap_run *run,
    struct err *err)
{
	uint8_t record[VOLMAP_RECORD_LEN];

	volmap_marks_store(order, run, record);
	return sorter_add(s, record, err);
}

/* The last run can grow no more. */
static int
put_last(struct volmap_runs *r, struct err *err)
{
	if (r->last.len == 0)
		return 0;
	if (r->by_file == NULL && new_sorter(r, &r->by_file, err) == -1)
		return -1;
	if (put(r->by_file, VOLMAP_ALONG_FILES, &r->last, err) == -1)
		return give_up(r, err);
	r->last.len = 0;
	r->count++;
	return 0;
}

/* Does `b` go on where `a` ends, in every respect? */
static int
continues(const struct volmap_run *a, const struct volmap_run *b)
{
	return a->len > 0 && volmap_marks_same(a, b) && a->flags == b->flags &&
	       a->valid == 0 && (uint64_t)a->lcn + a->len == b->lcn &&
	       (uint64_t)a->vcn + a->len == b->vcn;
}

int
volmap_runs_add(struct volmap_runs *r, const struct volmap_run *run, struct err *err)
{
	assert(run->len > 0 && (uint64_t)run->lcn + run->len <= r->clusters);
	assert((uint64_t)run->vcn + run->len <= UINT32_MAX);
	if (r->claims != NULL && !volmap_claims_add(r->claims, run->lcn, run->len))
		r->crossed = 1;
	if (r->overflow)
		return 0;
	if (continues(&r->last, run)) {
		r->last.len += run->len;
		r->last.valid = run->valid;
		return 0;
	}
	if (put_last(r, err) == -1)
		return -1;
	if (!r->overflow)
		r->last = *run;
	return 0;
}

int
volmap_runs_claim(struct volmap_runs *r, struct err *err)
{
	assert(r->overflow && r->claims == NULL);
	r->claims = volmap_claims_new(r->clusters, r->limits.memory / 3);
	if (r->claims == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	return 0;
}

int
volmap_runs_claimed(const struct volmap_runs *r, uint32_t first, uint32_t *count)
{
	return r->claims != NULL && volmap_claims_at(r->claims, first, count);
}

/* ------------------------------------------------------------------- sorting -- */

/* Heads do not fit, which costs cuts and no more.  -1 if it was memory. */
static int
go_blind(struct volmap_runs *r, struct err *err)
{
	if (err->code == ERR_NOMEM)
		return -1;
	free_dense(r);
	r->blind = 1;
	r->why = *err;
	memset(err, 0, sizeof(*err));
	return 0;
}

/* The file whose runs are passed along the files. */
struct passing {
	struct volmap_run head; /* Its first run. */
	uint64_t end; /* Bytes up to the end of the last that is cut as its data. */
};

/* Note where a large file in several runs begins, now that all of them were passed. */
static int
note_head(struct volmap_runs *r, const struct passing *file, struct err *err)
{
	const struct volmap_run *head = &file->head;

	/* With ONLY it is decided when the walk meets it. */
	if (r->source == NULL || r->blind || head->flags != VOLMAP_RUN_FILE ||
	    head->vcn != 0 || file->end < VOLMAP_DENSE_MIN)
		return 0;
	if (r->dense == NULL) {
		r->dense = volmap_dense_new(r->limits.memory / 12, r->limits.spill);
		if (r->dense == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a volume map");
	}
	return volmap_dense_add(r->dense, head, err) == -1 ? go_blind(r, err) : 0;
}

/* Mark what a run tells by its place in its file; `along` has passed it. */
static void
mark_in_file(struct volmap_runs *r, const struct volmap_marks *along,
    struct passing *file, struct volmap_run *run)
{
	int first = file->head.len == 0 || !volmap_marks_same(&file->head, run);
	int last = along->has_next != 1 || !volmap_marks_same(run, &along->next);
	uint64_t start = (uint64_t)run->vcn * r->cluster_size;

	if ((uint64_t)run->len * r->cluster_size < VOLMAP_GRAIN)
		run->flags |= VOLMAP_RUN_SHORT;
	if (first && last)
		run->flags |= VOLMAP_RUN_ONLY;
	if (first) {
		file->head = *run;
		file->end = 0;
	}
	if ((run->flags & ~VOLMAP_RUN_FILE) == 0)
		file->end = start + volmap_runs_valid(r, run);
}

/* From the order of the files to that of the volume. */
static int
turn(struct volmap_runs *r, struct err *err)
{
	struct passing file = { .end = 0 };
	struct volmap_marks along;
	struct volmap_run run;
	int more;

	if (sorter_finish(r->by_file, err) == -1 ||
	    volmap_marks_begin(&along, r->by_file, VOLMAP_ALONG_FILES, err) == -1 ||
	    new_sorter(r, &r->by_lcn, err) == -1)
		return -1;
	while ((more = volmap_marks_next(&along, &run, err)) == 1) {
		mark_in_file(r, &along, &file, &run);
		if (put(r->by_lcn, VOLMAP_ALONG_VOLUME, &run, err) == -1)
			return -1;
		if ((along.has_next != 1 || !volmap_marks_same(&run, &along.next)) &&
		    note_head(r, &file, err) == -1)
			return -1;
	}
	return more == -1 ? -1 : sorter_finish(r->by_lcn, err);
}

/* And back, so that files know of clashes along the volume. */
static int
turn_back(struct volmap_runs *r, struct err *err)
{
	struct volmap_run run;
	int more;

	free_sorter(r, &r->by_file);
	if (new_sorter(r, &r->by_file, err) == -1 ||
	    volmap_marks_begin(&r->walk, r->by_lcn, VOLMAP_ALONG_VOLUME, err) == -1)
		return -1;
	while ((more = volmap_marks_next(&r->walk, &run, err)) == 1)
		if (put(r->by_file, VOLMAP_ALONG_FILES, &run, err) == -1)
			return -1;
	return more == -1 ? -1 : sorter_finish(r->by_file, err);
}

int
volmap_runs_sort(struct volmap_runs *r,
    int (*look)(void *arg, const struct volmap_run *run, struct err *err), void *arg,
    uint64_t *clashes, struct err *err)
{
	struct volmap_run run;
	int more;

	*clashes = 0;
	if (put_last(r, err) == -1)
		return -1;
	if (r->count == 0)
		return 0;
	if (turn(r, err) == -1 ||
	    volmap_marks_begin(&r->walk, r->by_lcn, VOLMAP_ALONG_VOLUME, err) == -1)
		return give_up(r, err);
	while ((more = volmap_marks_next(&r->walk, &run, err)) == 1) {
		*clashes += (run.flags & VOLMAP_RUN_CLASH) != 0;
		/* A volume that cannot be read is another matter than a full disk. */
		if (look != NULL && look(arg, &run, err) == -1)
			return -1;
	}
	if (more == -1 || (*clashes > 0 && turn_back(r, err) == -1))
		return give_up(r, err);
	return 0;
}

/* ------------------------------------------------------------------- joining -- */

int
volmap_runs_leave_out(
    struct volmap_runs *r, uint32_t owner, uint8_t reason, struct err *err)
{
	uint32_t room = r->left_out_room * 2 + 16, at;
	struct volmap_left_out *grown;

	if (r->left_out_count == r->left_out_room) {
		if ((grown = realloc(r->left_out, room * sizeof(*grown))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a volume map");
		r->left_out = grown;
		r->left_out_room = room;
	}
	for (at = r->left_out_count++; at > 0 && r->left_out[at - 1].owner > owner; at--)
		r->left_out[at] = r->left_out[at - 1];
	r->left_out[at].owner = owner;
	r->left_out[at].reason = reason;
	return 0;
}

static int
cmp_owners(const void *a, const void *b)
{
	const struct volmap_left_out *x = a, *y = b;

	return (x->owner > y->owner) - (x->owner < y->owner);
}

static void
mark_left_out(const struct volmap_runs *r, struct volmap_run *run)
{
	const struct volmap_left_out wanted = { run->owner, 0 }, *found;

	if (r->left_out_count == 0 || (run->flags & VOLMAP_RUN_FILE) == 0)
		return;
	found =
	    bsearch(&wanted, r->left_out, r->left_out_count, sizeof(wanted), cmp_owners);
	if (found != NULL)
		run->flags |= (uint16_t)(VOLMAP_RUN_EXCLUDED |
					 found->reason << VOLMAP_RUN_REASON_SHIFT);
}

/* Look at the heads of the files in several runs, in one pass along the volume. */
static int
look_at_heads(struct volmap_runs *r, struct err *err)
{
	if (r->dense == NULL)
		return 0;
	return volmap_dense_look(r->dense, r->source, r->base, r->cluster_size, err) == -1
		   ? go_blind(r, err)
		   : 0;
}

/* Is the file that begins with this run one to be cut by content?  1, 0, -1. */
static int
is_dense(struct volmap_runs *r, const struct volmap_run *head, struct err *err)
{
	if (r->dense == NULL || head->vcn != 0 || head->flags != VOLMAP_RUN_FILE)
		return 0;
	return volmap_dense_has(r->dense, head, err);
}

static int
find_blocks(struct volmap_runs *r, struct err *err)
{
	struct volmap_run run, head = { .len = 0 };
	struct volmap_marks along;
	int more, dense = 0;

	/* A block of a large cluster lies in one piece. */
	if (r->cluster_size >= VOLMAP_BLOCK && r->dense == NULL)
		return 0;
	/* Dense files are known beside it, in a twelfth. */
	r->blocks = volmap_blocks_new(r->cluster_size,
	    r->limits.memory / 3 - r->limits.memory / 12, r->limits.spill);
	if (r->blocks == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	if (volmap_marks_begin(&along, r->by_file, VOLMAP_ALONG_FILES, err) == -1)
		return -1;
	while ((more = volmap_marks_next(&along, &run, err)) == 1) {
		if ((uint64_t)run.len * r->cluster_size < VOLMAP_GRAIN)
			run.flags |= VOLMAP_RUN_SHORT;
		mark_left_out(r, &run);
		if (head.len == 0 || !volmap_marks_same(&head, &run)) {
			head = run;
			if ((dense = is_dense(r, &head, err)) == -1)
				return -1;
		}
		if ((run.flags & ~(VOLMAP_RUN_FILE | VOLMAP_RUN_ONLY)) == 0 &&
		    volmap_blocks_add(
			r->blocks, &run, volmap_runs_valid(r, &run), dense, err) == -1)
			return -1;
	}
	return more == -1 ? -1 : volmap_blocks_finish(r->blocks, err);
}

int
volmap_runs_join(struct volmap_runs *r, struct err *err)
{
	if (r->count == 0)
		return 0;
	if (look_at_heads(r, err) == -1)
		return -1;
	if (find_blocks(r, err) == -1) {
		if (err->code == ERR_NOMEM)
			return -1;
		/* Owners are known still, and what they exclude. */
		free_blocks(r);
		r->alone = 1;
		r->why = *err;
		memset(err, 0, sizeof(*err));
	}
	free_dense(r);
	free_sorter(r, &r->by_file);
	if (volmap_marks_begin(&r->walk, r->by_lcn, VOLMAP_ALONG_VOLUME, err) == -1)
		return give_up(r, err);
	return 0;
}

/* ------------------------------------------------------------------- walking -- */

int
volmap_runs_next(struct volmap_runs *r, struct volmap_run *out, struct err *err)
{
	int more;

	if (r->count == 0)
		return 0;
	if ((more = volmap_marks_next(&r->walk, out, err)) == 1)
		mark_left_out(r, out);
	return more;
}

int
volmap_runs_dense(struct volmap_runs *r, const struct volmap_run *run, struct err *err)
{
	if ((run->flags & VOLMAP_RUN_ONLY) == 0)
		return r->blocks != NULL ? volmap_blocks_dense(r->blocks, run->lcn, err)
					 : 0;
	return r->source != NULL && run->flags == (VOLMAP_RUN_FILE | VOLMAP_RUN_ONLY) &&
	       run->vcn == 0 && volmap_runs_valid(r, run) >= VOLMAP_DENSE_MIN &&
	       volmap_dense_at(r->source, r->base + (uint64_t)run->lcn * r->cluster_size);
}

int
volmap_runs_block(struct volmap_runs *r, uint32_t lcn, struct volmap_piece *out,
    uint32_t *count, struct err *err)
{
	*count = 0;
	if (r->blocks == NULL)
		return 0;
	return volmap_blocks_at(r->blocks, lcn, out, count, err);
}
