/* The control device: whatever bytes a call has, what is refused changes nothing; what
   belongs to a handle ends with it; volumes, handles and events come and go side by side.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "driver/core/atomic.h"
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/core/volume.h"
#include "driver/sim/env_posix.h"

#define LENGTH (4u << 20)
#define CHUNK (1u << HOTCOPY_CHUNK_SHIFT_MIN)
#define MS ((uint64_t)10000)
#define LONG (60000 * MS)

/* A disk of memory, which can be stopped, and the host's one write at a time. */
struct disk {
	struct volume *volume;
	uint8_t *bytes;
	uint32_t stop; /* reads wait for "go" */
	struct env_event came, go, done;
	struct held held;
	uint64_t offset;
	uint8_t fill;
};

static int
disk_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	struct disk *d = device;

	env_posix_passive("read");
	assert_true(offset + length <= LENGTH);
	memcpy(buffer, d->bytes + offset, length);
	if (atomic_get(&d->stop)) {
		env_event_set(&d->came);
		assert_true(env_event_wait(&d->go, LONG));
	}
	return 0;
}

static int
disk_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	struct disk *d = device;

	(void)through;
	env_posix_passive("write");
	assert_true(offset + length <= LENGTH);
	memcpy(d->bytes + offset, buffer, length);
	return 0;
}

static void
send(struct disk *d)
{
	memset(d->bytes + d->offset, d->fill, 512);
	volume_write_done(d->volume);
	env_event_set(&d->done);
}

static void
disk_forward(void *device, struct held *h)
{
	struct disk *d = device;

	assert_ptr_equal(h, &d->held);
	send(d);
}

static const struct volume_ops ops = { disk_read, disk_write, disk_forward };

static void
write_begin(struct disk *d, uint64_t offset, uint8_t fill)
{
	d->offset = offset;
	d->fill = fill;
	env_event_clear(&d->done);
	if (volume_write_begin(d->volume, offset, 512) == VOLUME_FORWARD)
		send(d);
	else
		volume_hold(d->volume, &d->held, offset, 512);
}

static void
host_writes(struct disk *d, uint64_t offset, uint8_t fill)
{
	write_begin(d, offset, fill);
	assert_true(env_event_wait(&d->done, LONG));
}

#define DISKS 3u
struct world {
	struct control *c;
	struct control_file *f;
	struct disk disk[DISKS];
	uint32_t told;
	struct env_posix_facts before;
};

static void
told(void *who)
{
	struct world *w = who;

	atomic_add(&w->told, 1);
}

static void
disk_begin(struct disk *d, uint64_t number)
{
	memset(d, 0, sizeof(*d));
	d->bytes = calloc(1, LENGTH);
	env_event_init(&d->came, ENV_STAYS);
	env_event_init(&d->go, ENV_STAYS);
	env_event_init(&d->done, ENV_STAYS);
	d->volume = volume_make(&ops, d, number, LENGTH, 512);
	assert_non_null(d->volume);
}

static void
disk_end(struct disk *d)
{
	volume_free(d->volume);
	env_event_done(&d->came);
	env_event_done(&d->go);
	env_event_done(&d->done);
	free(d->bytes);
	d->volume = NULL;
}

static void
remove_disk(struct world *w, uint32_t i)
{
	volume_gone(w->disk[i].volume);
	control_leave(w->c, w->disk[i].volume);
	disk_end(&w->disk[i]);
}

static void
begin(struct world *w)
{
	struct control_notice notice = { told, w };

	memset(w, 0, sizeof(*w));
	env_posix_facts(&w->before);
	w->c = control_make(notice);
	control_version(w->c, 7, HOTCOPY_VERSION_DISABLED);
	for (uint32_t i = 0; i < DISKS; i++) {
		disk_begin(&w->disk[i], 10 + i);
		assert_int_equal(control_join(w->c, w->disk[i].volume), 0);
	}
	w->f = control_open(w->c);
	assert_non_null(w->f);
}

