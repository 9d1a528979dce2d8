#include "agent/backup/incremental.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/pipeline.h"
#include "agent/backup/prior.h"
#include "agent/backup/proof.h"
#include "agent/backup/shape.h"
#include "agent/backup/suspect.h"
#include "agent/host/state.h"
#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

/* Where a maker of shadow copies notes things in the boot sectors, below every filter:
   volsnap's header lies at 7680 (libvshadow's description of the format). */
#define HEAD_LEN 65536u

struct incremental {
	const struct incremental_policy *policy;
	struct incremental_tracked tracked;
	unsigned slices; /* Of the proof of who tells what changed this time. */
	char not_tracked[200];
	struct changes *list;
	char shape[STATE_PATH_MAX], new_shape[STATE_PATH_MAX];
	struct ntfs_compare *compare; /* NULL: nobody asks the records. */
	char mft[STATE_PATH_MAX], new_mft[STATE_PATH_MAX];
	struct metacache *tables;  /* What maps read; NULL: nobody tells of tables. */
	char note[STATE_PATH_MAX]; /* That points are suspect, until all was read. */
	struct chunk_id base;
	/* Of what an interrupted session did and is not done again: */
	int rests; /* It kept by a list, */
	struct chunk_id rests_on;
	unsigned rests_slices;		     /* With so many slices of proof, */
	uint64_t kept_before, proven_before; /* so much of this base. */
	int has_proof;			     /* Of the base. */
	struct proof proof;
	int ran, shape_lost; /* And what came of it: */
	struct incremental_facts facts;
};

static int
beside(char out[STATE_PATH_MAX], const char *cache, const char *what, struct err *err)
{
	/* '=' is in no volume's name: these can be no other volume's. */
	if ((size_t)snprintf(out, STATE_PATH_MAX, "%s=%s", cache, what) < STATE_PATH_MAX)
		return 0;
	return err_set(err, ERR_LIMIT, "%s: path too long", cache);
}

/* Nothing of the base is kept any more: 0, or -1 if its shape is still there. */
static int
drop_base(struct incremental *inc)
{
	struct err ignored = ERR_INIT;
	int rc = file_remove(inc->shape, &ignored) < 0 ? -1 : 0;

	err_clear(&ignored);
	(void)file_remove(inc->mft, &ignored);
	if (inc->tables != NULL)
		metacache_drop(inc->tables);
	return rc;
}

/* Write down that points are suspect; nothing of the base is kept from now on. */
static void
note_suspect(struct incremental *inc)
{
	struct suspect s = { .told = inc->facts.told, .since = inc->facts.since };
	struct err ignored = ERR_INIT;
	int noted;

	(void)snprintf(s.how, sizeof(s.how), "%s", inc->facts.how);
	noted = suspect_store(inc->note, &s, &ignored) == 0;
	(void)drop_base(inc);
	if (noted)
		return;
	/* The disk may have been full, and what went has made room. */
	shape_tidy(inc->shape);
	err_clear(&ignored);
	(void)suspect_store(inc->note, &s, &ignored);
}

int
incremental_noted(const char *cache)
{
	struct err ignored = ERR_INIT;
	enum file_kind kind;
	char path[STATE_PATH_MAX];

	return beside(path, cache, "suspect", &ignored) == 0 &&
	       (file_kind(path, &kind, &ignored) != 0 || kind != FILE_IS_NOTHING);
}

/* Was it written down, and no point made since that read all?  -1 without memory. */
static int
recall_suspect(struct incremental *inc, struct err *err)
{
	struct suspect s;
	int found = suspect_load(inc->note, &s, err);

	if (found != 1)
		return found;
	inc->facts.suspect = 1;
	inc->facts.told = s.told;
	inc->facts.since = s.since;
	(void)snprintf(inc->facts.how, sizeof(inc->facts.how), "%s", s.how);
	return 0;
}

/* Where a list may come that tells of a file system's own tables, they are kept. */
static int
open_tables(struct incremental *inc, const char *cache, struct err *err)
{
	char path[STATE_PATH_MAX];

	if (inc->policy->changed_from == NULL && inc->tracked.changed == NULL)
		return 0;
	if (beside(path, cache, "tables", err) != 0)
		return -1;
	return metacache_new(path, 0, &inc->tables, err);
}

