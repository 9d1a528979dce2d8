#include "tests/bench/cuts/cut_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/map/volmap_dense.h"
#include "agent/map/volmap_plan.h"
#include "proto/base/err.h"

/* What shares a chunk with others is at most so long together. */
#define TINY_CHUNK 65536u

/* Where bytes of a file lie. */
struct part {
	uint64_t in_file, offset, len;
};

struct tiny {
	uint32_t owner;
	struct volmap_piece piece;
};

struct maker {
	struct cut_list *l;
	const struct cut_way *way;
	const uint8_t *image;
	uint64_t size;
	struct part *part; /* Of the file in hand. */
	size_t parts, parts_room;
	struct tiny *tiny;
	size_t tinies, tiny_room;
	uint8_t *bytes; /* A range of the file in hand. */
	size_t bytes_room;
};

double
cut_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *
grown(void *p, size_t *room, size_t need, size_t each)
{
	if (need <= *room)
		return p;
	*room = need + need / 2 + 1024;
	if ((p = realloc(p, *room * each)) == NULL) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	return p;
}

static void
must(int ret, const struct err *err)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "%s: %s\n", err_name(err->code), err->text);
	exit(1);
}

static void
add_entry(struct cut_list *l, enum volmap_kind kind, uint64_t offset, uint64_t len,
    uint32_t count)
{
	l->entry = grown(l->entry, &l->room, l->n + 1, sizeof(*l->entry));
	l->entry[l->n++] =
	    (struct cut_entry){ kind, offset, len, (uint32_t)l->pieces - count, count };
}

static void
add_piece(struct cut_list *l, uint64_t offset, uint64_t len)
{
	l->piece = grown(l->piece, &l->pieces_room, l->pieces + 1, sizeof(*l->piece));
	l->piece[l->pieces++] = (struct volmap_piece){ offset, (uint32_t)len };
}

/* One chunk of the file's bytes [from, to), which lie in the parts. */
static void
add_chunk(struct maker *m, uint64_t from, uint64_t to)
{
	uint64_t lowest = UINT64_MAX, a, b;
	uint32_t count = 0;

	for (size_t i = 0; i < m->parts && m->part[i].in_file < to; i++) {
		a = m->part[i].in_file > from ? m->part[i].in_file : from;
		b = m->part[i].in_file + m->part[i].len;
		b = b < to ? b : to;
		if (a >= b)
			continue;
		add_piece(m->l, m->part[i].offset + (a - m->part[i].in_file), b - a);
		if (m->l->piece[m->l->pieces - 1].offset < lowest)
			lowest = m->l->piece[m->l->pieces - 1].offset;
		count++;
	}
	add_entry(m->l, VOLMAP_DATA, lowest, to - from, count);
}

/* Bytes of no owner, which lie together. */
static void
cut_stream(struct maker *m, uint64_t offset, uint64_t len)
{
	double began = cut_cpu();
	size_t n;

	for (; len > 0; offset += n, len -= n) {
		n = chunker_cut_sized(&m->way->stream, m->image + offset, len, 1);
		add_piece(m->l, offset, n);
		add_entry(m->l, VOLMAP_DATA, offset, n, 1);
	}
	m->l->gear_s += cut_cpu() - began;
}

/* ------------------------------------------------------------------ files -- */

/* Nothing but text, to the eye; or the header of a tar archive. */
static int
like_text(const uint8_t *p, size_t len)
{
	if (len >= 512 && memcmp(p + 257, "ustar", 5) == 0)
		return 1;
	if (len >= 2 && p[0] == 0xff && p[1] == 0xfe)
		return 1;
	for (size_t i = 0; i < len; i++)
		if (p[i] < 32 && (p[i] < 8 || p[i] > 13) && p[i] != 27)
			return 0;
	return len > 0;
}

/* The file's bytes [from, to) by content. */
static void
cut_range(struct maker *m, uint64_t from, uint64_t to)
{
	uint64_t len = to - from, at = 0, end, region = m->way->region;
	double began;
	size_t n;

	m->bytes = grown(m->bytes, &m->bytes_room, len, 1);
	for (size_t i = 0; i < m->parts; i++) {
		uint64_t a = m->part[i].in_file > from ? m->part[i].in_file : from;
		uint64_t b = m->part[i].in_file + m->part[i].len;

		b = b < to ? b : to;
		if (a < b)
			memcpy(m->bytes + (a - from),
			    m->image + m->part[i].offset + (a - m->part[i].in_file),
			    b - a);
	}
	while (at < len) {
		end = region == 0 ? len : ((from + at) / region + 1) * region - from;
		end = end < len ? end : len;
		began = cut_cpu();
		n = chunker_cut_sized(&m->way->file, m->bytes + at, end - at, 1);
		m->l->gear_s += cut_cpu() - began;
		add_chunk(m, from + at, from + at + n);
		at += n;
	}
}

static void
cut_blocks(struct maker *m, uint64_t from, uint64_t to, uint32_t block)
{
	uint64_t next;

	for (; from < to; from = next) {
		next = (from / block + 1) * block;
		next = next < to ? next : to;
		add_chunk(m, from, next);
	}
}