static void
end(struct world *w)
{
	struct env_posix_facts after;

	if (w->f != NULL) {
		control_cleanup(w->f);
		control_close(w->f);
	}
	for (uint32_t i = 0; i < DISKS; i++)
		if (w->disk[i].volume != NULL)
			remove_disk(w, i);
	control_free(w->c);
	env_posix_facts(&after);
	assert_int_equal(after.bytes, w->before.bytes);
	assert_int_equal(after.blocks, w->before.blocks);
	assert_int_equal(after.threads, w->before.threads);
}

#define H(type) .h = { sizeof(struct hotcopy_##type), HOTCOPY_ABI }

static enum set_result
call(struct control_file *f, uint32_t code, void *p, uint32_t in, uint32_t room)
{
	uint32_t out = 77;
	enum set_result result = control_call(f, code, p, in, room, &out);

	if (result != SET_OK)
		assert_int_equal(out, 0);
	else
		assert_true(out <= room);
	return result;
}

static uint64_t
prepare(struct control_file *f, uint32_t volumes, enum set_result want)
{
	union {
		struct hotcopy_prepare in;
		struct hotcopy_prepared out;
	} b = { .in = { H(prepare), .volumes = volumes, .memory = 1 << 20 } };

	for (uint32_t i = 0; i < volumes; i++)
		b.in.volume[i] = 10 + i;
	assert_int_equal(
	    call(f, HOTCOPY_IOCTL_PREPARE, &b, sizeof(b.in), sizeof(b)), want);
	return want == SET_OK ? b.out.set : 0;
}

static enum set_result
freeze(struct control_file *f, uint64_t set, uint32_t flags, uint32_t hold_ms)
{
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} b = { .in = { H(freeze), .set = set, .flags = flags, .hold_ms = hold_ms,
		    .timeout_ms = 10000 } };

	b.in.nonce[0] = 9;
	return call(f, HOTCOPY_IOCTL_FREEZE, &b, sizeof(b.in), sizeof(b));
}

static enum set_result
bind(struct control_file *f, uint64_t set, uint32_t index)
{
	struct hotcopy_bind b = { H(bind), .set = set, .index = index };

	return call(f, HOTCOPY_IOCTL_BIND, &b, sizeof(b), 0);
}

static enum set_result
release(struct control_file *f, uint64_t set)
{
	struct hotcopy_release r = { H(release), .set = set };

	return call(f, HOTCOPY_IOCTL_RELEASE, &r, sizeof(r), 0);
}

/* struct hotcopy_volumes with room. */
struct listing {
	struct hotcopy_header h;
	uint32_t count, given;
	struct hotcopy_volume volume[DISKS];
};

static struct listing
list(struct world *w)
{
	struct listing l;
	uint32_t out = 0;

	memset(&l, 0xa5, sizeof(l));
	assert_int_equal(
	    control_call(w->f, HOTCOPY_IOCTL_ENUM, &l, 0, sizeof(l), &out), SET_OK);
	assert_int_equal(out, 16 + l.given * 80);
	assert_int_equal(l.h.size, out);
	return l;
}

