/*
 * What ways of cutting, grouping and compressing cost, on images of volumes.
 * usage: cuts_bench [NAME=VALUE...] IMAGE...
 * An IMAGE ending in .delta is one of make-corpus.sh's and changes the image before it.
 * All are taken in order, as points in one store; a line for each says what it added.
 * Values are bytes unless said otherwise:
 *
 *	cut=		map: the map's own cuts; others as in cut_list.h
 *	block=		of cuts at offsets; meta-block= of those in what is no file
 *	min= avg= max=	of cuts by content in files; smin= savg= smax= elsewhere
 *	large= region=	which files are cut by content; where cuts begin anew
 *	alone=1		only regions in one piece
 *	tiny= order=	files that share chunks; disk or mft
 *	group=		plain bytes that a group aims at
 *	reach=		a group ends where a multiple of so many bytes of volume does
 *	window=		bytes of volume for which a restore gets a group once
 *	level=		zstd's, as the codec takes it
 *	params=		WINDOW,CHAIN,HASH,SEARCH,MATCH,TARGET,STRATEGY of zstd at its
 *			own level 3; 0: the level's
 *	split=N		what looks random goes into raw groups of its own; N: how many
 *			thousandths of a bit an octet may fall short of 8
 *	name=		printed in front
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <math.h>
#include <zstd.h>

#include "agent/backup/pipeline_stages.h"
#include "agent/restore/restore_window.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/chunk_id.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "tests/bench/cuts/cut_list.h"

#define FOOTER_ENTRY 44u
#define INDEX_ENTRY 46u

/* What one image, or all, added. */
struct sums {
	uint64_t chunks, fresh, extents;
	uint64_t used, unique;	      /* Plain bytes: of chunks; of new ones. */
	uint64_t groups, stored, raw; /* Groups; their bytes; plain bytes in raw ones. */
	uint64_t nodes, node_stored;  /* New nodes; bytes of their groups. */
	uint64_t fetch; /* Bytes of groups that a restore gets, by windows. */
	double gear, zero, name, probe, pack, unpack, tree;
};

/* A chunk that is known. */
struct known {
	struct chunk_id id; /* All zeros: free. */
	uint32_t group;
};

struct stored_group {
	uint32_t len;	 /* Bytes. */
	uint64_t window; /* Where a restore met it last. */
};

/* A group being filled. */
struct builder {
	uint32_t number;
	uint8_t *plain;
	size_t len;
	uint32_t count;
	int raw;
};

struct bench {
	struct cut_way way;
	size_t target;
	uint64_t reach;	  /* Bytes of volume that a group keeps to; 0: all of it. */
	uint64_t reached; /* Of those the one being taken. */
	int level, split;
	const char *name;
	struct chunk_keys keys;
	struct known *known; /* Open addressing. */
	size_t known_n, known_room;
	struct stored_group *group;
	size_t groups_n, groups_room;
	uint64_t window;  /* Bytes of volume for which a restore gets a group once. */
	uint64_t windows; /* Of all restores so far. */
	uint8_t *image;	  /* The volume as it is now, */
	size_t image_len; /* bytes. */
	struct builder data, data_raw, meta;
	struct codec *codec;
	ZSTD_CCtx *c; /* With params= only. */
	int own_params;
	struct buf packed;
	uint8_t *again;
	struct sums now, all;
};

static void
fail(const char *what)
{
	fprintf(stderr, "cuts_bench: %s\n", what);
	exit(1);
}

static void
must(int ret, const struct err *err)
{
	if (ret != 0)
		fail(err->text);
}

/* ------------------------------------------------------------------- known -- */

static size_t
place(const struct bench *b, const struct chunk_id *id)
{
	static const struct chunk_id none;
	size_t at;

	memcpy(&at, id->b, sizeof(at));
	for (at &= b->known_room - 1;
	     memcmp(&b->known[at].id, &none, sizeof(none)) != 0 &&
	     memcmp(&b->known[at].id, id, sizeof(*id)) != 0;)
		at = (at + 1) & (b->known_room - 1);
	return at;
}

/* Note a name: was it new? */
static int
is_new(struct bench *b, const struct chunk_id *id)
{
	struct known *old = b->known;
	size_t room = b->known_room, at;

	if (2 * b->known_n >= room) {
		b->known_room = room > 0 ? 2 * room : 1 << 16;
		if ((b->known = calloc(b->known_room, sizeof(*b->known))) == NULL)
			fail("no memory");
		for (size_t i = 0; i < room; i++)
			b->known[place(b, &old[i].id)] = old[i];
		free(old);
	}
	at = place(b, id);
	if (memcmp(&b->known[at].id, id, sizeof(*id)) == 0)
		return 0;
	b->known[at].id = *id;
	b->known_n++;
	return 1;
}

