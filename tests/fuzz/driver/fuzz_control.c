/*
 * fuzz_control.c - bytes as a sequence of what may happen to the control device: calls
 * with arbitrary and with nearly right buffers, writes and discards of the host, reads of
 * the image, handles and volumes that come and go, disks that fail.
 *
 * Asserted: a refused call has changed nothing that ENUM or STATS tell (P9); no answer
 * holds bytes that nobody wrote; the disks hold what the host wrote, but for extents that
 * were lent to the driver (P1); the image is what the disks held at the cut (P2, P3);
 * when all has gone nothing is left.
 *
 * Input: one byte that chooses, then what that choice takes; what is missing is 0.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/core/volume.h"
#include "driver/sim/env_posix.h"

#define REQUIRE(c)                                                              \
	do {                                                                    \
		if (!(c)) {                                                     \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #c); \
			abort();                                                \
		}                                                               \
	} while (0)

#define VOLUMES 2u
#define FILES 3u
#define STEPS 120u
#define DISK_BYTES (512u << 10)
#define BUFFER (72u << 10)
#define SECOND ((uint64_t)10000000)
#define SECTOR(v) ((v)->number % 2 != 0 ? 4096u : 512u)
/* What lay in memory that nobody has written. */
#define PAINT 0xd1b54a32d192ed03u

struct disk {
	struct volume *volume;
	uint64_t number, length;
	uint8_t bytes[DISK_BYTES], model[DISK_BYTES], frozen[DISK_BYTES];
	/* By 512 bytes: may hold what the driver wrote. */
	uint8_t lent[DISK_BYTES / 512];
	uint64_t image; /* the set whose image is in "frozen"; 0: none */
	uint32_t fail_reads, fail_writes;
	struct held held;
	uint64_t offset, size;
	uint8_t fill;
	struct env_event done;
};

static struct {
	const uint8_t *p;
	size_t left;
	struct control *c;
	struct control_file *file[FILES];
	uint64_t bound_set[FILES];
	uint32_t bound_index[FILES];
	struct disk disk[VOLUMES];
	uint64_t set, numbers; /* the last set; the last volume's number */
	uint64_t member[64];   /* of the last set */
	uint32_t members;
	bool faults; /* a disk may fail: a store's error is a change of its own */
} w;

static uint64_t buffer[BUFFER / 8];

static uint64_t
number(unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && w.left > 0; i++, w.p++, w.left--)
		v |= (uint64_t)*w.p << 8 * i;
	return v;
}

/* Disks and the host. */

static int
disk_read(void *device, uint64_t offset, void *to, uint32_t length)
{
	struct disk *d = device;

	env_posix_passive("read");
	REQUIRE(length > 0 && length <= VOLUME_IO_MAX);
	REQUIRE(offset <= DISK_BYTES && length <= DISK_BYTES - offset);
	REQUIRE(((offset | length) & (SECTOR(d) - 1)) == 0);
	if (__atomic_load_n(&d->fail_reads, __ATOMIC_SEQ_CST) != 0)
		return -1;
	memcpy(to, d->bytes + offset, length);
	return 0;
}

static int
disk_write(void *device, uint64_t offset, const void *from, uint32_t length, bool through)
{
	struct disk *d = device;

	(void)through;
	env_posix_passive("write");
	REQUIRE(length > 0 && length <= VOLUME_IO_MAX);
	REQUIRE(offset <= DISK_BYTES && length <= DISK_BYTES - offset);
	REQUIRE(((offset | length) & (SECTOR(d) - 1)) == 0);
	if (__atomic_load_n(&d->fail_writes, __ATOMIC_SEQ_CST) != 0)
		return -1;
	/* Nothing but what was lent is ever written by us. */
	for (uint32_t i = 0; i < length; i += 512)
		REQUIRE(d->lent[(offset + i) / 512]);
	memcpy(d->bytes + offset, from, length);
	return 0;
}

static void
send(struct disk *d)
{
	memset(d->bytes + d->offset, d->fill, d->size);
	volume_write_done(d->volume);
	env_event_set(&d->done);
}

static void
disk_forward(void *device, struct held *h)
{
	struct disk *d = device;

	REQUIRE(h == &d->held);
	send(d);
}

