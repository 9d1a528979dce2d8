#include "agent/map/ntfs.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/volmap.h"
#include "agent/map/volmap_plan.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Bytes of `$Bitmap` held at a time: 2 GiB of volume in 4 KiB clusters. */
#define WINDOW 65536u

/* What the plan keeps while the volume is walked. */
struct bitmap {
	struct ntfs v;
	struct ntfs_stream stream;
	const struct volmap_runs *runs; /* The plan's. */
	uint64_t at;			/* Byte of `$Bitmap` where the window begins. */
	uint32_t len;			/* Bytes in the window; 0: nothing read yet. */
	uint8_t window[WINDOW];
};

static void
bitmap_free(void *arg)
{
	struct bitmap *b = arg;

	ntfs_stream_free(&b->v.mft);
	ntfs_stream_free(&b->stream);
	free(b);
}

static int
bitmap_load(struct bitmap *b, uint64_t at, struct err *err)
{
	uint64_t all = ((uint64_t)b->v.boot.clusters + 7) / 8;
	int got;

	b->at = at;
	b->len = all - at < WINDOW ? (uint32_t)(all - at) : WINDOW;
	if ((got = ntfs_stream_read(&b->v, &b->stream, at, b->window, b->len, err)) == -1)
		b->len = 0;
	if (got == 0)
		memset(b->window, 0xff, b->len);
	return got;
}

/*
 * volmap_plan's state(): bit n of the bitmap is cluster n, lowest bit first.  What a
 * file claims is allocated, too, if the walk will not see it as that file's.
 */
static int
bitmap_state(void *arg, uint32_t first, uint32_t *count, struct err *err)
{
	struct bitmap *b = arg;
	uint64_t at = first / 8 / WINDOW * WINDOW, bit, end;
	uint8_t same;
	int set;

	if ((b->len == 0 || b->at != at) && bitmap_load(b, at, err) == -1)
		return -1;
	bit = first - at * 8;
	end = bit + *count < b->len * 8ull ? bit + *count : b->len * 8ull;
	set = b->window[bit / 8] >> bit % 8 & 1;
	same = set ? 0xff : 0;
	while (bit < end && (b->window[bit / 8] >> bit % 8 & 1) == set) {
		if (bit % 8 == 0 && b->window[bit / 8] == same)
			bit += 8;
		else
			bit++;
	}
	*count = (uint32_t)((bit < end ? bit : end) - (first - at * 8));
	return set || volmap_runs_claimed(b->runs, first, count);
}

/* Make `$Bitmap` the plan's state; without it nothing can be a hole. */
static int
open_bitmap(struct bitmap *b, struct volmap_plan *p, struct err *err)
{
	uint64_t need = ((uint64_t)b->v.boot.clusters + 7) / 8;
	int got = ntfs_stream_open(&b->v, NTFS_BITMAP, NTFS_DATA, &b->stream, err);

	if (got == -1)
		return -1;
	if (got == 0 || b->stream.valid < need)
		volmap_plan_doubt(p, "$Bitmap cannot be read: all clusters are kept");
	else
		p->state = bitmap_state;
	return 0;
}

/*
 * Offset	Size	$VOLUME_INFORMATION
 * 10		2	flags: 1 dirty, 0x4000 chkdsk is at work
 */
static int
check_volume_flags(const struct ntfs *v, struct volmap_plan *p, struct err *err)
{
	struct ntfs_stream info;
	int got = ntfs_stream_open(v, NTFS_VOLUME, NTFS_VOLUME_INFORMATION, &info, err);

	if (got == -1)
		return -1;
	if (got == 0 || info.bytes == NULL || info.size < 12)
		volmap_plan_doubt(p, "$Volume cannot be read: all clusters are kept");
	else if ((load_le16(info.bytes + 10) & 0x4001) != 0)
		volmap_plan_doubt(p, "the volume is marked dirty: all clusters are kept");
	ntfs_stream_free(&info);
	return 0;
}

