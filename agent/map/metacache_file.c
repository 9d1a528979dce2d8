#include "agent/map/metacache_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/metacache.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

#define CACHED 16u /* Tables held at a time. */
#define GROUP_LEN (METACACHE_TABLES * METACACHE_TABLE)
#define LOOK_EVERY 256u /* New slots until the file system's room is asked for again. */

struct table {
	int has, dirty;
	uint32_t n;
	uint8_t p[METACACHE_TABLE];
};

struct metacache_file {
	char *path;
	uint32_t most; /* Slots. */
	uint8_t key[METACACHE_KEY];
	uint8_t ones[METACACHE_HASH]; /* The hash of a grain of ones. */
	struct file *f;		      /* NULL: nothing is kept. */
	int full;		      /* No room for a new slot, or for any byte. */
	int broken;
	int whole; /* After a run: it may be sealed. */
	uint64_t written;

	/* Of each slot; `room` of them. */
	uint32_t slots, room, next_free;
	uint32_t *page;
	uint16_t *known, *used;
	uint32_t *index; /* Slot + 1 by page: open addressing, mask + 1 places. */
	uint32_t mask;
	struct table *tables; /* CACHED of them, by n % CACHED. */
};

int
metacache_file_new(
    const char *path, uint64_t max, struct metacache_file **out, struct err *err)
{
	struct metacache_file *m = calloc(1, sizeof(*m));

	if (m == NULL || (m->path = malloc(strlen(path) + 1)) == NULL) {
		free(m);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	strcpy(m->path, path);
	/* Whole tables; what a header and tables take themselves is not worth counting. */
	max = max / METACACHE_PAGE / METACACHE_SLOTS;
	max = max == 0 ? 1 : max;
	if (max > METACACHE_HEADS / METACACHE_SLOTS)
		max = METACACHE_HEADS / METACACHE_SLOTS;
	m->most = METACACHE_SLOTS * (uint32_t)max;
	*out = m;
	return 0;
}

/* Forget the run, but for which slots were used if `but_used`. */
static void
let_go(struct metacache_file *m, int but_used)
{
	if (m->f != NULL)
		file_close(m->f);
	m->f = NULL;
	free(m->page);
	free(m->known);
	free(m->index);
	free(m->tables);
	m->page = m->index = NULL;
	m->known = NULL;
	m->tables = NULL;
	if (but_used)
		return;
	free(m->used);
	m->used = NULL;
	m->slots = m->room = 0;
}

void
metacache_file_free(struct metacache_file *m)
{
	if (m == NULL)
		return;
	let_go(m, 0);
	free(m->path);
	free(m);
}

/* ------------------------------------------------------------------ the index -- */

static uint32_t
place_of(const struct metacache_file *m, uint32_t page)
{
	return (uint32_t)(((uint64_t)page * 0x9e3779b97f4a7c15u) >> 32) & m->mask;
}

static void
index_add(struct metacache_file *m, uint32_t slot)
{
	uint32_t at = place_of(m, m->page[slot]);

	while (m->index[at] != 0)
		at = (at + 1) & m->mask;
	m->index[at] = slot + 1;
}

int64_t
metacache_file_find(const struct metacache_file *m, uint32_t page)
{
	uint32_t at;

	if (m->f == NULL)
		return -1;
	for (at = place_of(m, page); m->index[at] != 0; at = (at + 1) & m->mask)
		if (m->page[m->index[at] - 1] == page)
			return m->index[at] - 1;
	return -1;
}

/* Have room for `slots` slots and an index of twice as many.  0 or -1. */
static int
make_room(struct metacache_file *m, uint32_t slots)
{
	uint32_t room = m->room > 0 ? m->room : 1024;
	uint32_t *page, *index;
	uint16_t *known, *used;

	while (room < slots)
		room *= 2;
	if (room == m->room)
		return 0;
	if ((page = realloc(m->page, room * sizeof(*page))) == NULL)
		return -1;
	m->page = page;
	if ((known = realloc(m->known, room * sizeof(*known))) == NULL)
		return -1;
	m->known = known;
	if ((used = realloc(m->used, room * sizeof(*used))) == NULL)
		return -1;
	m->used = used;
	if ((index = calloc(2 * (size_t)room, sizeof(*index))) == NULL)
		return -1;
	free(m->index);
	m->index = index;
	m->mask = 2 * room - 1;
	m->room = room;
	for (uint32_t i = 0; i < m->slots; i++)
		if (m->page[i] != METACACHE_FREE)
			index_add(m, i);
	return 0;
}

/* A slot more, behind all others.  0 or -1. */
static int
add_slot(struct metacache_file *m, uint32_t page, uint16_t known)
{
	uint32_t slot = m->slots;

	if (make_room(m, slot + 1) != 0)
		return -1;
	m->page[slot] = page;
	m->known[slot] = known;
	m->used[slot] = 0;
	m->slots++;
	if (page != METACACHE_FREE)
		index_add(m, slot);
	return 0;
}

/* ----------------------------------------------------------------- the tables -- */

/* What could not be written is not what its hash says, so it will not be known. */
static void
write_out(struct metacache_file *m, uint64_t at, const void *p, size_t len)
{
	struct err ignored = ERR_INIT;

	if (m->broken)
		return;
	m->written += len;
	m->broken = file_write(m->f, at, p, len, &ignored) != 0;
	m->full |= m->broken;
}

static void
table_write(struct metacache_file *m, struct table *t)
{
	if (!t->has || !t->dirty)
		return;
	metacache_table_seal(t->p, t->n, m->key);
	write_out(m, metacache_table_at(t->n), t->p, sizeof(t->p));
	t->dirty = 0;
}

/* The table of a slot; one that is not there or damaged has free slots only. */
static struct table *
table_of(struct metacache_file *m, uint32_t slot)
{
	uint32_t n = slot / METACACHE_SLOTS;
	struct table *t = &m->tables[n % CACHED];
	struct err ignored = ERR_INIT;

	if (t->has && t->n == n)
		return t;
	table_write(m, t);
	t->has = 1;
	t->n = n;
	if (file_read_all(m->f, metacache_table_at(n), t->p, sizeof(t->p), &ignored) !=
		0 ||
	    !metacache_table_check(t->p, n, m->key))
		memset(t->p, 0, sizeof(t->p));
	return t;
}

/* ------------------------------------------------------------------- opening -- */

/* The slots of a table that was read: -1 without memory, or if there are too many. */
static int
take_table(struct metacache_file *m, const uint8_t *p, uint32_t n, int known)
{
	int sound = metacache_table_check(p, n, m->key);
	struct metacache_slot s;

	for (unsigned i = 0; i < METACACHE_SLOTS; i++) {
		s = (struct metacache_slot){ .page = METACACHE_FREE };
		if (sound)
			metacache_slot_load(p, i, &s);
		/* Of two that say they are one page the first counts. */
		if (s.page != METACACHE_FREE && m->index != NULL &&
		    metacache_file_find(m, s.page) != -1)
			s.page = METACACHE_FREE;
		if (add_slot(m, s.page,
			known && s.page != METACACHE_FREE ? s.known & (uint16_t)~s.newer
							  : 0) != 0)
			return -1;
	}
	return 0;
}

static int
load(struct metacache_file *m, int known, struct err *err)
{
	uint8_t *p = malloc(GROUP_LEN);
	struct err ignored = ERR_INIT;
	uint32_t n = 0;
	size_t got;
	int rc = p != NULL ? 0 : -1;

	do {
		got = 0;
		if (rc == 0 && file_read(m->f, metacache_table_at(n), p, GROUP_LEN, &got,
				   &ignored) != 0)
			got = 0;
		for (size_t at = 0; rc == 0 && at + METACACHE_TABLE <= got &&
				    m->slots + METACACHE_SLOTS <= m->most;
		     at += METACACHE_TABLE)
			rc = take_table(m, p + at, n++, known);
	} while (rc == 0 && got == GROUP_LEN && m->slots + METACACHE_SLOTS <= m->most);
	free(p);
	return rc == 0 ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

/* Is the header the one that is wanted? */
static int
is_wanted(const struct metacache_file *m, const struct metacache_header *wanted)
{
	struct err ignored = ERR_INIT;
	uint8_t p[METACACHE_HEADER];
	struct metacache_header h;

	return wanted != NULL && file_read_all(m->f, 0, p, sizeof(p), &ignored) == 0 &&
	       metacache_header_parse(p, m->key, &h) &&
	       chunk_id_cmp(&h.root, &wanted->root) == 0 &&
	       h.sequence == wanted->sequence && h.size == wanted->size;
}

static void
hash_ones(struct metacache_file *m)
{
	uint8_t grain[METACACHE_GRAIN];

	memset(grain, 0xff, sizeof(grain));
	metacache_hash(grain, m->key, m->ones);
}

int
metacache_file_open(struct metacache_file *m, const uint8_t key[METACACHE_KEY],
    const struct metacache_header *wanted, struct err *err)
{
	struct err ignored = ERR_INIT;

	let_go(m, 0);
	memcpy(m->key, key, sizeof(m->key));
	hash_ones(m);
	m->full = m->broken = m->whole = 0;
	m->written = 0;
	m->next_free = 0;
	if (file_open(m->path, FILE_TO_WRITE | FILE_TO_MAKE, &m->f, &ignored) != 0) {
		m->full = 1;
		return 0;
	}
	m->tables = calloc(CACHED, sizeof(*m->tables));
	if (m->tables == NULL || make_room(m, 1) != 0) {
		let_go(m, 0);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	if (load(m, is_wanted(m, wanted), err) == 0)
		return 0;
	let_go(m, 0);
	return -1;
}

/* ---------------------------------------------------------------- its grains -- */

uint16_t
metacache_file_known(const struct metacache_file *m, uint32_t slot)
{
	return m->known[slot];
}

uint16_t
metacache_file_used(const struct metacache_file *m, uint32_t slot)
{
	return m->used[slot];
}

void
metacache_file_use(struct metacache_file *m, uint32_t slot, uint16_t grains)
{
	m->used[slot] |= grains;
}

/* Of what a table says of a grain: is it all ones? */
static int
is_ones(const struct metacache_file *m, struct table *t, unsigned i, unsigned grain)
{
	return memcmp(metacache_grain_hash(t->p, i, grain), m->ones, sizeof(m->ones)) ==
	       0;
}

int
metacache_file_ones(struct metacache_file *m, uint32_t slot, unsigned grain)
{
	unsigned i = slot % METACACHE_SLOTS;
	struct table *t = table_of(m, slot);
	struct metacache_slot s;

	metacache_slot_load(t->p, i, &s);
	return s.page == m->page[slot] && (s.known >> grain & 1) != 0 &&
	       is_ones(m, t, i, grain);
}

/* Read `count` grains, none of them ones; those that are what they were. */
static uint16_t
read_grains(struct metacache_file *m, struct table *t, uint32_t slot, unsigned first,
    unsigned count, uint8_t *p)
{
	uint64_t at = metacache_slot_at(slot) + (uint64_t)first * METACACHE_GRAIN;
	unsigned i = slot % METACACHE_SLOTS;
	struct err ignored = ERR_INIT;
	uint8_t hash[METACACHE_HASH];
	uint16_t good = 0;

	if (file_read_all(m->f, at, p, (size_t)count * METACACHE_GRAIN, &ignored) != 0)
		return 0;
	for (unsigned g = first; g < first + count; g++, p += METACACHE_GRAIN) {
		metacache_hash(p, m->key, hash);
		if (memcmp(hash, metacache_grain_hash(t->p, i, g), sizeof(hash)) == 0)
			good |= (uint16_t)(1u << g);
	}
	return good;
}

uint16_t
metacache_file_get(
    struct metacache_file *m, uint32_t slot, unsigned first, unsigned count, uint8_t *p)
{
	uint16_t good = 0, asked = (uint16_t)(((1u << count) - 1) << first);
	unsigned i = slot % METACACHE_SLOTS, end = first + count, n;
	struct table *t = table_of(m, slot);
	struct metacache_slot s;

	metacache_slot_load(t->p, i, &s);
	for (unsigned g = first; s.page == m->page[slot] && g < end; g += n) {
		uint8_t *to = p + (size_t)(g - first) * METACACHE_GRAIN;

		if (is_ones(m, t, i, g)) {
			n = 1;
			memset(to, 0xff, METACACHE_GRAIN);
			good |= (uint16_t)(1u << g);
			continue;
		}
		for (n = 1; g + n < end && !is_ones(m, t, i, g + n); n++)
			;
		good |= read_grains(m, t, slot, g, n, to);
	}
	good &= s.known;
	if (good == asked)
		return good;
	/* Else what is damaged would be taken for what need not be written again. */
	m->known[slot] &= (uint16_t)(good | ~asked);
	m->used[slot] &= (uint16_t)(good | ~asked);
	s.known &= (uint16_t)(good | ~asked);
	s.newer &= s.known;
	if (s.page == m->page[slot]) {
		metacache_slot_store(t->p, i, &s);
		t->dirty = 1;
	}
	return good;
}

/* A slot for a new page; -1: there is no room. */
static int64_t
take_slot(struct metacache_file *m, uint32_t page)
{
	struct err ignored = ERR_INIT;
	uint64_t room;

	while (m->next_free < m->slots && m->page[m->next_free] != METACACHE_FREE)
		m->next_free++;
	if (m->next_free < m->slots) {
		m->page[m->next_free] = page;
		m->known[m->next_free] = m->used[m->next_free] = 0;
		index_add(m, m->next_free);
		return m->next_free++;
	}
	if (m->full)
		return -1;
	m->full = m->slots >= m->most ||
		  (m->slots % LOOK_EVERY == 0 && file_room(m->f, &room, &ignored) == 0 &&
		      room < METACACHE_RESERVE) ||
		  add_slot(m, page, 0) != 0;
	return m->full ? -1 : (int64_t)m->slots - 1;
}

void
metacache_file_put(struct metacache_file *m, uint32_t page, unsigned first,
    unsigned count, const uint8_t *p)
{
	int64_t slot = metacache_file_find(m, page);
	unsigned i, g, end = first + count, from = first;
	uint8_t hash[METACACHE_HASH], *had;
	struct metacache_slot s;
	struct table *t;
	uint16_t bit;

	if (m->f == NULL || m->broken ||
	    (slot == -1 && (slot = take_slot(m, page)) == -1))
		return;
	i = (uint32_t)slot % METACACHE_SLOTS;
	t = table_of(m, (uint32_t)slot);
	metacache_slot_load(t->p, i, &s);
	if (s.page != page)
		s = (struct metacache_slot){ .page = page };
	/* [from, g) is to be written: what is there already is not, nor what is ones. */
	for (g = first; g <= end; g++) {
		bit = (uint16_t)(1u << g);
		had = g < end ? metacache_grain_hash(t->p, i, g) : NULL;
		if (g < end)
			metacache_hash(
			    p + (size_t)(g - first) * METACACHE_GRAIN, m->key, hash);
		if (g < end &&
		    ((s.known & bit) == 0 || memcmp(hash, had, sizeof(hash)) != 0)) {
			memcpy(had, hash, sizeof(hash));
			s.known |= bit;
			s.newer |= bit;
			t->dirty = 1;
			if (!is_ones(m, t, i, g))
				continue;
		}
		if (from < g)
			write_out(m,
			    metacache_slot_at((uint32_t)slot) +
				(uint64_t)from * METACACHE_GRAIN,
			    p + (size_t)(from - first) * METACACHE_GRAIN,
			    (size_t)(g - from) * METACACHE_GRAIN);
		from = g + 1;
	}
	metacache_slot_store(t->p, i, &s);
	if (m->broken)
		return;
	bit = (uint16_t)(((1u << count) - 1) << first);
	m->known[slot] |= bit;
	m->used[slot] |= bit;
}

uint64_t
metacache_file_written(const struct metacache_file *m)
{
	return m->written;
}

uint64_t
metacache_file_memory(const struct metacache_file *m)
{
	uint64_t slot = m->page != NULL ? 4 + 2 + 2 + 2 * 4 : 2;

	return sizeof(*m) + m->room * slot +
	       (m->tables != NULL ? CACHED * sizeof(*m->tables) : 0);
}

int
metacache_file_full(const struct metacache_file *m)
{
	return m->full;
}

/* ------------------------------------------------------------------- sealing -- */

void
metacache_file_close(struct metacache_file *m, int whole)
{
	if (m->f == NULL)
		return;
	for (unsigned i = 0; i < CACHED; i++)
		table_write(m, &m->tables[i]);
	m->whole = whole && !m->broken;
	let_go(m, m->whole);
}

/* Of a table only what was asked for stays, and is as old as all else.  1: it changed. */
static int
settle(const struct metacache_file *m, uint8_t *p, uint32_t n)
{
	uint32_t first = n * METACACHE_SLOTS, slot;
	struct metacache_slot s, was;
	int changed = 0;

	if (!metacache_table_check(p, n, m->key)) {
		memset(p, 0, METACACHE_TABLE);
		return 1;
	}
	for (unsigned i = 0; i < METACACHE_SLOTS; i++) {
		slot = first + i;
		metacache_slot_load(p, i, &s);
		if (s.page == METACACHE_FREE)
			continue;
		was = s;
		s.known &= slot < m->slots ? m->used[slot] : 0;
		s.newer = 0;
		if (s.known == 0)
			s.page = METACACHE_FREE;
		if (s.known == was.known && was.newer == 0)
			continue;
		metacache_slot_store(p, i, &s);
		changed = 1;
	}
	return changed;
}

/* The tables of a group: 1, 0 where the file ends, -1. */
static int
settle_group(struct metacache_file *m, uint32_t n, uint8_t *p, struct err *err)
{
	uint64_t at = metacache_table_at(n);
	size_t got;

	if (file_read(m->f, at, p, GROUP_LEN, &got, err) != 0)
		return -1;
	for (size_t i = 0; i + METACACHE_TABLE <= got;
	     i += METACACHE_TABLE, n++, at += METACACHE_TABLE) {
		if (!settle(m, p + i, n))
			continue;
		metacache_table_seal(p + i, n, m->key);
		m->written += METACACHE_TABLE;
		if (file_write(m->f, at, p + i, METACACHE_TABLE, err) != 0)
			return -1;
	}
	return got == GROUP_LEN;
}

/*
 * Mark, write, seal: between the two it is nobody's, since its tables say already that
 * what was newer is not.
 */
static int
seal(struct metacache_file *m, const struct metacache_header *h, struct err *err)
{
	uint8_t p[METACACHE_HEADER] = { 0 }, *group = malloc(GROUP_LEN);
	int rc = group != NULL ? 0 : -1, more = 1;

	if (rc == 0 &&
	    (file_write(m->f, 0, p, sizeof(p), err) != 0 || file_sync(m->f, err) != 0))
		rc = -1;
	/* No table behind `most` is ever read. */
	for (uint32_t n = 0; rc == 0 && more == 1 && n < m->most / METACACHE_SLOTS;
	     n += METACACHE_TABLES)
		more = settle_group(m, n, group, err);
	free(group);
	if (rc != 0 || more == -1 || file_sync(m->f, err) != 0)
		return -1;
	metacache_header_store(h, m->key, p);
	m->written += 2 * sizeof(p);
	return file_write(m->f, 0, p, sizeof(p), err);
}

void
metacache_file_seal(struct metacache_file *m, const struct metacache_header *h)
{
	struct err ignored = ERR_INIT;

	if (!m->whole)
		return;
	m->whole = 0;
	if (file_open(m->path, FILE_TO_WRITE, &m->f, &ignored) == 0)
		(void)seal(m, h, &ignored);
	let_go(m, 0);
}

void
metacache_file_drop(struct metacache_file *m)
{
	struct err ignored = ERR_INIT;

	m->whole = 0;
	let_go(m, 0);
	(void)file_remove(m->path, &ignored);
}