static void
a_set_from_prepare_to_release(void **state)
{
	struct control_file *reader;
	struct world w;
	uint8_t old[512];
	uint64_t set;

	(void)state;
	begin(&w);
	reader = control_open(w.c);
	host_writes(&w.disk[0], 5 * CHUNK, 1);
	prepare(w.f, DISKS + 1, SET_NOT_FOUND);
	set = prepare(w.f, 2, SET_OK);
	assert_int_equal(list(&w).volume[0].state, HOTCOPY_PREPARED);
	assert_int_equal(list(&w).volume[2].state, HOTCOPY_IDLE);
	prepare(reader, 1, SET_BUSY);
	assert_int_equal(bind(reader, set + 1, 0), SET_NOT_FOUND);
	assert_int_equal(bind(reader, set, 2), SET_NOT_FOUND);
	assert_int_equal(control_read(reader, 0, old, 512), SET_STATE);
	assert_int_equal(bind(reader, set, 0), SET_OK);
	assert_int_equal(control_read(reader, 0, old, 512), SET_STATE);
	/* Only the owner freezes and releases. */
	assert_int_equal(freeze(reader, set, 0, 0), SET_STATE);
	assert_int_equal(release(reader, set), SET_STATE);
	assert_int_equal(freeze(w.f, set, 0, 0), SET_OK);
	assert_int_equal(list(&w).volume[0].state, HOTCOPY_ACTIVE);
	host_writes(&w.disk[0], 5 * CHUNK, 2);
	assert_int_equal(control_read(reader, 5 * CHUNK, old, 512), SET_OK);
	assert_int_equal(old[0], 1);
	assert_int_equal(w.disk[0].bytes[5 * CHUNK], 2);
	assert_int_equal(control_read(reader, LENGTH, old, 512), SET_BAD);
	assert_int_equal(control_read(reader, UINT64_MAX - 511, old, 512), SET_BAD);
	assert_int_equal(release(w.f, set + 1), SET_NOT_FOUND);
	assert_int_equal(release(w.f, set), SET_OK);
	assert_int_equal(release(w.f, set), SET_NOT_FOUND);
	assert_int_equal(control_read(reader, 5 * CHUNK, old, 512), SET_LOST);
	assert_int_equal(list(&w).volume[0].state, HOTCOPY_IDLE);
	assert_true(prepare(reader, 3, SET_OK) > set);
	control_cleanup(reader);
	assert_int_equal(list(&w).volume[0].state, HOTCOPY_IDLE);
	assert_int_equal(bind(reader, 1, 0), SET_STATE);
	control_close(reader);
	end(&w);
}

/* One right request of each call; each of its bytes that must be 0, its sizes, its ABI
   and its counts are then made wrong. */
static void
wrong_bytes_are_refused(void **state)
{
	static const struct {
		uint32_t code, in, room;
		uint32_t zero[3]; /* offsets of words that must be 0; 0: no more */
	} all[] = {
		{ HOTCOPY_IOCTL_UNTRACK, 24, 0, { 20 } },
		{ HOTCOPY_IOCTL_PREPARE, 552, 24, { 32 + 8 * 2, 32 + 8 * 63 + 4, 548 } },
		{ HOTCOPY_IOCTL_DIFF_ADD, 48, 0, { 28 } },
		{ HOTCOPY_IOCTL_EXCLUDE, 48, 0, { 28 } },
		{ HOTCOPY_IOCTL_FREEZE, 48, 560, { 28 } },
		{ HOTCOPY_IOCTL_BIND, 24, 0, { 20 } },
		{ HOTCOPY_IOCTL_UNNEEDED, 41, 0, { 20, 36 } },
		{ HOTCOPY_IOCTL_DONE_READ, 40, 0, { 20 } },
		{ HOTCOPY_IOCTL_CHANGED, 40, 41, { 36 } },
		{ HOTCOPY_IOCTL_STATS, 24, 104, { 20 } },
	};
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		union {
			struct hotcopy_header h;
			struct hotcopy_prepare prepare;
			struct hotcopy_extents extents;
			struct hotcopy_bits bits;
			struct hotcopy_range range;
			uint8_t byte[1024];
			uint32_t word[256];
		} right = { .byte = { 0 } }, b;

		right.h.size = all[i].in;
		right.h.abi = HOTCOPY_ABI;
		if (all[i].code == HOTCOPY_IOCTL_PREPARE) {
			right.prepare.volumes = 2;
			right.prepare.memory = 1 << 20;
			right.prepare.volume[0] = 98;
			right.prepare.volume[1] = 99;
		} else if (all[i].in == 48 && all[i].room == 0) {
			right.extents.extents = 1;
		} else if (all[i].in == 41 || all[i].room == 41) {
			right.bits.bits = 8;
		} else if (all[i].code == HOTCOPY_IOCTL_DONE_READ) {
			right.range.length = 1;
		}
		for (int what = 0; what < 9; what++) {
			uint32_t in = all[i].in, room = all[i].room;
			enum set_result want = SET_SIZE;

			b = right;
			switch (what) {
			case 0: /* right, but there is no such volume or set */
				want = SET_NOT_FOUND;
				break;
			case 1:
				in = 7;
				break;
			case 2:
				in--;
				break;
			case 3:
				b.h.size++;
				break;
			case 4:
				in = ++b.h.size;
				break;
			case 5:
				b.h.abi++;
				want = SET_ABI;
				break;
			default:
				if (all[i].zero[what - 6] == 0)
					continue;
				b.word[all[i].zero[what - 6] / 4] = 0x80000000;
				want = SET_BAD;
			}
			assert_int_equal(call(w.f, all[i].code, &b, in, room), want);
			if (what == 0 && room > 0)
				assert_int_equal(
				    call(w.f, all[i].code, &b, in, room - 1), SET_SIZE);
		}
	}
	assert_int_equal(call(w.f, HOTCOPY_IOCTL_ATTACHED, NULL, 0, 0), SET_NO_CALL);
	assert_int_equal(call(w.f, HOTCOPY_CODE(3, 18), NULL, 0, 0), SET_NO_CALL);
	end(&w);
}