static const struct volume_ops ops = { disk_read, disk_write, disk_forward };

static void
host_writes(struct disk *d, bool discards)
{
	uint32_t sector = SECTOR(d);
	enum volume_verdict verdict;

	d->offset = number(2) * sector % d->length;
	d->size = number(1) * (discards ? 16 : 1) * sector;
	d->fill = discards ? 0 : (uint8_t)number(1);
	if (d->size > d->length - d->offset)
		d->size = d->length - d->offset;
	memset(d->model + d->offset, d->fill, d->size);
	env_event_clear(&d->done);
	verdict = discards ? volume_range_begin(d->volume, d->offset, d->size)
			   : volume_write_begin(d->volume, d->offset, (uint32_t)d->size);
	if (verdict == VOLUME_FORWARD)
		send(d);
	else
		volume_hold(d->volume, &d->held, d->offset, d->size);
	REQUIRE(env_event_wait(&d->done, 20 * SECOND));
}

static void
same(const struct disk *d, const uint8_t *is, const uint8_t *want, uint64_t offset,
    uint64_t length)
{
	for (uint64_t i = 0; i < length; i += 512)
		REQUIRE(
		    d->lent[(offset + i) / 512] || memcmp(is + i, want + i, 512) == 0);
}

static void
disk_join(struct disk *d)
{
	d->number = ++w.numbers;
	d->length = DISK_BYTES;
	d->image = 0;
	d->fail_reads = d->fail_writes = 0;
	memset(d->lent, 0, sizeof(d->lent));
	memset(d->model, (int)d->number, sizeof(d->model));
	memcpy(d->bytes, d->model, sizeof(d->bytes));
	d->volume = volume_make(&ops, d, d->number, d->length, SECTOR(d));
	REQUIRE(d->volume != NULL && control_join(w.c, d->volume) == 0);
}

static void
disk_leave(struct disk *d)
{
	volume_gone(d->volume);
	control_leave(w.c, d->volume);
	volume_free(d->volume);
	same(d, d->bytes, d->model, 0, DISK_BYTES);
}

static void
resize(struct disk *d)
{
	d->length = DISK_BYTES - (number(1) % 8) * 4096 * 4;
	volume_resized(d->volume, d->length);
}

/* Calls. */

/* Leaves PAINT where the next call's locals will be. */
static __attribute__((noinline)) void
paint(void)
{
	volatile uint64_t below[1024];

	for (unsigned i = 0; i < 1024; i++)
		below[i] = PAINT;
	(void)below[0];
}

static void
no_paint(const void *p, uint32_t bytes)
{
	for (uint32_t i = 0; i + 8 <= bytes; i += 4) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)p + i, sizeof(word));
		REQUIRE(word != PAINT);
	}
}

/* All that can be asked; for comparison. */
struct state {
	uint32_t listing;
	uint64_t list[(16 + 80 * VOLUMES) / 8];
	enum set_result known[VOLUMES];
	struct hotcopy_stats stats[VOLUMES];
};

static void
look(struct state *s)
{
	uint32_t out;

	memset(s, 0, sizeof(*s));
	REQUIRE(control_call(w.file[0], HOTCOPY_IOCTL_ENUM, s->list, 0, sizeof(s->list),
		    &s->listing) == SET_OK);
	for (uint32_t i = 0; i < VOLUMES; i++) {
		union {
			struct hotcopy_bind in;
			struct hotcopy_stats out;
		} b = { .in = { { sizeof(b.in), HOTCOPY_ABI }, w.set, i, 0 } };

		s->known[i] = control_call(
		    w.file[0], HOTCOPY_IOCTL_STATS, &b, sizeof(b.in), sizeof(b), &out);
		if (s->known[i] == SET_OK)
			s->stats[i] = b.out;
		/* The area's thread moves copies at its leisure. */
		s->stats[i].diff_used = s->stats[i].memory_used = 0;
	}
}