int
incremental_new(const struct incremental_policy *policy,
    const struct incremental_tracked *tracked, const char *cache, uint64_t size,
    struct incremental **out, struct err *err)
{
	struct incremental *inc = calloc(1, sizeof(*inc));

	if (inc == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	inc->policy = policy;
	if (tracked != NULL)
		inc->tracked = *tracked;
	inc->slices = proof_slices(policy->percent);
	inc->facts.why = "";
	inc->facts.why_not_tracked = inc->not_tracked;
	if (beside(inc->shape, cache, "shape", err) != 0 ||
	    beside(inc->new_shape, cache, "shape-new", err) != 0 ||
	    beside(inc->mft, cache, "mft", err) != 0 ||
	    beside(inc->new_mft, cache, "mft-new", err) != 0 ||
	    beside(inc->note, cache, "suspect", err) != 0 ||
	    recall_suspect(inc, err) != 0 || open_tables(inc, cache, err) != 0 ||
	    (policy->fast && ntfs_compare_new(&policy->rules, &inc->compare, err) != 0) ||
	    changes_new(size, &inc->list, err) != 0 ||
	    (policy->changed_from != NULL &&
		changes_load(inc->list, policy->changed_from, err) != 0)) {
		incremental_free(inc);
		return -1;
	}
	*out = inc;
	return 0;
}

void
incremental_free(struct incremental *inc)
{
	if (inc == NULL)
		return;
	ntfs_compare_free(inc->compare);
	metacache_free(inc->tables);
	changes_free(inc->list);
	free(inc);
}

/* What is proven of the base: 1, 0 if nothing is known, -1. */
static int
look_at_base(struct incremental *inc, const struct pipeline_job *job, struct err *err)
{
	struct shape *s;
	int found;

	if (!job->base.known)
		return 0;
	found = shape_open(inc->shape, &job->base.root_id, &s, &inc->proof, err);
	if (found == 1)
		shape_close(s);
	return found;
}

/* Have the records compared, or (`told` 0) only remembered. */
static void
ask_records(struct incremental *inc, int64_t cut_us, int told, struct pipeline_job *job)
{
	const struct ntfs_compare_task task = { .changes = told ? inc->list : NULL,
		.old_path = inc->mft,
		.base = job->base.known ? &inc->base : NULL,
		.new_path = inc->new_mft,
		.keys = job->keys,
		.cut_us = cut_us };

	job->source.compare = inc->compare;
	if (inc->compare == NULL)
		return;
	inc->base = job->base.root_id;
	ntfs_compare_task(inc->compare, &task);
}

/*
 * Spans that an interrupted session kept count beside the same base alone: who reads all
 * since that is gone must read them, too.
 */
static void
look_at_done(struct incremental *inc, int found, struct pipeline_job *job)
{
	uint64_t most = job->done_spans * TREE_SPAN_LEN;

	if (job->done_spans > 0 && inc->rests &&
	    (!found || inc->facts.suspect || inc->rests_slices != inc->slices ||
		chunk_id_cmp(&inc->rests_on, &job->base.root_id) != 0)) {
		job->done_spans = 0;
		job->done_cache = NULL;
	}
	if (job->done_spans == 0)
		inc->rests = 0;
	inc->kept_before = inc->proven_before = 0;
	if (!inc->rests)
		return;
	inc->kept_before = inc->facts.kept_bytes < most ? inc->facts.kept_bytes : most;
	inc->proven_before =
	    inc->facts.proven_bytes < most ? inc->facts.proven_bytes : most;
}

/* ------------------------------------------------------------ the driver's list -- */

/* Not by the driver's list, and why. */
static int
not_tracked(struct incremental *inc, const char *why)
{
	(void)snprintf(inc->not_tracked, sizeof(inc->not_tracked), "%s", why);
	return 0;
}

/* Is the newest point of the very generation that the list is against?  1, 0, -1. */
static int
is_of_base(struct incremental *inc, const struct pipeline_job *job, int *foreign,
    struct err *err)
{
	const struct tracking_generation *g = &inc->tracked.view.base;
	const struct tree_root *root;
	struct prior *prior;
	int found, same, tracked;