static enum set_result
extents_call(struct world *w, uint32_t code, uint64_t set, uint64_t at,
    const struct hotcopy_extent *e, uint32_t extents)
{
	union {
		struct hotcopy_extents r;
		uint64_t room[64];
	} b = { .r = { .set = set, .at = at, .extents = extents } };
	uint32_t size = (uint32_t)(sizeof(b.r) + extents * sizeof(*e));

	b.r.h.size = size;
	b.r.h.abi = HOTCOPY_ABI;
	memcpy((uint8_t *)&b + sizeof(b.r), e, extents * sizeof(*e));
	return call(w->f, code, &b, size, 0);
}

static enum set_result
track(struct world *w, uint64_t volume, const struct hotcopy_extent *e, uint32_t extents)
{
	union {
		struct hotcopy_track r;
		uint64_t room[64];
	} b = { .r = { .volume = volume,
		    .flags = HOTCOPY_TRACK_CREATE,
		    .extents = extents,
		    .nonce = { 1 } } };
	uint32_t size = (uint32_t)(sizeof(b.r) + extents * sizeof(*e));

	b.r.h.size = size;
	b.r.h.abi = HOTCOPY_ABI;
	if (extents > 0)
		memcpy((uint8_t *)&b + sizeof(b.r), e, extents * sizeof(*e));
	return call(w->f, HOTCOPY_IOCTL_TRACK, &b, size, 0);
}

static enum set_result
untrack(struct world *w, uint64_t volume, uint32_t flags)
{
	struct hotcopy_untrack u = { H(untrack), .volume = volume, .flags = flags };

	return call(w->f, HOTCOPY_IOCTL_UNTRACK, &u, sizeof(u), 0);
}

static enum set_result
generation(struct world *w, uint32_t code, uint64_t volume, uint64_t n, uint8_t nonce)
{
	struct hotcopy_generation g = { H(generation), .volume = volume, .generation = n,
		.nonce = { nonce } };

	return call(w->f, code, &g, sizeof(g), 0);
}

static void
extents_must_rise_and_lie_inside(void **state)
{
	static const struct hotcopy_extent wrong[][2] = {
		{ { 0, 0 }, { CHUNK, CHUNK } },
		{ { CHUNK, CHUNK }, { 0, CHUNK } },
		{ { 0, 2 * CHUNK }, { CHUNK, CHUNK } },
		{ { 0, CHUNK }, { CHUNK, 100 } },
		{ { 0, CHUNK }, { CHUNK + 1, 512 } },
		{ { 0, CHUNK }, { LENGTH - 512, 1024 } },
		{ { 0, CHUNK }, { UINT64_MAX - 511, 512 } },
		{ { 0, CHUNK }, { CHUNK, UINT64_MAX - CHUNK + 1 } },
	};
	static const struct hotcopy_extent right[2] = { { 0, 8 * CHUNK },
		{ 8 * CHUNK, 8 * CHUNK } };
	struct world w;
	uint64_t set;

	(void)state;
	begin(&w);
	set = prepare(w.f, 1, SET_OK);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(
		    extents_call(&w, HOTCOPY_IOCTL_DIFF_ADD, set, 11, wrong[i], 2),
		    SET_BAD);
		assert_int_equal(
		    extents_call(&w, HOTCOPY_IOCTL_EXCLUDE, set, 10, wrong[i], 2),
		    SET_BAD);
		assert_int_equal(track(&w, 12, wrong[i], 2), SET_BAD);
		assert_int_equal(list(&w).volume[2].tracking, HOTCOPY_TRACK_OFF);
	}
	assert_int_equal(
	    extents_call(&w, HOTCOPY_IOCTL_DIFF_ADD, set, 11, right, 0), SET_BAD);
	assert_int_equal(
	    extents_call(&w, HOTCOPY_IOCTL_DIFF_ADD, set, 13, right, 2), SET_NOT_FOUND);
	assert_int_equal(
	    extents_call(&w, HOTCOPY_IOCTL_DIFF_ADD, set, 11, right, 2), SET_OK);
	assert_int_equal(
	    extents_call(&w, HOTCOPY_IOCTL_DIFF_ADD, set, 11, right, 2), SET_BAD);
	assert_int_equal(
	    extents_call(&w, HOTCOPY_IOCTL_EXCLUDE, set, 12, right, 2), SET_NOT_FOUND);
	assert_int_equal(track(&w, 12, right, 0), SET_OK);
	end(&w);
}