/* Each region as its own beginning says; with `alone` only those in one piece. */
static void
cut_regions(struct maker *m, uint64_t from, uint64_t to, uint32_t block)
{
	uint64_t next, size = m->way->region;
	const struct part *p;

	for (; from < to; from = next) {
		next = (from / size + 1) * size;
		next = next < to ? next : to;
		for (p = m->part; p->in_file + p->len <= from; p++)
			continue;
		if (next - from >= m->way->large &&
		    (!m->way->alone || p->in_file + p->len >= next) &&
		    volmap_dense_bytes(
			m->image + p->offset + (from - p->in_file), 4096)) {
			m->l->by_content++;
			cut_range(m, from, next);
		} else {
			cut_blocks(m, from, next, block);
		}
	}
}

static int
by_content(const struct maker *m, uint64_t len)
{
	uint64_t head = m->part[0].len < 4096 ? m->part[0].len : 4096;

	const uint8_t *p = m->image + m->part[0].offset;

	if (len < m->way->large || len == 0)
		return 0;
	switch (m->way->mode) {
	case CUT_CDC:
		return 1;
	case CUT_TEXT:
		return like_text(p, head);
	case CUT_DENSE:
		return volmap_dense_bytes(p, head);
	default:
		return 0;
	}
}

static void
cut_file(struct maker *m, const struct volmap_run *run)
{
	uint64_t end = m->part[m->parts - 1].in_file + m->part[m->parts - 1].len;
	uint32_t block =
	    run->flags & VOLMAP_RUN_FILE ? m->way->block : m->way->meta_block;
	size_t first = 0, i;
	int content = by_content(m, end);

	m->l->files++;
	m->l->by_content += (uint64_t)content;
	if (end < m->way->tiny && m->parts == 1 && run->flags & VOLMAP_RUN_FILE) {
		m->tiny = grown(m->tiny, &m->tiny_room, m->tinies + 1, sizeof(*m->tiny));
		m->tiny[m->tinies++] = (struct tiny){ run->owner,
			{ m->part[0].offset, (uint32_t)m->part[0].len } };
		return;
	}
	for (i = 1; i <= m->parts; i++) {
		if (i < m->parts &&
		    m->part[i - 1].in_file + m->part[i - 1].len == m->part[i].in_file)
			continue;
		end = m->part[i - 1].in_file + m->part[i - 1].len;
		if (m->way->mode == CUT_REGION)
			cut_regions(m, m->part[first].in_file, end, block);
		else if (content)
			cut_range(m, m->part[first].in_file, end);
		else
			cut_blocks(m, m->part[first].in_file, end, block);
		first = i;
	}
}

static int
cmp_tiny(const void *a, const void *b)
{
	const struct tiny *x = a, *y = b;

	return (x->piece.offset > y->piece.offset) - (x->piece.offset < y->piece.offset);
}

/* Tiny files share chunks, as they come in the table (MFT) or on the disk. */
static void
cut_tiny(struct maker *m)
{
	uint64_t sum = 0, lowest = UINT64_MAX;
	uint32_t count = 0;

	if (m->way->order == TINY_DISK && m->tinies > 0)
		qsort(m->tiny, m->tinies, sizeof(*m->tiny), cmp_tiny);
	for (size_t i = 0; i < m->tinies; i++) {
		add_piece(m->l, m->tiny[i].piece.offset, m->tiny[i].piece.len);
		sum += m->tiny[i].piece.len;
		count++;
		if (m->tiny[i].piece.offset < lowest)
			lowest = m->tiny[i].piece.offset;
		if (i + 1 < m->tinies && sum + m->tiny[i + 1].piece.len <= TINY_CHUNK)
			continue;
		add_entry(m->l, VOLMAP_DATA, lowest, sum, count);
		sum = count = 0;
		lowest = UINT64_MAX;
	}
}

static int
along_files(const void *a, const void *b)
{
	const struct volmap_run *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	return (x->vcn > y->vcn) - (x->vcn < y->vcn);
}

/* The runs that the walk would cut as a file's, along the files. */
static struct volmap_run *
file_runs(struct volmap_runs *r, size_t *n)
{
	const uint32_t out =
	    VOLMAP_RUN_TAIL | VOLMAP_RUN_SHORT | VOLMAP_RUN_CLASH | VOLMAP_RUN_EXCLUDED;
	struct volmap_run *run = NULL, one;
	struct err err = ERR_INIT;
	size_t room = 0;
	int more;

	for (*n = 0; (more = volmap_runs_next(r, &one, &err)) == 1;)
		if ((one.flags & out) == 0) {
			run = grown(run, &room, *n + 1, sizeof(*run));
			run[(*n)++] = one;
		}
	must(more, &err);
	if (*n > 0)
		qsort(run, *n, sizeof(*run), along_files);
	return run;
}