/* ------------------------------------------------------------------ groups -- */

/* Compress a group to b->packed: its bytes. */
static size_t
squeeze(struct bench *b, const struct builder *g, struct err *err)
{
	size_t bound = ZSTD_compressBound(g->len);

	buf_clear(&b->packed);
	if (!b->own_params) {
		must(codec_pack(b->codec, b->level, g->plain, g->len, &b->packed, err),
		    err);
		return b->packed.len;
	}
	if (buf_room(&b->packed, bound, err) == NULL)
		fail("no memory");
	bound = ZSTD_compress2(b->c, b->packed.p, bound, g->plain, g->len);
	if (ZSTD_isError(bound))
		fail(ZSTD_getErrorName(bound));
	return bound;
}

static void
close_group(struct bench *b, struct builder *g)
{
	double began = cut_cpu();
	size_t n = g->len, len;
	struct err err = ERR_INIT;

	if (g->count == 0)
		return;
	if (!g->raw)
		n = squeeze(b, g, &err);
	b->now.pack += cut_cpu() - began;
	if (g->len - n < (g->len + 31) / 32 || n > g->len) {
		n = g->len;
		b->now.raw += g == &b->meta ? 0 : n;
	} else {
		began = cut_cpu();
		must(
		    codec_unpack(b->codec, b->packed.p, n, b->again, g->len, &err), &err);
		b->now.unpack += cut_cpu() - began;
		if (memcmp(b->again, g->plain, g->len) != 0)
			fail("a group does not come back");
	}
	len = (GROUP_HEADER_LEN + (size_t)g->count * GROUP_ENTRY_LEN + n + 7) / 8 * 8 +
	      (size_t)g->count * FOOTER_ENTRY;
	if (g == &b->meta) {
		b->now.node_stored += len;
	} else {
		b->now.groups++;
		b->now.stored += len;
	}
	b->group[g->number].len = (uint32_t)len;
	g->len = g->count = 0;
}

static void
open_group(struct bench *b, struct builder *g)
{
	if (b->groups_n == b->groups_room) {
		b->groups_room = 2 * b->groups_room + 1024;
		b->group = realloc(b->group, b->groups_room * sizeof(*b->group));
		if (b->group == NULL)
			fail("no memory");
	}
	g->number = (uint32_t)b->groups_n++;
	b->group[g->number].window = 0;
}

/* A new chunk, that is_new() has noted. */
static void
add_to_group(struct bench *b, struct builder *g, const struct chunk_id *id,
    const uint8_t *p, size_t len)
{
	if (g->count == GROUP_CHUNKS_MAX || g->len >= b->target ||
	    g->len + len > GROUP_PLAIN_MAX)
		close_group(b, g);
	if (g->count == 0)
		open_group(b, g);
	b->known[place(b, id)].group = g->number;
	memcpy(g->plain + g->len, p, len);
	g->len += len;
	g->count++;
}

/* Order-0 entropy of 4096 bytes, 16 pieces spread over the chunk. */
static int
looks_random(const struct bench *b, const uint8_t *p, size_t len)
{
	uint32_t count[256] = { 0 };
	double bits = 0;

	if (len < 4096)
		return 0;
	for (size_t i = 0; i < 16; i++)
		for (size_t k = 0; k < 256; k++)
			count[p[(len - 256) / 15 * i + k]]++;
	for (size_t i = 0; i < 256; i++)
		if (count[i] > 0)
			bits -= count[i] / 4096.0 * log2(count[i] / 4096.0);
	/* 4096 random bytes fall 0.045 short by chance. */
	return bits > 8 - b->split / 1000.0;
}

/* ------------------------------------------------------------------ a volume -- */

static int
on_node(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct bench *b = arg;

	(void)err;
	if (is_new(b, id)) {
		b->now.nodes++;
		add_to_group(b, &b->meta, id, p, len);
	}
	return 0;
}