/* No call may take the fuzzer's time or memory. */
static void
tame(uint32_t code, uint32_t in)
{
	struct hotcopy_freeze *f = (struct hotcopy_freeze *)buffer;
	struct hotcopy_prepare *p = (struct hotcopy_prepare *)buffer;

	if (code == HOTCOPY_IOCTL_FREEZE && in >= sizeof(*f))
		f->hold_ms &= ~0xfffeu;
	if (code == HOTCOPY_IOCTL_PREPARE && in >= sizeof(*p)) {
		p->throttle_ms &= 1;
		if (p->memory >= (uint64_t)4 << 20 && p->memory < (uint64_t)1 << 50)
			p->memory &= ((uint64_t)4 << 20) - 1;
	}
}

static void
mark_lent(uint64_t volume, const struct hotcopy_extent *e, uint32_t extents)
{
	for (uint32_t k = 0; k < VOLUMES; k++)
		for (uint32_t i = 0; w.disk[k].number == volume && i < extents; i++)
			for (uint64_t at = e[i].offset;
			     at < e[i].offset + e[i].length && at < DISK_BYTES; at += 512)
				w.disk[k].lent[at / 512] = 1;
}

/* A call that may write into extents has them lent before; one that is refused as BAD
   has written nothing, but lent they stay: that only asserts less. */
static void
lend(uint32_t code, uint32_t in)
{
	const struct hotcopy_track *t = (const struct hotcopy_track *)buffer;
	const struct hotcopy_extents *e = (const struct hotcopy_extents *)buffer;

	if (code == HOTCOPY_IOCTL_TRACK && in >= sizeof(*t))
		mark_lent(t->volume, t->extent,
		    t->extents <= (in - sizeof(*t)) / 16 ? t->extents : 0);
	if (code == HOTCOPY_IOCTL_DIFF_ADD && in >= sizeof(*e))
		mark_lent(e->at, e->extent,
		    e->extents <= (in - sizeof(*e)) / 16 ? e->extents : 0);
}

/* What a call that was done means to the model. */
static void
done(uint32_t code, uint32_t f, const struct hotcopy_prepare *p, uint32_t flags)
{
	const struct hotcopy_bind *bound = (const struct hotcopy_bind *)buffer;

	switch (code) {
	case HOTCOPY_IOCTL_PREPARE:
		w.set = ((const struct hotcopy_prepared *)buffer)->set;
		w.members = p->volumes;
		memcpy(w.member, p->volume, sizeof(w.member));
		break;
	case HOTCOPY_IOCTL_BIND:
		w.bound_set[f] = bound->set;
		w.bound_index[f] = bound->index;
		break;
	case HOTCOPY_IOCTL_FREEZE:
		for (uint32_t k = 0; k < VOLUMES; k++) {
			struct disk *d = &w.disk[k];

			if ((flags & HOTCOPY_FREEZE_CUT_ONLY) != 0)
				break;
			memcpy(d->frozen, d->model, sizeof(d->frozen));
			d->image = w.set;
		}
		break;
	default:
		break;
	}
}

static void
call(uint32_t f, uint32_t code, uint32_t in, uint32_t room)
{
	struct hotcopy_prepare request = { 0 };
	uint32_t whole = in > room ? in : room, out = 77, flags;
	struct state before, after;
	enum set_result result;

	tame(code, in);
	lend(code, in);
	memcpy(&request, buffer, sizeof(request) < in ? sizeof(request) : in);
	flags = ((const struct hotcopy_freeze *)buffer)->flags;
	for (uint32_t i = (in + 7) / 8; i < whole / 8 + 1; i++)
		buffer[i] = PAINT;
	look(&before);
	paint();
	result = control_call(w.file[f], code, buffer, in, room, &out);
	if (result == SET_OK) {
		REQUIRE(out <= room);
		no_paint(buffer, out);
		for (uint32_t i = ((in > out ? in : out) + 7) / 8; i < whole / 8; i++)
			REQUIRE(buffer[i] == PAINT);
		done(code, f, &request, flags);
		return;
	}
	REQUIRE(out == 0);
	if (w.faults && result == SET_STATE)
		return;
	look(&after);
	REQUIRE(memcmp(&before, &after, sizeof(before)) == 0);
}

