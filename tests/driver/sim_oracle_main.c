/*
 * sim_oracle - may a frozen image be what it is, by what was written?
 *
 *	sim_oracle RECORD CUT VOLUME BASE IMAGE [VOLUME BASE IMAGE ...]
 *
 * RECORD is the simulator's (driver/sim/record.h), CUT the number of a FREEZE in it
 * that succeeded, from 0; BASE a disk as it was before the first record.  Of each sector,
 * or part of one where writes were shorter, the image must have the last write that had
 * ended before FREEZE was called, or one beside or after it that had come before FREEZE
 * returned; and nothing else.  When an image has a write B that ended later, all images
 * must have what had ended before B came: one cut for all.  An image may end before its
 * base does.  One line of facts; exit 1 and a line a sector (ten at most) if that is not
 * so.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/sim/record.h"

#define SECTOR 512u
#define VOLUMES 8u
#define NEVER UINT64_MAX

struct write {
	uint64_t begin, end; /* numbers of records */
	uint64_t offset, length;
	const unsigned char *data; /* NULL: zeros */
};

/* A write in the list of a sector, newest first. */
struct node {
	uint32_t write, next;
};

struct volume_of {
	uint64_t number, length;
	uint64_t judged; /* the image's length: the rest is not asked for */
	const unsigned char *base, *image;
	uint32_t *head; /* by sector; 0: never written */
};

static struct volume_of volume[VOLUMES];
static unsigned volumes;
static struct write *writes;
static struct node *nodes;
static uint32_t writes_count = 1, writes_room, nodes_count = 1, nodes_room;
static uint64_t records, asked, answered;
static uint32_t *write_of; /* by record: 0 or its write */

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "sim_oracle: %s: %s\n", what, why);
	exit(2);
}

static const unsigned char *
map(const char *path, uint64_t *length)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0)
		die(path, "cannot be read, or is empty");
	*length = (uint64_t)st.st_size;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die(path, "cannot be mapped");
	close(fd);
	return p;
}

static void *
grow(void *p, uint32_t count, uint32_t *room, size_t size)
{
	if (count < *room)
		return p;
	*room = *room == 0 ? 65536 : *room * 2;
	p = realloc(p, *room * size);
	if (p == NULL)
		die("memory", "there is none");
	return p;
}

static uint64_t
load(const unsigned char *p, unsigned bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | p[bytes];
	return n;
}

/* ------------------------------------------------------------------- the record -- */

static void
add_write(const unsigned char *head, const unsigned char *data)
{
	uint64_t length = load(head + 4, 4), offset = load(head + 16, 8);
	struct volume_of *v = volume;

	while (v < volume + volumes && v->number != load(head + 8, 8))
		v++;
	if (v == volume + volumes)
		return;
	if (length == 0 || offset > v->length || length > v->length - offset)
		die("record", "a write that is not inside its disk");
	writes = grow(writes, writes_count, &writes_room, sizeof *writes);
	writes[writes_count] = (struct write){ records, NEVER, offset, length, data };
	for (uint64_t s = offset / SECTOR; s <= (offset + length - 1) / SECTOR; s++) {
		nodes = grow(nodes, nodes_count, &nodes_room, sizeof *nodes);
		nodes[nodes_count] = (struct node){ writes_count, v->head[s] };
		v->head[s] = nodes_count++;
	}
	write_of[records] = writes_count++;
}

static void
end_write(const unsigned char *head)
{
	uint64_t begin = load(head + 24, 8);

	if (load(head + 32, 4) != 0)
		die("record", "a write of the host has failed");
	if (begin < records && write_of[begin] != 0)
		writes[write_of[begin]].end = records;
}

static void
read_record(const char *path, unsigned long cut)
{
	uint64_t left, asked_last = NEVER;
	const unsigned char *p = map(path, &left);
	uint32_t room = 0;

	answered = NEVER;
	for (; left >= RECORD_HEAD; records++) {
		uint64_t kind = load(p, 4),
			 data = kind == RECORD_WRITE ? load(p + 4, 4) : 0;

		if (left - RECORD_HEAD < data)
			break; /* is being written */
		write_of = grow(write_of, (uint32_t)records, &room, sizeof *write_of);
		write_of[records] = 0;
		if (kind == RECORD_WRITE || kind == RECORD_ZERO)
			add_write(p, kind == RECORD_WRITE ? p + RECORD_HEAD : NULL);
		else if (kind == RECORD_END)
			end_write(p);
		else if (kind == RECORD_FREEZE)
			asked_last = records;
		else if (kind == RECORD_FROZEN && load(p + 32, 4) == 0 && cut-- == 0) {
			asked = asked_last;
			answered = records;
		} else if (kind != RECORD_FROZEN)
			die(path, "is no record");
		p += RECORD_HEAD + data;
		left -= RECORD_HEAD + data;
	}
	if (answered == NEVER)
		die(path, "has no such FREEZE");
}