static void
tracking_is_by_volume_and_not_under_a_set(void **state)
{
	static const struct hotcopy_extent e[1] = { { CHUNK, 32 * CHUNK } };
	struct listing l;
	struct world w;
	uint64_t set;

	(void)state;
	begin(&w);
	assert_int_equal(untrack(&w, 10, 0), SET_STATE);
	assert_int_equal(untrack(&w, 10, HOTCOPY_UNTRACK_INVALIDATE), SET_STATE);
	assert_int_equal(generation(&w, HOTCOPY_IOCTL_COMMIT, 10, 1, 1), SET_STATE);
	assert_int_equal(track(&w, 10, e, 1), SET_OK);
	assert_int_equal(track(&w, 10, e, 1), SET_STATE);
	assert_int_equal(track(&w, 11, NULL, 0), SET_OK);
	l = list(&w);
	assert_int_equal(l.volume[0].tracking, HOTCOPY_TRACK_NEW);
	assert_int_equal(l.volume[1].tracking, HOTCOPY_TRACK_NEW);
	assert_int_equal(l.volume[2].tracking, HOTCOPY_TRACK_OFF);
	assert_true(l.volume[0].store_bytes > 0 && l.volume[0].store_bytes <= 32 * CHUNK);
	set = prepare(w.f, 1, SET_OK);
	assert_int_equal(untrack(&w, 10, 0), SET_STATE);
	assert_int_equal(freeze(w.f, set, HOTCOPY_FREEZE_GENERATION, 0), SET_OK);
	assert_int_equal(generation(&w, HOTCOPY_IOCTL_COMMIT, 10, 99, 9), SET_STATE);
	assert_int_equal(generation(&w, HOTCOPY_IOCTL_COMMIT, 10, 2, 9), SET_OK);
	assert_int_equal(list(&w).volume[0].tracking, HOTCOPY_TRACK_VALID);
	assert_int_equal(list(&w).volume[0].generation, 2);
	assert_int_equal(list(&w).volume[0].nonce[0], 9);
	/* To doubt it takes nothing away. */
	assert_int_equal(untrack(&w, 10, HOTCOPY_UNTRACK_INVALIDATE), SET_OK);
	assert_int_equal(list(&w).volume[0].tracking, HOTCOPY_TRACK_INVALID);
	assert_int_equal(list(&w).volume[0].why, HOTCOPY_WHY_ASKED);
	assert_int_equal(release(w.f, set), SET_OK);
	assert_int_equal(untrack(&w, 10, 0), SET_OK);
	assert_int_equal(list(&w).volume[0].tracking, HOTCOPY_TRACK_OFF);
	end(&w);
}