/* May the bitmap be believed? */
static int
judge(const struct ntfs *v, struct volmap_plan *p, struct err *err)
{
	int clean = 1;

	if (check_volume_flags(v, p, err) == -1)
		return -1;
	if (!v->src->flushed && (clean = ntfs_log_clean(v, err)) == -1)
		return -1;
	/*
	 * What the log has yet to do was written since the flush, so it stands in none of
	 * the tables, but what was written is known.
	 */
	if (!clean && v->src->written != NULL)
		p->written = v->src->written;
	else if (!clean)
		volmap_plan_doubt(p, "$LogFile is not clean: all clusters are kept");
	return 0;
}

struct looking {
	struct volmap_plan *p;
	struct ntfs_scan *scan;
};

static int
look_at_run(void *arg, const struct volmap_run *run, struct err *err)
{
	struct looking *l = arg;

	return ntfs_candidate_run(l->scan, l->p, run, err);
}

static void
doubt_owners(struct volmap_plan *p)
{
	volmap_plan_doubt(p, "clusters have two owners: all clusters are kept");
}

/*
 * The runs did not fit: what is claimed must be known all the same, since a bit that
 * came late, or was lost, must not make a hole of a file.
 */
static int
look_again(
    const struct ntfs *v, struct volmap_plan *p, struct ntfs_scan *scan, struct err *err)
{
	if (volmap_runs_claim(&p->runs, err) == -1 || ntfs_scan(v, p, scan, err) == -1)
		return -1;
	if (p->runs.crossed)
		doubt_owners(p);
	return 0;
}

static int
owners(const struct ntfs *v, unsigned flags, struct volmap_plan *p,
    struct ntfs_scan *scan, struct err *err)
{
	struct looking looking = { p, scan };
	uint64_t clashes;

	volmap_runs_init(&p->runs, v->boot.clusters, v->boot.cluster_size, &p->limits);
	p->runs.source = (flags & VOLMAP_PLAIN) == 0 ? v->src : NULL;
	if (ntfs_scan(v, p, scan, err) == -1 ||
	    volmap_runs_sort(&p->runs, look_at_run, &looking, &clashes, err) == -1)
		return -1;
	volmap_plan_note_runs(p);
	if (scan->damaged > 0)
		volmap_plan_doubt(p, "the MFT is damaged: all clusters are kept");
	if (clashes > 0)
		doubt_owners(p);
	if (ntfs_exclude(v, p, scan, (flags & VOLMAP_KEEP_ALL) != 0, err) == -1 ||
	    volmap_runs_join(&p->runs, err) == -1)
		return -1;
	volmap_plan_note_runs(p);
	return !p->runs.overflow || p->whole ? 0 : look_again(v, p, scan, err);
}

static int
look(struct bitmap *b, unsigned flags, struct volmap_plan *p, struct err *err)
{
	struct ntfs_scan *scan;
	int got;

	if (open_bitmap(b, p, err) == -1 || judge(&b->v, p, err) == -1)
		return -1;
	if ((scan = malloc(sizeof(*scan))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the MFT");
	got = owners(&b->v, flags, p, scan, err);
	free(scan);
	ntfs_stream_free(&b->v.mft);
	return got;
}

int
ntfs_plan(const struct volmap_source *src, unsigned flags, struct volmap_plan *p,
    struct err *err)
{
	struct ntfs_boot boot;
	struct bitmap *b;
	const char *why;
	int got;

	if ((got = ntfs_boot_read(src, &boot, &why, err)) != 1) {
		if (got == 0 && why != NULL)
			volmap_plan_note(p, why);
		return got;
	}
	if ((b = calloc(1, sizeof(*b))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	b->v.src = src;
	b->v.boot = boot;
	b->runs = &p->runs;
	if ((got = ntfs_mft_open(&b->v, err)) != 1) {
		bitmap_free(b);
		if (got == 0)
			volmap_plan_note(
			    p, "the MFT cannot be read: the whole volume is kept");
		return got;
	}
	p->fs = "ntfs";
	p->base = 0;
	p->clusters = boot.clusters;
	p->cluster_size = boot.cluster_size;
	p->state_arg = b;
	p->state_free = bitmap_free;
	return look(b, flags, p, err) == -1 ? -1 : 1;
}