static int
cmp_extent(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The extents of all cuts, in order, as a tree. */
static void
make_tree(struct bench *b, struct extent *e, size_t n, uint64_t size)
{
	struct tree_root root = {
		.size = size, .sector_size = 512, .fs = "ntfs", .provider = "offline"
	};
	struct tree_builder *t;
	struct err err = ERR_INIT;
	struct chunk_id id;
	double began = cut_cpu();

	qsort(e, n, sizeof(*e), cmp_extent);
	if ((t = tree_builder_new(&b->keys, &root, on_node, b)) == NULL)
		fail("no memory");
	for (size_t i = 0; i < n; i++) {
		struct extent part = e[i];
		uint64_t left = e[i].len, room;

		/* Holes are longer than an extent can be: kept in chunk_len's place. */
		if (part.kind == EXTENT_HOLE || part.kind == EXTENT_EXCLUDED)
			left = (uint64_t)e[i].chunk_len << 32 | e[i].len;
		for (part.chunk_len = part.kind == EXTENT_DATA ? part.chunk_len : 0;
		     left > 0; left -= part.len) {
			room = TREE_SPAN_LEN - part.offset % TREE_SPAN_LEN;
			part.len = (uint32_t)(left < room ? left : room);
			must(tree_builder_add(t, &part, &err), &err);
			part.offset += part.len;
			if (part.kind == EXTENT_DATA)
				part.chunk_offset += part.len;
		}
	}
	must(tree_builder_finish(t, &id, &err), &err);
	tree_builder_free(t);
	b->now.extents += n;
	b->now.tree += cut_cpu() - began;
}

/* What a restore of the volume gets: for each window every group that it touches. */
static void
count_fetched(struct bench *b, const struct extent *e, size_t n)
{
	uint64_t window, last = 0;
	struct stored_group *g;

	for (size_t i = 0; i < n; i++) {
		window = b->windows + e[i].offset / b->window + 1;
		last = window > last ? window : last;
		if (e[i].kind != EXTENT_DATA)
			continue;
		g = &b->group[b->known[place(b, &e[i].id)].group];
		if (g->window != window)
			b->now.fetch += g->len;
		g->window = window;
	}
	b->windows = last;
}

static int
all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && p[len / 2] == 0 && p[len - 1] == 0 &&
	       memcmp(p, p + 1, len - 1) == 0;
}

/* Name one chunk and store it if it is new: the kind of its extents. */
static enum extent_kind
take_chunk(struct bench *b, const uint8_t *p, size_t len, struct chunk_id *id)
{
	double t = cut_cpu(), u;
	int zero = all_zero(p, len), raw;

	b->now.zero += (u = cut_cpu()) - t;
	if (zero)
		return EXTENT_ZERO;
	chunk_id_of(&b->keys, CHUNK_DATA, p, len, id);
	b->now.name += (t = cut_cpu()) - u;
	b->now.chunks++;
	b->now.used += len;
	if (!is_new(b, id))
		return EXTENT_DATA;
	b->now.fresh++;
	b->now.unique += len;
	t = cut_cpu();
	raw = b->split > 0 && looks_random(b, p, len);
	b->now.probe += cut_cpu() - t;
	add_to_group(b, raw ? &b->data_raw : &b->data, id, p, len);
	return EXTENT_DATA;
}

static void
take_volume(struct bench *b, const uint8_t *image, uint64_t size)
{
	uint8_t *gathered = malloc(CHUNK_DATA_MAX);
	struct cut_list l;
	struct extent *e, x;
	size_t n = 0, done;
	const uint8_t *p;

	cut_list_make(&l, &b->way, image, size);
	b->now.gear += l.gear_s;
	if (gathered == NULL || (e = malloc((l.n + l.pieces + 1) * sizeof(*e))) == NULL)
		fail("no memory");
	for (size_t i = 0; i < l.n; i++) {
		const struct cut_entry *c = &l.entry[i];
		const struct volmap_piece *piece = &l.piece[c->piece];

		memset(&x, 0, sizeof(x));
		if (c->kind != VOLMAP_DATA) {
			x.kind = c->kind == VOLMAP_HOLE ? EXTENT_HOLE : EXTENT_EXCLUDED;
			x.offset = c->offset;
			x.len = (uint32_t)c->len;
			x.chunk_len = (uint32_t)(c->len >> 32);
			e[n++] = x;
			continue;
		}
		if (c->len > CHUNK_DATA_MAX)
			fail("a chunk is too long");
		if (b->reach > 0 && c->offset / b->reach != b->reached) {
			b->reached = c->offset / b->reach;
			close_group(b, &b->data);
			close_group(b, &b->data_raw);
		}
		p = image + piece[0].offset;
		for (done = 0; c->count > 1 && done < c->len; piece++, p = gathered) {
			memcpy(gathered + done, image + piece->offset, piece->len);
			done += piece->len;
		}
		piece = &l.piece[c->piece];
		x.kind = take_chunk(b, p, c->len, &x.id);
		x.chunk_len = x.kind == EXTENT_DATA ? (uint32_t)c->len : 0;
		for (uint32_t k = 0; k < c->count; k++) {
			x.offset = piece[k].offset;
			x.len = piece[k].len;
			e[n++] = x;
			x.chunk_offset += x.kind == EXTENT_DATA ? x.len : 0;
		}
	}
	make_tree(b, e, n, size);
	close_group(b, &b->data);
	close_group(b, &b->data_raw);
	close_group(b, &b->meta);
	count_fetched(b, e, n);
	free(e);
	free(gathered);
	cut_list_free(&l);
}