static void
a_short_list_says_how_many_there_are(void **state)
{
	struct listing l;
	struct world w;
	uint32_t out;

	(void)state;
	begin(&w);
	for (uint32_t room = 0; room < sizeof(l) + 8; room++) {
		enum set_result r;

		memset(&l, 0xa5, sizeof(l));
		r = control_call(w.f, HOTCOPY_IOCTL_ENUM, &l, 0, room, &out);
		assert_int_equal(r, room < 16 ? SET_SIZE : SET_OK);
		if (room < 16)
			continue;
		assert_int_equal(l.count, DISKS);
		assert_int_equal(
		    l.given, (room - 16) / 80 < DISKS ? (room - 16) / 80 : DISKS);
		assert_int_equal(out, 16 + 80 * l.given);
		for (uint32_t i = out; i < sizeof(l); i++)
			assert_int_equal(((uint8_t *)&l)[i], 0xa5);
	}
	control_paging(w.c, w.disk[1].volume, 3);
	l = list(&w);
	assert_int_equal(l.volume[1].paging, 3);
	assert_int_equal(l.volume[1].length, LENGTH);
	assert_int_equal(l.volume[1].sector, 512);
	remove_disk(&w, 1);
	l = list(&w);
	assert_int_equal(l.count, 2);
	assert_int_equal(l.volume[1].volume, 12);
	end(&w);
}

static bool
next_event(struct control_file *f, struct hotcopy_event *e)
{
	enum set_result r = call(f, HOTCOPY_IOCTL_WAIT_EVENT, e, 0, sizeof(*e));

	assert_true(r == SET_OK || r == SET_PENDING);
	return r == SET_OK;
}

static void
events_go_to_whom_they_concern(void **state)
{
	struct control_file *other;
	struct hotcopy_event e;
	struct world w;
	uint64_t set;
	uint32_t n;

	(void)state;
	begin(&w);
	other = control_open(w.c);
	assert_int_equal(track(&w, 10, NULL, 0), SET_OK);
	assert_false(next_event(w.f, &e));
	volume_unknown_write(w.disk[0].volume, HOTCOPY_WHY_UNKNOWN_WRITE);
	assert_true(w.told > 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(next_event(i == 0 ? w.f : other, &e));
		assert_int_equal(e.code, HOTCOPY_EVENT_TRACKING_LOST);
		assert_int_equal(e.volume, 10);
		assert_int_equal(e.set, 0);
		assert_int_equal(e.sequence, 1);
		assert_int_equal(e.argument, HOTCOPY_WHY_UNKNOWN_WRITE);
	}
	/* More than a ring: what was lost is a gap. */
	for (uint32_t i = 0; i < 40; i++)
		control_lost(w.c, 10, HOTCOPY_WHY_FOREIGN);
	for (n = 0; next_event(other, &e); n++)
		assert_int_equal(e.sequence, 26 + n);
	assert_int_equal(n, 16);
	assert_int_equal(e.sequence, 41);
	while (next_event(w.f, &e))
		;
	/* A set's are its owner's, numbered on. */
	set = prepare(w.f, 2, SET_OK);
	assert_int_equal(freeze(w.f, set, 0, 0), SET_OK);
	w.told = 0;
	volume_resized(w.disk[1].volume, LENGTH / 2);
	assert_true(w.told > 0);
	assert_false(next_event(other, &e));
	assert_true(next_event(w.f, &e));
	assert_int_equal(e.code, HOTCOPY_EVENT_DROPPED);
	assert_int_equal(e.argument, HOTCOPY_WHY_RESIZED);
	assert_int_equal(e.sequence, 42);
	assert_int_equal(list(&w).volume[1].state, HOTCOPY_DROPPED);
	assert_int_equal(list(&w).volume[1].why, HOTCOPY_WHY_RESIZED);
	assert_int_equal(list(&w).volume[0].state, HOTCOPY_ACTIVE);
	control_close(other);
	end(&w);
}

struct thread {
	struct control_file *f;
	struct world *w;
	uint64_t set;
	uint32_t flags, over;
	enum set_result result;
	uint8_t byte[512];
	struct env_thread thread;
};

static void
read_run(void *arg)
{
	struct thread *t = arg;

	t->result = control_read(t->f, 0, t->byte, 512);
	atomic_put(&t->over, 1);
}