static void
cut_files(struct maker *m, struct volmap_runs *r)
{
	uint64_t size = r->cluster_size;
	struct volmap_run *run, *first = NULL;
	size_t n;

	run = file_runs(r, &n);
	for (size_t i = 0; i < n; i++) {
		if (first == NULL || !volmap_marks_same(first, &run[i])) {
			if (m->parts > 0)
				cut_file(m, first);
			m->parts = 0;
			first = &run[i];
		}
		m->part = grown(m->part, &m->parts_room, m->parts + 1, sizeof(*m->part));
		m->part[m->parts++] = (struct part){ run[i].vcn * size, run[i].lcn * size,
			volmap_runs_valid(r, &run[i]) };
	}
	if (m->parts > 0)
		cut_file(m, first);
	cut_tiny(m);
	free(run);
}

/* -------------------------------------------------------------- the volume -- */

static int
read_image(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	const struct maker *m = arg;

	(void)err;
	memcpy(buf, m->image + offset, len);
	return 0;
}

static int
cmp_piece(const void *a, const void *b)
{
	const struct volmap_piece *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int
cmp_entry(const void *a, const void *b)
{
	const struct cut_entry *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* What the map calls used, in the order of the disk, whoever owns it. */
static void
cut_disk(struct maker *m, struct volmap_piece *p, size_t n)
{
	uint64_t from, to;

	if (n > 0)
		qsort(p, n, sizeof(*p), cmp_piece);
	for (size_t i = 0; i < n;) {
		from = p[i].offset;
		to = from + p[i].len;
		for (i++; i < n && p[i].offset == to; i++)
			to += p[i].len;
		cut_stream(m, from, to - from);
	}
}

/* A region of the map's, cut as the agent's hasher does. */
static void
cut_region(struct maker *m, const struct volmap_cut *c)
{
	uint64_t done = 0;

	m->parts = 0;
	m->part = grown(m->part, &m->parts_room, c->count, sizeof(*m->part));
	for (uint32_t i = 0; i < c->count; i++) {
		m->part[m->parts++] =
		    (struct part){ done, c->piece[i].offset, c->piece[i].len };
		done += c->piece[i].len;
	}
	cut_range(m, 0, done);
	m->parts = 0;
}

/* The real map's cuts: what is no file's at once, a file's as the way says. */
static void
take_map(struct maker *m, struct volmap *map)
{
	struct cut_list used = { 0 };
	struct volmap_cut c;
	struct err err = ERR_INIT;
	uint64_t len;
	int got;

	while ((got = volmap_next(map, &c, &err)) == 1) {
		if (c.kind == VOLMAP_HOLE || c.kind == VOLMAP_EXCLUDED) {
			add_entry(m->l, c.kind, c.offset, c.len, 0);
		} else if (m->way->mode == CUT_DISK) {
			for (uint32_t i = 0; i < c.count; i++)
				add_piece(&used, c.piece[i].offset, c.piece[i].len);
			for (; c.count == 0 && c.len > 0; c.offset += len, c.len -= len) {
				len = c.len < 1u << 30 ? c.len : 1u << 30;
				add_piece(&used, c.offset, len);
			}
		} else if (c.kind == VOLMAP_STREAM) {
			cut_stream(m, c.offset, c.len);
		} else if (m->way->mode == CUT_MAP && c.kind == VOLMAP_REGION) {
			cut_region(m, &c);
		} else if (m->way->mode == CUT_MAP) {
			for (uint32_t i = 0; i < c.count; i++)
				add_piece(m->l, c.piece[i].offset, c.piece[i].len);
			add_entry(m->l, VOLMAP_DATA, c.offset, c.len, c.count);
		}
	}
	must(got, &err);
	cut_disk(m, used.piece, used.pieces);
	cut_list_free(&used);
}

/* The map's cuts of what is no file's, and the plan's files cut anew. */
static void
take_plan(struct maker *m, const struct volmap_source *src)
{
	struct volmap_plan plan = { .limits = { VOLMAP_MEMORY, NULL } };
	struct err err = ERR_INIT;
	int known = ntfs_plan(src, 0, &plan, &err);

	must(known, &err);
	if (known == 1)
		cut_files(m, &plan.runs);
	volmap_plan_free(&plan);
}

void
cut_list_make(
    struct cut_list *l, const struct cut_way *way, const uint8_t *image, uint64_t size)
{
	struct maker m = { l, way, image, size, .parts = 0 };
	struct volmap_source src = {
		.read = read_image, .arg = &m, .size = size, .sector_size = 512
	};
	struct err err = ERR_INIT;
	struct volmap *map;

	memset(l, 0, sizeof(*l));
	must(volmap_open(&src, NULL, way->mode == CUT_RAW ? VOLMAP_WHOLE : 0, &map, &err),
	    &err);
	take_map(&m, map);
	volmap_close(map);
	if (way->mode != CUT_MAP && way->mode != CUT_DISK && way->mode != CUT_RAW)
		take_plan(&m, &src);
	qsort(l->entry, l->n, sizeof(*l->entry), cmp_entry);
	free(m.part);
	free(m.tiny);
	free(m.bytes);
}

void
cut_list_free(struct cut_list *l)
{
	free(l->entry);
	free(l->piece);
	memset(l, 0, sizeof(*l));
}
