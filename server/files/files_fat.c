#include "server/files/files_fs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/map/fat.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "server/files/files_text.h"

/*
 * Offset	Size	Entry of a directory
 * 0		11	name, padded with spaces
 * 11		1	attributes; 0x0f: a part of a long name
 * 12		1	0x08, 0x10: name, extension are small letters
 * 18		2	date of the last access
 * 20		2	first cluster, high (FAT32)
 * 22		4	time and date of the last change
 * 26		2	first cluster, low
 * 28		4	bytes
 */
#define ENTRY 32u
#define DIR_ENTRIES_MAX 65536u
#define IS_LABEL 0x08u
#define IS_DIR 0x10u
#define IS_LONG 0x0Fu
#define LONG_UNITS 260u /* 20 parts of 13. */
#define WINDOW 65536u	/* Bytes of the table at once. */

/*
 * A file is known by the byte where its entry lies, a directory by its first cluster: a
 * loop ends where it began.  0 there is the root of FAT12 and FAT16.
 */
#define DIR_REF (1ull << 63)

struct fat_fs {
	struct files_fs fs; /* First. */
	struct files_bytes bytes;
	struct fat_boot boot;
	uint64_t table_at, root_at; /* Of the table in use; of a root without clusters. */
	uint32_t root_entries;
	uint64_t window_at; /* UINT64_MAX: nothing is in it. */
	size_t window_len;
	uint8_t window[WINDOW];
};

/* A chain of clusters, read forward. */
struct chain {
	struct fat_fs *f;
	uint32_t first, at;
	uint64_t index; /* `at` is the cluster so many after `first`. */
};

struct files_open {
	struct chain chain;
};

/* ------------------------------------------------------------------- the table -- */

static int
read_bytes(struct fat_fs *f, uint64_t at, void *out, size_t len, struct err *err)
{
	if (at > f->bytes.size || len > f->bytes.size - at)
		return err_set(err, ERR_CORRUPT, "it lies past the end of the volume");
	return f->bytes.read(f->bytes.arg, at, out, len, err);
}

/* Have the table's bytes [at, at + 4) in the window, or as many as there are. */
static int
slide(struct fat_fs *f, uint64_t at, struct err *err)
{
	uint64_t left;

	if (at >= f->window_at && at + 4 <= f->window_at + f->window_len)
		return 0;
	f->window_at = UINT64_MAX;
	left = f->boot.table_size - at;
	f->window_len = left < WINDOW ? (size_t)left : WINDOW;
	memset(f->window, 0, 4);
	if (read_bytes(f, f->table_at + at, f->window, f->window_len, err) != 0)
		return -1;
	f->window_at = at;
	return 0;
}

static int
is_cluster(const struct fat_fs *f, uint32_t cluster)
{
	return cluster >= 2 && cluster - 2 < f->boot.clusters;
}

/* What follows on `cluster`, which is one; what is none ends a chain. */
static int
next_cluster(struct fat_fs *f, uint32_t cluster, uint32_t *out, struct err *err)
{
	uint64_t at = (uint64_t)cluster * f->boot.bits / 8;
	const uint8_t *p;

	if (slide(f, at, err) != 0)
		return -1;
	p = f->window + (at - f->window_at);
	if (f->boot.bits == 32)
		*out = load_le32(p) & 0x0FFFFFFF;
	else if (f->boot.bits == 16)
		*out = load_le16(p);
	else
		*out = cluster % 2 != 0 ? load_le16(p) >> 4 : load_le16(p) & 0x0FFF;
	return 0;
}

/* ERR_CORRUPT if the chain ends before. */
static int
chain_seek(struct chain *c, uint64_t index, struct err *err)
{
	if (index < c->index) {
		c->at = c->first;
		c->index = 0;
	}
	for (; c->index < index && is_cluster(c->f, c->at); c->index++)
		if (next_cluster(c->f, c->at, &c->at, err) != 0)
			return -1;
	if (!is_cluster(c->f, c->at))
		return err_set(err, ERR_CORRUPT, "a file ends too early");
	return 0;
}

