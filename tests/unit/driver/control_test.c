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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_from_prepare_to_release),
	};

	return cmocka_run_group_tests_name("driver_control", tests, NULL, NULL);
}
