#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_gc.h"
#include "storage/store_packs.h"
#include "storage/store_state.h"

/* A run of store_verify(). */
struct verify {
	struct store *s;
	struct store_verify_report *report;
	int (*tell)(void *arg, const struct store_verify_report *r, const char *problem);
	void *arg;
	struct err *err;
	uint32_t pack; /* Being read. */
	int stopped;   /* `tell` said so. */
	int problems;  /* Told. */
	struct store_lease *lease;
	struct store_nodes *checked;
};

static int
tell(struct verify *v, const char *problem)
{
	v->problems += problem != NULL;
	if (v->tell != NULL && v->tell(v->arg, v->report, problem) != 0)
		v->stopped = 1;
	return v->stopped;
}

/* -------------------------------------------------------------------- packs -- */

static int
bad_group(void *arg, uint32_t offset, const struct err *why)
{
	char line[ERR_TEXT_MAX + 60];
	struct verify *v = arg;

	/* Unreadable is as bad as wrong: either way it is to be sent again. */
	v->report->bad_groups++;
	if (store_quarantine(v->s, v->pack, offset, v->err) != 0)
		return -1;
	(void)snprintf(
	    line, sizeof(line), "pack %08x at %u: %s", v->pack, offset, why->text);
	return tell(v, line);
}

/* A problem that is not one group's: the pack's footer, or the pack is gone. */
static int
bad_pack(struct verify *v, const struct err *why)
{
	char line[ERR_TEXT_MAX + 60];

	v->report->bad_groups++;
	(void)snprintf(line, sizeof(line), "pack %08x: %s", v->pack, why->text);
	return tell(v, line);
}

static int
verify_pack(struct verify *v, const struct journal_pack *known)
{
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	int ret;

	v->pack = known->no;
	ret = pack_open(v->s->fs, known->no, v->s->of.store, &p, &why);
	/* The list may be older than a removal. */
	if (ret != 0 && why.code == ERR_NOTFOUND &&
	    (ret = catalog_removed(v->s->catalog, known->no, v->err)) != 0)
		return ret < 0 ? -1 : 0;
	if (why.code != ERR_NONE)
		ret = -1;
	if (ret == 0) {
		ret = pack_scrub(p, bad_group, v, &why);
		pack_close(p);
	} else if (why.code == ERR_CORRUPT || why.code == ERR_NOTFOUND) {
		/* None of it can be read: it must not be taken for present. */
		(void)store_lose_pack(v->s, known->no, v->err);
	}
	if (v->err->code != ERR_NONE)
		return -1;
	if (ret < 0 && why.code != ERR_CORRUPT && why.code != ERR_NOTFOUND) {
		*v->err = why;
		return -1;
	}
	v->report->groups += known->groups;
	v->report->bytes += known->stored;
	if (ret < 0)
		return bad_pack(v, &why);
	return v->stopped ? 1 : tell(v, NULL);
}

/* Is this one of the share that is read?  Any share, spread evenly over the packs. */
static int
sampled(double *sum, double share)
{
	*sum += share;
	if (*sum < 1.0)
		return 0;
	*sum -= 1.0;
	return 1;
}

static int
verify_packs(struct verify *v, double share)
{
	struct journal_pack page[32];
	double sum = 1.0 - share;
	uint32_t after = 0, n = 32;
	int ret = 0;

	while (ret == 0 && n == 32) {
		ret = catalog_packs(v->s->catalog, after, page, 32, &n, v->err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			after = page[i].no;
			if (sampled(&sum, share))
				ret = verify_pack(v, &page[i]);
		}
	}
	return ret;
}

/* -------------------------------------------------------------------- trees -- */

static int
verify_volume(
    struct verify *v, const struct store_point *p, const struct store_volume *vol)
{
	struct buf data = BUF_INIT(32 * 1024), meta = BUF_INIT(32 * 1024);
	struct store_check check = { .lease = v->lease,
		.checked = v->checked,
		.data_ids = &data,
		.meta_ids = &meta };
	char line[ERR_TEXT_MAX + 200] = "";
	struct err why = ERR_INIT;
	struct store_volume found;
	int ret = 0;