static uint64_t
cluster_at(const struct fat_fs *f, uint32_t cluster)
{
	return f->boot.data_at + (uint64_t)(cluster - 2) * f->boot.cluster_size;
}

static int
fat_read(struct files_open *o, uint64_t offset, void *out, size_t len, struct err *err)
{
	struct chain *c = &o->chain;
	uint32_t size = c->f->boot.cluster_size;
	uint8_t *to = out;

	while (len > 0) {
		uint32_t within = (uint32_t)(offset % size), next;
		uint64_t n = size - within, begin;

		if (chain_seek(c, offset / size, err) != 0)
			return -1;
		begin = cluster_at(c->f, c->at) + within;
		/* Neighbours in one read. */
		while (n < len) {
			if (next_cluster(c->f, c->at, &next, err) != 0)
				return -1;
			if (next != c->at + 1 || !is_cluster(c->f, next))
				break;
			c->at = next;
			c->index++;
			n += size;
		}
		if (n > len)
			n = len;
		if (read_bytes(c->f, begin, to, (size_t)n, err) != 0)
			return -1;
		to += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------------- directories -- */

/* A long name as its parts come, the last first. */
struct long_name {
	uint8_t units[2 * LONG_UNITS];
	unsigned due;	/* The number of the part that comes next; 0: all came. */
	unsigned parts; /* 0: there is none. */
	uint8_t sum;
};

static void
long_part(struct long_name *l, const uint8_t *e)
{
	unsigned n = e[0] & 0x1Fu;
	uint8_t *to;

	if ((e[0] & 0x40) != 0) {
		l->parts = l->due = n <= 20 ? n : 0;
		l->sum = e[13];
	}
	if (n == 0 || n != l->due || l->parts == 0 || e[13] != l->sum) {
		l->parts = 0;
		return;
	}
	to = l->units + 26 * (n - 1);
	memcpy(to, e + 1, 10);
	memcpy(to + 10, e + 14, 12);
	memcpy(to + 22, e + 28, 4);
	l->due--;
}

static uint8_t
sum_of(const uint8_t *name)
{
	uint8_t sum = 0;

	for (int i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + name[i]);
	return sum;
}

/*
 * Of the eight and three.  Which code page they are in nobody knows: what is no ASCII
 * becomes a character of Unicode's private use, so that no two names become one.
 */
static size_t
short_part(const uint8_t *p, size_t n, int small, uint8_t *units)
{
	while (n > 0 && p[n - 1] == ' ')
		n--;
	for (size_t i = 0; i < n; i++) {
		uint16_t c = p[i];

		if (small && c >= 'A' && c <= 'Z')
			c = (uint16_t)(c + 'a' - 'A');
		store_le16(
		    units + 2 * i, c < 0x20 || c >= 0x7F ? (uint16_t)(0xF000 + c) : c);
	}
	return n;
}

static int
name_of(const struct long_name *l, const uint8_t *e, char out[FILES_NAME_MAX])
{
	uint8_t units[2 * 12];
	size_t n = 0, ext;

	if (l->parts > 0 && l->due == 0 && l->sum == sum_of(e)) {
		while (n < l->parts * 13 && load_le16(l->units + 2 * n) != 0)
			n++;
		if (n > 0)
			return files_text_from_utf16(l->units, n, out, FILES_NAME_MAX);
	}
	n = short_part(e, 8, e[12] & 0x08, units);
	if (n > 0 && e[0] == 0x05)
		store_le16(units, 0xF000 + 0xE5);
	ext = short_part(e + 8, 3, e[12] & 0x10, units + 2 * (n + 1));
	if (ext > 0) {
		store_le16(units + 2 * n, '.');
		n += 1 + ext;
	}
	return n == 0 ? -1 : files_text_from_utf16(units, n, out, FILES_NAME_MAX);
}

static uint32_t
first_cluster(const struct fat_fs *f, const uint8_t *e)
{
	uint32_t high = f->boot.bits == 32 ? load_le16(e + 20) : 0;

	return (high & 0x0FFF) << 16 | load_le16(e + 26);
}

/* Where entry `i` of a directory lies; 1: there is none any more. */
static int
entry_at(struct fat_fs *f, struct chain *c, uint32_t i, uint64_t *at, struct err *err)
{
	uint64_t offset = (uint64_t)i * ENTRY, index = offset / f->boot.cluster_size;

	if (c->first == 0) {
		*at = f->root_at + offset;
		return i >= f->root_entries;
	}
	for (; c->index < index && is_cluster(f, c->at); c->index++)
		if (next_cluster(f, c->at, &c->at, err) != 0)
			return -1;
	if (!is_cluster(f, c->at))
		return i == 0 ? err_set(err, ERR_CORRUPT, "a directory has no place") : 1;
	*at = cluster_at(f, c->at) + offset % f->boot.cluster_size;
	return 0;
}

static int
fat_list(struct files_fs *fs, uint64_t dir,
    int (*each)(void *arg, const char *name, uint64_t ref), void *arg, struct err *err)
{
	struct fat_fs *f = (struct fat_fs *)fs;
	struct chain c = { f, (uint32_t)dir, (uint32_t)dir, 0 };
	struct long_name l = { .parts = 0 };
	char name[FILES_NAME_MAX];
	uint8_t block[512];
	uint64_t at = 0, have = UINT64_MAX;
	int rc = 0;

	if ((dir & DIR_REF) == 0)
		return err_set(err, ERR_NOTFOUND, "not a directory");
	for (uint32_t i = 0; i < DIR_ENTRIES_MAX && rc == 0; i++) {
		const uint8_t *e;

		if ((rc = entry_at(f, &c, i, &at, err)) != 0)
			return rc < 0 ? -1 : 0;
		/* Sectors have 512 bytes or more. */
		if (have != at / 512 * 512 &&
		    read_bytes(f, have = at / 512 * 512, block, 512, err) != 0)
			return -1;
		e = block + at % 512;
		if (e[0] == 0)
			break;
		if (e[0] != 0xE5 && (e[11] & 0x3F) == IS_LONG) {
			long_part(&l, e);
			continue;
		}
		if (e[0] != 0xE5 && e[0] != '.' && (e[11] & IS_LABEL) == 0 &&
		    name_of(&l, e, name) == 0)
			rc = each(arg, name, at);
		l.parts = 0;
	}
	return rc;
}

struct looking {
	const char *name;
	uint64_t exact, other; /* 0: not seen. */
};

static int
look(void *arg, const char *name, uint64_t ref)
{
	struct looking *l = arg;

	if (strcmp(name, l->name) == 0)
		l->exact = ref;
	else if (l->other == 0 && strcasecmp(name, l->name) == 0)
		l->other = ref;
	return l->exact != 0;
}

static int
fat_stat(struct files_fs *fs, uint64_t ref, struct files_node *out, struct err *err);

static int
fat_lookup(
    struct files_fs *fs, uint64_t dir, const char *name, uint64_t *ref, struct err *err)
{
	struct looking l = { name, 0, 0 };
	struct files_node *n;
	int rc;

	if (fat_list(fs, dir, look, &l, err) < 0)
		return -1;
	if (l.exact == 0 && l.other == 0)
		return err_set(err, ERR_NOTFOUND, "no such file");
	if ((n = malloc(sizeof(*n))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = fat_stat(fs, l.exact != 0 ? l.exact : l.other, n, err);
	*ref = n->ref;
	free(n);
	return rc;
}

/* ------------------------------------------------------------------------- files -- */

/* In this machine's time zone, as nobody knows the other's. */
static struct timespec
time_of(uint16_t date, uint16_t time)
{
	struct tm tm = { .tm_year = (date >> 9) + 80,
		.tm_mon = (date >> 5 & 0xF) - 1,
		.tm_mday = date & 0x1F,
		.tm_hour = time >> 11,
		.tm_min = time >> 5 & 0x3F,
		.tm_sec = 2 * (time & 0x1F),
		.tm_isdst = -1 };

	return (struct timespec){ date != 0 ? mktime(&tm) : 0, 0 };
}

static int
fat_stat(struct files_fs *fs, uint64_t ref, struct files_node *out, struct err *err)
{
	struct fat_fs *f = (struct fat_fs *)fs;
	uint8_t e[ENTRY];

	memset(out, 0, sizeof(*out));
	out->ref = ref;
	out->links = 1;
	out->kind = FILES_DIR;
	if ((ref & DIR_REF) != 0)
		return 0;
	if (read_bytes(f, ref, e, sizeof(e), err) != 0)
		return -1;
	if ((e[11] & IS_DIR) != 0) {
		out->ref = DIR_REF | first_cluster(f, e);
		if (first_cluster(f, e) == 0)
			return err_set(err, ERR_CORRUPT, "a directory has no place");
	} else {
		out->kind = FILES_FILE;
		out->size = load_le32(e + 28);
	}
	out->flags = e[11] & (FILES_READONLY | FILES_HIDDEN | FILES_SYSTEM);
	out->modified = time_of(load_le16(e + 24), load_le16(e + 22));
	out->accessed = time_of(load_le16(e + 18), 0);
	return 0;
}

static int
fat_streams(struct files_fs *fs, uint64_t ref,
    int (*each)(void *arg, const char *name, uint64_t size), void *arg, struct err *err)
{
	(void)fs, (void)ref, (void)each, (void)arg, (void)err;
	return 0;
}

static int
fat_open(struct files_fs *fs, uint64_t ref, const char *stream, struct files_open **out,
    uint64_t *size, struct err *err)
{
	struct fat_fs *f = (struct fat_fs *)fs;
	struct files_open *o;
	uint8_t e[ENTRY];

	if (stream != NULL || (ref & DIR_REF) != 0)
		return err_set(err, ERR_NOTFOUND, "no such stream");
	if (read_bytes(f, ref, e, sizeof(e), err) != 0)
		return -1;
	if ((o = calloc(1, sizeof(*o))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	o->chain = (struct chain){ f, first_cluster(f, e), first_cluster(f, e), 0 };
	*size = load_le32(e + 28);
	*out = o;
	return 0;
}

static void
fat_end(struct files_open *o)
{
	free(o);
}

static void
fat_close(struct files_fs *fs)
{
	free(fs);
}

static const struct files_fs_ops fat_ops = { .close = fat_close,
	.lookup = fat_lookup,
	.list = fat_list,
	.stat = fat_stat,
	.streams = fat_streams,
	.open = fat_open,
	.read = fat_read,
	.end = fat_end };

int
files_fat_open(const struct files_bytes *bytes, struct files_fs **out, struct err *err)
{
	struct fat_fs *f = calloc(1, sizeof(*f));
	uint8_t p[512];

	*out = NULL;
	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->bytes = *bytes;
	f->window_at = UINT64_MAX;
	if (bytes->size < sizeof(p) || read_bytes(f, 0, p, sizeof(p), err) != 0 ||
	    !fat_boot_parse(p, bytes->size, &f->boot)) {
		free(f);
		return err->code != ERR_NONE ? -1 : 0;
	}
	f->fs.ops = &fat_ops;
	f->table_at = f->boot.table_at;
	f->root_at = f->boot.table_at + f->boot.tables * f->boot.table_size;
	f->root_entries = load_le16(p + 17);
	f->fs.root = DIR_REF;
	if (f->boot.bits == 32) {
		if (!is_cluster(f, load_le32(p + 44))) {
			free(f);
			return err_set(
			    err, ERR_CORRUPT, "the root directory has no place");
		}
		f->fs.root |= load_le32(p + 44);
		/* Only one of the tables may be kept. */
		if ((p[40] & 0x80) != 0 && (p[40] & 0x0Fu) < f->boot.tables)
			f->table_at += (p[40] & 0x0Fu) * f->boot.table_size;
	}
	*out = &f->fs;
	return 0;
}