static void
freeze_run(void *arg)
{
	struct thread *t = arg;

	t->result = freeze(t->f, t->set, t->flags, 3000);
	atomic_put(&t->over, 1);
}

static void
leave_run(void *arg)
{
	struct thread *t = arg;

	remove_disk(t->w, 0);
	atomic_put(&t->over, 1);
}

/* A read of another handle is stuck below: the owner's end waits for nothing, the host
   goes on, and the set is freed by the read when it comes back. */
static void
a_handle_ends_while_a_read_is_in_flight(void **state)
{
	struct world w;
	struct thread t;
	uint64_t set;

	(void)state;
	begin(&w);
	t = (struct thread){ .f = control_open(w.c) };
	set = prepare(w.f, 2, SET_OK);
	assert_int_equal(freeze(w.f, set, 0, 0), SET_OK);
	assert_int_equal(bind(t.f, set, 0), SET_OK);
	atomic_put(&w.disk[0].stop, 1);
	assert_int_equal(env_thread_start(&t.thread, read_run, &t), 0);
	assert_true(env_event_wait(&w.disk[0].came, LONG));
	control_cleanup(w.f);
	assert_false(atomic_get(&t.over));
	atomic_put(&w.disk[0].stop, 0);
	env_event_set(&w.disk[0].go);
	env_thread_join(&t.thread);
	control_close(w.f);
	w.f = t.f;
	/* Waits for the old one's end, if it must. */
	prepare(w.f, 2, SET_OK);
	end(&w);
}

/* A write below keeps FREEZE waiting behind closed gates: the handle's end waits for
   neither, and when FREEZE comes back the set has gone and the gates are open. */
static void
a_handle_ends_while_freeze_waits(void **state)
{
	struct world w;
	struct thread t;

	(void)state;
	begin(&w);
	t = (struct thread){ .f = w.f };
	t.set = prepare(w.f, 2, SET_OK);
	assert_int_equal(volume_write_begin(w.disk[0].volume, 0, 512), VOLUME_FORWARD);
	assert_int_equal(env_thread_start(&t.thread, freeze_run, &t), 0);
	while (volume_state(w.disk[1].volume) != HOTCOPY_GATED)
		(void)env_event_wait(&w.disk[0].go, MS);
	write_begin(&w.disk[1], CHUNK, 5);
	assert_false(env_event_wait(&w.disk[1].done, 0));
	control_cleanup(w.f);
	assert_false(atomic_get(&t.over));
	volume_write_done(w.disk[0].volume);
	env_thread_join(&t.thread);
	assert_true(env_event_wait(&w.disk[1].done, LONG));
	assert_int_equal(volume_state(w.disk[0].volume), HOTCOPY_IDLE);
	assert_int_equal(volume_state(w.disk[1].volume), HOTCOPY_IDLE);
	host_writes(&w.disk[0], 0, 3);
	end(&w);
}

static void
one_volume_leaves_and_the_others_stay(void **state)
{
	static const struct hotcopy_extent e[1] = { { CHUNK, 32 * CHUNK } };
	struct control_file *other;
	struct thread t, leaver;
	struct listing l;
	struct world w;
	uint8_t old[512];
	uint64_t set;

	(void)state;
	begin(&w);
	other = control_open(w.c);
	assert_int_equal(track(&w, 10, e, 1), SET_OK);
	host_writes(&w.disk[1], 0, 1);
	set = prepare(w.f, 2, SET_OK);
	assert_int_equal(freeze(w.f, set, 0, 0), SET_OK);
	assert_int_equal(bind(w.f, set, 0), SET_OK);
	assert_int_equal(bind(other, set, 1), SET_OK);
	host_writes(&w.disk[1], 0, 2);
	/* It waits for the read of its own image that is under way. */
	t = (struct thread){ .f = w.f };
	leaver = (struct thread){ .w = &w };
	atomic_put(&w.disk[0].stop, 1);
	assert_int_equal(env_thread_start(&t.thread, read_run, &t), 0);
	assert_true(env_event_wait(&w.disk[0].came, LONG));
	assert_int_equal(env_thread_start(&leaver.thread, leave_run, &leaver), 0);
	do {
		l = list(&w);
	} while (l.count == DISKS);
	assert_false(atomic_get(&leaver.over));
	assert_int_equal(control_read(other, 0, old, 512), SET_OK);
	assert_int_equal(old[0], 1);
	atomic_put(&w.disk[0].stop, 0);
	env_event_set(&w.disk[0].go);
	env_thread_join(&t.thread);
	env_thread_join(&leaver.thread);
	assert_int_equal(t.result, SET_LOST);
	assert_int_equal(control_read(w.f, 0, old, 512), SET_LOST);
	assert_int_equal(control_read(other, 0, old, 512), SET_OK);
	assert_int_equal(old[0], 1);
	host_writes(&w.disk[1], CHUNK, 7);
	assert_int_equal(release(w.f, set), SET_OK);
	control_close(other);
	end(&w);
}