/* ------------------------------------------------------------------- report -- */

static void
report(const struct bench *b, const char *what, const struct sums *s)
{
	double index = (double)(s->fresh + s->nodes) * INDEX_ENTRY;

	printf("%-14s %-15s %7llu %7llu %8.1f %8.2f %7.2f %6.2f %8.2f | %5.2f %5.2f "
	       "%5.2f %5.2f"
	       " %6.2f %5.2f | %6.1f %6llu %7.1f\n",
	    b->name, what, (unsigned long long)s->chunks, (unsigned long long)s->fresh,
	    (double)s->unique / 1e6, (double)s->stored / 1e6,
	    (double)s->node_stored / 1e6, index / 1e6,
	    ((double)(s->stored + s->node_stored) + index) / 1e6, s->gear,
	    s->zero + s->probe, s->name, s->tree, s->pack, s->unpack,
	    (double)s->raw / 1e6, (unsigned long long)s->extents, (double)s->fetch / 1e6);
	fflush(stdout);
}

static void
add(struct sums *a, const struct sums *s)
{
	a->chunks += s->chunks;
	a->fresh += s->fresh;
	a->extents += s->extents;
	a->used += s->used;
	a->unique += s->unique;
	a->groups += s->groups;
	a->stored += s->stored;
	a->raw += s->raw;
	a->nodes += s->nodes;
	a->node_stored += s->node_stored;
	a->fetch += s->fetch;
	a->gear += s->gear;
	a->zero += s->zero;
	a->name += s->name;
	a->probe += s->probe;
	a->pack += s->pack;
	a->unpack += s->unpack;
	a->tree += s->tree;
}

/* An image: a copy in memory that deltas may change. */
static void
load_image(struct bench *b, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd == -1 || fstat(fd, &st) == -1 || st.st_size < 512)
		fail(path);
	if (b->image != NULL)
		munmap(b->image, b->image_len);
	b->image_len = (size_t)st.st_size;
	b->image = mmap(NULL, b->image_len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (b->image == MAP_FAILED)
		fail("cannot map the image");
	close(fd);
}

/* Blocks of 4096 bytes, each after its number (8): make-corpus.sh's churn. */
static void
apply_delta(struct bench *b, const char *path)
{
	uint8_t record[8 + 4096];
	FILE *f = fopen(path, "rb");
	uint64_t at;

	if (f == NULL || b->image == NULL)
		fail(path);
	while (fread(record, sizeof(record), 1, f) == 1) {
		at = load_le64(record) * 4096;
		if (at + 4096 > b->image_len)
			fail(path);
		memcpy(b->image + at, record + 8, 4096);
	}
	fclose(f);
}

static void
take_image(struct bench *b, const char *path)
{
	const char *base = strrchr(path, '/'), *dot = strrchr(path, '.');

	if (dot != NULL && strcmp(dot, ".delta") == 0)
		apply_delta(b, path);
	else
		load_image(b, path);
	memset(&b->now, 0, sizeof(b->now));
	take_volume(b, b->image, b->image_len / 512 * 512);
	report(b, base != NULL ? base + 1 : path, &b->now);
	add(&b->all, &b->now);
}

/* ------------------------------------------------------------------ options -- */

static void
set_params(struct bench *b, const char *text)
{
	static const ZSTD_cParameter which[] = { ZSTD_c_windowLog, ZSTD_c_chainLog,
		ZSTD_c_hashLog, ZSTD_c_searchLog, ZSTD_c_minMatch, ZSTD_c_targetLength,
		ZSTD_c_strategy };
	char *end;

	b->own_params = 1;
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		if (ZSTD_isError(ZSTD_CCtx_setParameter(
			b->c, which[i], (int)strtol(text, &end, 10))))
			fail("params");
		text = *end == ',' ? end + 1 : end;
	}
}

