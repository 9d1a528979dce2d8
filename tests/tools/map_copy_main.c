/*
 * map_copy - a copy of a volume made from its map alone: what the map calls
 * data is copied into a new sparse file, everything else stays zero.  Proves
 * while it goes that the map keeps its contract: positions grow, not too many
 * pieces lie ahead, and every byte is covered exactly once.
 *
 *	map_copy [--list] [--flushed] [--keep-all] IMAGE [COPY]
 *
 * --list prints every range as "kind offset length chunk", where ranges of one
 * chunk have its number (STREAM, HOLE, EXCLUDED: 0).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/snapshot.h"
#include "agent/map/volmap.h"
#include "proto/base/err.h"

#define COPY_PIECE (1u << 20)

static const char *const kind_name[] = { "hole", "excluded", "stream", "data", "region" };

struct range {
	uint64_t offset, len;
};

struct covered {
	struct range *p;
	size_t count, room;
	uint64_t position; /* Of the last cut. */
	uint64_t sum[5];   /* Bytes of each kind. */
	uint64_t cuts[5], pieces;
};

static struct err err = ERR_INIT;

static void
die(const char *why)
{
	(void)fprintf(
	    stderr, "map_copy: %s%s%s\n", why, err.text[0] != '\0' ? ": " : "", err.text);
	exit(1);
}

static int
read_volume(void *arg, uint64_t offset, void *buf, size_t len, struct err *e)
{
	return snapshot_read(arg, offset, buf, len, e);
}

static void
cover(struct covered *c, uint64_t offset, uint64_t len)
{
	if (len == 0)
		die("an empty range");
	if (c->count == c->room) {
		c->room = c->room * 2 + 1024;
		if ((c->p = realloc(c->p, c->room * sizeof(*c->p))) == NULL)
			die("no memory");
	}
	c->p[c->count].offset = offset;
	c->p[c->count++].len = len;
}

static int
by_offset(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Every byte exactly once, and no 16 MiB with more ranges than a leaf may have. */
static void
prove(struct covered *c, uint64_t size)
{
	uint64_t end = 0, span = 0, in_span = 0;

	qsort(c->p, c->count, sizeof(*c->p), by_offset);
	for (size_t i = 0; i < c->count; i++) {
		if (c->p[i].offset != end)
			die(c->p[i].offset < end ? "bytes covered twice"
						 : "bytes not covered");
		end += c->p[i].len;
		if (c->p[i].offset >> 24 != span)
			in_span = 0;
		span = c->p[i].offset >> 24;
		if (++in_span > 16384)
			die("too many ranges in one span");
	}
	if (end != size)
		die("the cover does not end at the volume's end");
}

static void
copy(struct snapshot_volume *v, int to, uint64_t offset, uint64_t len)
{
	static uint8_t buf[COPY_PIECE];
	size_t n;

	for (; to != -1 && len > 0; offset += n, len -= n) {
		n = len < sizeof(buf) ? (size_t)len : sizeof(buf);
		if (snapshot_read(v, offset, buf, n, &err) == -1)
			die("read");
		if (pwrite(to, buf, n, (off_t)offset) != (ssize_t)n)
			die("write");
	}
}

static void
take(struct covered *c, const struct volmap_cut *cut, struct snapshot_volume *v, int to,
    int list)
{
	uint64_t lowest = UINT64_MAX, sum = 0;
	const struct volmap_piece whole = { cut->offset, 0 };
	const struct volmap_piece *piece = cut->count > 0 ? cut->piece : &whole;
	uint32_t n = cut->count > 0 ? cut->count : 1;

	if (cut->offset < c->position)
		die("positions do not grow");
	c->position = cut->offset;
	c->cuts[cut->kind]++;
	c->sum[cut->kind] += cut->len;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t offset = piece[i].offset;
		uint64_t len = cut->count > 0 ? piece[i].len : cut->len;

		if (list)
			(void)printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			    kind_name[cut->kind], offset, len,
			    cut->count > 0 ? c->cuts[cut->kind] : 0);
		cover(c, offset, len);
		if (cut->count > 0 || cut->kind == VOLMAP_STREAM)
			copy(v, to, offset, len);
		lowest = offset < lowest ? offset : lowest;
		sum += len;
	}
	if (lowest != cut->offset || sum != cut->len ||
	    (cut->kind == VOLMAP_DATA &&
		(sum > VOLMAP_BLOCK || cut->count == 0 || n > VOLMAP_PIECES_MAX)) ||
	    (cut->kind == VOLMAP_REGION && (sum > VOLMAP_REGION_LEN || cut->count == 0 ||
					       n > VOLMAP_REGION_PIECES_MAX)))
		die("a cut contradicts itself");
	c->pieces += cut->count;
}

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
say(const struct volmap *m, const struct covered *c, double opened, double walked)
{
	struct volmap_stats stats;

	volmap_stats(m, &stats);
	(void)fprintf(stderr, "fs %s\nhibernated %d\nnote %s\n", volmap_fs(m),
	    volmap_hibernated(m), volmap_note(m));
	for (int k = 0; k < 5; k++)
		(void)fprintf(stderr, "%s %" PRIu64 " bytes in %" PRIu64 " cuts\n",
		    kind_name[k], c->sum[k], c->cuts[k]);
	(void)fprintf(stderr,
	    "runs %" PRIu64 "\npieces %" PRIu64 "\nmemory %" PRIu64
	    "\nopen %.3f s\nwalk %.3f s\n",
	    stats.runs, c->pieces, stats.memory, opened, walked);
}

int
main(int argc, char **argv)
{
	struct covered c = { 0 };
	struct snapshot *s;
	struct snapshot_volume *v;
	struct volmap *m;
	struct volmap_source source;
	struct volmap_cut cut;
	unsigned flags = 0;
	int i, list = 0, flushed = 0, got, to = -1;
	double start, opened;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		list |= strcmp(argv[i], "--list") == 0;
		flushed |= strcmp(argv[i], "--flushed") == 0;
		flags |= strcmp(argv[i], "--keep-all") == 0 ? VOLMAP_KEEP_ALL : 0;
	}
	if (i == argc)
		die("usage: map_copy [--list] [--flushed] [--keep-all] IMAGE [COPY]");
	if (snapshot_open(snapshot_provider_find("offline"), NULL, &s, &err) == -1 ||
	    snapshot_add(s, argv[i], &v, &err) == -1 || snapshot_freeze(s, 0, &err) == -1)
		die("open");
	source = (struct volmap_source){ .read = read_volume,
		.arg = v,
		.size = snapshot_info(v)->size,
		.sector_size = snapshot_info(v)->sector_size,
		.flushed = flushed };
	if (i + 1 < argc &&
	    ((to = open(argv[i + 1], O_WRONLY | O_CREAT | O_TRUNC, 0644)) == -1 ||
		ftruncate(to, (off_t)source.size) == -1))
		die("cannot create the copy");
	start = seconds();
	if (volmap_open(&source, NULL, flags, &m, &err) == -1)
		die("map");
	opened = seconds();
	while ((got = volmap_next(m, &cut, &err)) == 1)
		take(&c, &cut, v, to, list);
	if (got == -1)
		die("map");
	say(m, &c, opened - start, seconds() - opened);
	prove(&c, source.size);
	volmap_close(m);
	if (snapshot_confirm(s, &err) == -1)
		die("confirm");
	snapshot_close(s);
	free(c.p);
	return to != -1 && close(to) == -1;
}