	if (store_check_tree(&check, &vol->root_id, &found, &why) != 0) {
		if (why.code == ERR_CORRUPT) {
			(void)snprintf(line, sizeof(line), "%s point %llu volume %s: %s",
			    p->host, (unsigned long long)p->sequence, vol->name,
			    why.text);
		} else {
			*v->err = why;
			ret = -1;
		}
	} else if (data.len + meta.len > 0) {
		(void)snprintf(line, sizeof(line),
		    "%s point %llu volume %s: %s%zu chunks and %zu nodes are missing",
		    p->host, (unsigned long long)p->sequence, vol->name,
		    data.len == data.max || meta.len == meta.max ? "at least " : "",
		    data.len / CHUNK_ID_LEN, meta.len / CHUNK_ID_LEN);
	}
	if (line[0] != '\0')
		ret = tell(v, line);
	buf_free(&data);
	buf_free(&meta);
	return ret;
}

/* Pin the point by a lease of its own: 1, 0 if it is no more, -1. */
static int
pin(struct verify *v, const struct store_point *p)
{
	struct store_point *again = malloc(sizeof(*again));
	struct err why = ERR_INIT;
	int ret = -1;

	if (again == NULL)
		return err_set(v->err, ERR_NOMEM, "no memory for a point");
	if (store_lease_open(v->s, "", STORE_READ, &v->lease, v->err) == 0) {
		ret = 1;
		if (store_lease_point(v->lease, p->host, p->sequence, again, &why) != 0) {
			ret = why.code == ERR_NOTFOUND ? 0 : -1;
			store_lease_close(v->lease);
			v->lease = NULL;
			if (ret < 0)
				*v->err = why;
		}
	}
	free(again);
	return ret;
}

static int
verify_point(void *arg, const struct store_point *p)
{
	struct verify *v = arg;
	int ret = 0, pinned;

	/* What it needs stays while it is looked at; one pruned since was not lost. */
	if ((pinned = pin(v, p)) <= 0)
		return pinned;
	for (uint32_t i = 0; ret == 0 && i < p->volumes_count; i++)
		ret = verify_volume(v, p, &p->volumes[i]);
	store_lease_close(v->lease);
	v->lease = NULL;
	if (ret == 0) {
		v->report->points_checked++;
		ret = tell(v, NULL);
	}
	return ret;
}

static int
verify_trees(struct verify *v)
{
	int ret;

	v->checked = store_nodes_new(1u << 20);
	if (v->checked == NULL)
		return err_set(v->err, ERR_NOMEM, "no memory to check trees");
	ret = store_points(v->s, NULL, INT64_MAX, verify_point, v, v->err);
	store_nodes_free(v->checked);
	return ret;
}

int
store_verify(struct store *s, double sample, int trees,
    int (*hear)(void *arg, const struct store_verify_report *r, const char *problem),
    void *arg, struct store_verify_report *out, struct err *err)
{
	struct verify v = { .s = s, .report = out, .tell = hear, .arg = arg, .err = err };
	double share = sample > 0 && sample < 1 ? sample : 1.0;
	struct store_stats stats = { 0 };
	int ret;

	memset(out, 0, sizeof(*out));
	/* What is being filled is sealed first, so that it is checked as well. */
	if (store_packs_seal(s->packs, err) != 0 ||
	    catalog_stats(s->catalog, &stats, err) != 0)
		return -1;
	out->bytes_total = (uint64_t)((double)stats.stored_bytes * share);
	ret = verify_packs(&v, share);
	if (ret == 0 && trees)
		ret = verify_trees(&v);
	if (ret == 0 && trees && share == 1.0 && v.problems == 0 && !v.stopped)
		ret = store_release_unnamed(s, err);
	if (err->code != ERR_NONE)
		return -1;
	if (v.stopped)
		return err_set(err, ERR_CANCELED, "verify was stopped");
	return ret != 0 ? -1 : 0;
}