	if (job->old_cache == NULL)
		return not_tracked(inc, "the tree of the newest point is not kept here");
	found = prior_open(job->old_cache, &job->base.root_id, job->keys, &prior, err);
	if (found == -1)
		return -1;
	if (found == 0)
		return not_tracked(inc, "the tree of the newest point is not kept here");
	root = prior_root(prior);
	tracked = root->generation != 0;
	/* What its view had of others' is in the point, too. */
	*foreign |= strcmp(root->provider, "vss") == 0;
	same = root->generation == g->number &&
	       memcmp(root->nonce, g->nonce, sizeof(g->nonce)) == 0;
	prior_close(prior);
	if (same)
		return 1;
	return not_tracked(inc, tracked ? "tracking counts from another point"
					: "the newest point was made without tracking");
}

/* Take the driver's list, if it may be used: 1, 0, -1. */
static int
take_tracked(struct incremental *inc, const struct pipeline_job *job, struct err *err)
{
	int foreign = inc->tracked.foreign, rc;
	struct err why = ERR_INIT;

	inc->not_tracked[0] = '\0';
	if (inc->policy->changed_from != NULL || !job->base.known)
		return 0;
	if (inc->tracked.view.base.number == 0)
		return not_tracked(inc, inc->tracked.view.why);
	if ((rc = is_of_base(inc, job, &foreign, err)) != 1)
		return rc;
	changes_clear(inc->list);
	if (inc->tracked.changed(inc->tracked.arg, inc->list, &why) != 0)
		return not_tracked(inc, why.text);
	changes_add(inc->list, 0, HEAD_LEN);
	if (foreign)
		changes_need_map(inc->list);
	return 1;
}

/* Was the newest point made of a shadow copy, which had things of its own?  1, 0, -1. */
static int
is_by_vss(const struct pipeline_job *job, struct err *err)
{
	struct prior *prior;
	int found;

	if (!job->base.known || job->old_cache == NULL)
		return 0;
	found = prior_open(job->old_cache, &job->base.root_id, job->keys, &prior, err);
	if (found != 1)
		return found;
	found = strcmp(prior_root(prior)->provider, "vss") == 0;
	prior_close(prior);
	return found;
}

/* The list of changes for this job, from whoever can tell. */
static void
take_list(struct incremental *inc, int tracked, int records, int foreign)
{
	if (tracked)
		return;
	/* As it was when the view was frozen: by a later session it may be the next one's. */
	if (inc->policy->changed_from != NULL) {
		changes_again(inc->list);
		/* What a maker of shadow copies writes, whoever else lists what was written. */
		if (foreign) {
			changes_add(inc->list, 0, HEAD_LEN);
			changes_need_map(inc->list);
		}
		return;
	}
	changes_clear(inc->list);
	if (records)
		changes_only_owned(inc->list);
	else
		changes_doubt(inc->list, inc->not_tracked[0] != '\0'
					     ? inc->not_tracked
					     : "nobody tells what changed");
}

int
incremental_job(
    struct incremental *inc, int64_t cut_us, struct pipeline_job *job, struct err *err)
{
	int records = inc->compare != NULL && inc->policy->changed_from == NULL;
	int found, tracked, foreign = inc->tracked.foreign;