static void
option(struct bench *b, const char *name, size_t len, const char *value)
{
	static const char *const modes[] = { "map", "offset", "cdc", "text", "dense",
		"region", "disk", "raw" };
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = { { "block", &b->way.block }, { "meta-block", &b->way.meta_block },
		{ "min", &b->way.file.min }, { "avg", &b->way.file.average },
		{ "max", &b->way.file.max }, { "smin", &b->way.stream.min },
		{ "savg", &b->way.stream.average }, { "smax", &b->way.stream.max },
		{ "tiny", &b->way.tiny }, { "alone", &b->way.alone } };
	unsigned long long n = strtoull(value, NULL, 10);

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strlen(numbers[i].name) == len &&
		    memcmp(numbers[i].name, name, len) == 0) {
			*numbers[i].to = (uint32_t)n;
			return;
		}
#define IS(word) (len == sizeof(word) - 1 && memcmp(name, word, len) == 0)
	if (IS("cut")) {
		for (unsigned i = 0; i < 8; i++)
			if (strcmp(value, modes[i]) == 0) {
				b->way.mode = (enum cut_mode)i;
				return;
			}
		fail("unknown cut=");
	} else if (IS("large")) {
		b->way.large = n;
	} else if (IS("region")) {
		b->way.region = n;
	} else if (IS("order")) {
		b->way.order = strcmp(value, "mft") == 0 ? TINY_MFT : TINY_DISK;
	} else if (IS("group")) {
		b->target = n;
	} else if (IS("window")) {
		b->window = n;
	} else if (IS("reach")) {
		b->reach = n;
	} else if (IS("split")) {
		b->split = (int)n;
	} else if (IS("name")) {
		b->name = value;
	} else if (IS("level")) {
		b->level = (int)n;
		ZSTD_CCtx_setParameter(b->c, ZSTD_c_compressionLevel, b->level);
	} else if (IS("params")) {
		set_params(b, value);
	} else {
		fail("unknown option");
	}
#undef IS
}

static void
init(struct bench *b)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = "cuts";
	const struct chunker_sizes standard = { CHUNKER_MIN, CHUNKER_AVERAGE,
		CHUNKER_MAX };

	chunk_keys_init(&b->keys, domain);
	b->way.block = b->way.meta_block = VOLMAP_BLOCK;
	b->way.file = b->way.stream = standard;
	b->target = GROUP_PLAIN_TARGET;
	b->reach = PIPELINE_GROUP_REACH;
	b->window = (uint64_t)RESTORE_SPANS_MAX * TREE_SPAN_LEN;
	b->name = "";
	b->c = ZSTD_createCCtx();
	b->codec = codec_new();
	b->packed.max = ZSTD_compressBound(GROUP_PLAIN_MAX);
	b->data.plain = malloc(GROUP_PLAIN_MAX);
	b->data_raw.plain = malloc(GROUP_PLAIN_MAX);
	b->data_raw.raw = 1;
	b->meta.plain = malloc(GROUP_PLAIN_MAX);
	b->again = malloc(GROUP_PLAIN_MAX);
	if (b->c == NULL || b->codec == NULL || b->data.plain == NULL ||
	    b->data_raw.plain == NULL || b->meta.plain == NULL || b->again == NULL)
		fail("no memory");
}

int
main(int argc, char **argv)
{
	struct bench b = { .level = 3 };
	const char *value;
	int images = 0;

	init(&b);
	for (int i = 1; i < argc; i++) {
		value = strchr(argv[i], '=');
		if (value != NULL) {
			option(&b, argv[i], (size_t)(value - argv[i]), value + 1);
			continue;
		}
		if (images++ == 0)
			printf("%-14s %-15s %7s %7s %8s %8s %7s %6s %8s | %5s %5s %5s "
			       "%5s %6s %5s"
			       " | %6s %6s %7s\n",
			    "", "MB, CPU s", "chunks", "new", "new MB", "stored", "nodes",
			    "index", "all MB", "gear", "look", "name", "tree", "pack",
			    "unpck", "raw MB", "extents", "fetched");
		take_image(&b, argv[i]);
	}
	if (images == 0) {
		printf("usage: cuts_bench [NAME=VALUE...] IMAGE... (see ./dev bench "
		       "cuts)\n");
		return 0;
	}
	report(&b, "all", &b.all);
	return 0;
}