static const uint32_t codes[] = { HOTCOPY_IOCTL_VERSION, HOTCOPY_IOCTL_ENUM,
	HOTCOPY_IOCTL_TRACK, HOTCOPY_IOCTL_UNTRACK, HOTCOPY_IOCTL_PREPARE,
	HOTCOPY_IOCTL_DIFF_ADD, HOTCOPY_IOCTL_EXCLUDE, HOTCOPY_IOCTL_FREEZE,
	HOTCOPY_IOCTL_BIND, HOTCOPY_IOCTL_UNNEEDED, HOTCOPY_IOCTL_DONE_READ,
	HOTCOPY_IOCTL_CHANGED, HOTCOPY_IOCTL_COMMIT, HOTCOPY_IOCTL_ABORT,
	HOTCOPY_IOCTL_RELEASE, HOTCOPY_IOCTL_WAIT_EVENT, HOTCOPY_IOCTL_STATS };
#define CODES (uint32_t)(sizeof(codes) / sizeof(codes[0]))

/* Any bytes at all. */
static void
raw(uint32_t f)
{
	uint32_t code = (uint32_t)number(1), in = (uint32_t)number(2);
	uint32_t room = (uint32_t)number(2);

	code = code < CODES ? codes[code] : (uint32_t)number(4);
	in = in <= BUFFER - 8 ? in : BUFFER - 8;
	room = room <= BUFFER - 8 ? room : BUFFER - 8;
	for (uint32_t i = 0; i < (in + 7) / 8; i++)
		buffer[i] = number(8);
	call(f, code, in, room);
}

static uint64_t
some_volume(void)
{
	uint64_t n = number(1);

	return n < 0xf0 ? w.disk[n % VOLUMES].number : n;
}

static uint64_t
some_set(void)
{
	uint64_t n = number(1);

	return n < 0xe0 ? w.set : n % 4;
}

/* Rising extents that may fit; gives how many. */
static uint32_t
some_extents(struct hotcopy_extent *e)
{
	uint32_t n = (uint32_t)number(1) % 5;
	uint64_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		e[i].offset = at + number(1) % 32 * 4096;
		e[i].length = (1 + number(1) % 32) * 4096;
		at = e[i].offset + e[i].length;
	}
	return n;
}

/* The request of a call as it should be, or nearly; gives its size. */
static uint32_t
track_request(void)
{
	struct hotcopy_track *t = (struct hotcopy_track *)buffer;

	t->volume = some_volume();
	t->flags = (uint32_t)number(1) & 1;
	t->guid[0] = (uint8_t)number(1);
	t->nonce[0] = (uint8_t)number(1);
	t->extents = some_extents(t->extent);
	return (uint32_t)sizeof(*t) + 16 * t->extents;
}

static uint32_t
prepare_request(void)
{
	struct hotcopy_prepare *p = (struct hotcopy_prepare *)buffer;
	uint64_t how = number(1);

	p->volumes = 1 + (how & 1);
	for (uint32_t i = 0; i < p->volumes; i++)
		p->volume[i] = w.disk[(i + (how >> 1 & 1)) % VOLUMES].number;
	p->chunk_shift = how & 4 ? 14 + (how >> 5) : 0;
	p->full = how >> 3 & 1;
	p->throttle_ms = 1;
	p->memory = ((uint64_t)1 << 20) + (how >> 4 & 1) * ((uint64_t)1 << 19);
	p->only_changed = number(1) & 3;
	return sizeof(*p);
}

static uint32_t
extents_request(void)
{
	struct hotcopy_extents *e = (struct hotcopy_extents *)buffer;

	e->set = some_set();
	e->at = some_volume();
	e->extents = some_extents(e->extent);
	return (uint32_t)sizeof(*e) + 16 * e->extents;
}

static uint32_t
freeze_request(void)
{
	struct hotcopy_freeze *f = (struct hotcopy_freeze *)buffer;
	uint64_t how = number(1);

	f->set = some_set();
	f->flags = how & 7;
	f->timeout_ms = how & 8 ? 10000 : 0;
	f->hold_ms = how >> 4 & 1;
	f->nonce[0] = (uint8_t)number(1);
	return sizeof(*f);
}