	job->old_shape = inc->shape;
	job->new_shape = inc->new_shape;
	job->metacache = inc->tables;
	job->changes = NULL;
	if ((found = look_at_base(inc, job, err)) == -1 ||
	    (tracked = take_tracked(inc, job, err)) == -1)
		return -1;
	if (inc->policy->changed_from != NULL && !foreign &&
	    (foreign = is_by_vss(job, err)) == -1)
		return -1;
	inc->facts.tracked = tracked && !inc->facts.suspect;
	inc->slices =
	    proof_slices(tracked ? inc->policy->tracked_percent : inc->policy->percent);
	inc->has_proof = found;
	look_at_done(inc, found, job);
	if (found)
		proof_again(&inc->proof, inc->slices);
	ask_records(inc, cut_us, records && !tracked && !inc->facts.suspect, job);
	if (inc->facts.suspect)
		return 0;
	take_list(inc, tracked, records, foreign);
	if (found)
		changes_slice(inc->list, inc->slices, inc->proof.next);
	else
		changes_doubt(inc->list, job->base.known
					     ? "nothing is remembered of the newest point"
					     : "there is no point to compare with");
	job->changes = inc->list;
	return 0;
}

void
incremental_distrust(struct incremental *inc, const char *how)
{
	if (inc->facts.suspect)
		return;
	inc->facts.suspect = 1;
	(void)snprintf(inc->facts.how, sizeof(inc->facts.how), "%s", how);
	inc->facts.since = inc->has_proof ? proof_since(&inc->proof) : 0;
	note_suspect(inc);
}

void
incremental_told(struct incremental *inc)
{
	inc->facts.told = 1;
	note_suspect(inc);
}

/* Up to which point all is proven once this run is one; no less than before it. */
static uint64_t
proven_then(const struct incremental *inc)
{
	struct proof proof = inc->proof;
	uint64_t since;

	if (!inc->has_proof)
		return 0;
	proof_next(&proof, UINT64_MAX);
	since = proof_since(&proof);
	return since == UINT64_MAX ? proof_since(&inc->proof) : since;
}

int
incremental_ran(struct incremental *inc, const struct pipeline_job *job,
    const struct pipeline_result *r)
{
	char how[160];

	inc->ran = 1;
	inc->shape_lost = r->shape_lost;
	if (job->changes != NULL && changes_why(job->changes)[0] == '\0') {
		inc->rests = 1;
		inc->rests_on = job->base.root_id;
		inc->rests_slices = inc->slices;
	}
	inc->facts.used = inc->rests;
	inc->facts.kept_bytes = inc->kept_before + r->kept_bytes;
	inc->facts.proven_bytes = inc->proven_before + r->proven_bytes;
	inc->facts.slices = inc->slices;
	inc->facts.proven = proven_then(inc);
	inc->facts.why = "";
	if (job->changes != NULL && job->base.known)
		inc->facts.why = changes_why(job->changes);
	if (r->stale) {
		(void)snprintf(how, sizeof(how),
		    "byte %llu was not what the point before had, though nothing said "
		    "that it changed",
		    (unsigned long long)r->stale_at);
		incremental_distrust(inc, how);
	}
	return r->stale;
}

void
incremental_facts(const struct incremental *inc, struct incremental_facts *out)
{
	*out = inc->facts;
}

void
incremental_forget(struct incremental *inc)
{
	struct err ignored = ERR_INIT;

	if (drop_base(inc) == 0 && inc->ran && inc->facts.suspect)
		(void)file_remove(inc->note, &ignored);
	incremental_drop(inc);
}

int
incremental_kept(struct incremental *inc, uint64_t sequence, const struct chunk_id *root,
    struct err *err)
{
	struct err ignored = ERR_INIT;
	struct proof proof = inc->proof;

	if (!inc->ran)
		return 0;
	if (inc->facts.used && inc->has_proof)
		proof_next(&proof, sequence);
	else
		proof_all(&proof, inc->slices, sequence);
	/* What lies there may be of a run before this one. */
	if (inc->shape_lost) {
		incremental_forget(inc);
		return err_set(err, ERR_IO, "%s: it was not written", inc->new_shape);
	}
	if (shape_seal(inc->new_shape, root, &proof, err) != 0 ||
	    shape_settle(inc->new_shape, inc->shape, err) != 0) {
		incremental_forget(inc);
		return -1;
	}
	if (inc->tables != NULL)
		metacache_seal(inc->tables, root, sequence);
	if (inc->facts.suspect)
		(void)file_remove(inc->note, &ignored);
	err_clear(&ignored);
	if (inc->compare != NULL && ntfs_compare_done(inc->compare) &&
	    ntfs_compare_seal(inc->compare, root, &ignored) == 0)
		(void)file_rename(inc->new_mft, inc->mft, &ignored);
	return 0;
}

void
incremental_drop(struct incremental *inc)
{
	struct err ignored = ERR_INIT;

	(void)file_remove(inc->new_shape, &ignored);
	shape_tidy(inc->shape);
	err_clear(&ignored);
	(void)file_remove(inc->new_mft, &ignored);
}