static void
all_calls(struct world *w, enum set_result *result)
{
	static const struct hotcopy_extent lent[1] = { { 0, 64 * CHUNK } };
	static const struct hotcopy_extent store[1] = { { CHUNK, 32 * CHUNK } };
	union {
		struct hotcopy_prepare in;
		struct hotcopy_prepared out;
	} b = { .in = {
		    H(prepare), .volumes = 2, .memory = 2 << 20, .volume = { 10, 11 } } };
	struct control_file *f = control_open(w->c);
	uint64_t set;

	result[0] = f != NULL ? SET_OK : SET_NO_MEMORY;
	if (f != NULL)
		control_close(f);
	result[1] = track(w, 12, store, 1);
	result[2] = call(w->f, HOTCOPY_IOCTL_PREPARE, &b, sizeof(b.in), sizeof(b));
	set = result[2] == SET_OK ? b.out.set : 0;
	result[3] = result[4] = result[5] = result[2];
	if (set == 0)
		return;
	result[3] = extents_call(w, HOTCOPY_IOCTL_DIFF_ADD, set, 12, lent, 1);
	result[4] = extents_call(w, HOTCOPY_IOCTL_EXCLUDE, set, 10, lent, 1);
	result[5] = freeze(w->f, set, 0, 0);
}

/* The nth taking of memory or a thread fails: the call says so, what it touched is as
   before, the others work, and nothing is left behind. */
static void
without_memory_a_call_fails_and_nothing_else(void **state)
{
	bool failed = true;

	(void)state;
	for (uint64_t n = 1; failed; n++) {
		enum set_result result[6];
		struct listing l;
		struct world w;
		uint32_t no = 0;

		assert_true(n < 500);
		begin(&w);
		env_posix_fail(n);
		all_calls(&w, result);
		failed = env_posix_failed();
		env_posix_fail(0);
		for (uint32_t i = 0; i < 6; i++) {
			assert_true(result[i] == SET_OK || result[i] == SET_NO_MEMORY);
			no += result[i] == SET_NO_MEMORY;
		}
		assert_true(failed || no == 0);
		l = list(&w);
		assert_int_equal(l.volume[2].tracking,
		    result[1] == SET_OK ? HOTCOPY_TRACK_NEW : HOTCOPY_TRACK_OFF);
		assert_int_equal(l.volume[0].state,
		    result[2] == SET_OK ? HOTCOPY_ACTIVE : HOTCOPY_IDLE);
		host_writes(&w.disk[0], 3 * CHUNK, 9);
		end(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_from_prepare_to_release),
		cmocka_unit_test(wrong_bytes_are_refused),
		cmocka_unit_test(extents_must_rise_and_lie_inside),
		cmocka_unit_test(tracking_is_by_volume_and_not_under_a_set),
		cmocka_unit_test(a_short_list_says_how_many_there_are),
		cmocka_unit_test(events_go_to_whom_they_concern),
		cmocka_unit_test(a_handle_ends_while_a_read_is_in_flight),
		cmocka_unit_test(a_handle_ends_while_freeze_waits),
		cmocka_unit_test(one_volume_leaves_and_the_others_stay),
		cmocka_unit_test(without_memory_a_call_fails_and_nothing_else),
	};

	return cmocka_run_group_tests_name("driver_control", tests, NULL, NULL);
}