static uint32_t
bits_request(uint32_t code)
{
	struct hotcopy_bits *b = (struct hotcopy_bits *)buffer;

	b->set = some_set();
	b->index = (uint32_t)number(1) & 1;
	b->first = number(1);
	b->bits = (uint32_t)number(1);
	if (code == HOTCOPY_IOCTL_CHANGED) {
		b->flags = (uint32_t)number(1) & 1;
		return sizeof(*b);
	}
	for (uint32_t i = 0; i < (b->bits + 7) / 8; i++)
		b->bit[i] = (uint8_t)number(1);
	return (uint32_t)sizeof(*b) + (b->bits + 7) / 8;
}

static uint32_t
generation_request(void)
{
	struct hotcopy_generation *g = (struct hotcopy_generation *)buffer;

	g->volume = some_volume();
	g->generation = number(1);
	g->nonce[0] = (uint8_t)number(1);
	return sizeof(*g);
}

static uint32_t
other_request(uint32_t code)
{
	struct hotcopy_untrack *u = (struct hotcopy_untrack *)buffer;
	struct hotcopy_bind *b = (struct hotcopy_bind *)buffer;
	struct hotcopy_range *r = (struct hotcopy_range *)buffer;

	switch (code) {
	case HOTCOPY_IOCTL_UNTRACK:
		u->volume = some_volume();
		u->flags = (uint32_t)number(1) & 1;
		return sizeof(*u);
	case HOTCOPY_IOCTL_BIND:
	case HOTCOPY_IOCTL_STATS:
		b->set = some_set();
		b->index = (uint32_t)number(1) & 1;
		return sizeof(*b);
	case HOTCOPY_IOCTL_DONE_READ:
		r->set = some_set();
		r->index = (uint32_t)number(1) & 1;
		r->offset = number(1) * 4096;
		r->length = number(1) * 4096;
		return sizeof(*r);
	case HOTCOPY_IOCTL_RELEASE:
		((struct hotcopy_release *)buffer)->set = some_set();
		return sizeof(struct hotcopy_release);
	default:
		return 0;
	}
}

static uint32_t
request(uint32_t code)
{
	switch (code) {
	case HOTCOPY_IOCTL_TRACK:
		return track_request();
	case HOTCOPY_IOCTL_PREPARE:
		return prepare_request();
	case HOTCOPY_IOCTL_DIFF_ADD:
	case HOTCOPY_IOCTL_EXCLUDE:
		return extents_request();
	case HOTCOPY_IOCTL_FREEZE:
		return freeze_request();
	case HOTCOPY_IOCTL_UNNEEDED:
	case HOTCOPY_IOCTL_CHANGED:
		return bits_request(code);
	case HOTCOPY_IOCTL_COMMIT:
	case HOTCOPY_IOCTL_ABORT:
		return generation_request();
	default:
		return other_request(code);
	}
}

/* As it should be, but maybe for one byte or one size. */
static void
nearly_right(uint32_t f)
{
	uint32_t code = codes[number(1) % CODES], how = (uint32_t)number(1), in;
	struct hotcopy_header *h = (struct hotcopy_header *)buffer;
	uint32_t room = 4096;

	memset(buffer, 0, 8192);
	in = request(code);
	if (in > 0) {
		h->size = in;
		h->abi = HOTCOPY_ABI;
	}
	if ((how & 0xc0) == 0x40)
		((uint8_t *)buffer)[number(2) % 1024] ^= (uint8_t)number(1);
	if ((how & 0xe0) == 0x80)
		in += (uint32_t)number(1) % 17;
	if ((how & 0xe0) == 0xa0)
		room = (uint32_t)number(2) % 700;
	call(f, code, in, room);
}

static void
image_read(uint32_t f)
{
	uint64_t offset = number(2) % 600 * 512;
	uint32_t length = (uint32_t)(number(1) % 140 * 512);
	struct disk *d = NULL;
	enum set_result result;

	memset(buffer, 0, length);
	result = control_read(w.file[f], offset, buffer, length);
	if (result != SET_OK || length == 0)
		return;
	REQUIRE(w.bound_set[f] == w.set && w.bound_index[f] < w.members);
	for (uint32_t k = 0; k < VOLUMES; k++)
		if (w.disk[k].number == w.member[w.bound_index[f]])
			d = &w.disk[k];
	REQUIRE(d != NULL && d->image == w.set);
	REQUIRE(offset <= DISK_BYTES && length <= DISK_BYTES - offset);
	same(d, (uint8_t *)buffer, d->frozen + offset, offset, length);
}