/* -------------------------------------------------------------------- the image -- */

static bool
same(const struct write *w, uint64_t from, uint64_t to, const unsigned char *got)
{
	static const unsigned char zeros[SECTOR];
	const unsigned char *data =
	    w->data == NULL ? zeros : w->data + (from - w->offset);

	return memcmp(data, got, to - from) == 0;
}

static bool
covers(const struct write *w, uint64_t from)
{
	return w->offset <= from && from < w->offset + w->length;
}

/*
 * Is there a write that explains these bytes, which each write has all of or none, when
 * all that had ended before "must" has to be there?  *latest becomes the latest begin of
 * one that had not ended before FREEZE was called and must be in the image: the oldest
 * that explains it.
 */
static bool
explained_bytes(const struct volume_of *v, uint64_t from, uint64_t to, uint64_t must,
    uint64_t *latest)
{
	const unsigned char *got = v->image + from;
	uint64_t hides = 0;
	bool any_done = false;
	const struct write *by = NULL;

	for (uint32_t n = v->head[from / SECTOR]; n != 0; n = nodes[n].next) {
		const struct write *w = &writes[nodes[n].write];

		if (!covers(w, from) || w->begin > answered || w->end >= must)
			continue;
		hides = any_done && hides > w->begin ? hides : w->begin;
		any_done = true;
	}
	for (uint32_t n = v->head[from / SECTOR]; n != 0; n = nodes[n].next) {
		const struct write *w = &writes[nodes[n].write];

		if (covers(w, from) && w->begin < answered &&
		    !(w->end < must && w->end < hides) && same(w, from, to, got))
			by = w;
	}
	if (!any_done && memcmp(v->base + from, got, to - from) == 0)
		return true;
	if (by != NULL && by->end > asked && by->begin > *latest)
		*latest = by->begin;
	return by != NULL;
}

/* A sector, in parts where a write has begun or ended inside it. */
static bool
explained(const struct volume_of *v, uint64_t sector, uint64_t must, uint64_t *latest)
{
	uint64_t from = sector * SECTOR, end = from + SECTOR, to;

	for (; from < end; from = to) {
		to = end;
		for (uint32_t n = v->head[sector]; n != 0; n = nodes[n].next) {
			const struct write *w = &writes[nodes[n].write];
			uint64_t edge[2] = { w->offset, w->offset + w->length };

			for (int i = 0; i < 2; i++)
				if (edge[i] > from && edge[i] < to)
					to = edge[i];
		}
		if (!explained_bytes(v, from, to, must, latest))
			return false;
	}
	return true;
}

static uint64_t
check(uint64_t must, uint64_t *latest, bool say)
{
	uint64_t wrong = 0;

	for (struct volume_of *v = volume; v < volume + volumes; v++)
		for (uint64_t s = 0; s < v->judged / SECTOR; s++) {
			if (explained(v, s, must, latest))
				continue;
			if (wrong++ < 10 && say)
				printf("volume %u, sector %llu: nothing that was written "
				       "explains it\n",
				    (unsigned)v->number, (unsigned long long)s);
		}
	return wrong;
}

int
main(int argc, char **argv)
{
	uint64_t must, latest, wrong, beside = 0, length;

	if (argc < 6 || argc % 3 != 0 || (unsigned)argc / 3 - 1 > VOLUMES)
		die("usage", "RECORD CUT VOLUME BASE IMAGE [VOLUME BASE IMAGE ...]");
	for (int i = 3; i < argc; i += 3) {
		struct volume_of *v = &volume[volumes++];

		v->number = strtoul(argv[i], NULL, 10);
		v->base = map(argv[i + 1], &v->length);
		v->image = map(argv[i + 2], &length);
		if (length > v->length || length % SECTOR != 0)
			die(argv[i + 2], "is longer than its base, or no whole sectors");
		v->judged = length;
		v->head = calloc(v->length / SECTOR, sizeof *v->head);
		if (v->head == NULL)
			die("memory", "there is none");
	}
	read_record(argv[1], strtoul(argv[2], NULL, 10));
	for (uint32_t i = 1; i < writes_count; i++)
		beside += writes[i].begin < answered && writes[i].end > asked;
	/* Until the images ask for no more than was asked of them. */
	for (must = latest = asked;; must = latest) {
		wrong = check(must, &latest, false);
		if (wrong != 0 || latest <= must)
			break;
	}
	if (wrong != 0)
		check(must, &latest, true);
	printf("%llu records, %u writes, %llu beside the cut, wrong sectors: %llu\n",
	    (unsigned long long)records, writes_count - 1, (unsigned long long)beside,
	    (unsigned long long)wrong);
	return wrong != 0;
}