static void
file_open(uint32_t f)
{
	w.file[f] = control_open(w.c);
	w.bound_set[f] = 0;
	REQUIRE(w.file[f] != NULL);
}

static void
file_close(uint32_t f, bool cleanup)
{
	if (cleanup) {
		uint32_t out;

		control_cleanup(w.file[f]);
		memset(buffer, 0, 8192);
		REQUIRE(control_call(w.file[f], HOTCOPY_IOCTL_VERSION, buffer, 0, 64,
			    &out) == SET_STATE);
	}
	control_close(w.file[f]);
}

/* Each dropped image of the set is told of once. */
static void
drops(void)
{
	enum hotcopy_reason why;
	uint64_t volume;
	uint32_t n = 0;

	while (control_drop(w.c, &volume, &why)) {
		REQUIRE(why != HOTCOPY_WHY_NONE && volume <= w.numbers);
		REQUIRE(++n <= VOLUMES);
	}
}

static void
happens(struct disk *d)
{
	uint64_t what = number(1);

	switch (what % 8) {
	case 0:
		disk_leave(d);
		disk_join(d);
		break;
	case 1:
		resize(d);
		break;
	case 2:
		control_power(w.c, what & 8);
		break;
	case 3:
		w.faults = true;
		__atomic_store_n(&d->fail_reads, what >> 3 & 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&d->fail_writes, what >> 4 & 1, __ATOMIC_SEQ_CST);
		break;
	case 4:
		volume_unknown_write(d->volume, HOTCOPY_WHY_UNKNOWN_WRITE);
		break;
	case 5:
		(void)control_hold(w.c, d->volume, NULL);
		break;
	case 6:
		control_paging(w.c, d->volume, (uint32_t)what);
		break;
	default:
		drops();
		break;
	}
}

static void
step(void)
{
	uint64_t what = number(1);
	uint32_t f = what >> 4 & 3;
	struct disk *d = &w.disk[what >> 6 & 1];

	f = f < FILES ? f : 0;
	switch (what & 15) {
	case 0:
	case 1:
		raw(f);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		nearly_right(f);
		break;
	case 7:
	case 8:
	case 9:
		host_writes(d, false);
		break;
	case 10:
		host_writes(d, true);
		break;
	case 11:
	case 12:
	case 13:
		image_read(f);
		break;
	case 14:
		file_close(f, what & 0x80);
		file_open(f);
		break;
	default:
		happens(d);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const uint64_t paint_word = PAINT;
	struct control_notice notice = { NULL, NULL };
	struct env_posix_facts before, after;

	/* Half of the word is enough for arithmetic to make the whole. */
	for (size_t i = 0; i + 4 <= len; i++)
		if (memcmp(p + i, &paint_word, 4) == 0 ||
		    memcmp(p + i, (const uint8_t *)&paint_word + 4, 4) == 0)
			return -1;
	w.p = p;
	w.left = len;
	w.set = w.numbers = w.members = 0;
	w.faults = false;
	env_posix_facts(&before);
	w.c = control_make(notice);
	REQUIRE(w.c != NULL);
	for (uint32_t k = 0; k < VOLUMES; k++) {
		env_event_init(&w.disk[k].done, ENV_STAYS);
		disk_join(&w.disk[k]);
	}
	for (uint32_t f = 0; f < FILES; f++)
		file_open(f);
	for (uint32_t i = 0; i < STEPS && w.left > 0; i++)
		step();
	for (uint32_t f = 0; f < FILES; f++)
		file_close(f, false);
	for (uint32_t k = 0; k < VOLUMES; k++) {
		disk_leave(&w.disk[k]);
		env_event_done(&w.disk[k].done);
	}
	control_free(w.c);
	env_posix_facts(&after);
	REQUIRE(after.bytes == before.bytes && after.blocks == before.blocks);
	REQUIRE(after.threads == before.threads);
	return 0;
}
