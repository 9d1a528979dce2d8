/*
 * The layers between a target and a device: sectors are written whole and by one
 * thread, whatever comes in whatever parts; and a volume's ends become valid last,
 * whichever write fails before.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/restore/target_medium.h"
#include "proto/base/err.h"

#define SIZE (1024u * 1024)
#define OLD 0x5a

/* A device in memory that takes whole sectors only, and fails the nth call. */
struct device {
	struct target_medium m;
	uint8_t bytes[SIZE];
	uint32_t sector;
	pthread_mutex_t lock;
	unsigned calls, fail_at; /* 0: never. */
	unsigned unaligned, reads, finished;
	uint64_t
	    lost; /* The byte before this one does not take what is written; 0: none. */
	int *closed;
};

static int
count(struct device *d, uint64_t offset, size_t len, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (offset % d->sector != 0 || len % d->sector != 0)
		d->unaligned++;
	if (++d->calls == d->fail_at)
		rc = err_set(err, ERR_IO, "as the test wants it");
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int
device_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct device *d = (struct device *)m;

	if (count(d, offset, len, err) != 0)
		return -1;
	d->reads++;
	memcpy(out, d->bytes + offset, len);
	return 0;
}

static int
device_write(struct target_medium *m, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	struct device *d = (struct device *)m;

	if (count(d, offset, len, err) != 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (offset + i + 1 != d->lost)
			d->bytes[offset + i] = p[i];
	return 0;
}

static int
device_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct device *d = (struct device *)m;

	memset(d->bytes + offset, 0, len);
	return 1;
}

static int
device_settle(struct target_medium *m, struct err *err)
{
	return count((struct device *)m, 0, 0, err);
}

static int
device_finish(struct target_medium *m, struct err *err)
{
	((struct device *)m)->finished++;
	return count((struct device *)m, 0, 0, err);
}

/* The test looks at it afterwards, and frees it. */
static void
device_close(struct target_medium *m)
{
	*((struct device *)m)->closed = 1;
}

static const struct target_medium_ops device_ops = {
	.read = device_read,
	.write = device_write,
	.zero = device_zero,
	.settle = device_settle,
	.finish = device_finish,
	.close = device_close,
};

static struct device *
device_new(uint32_t sector, int *closed)
{
	struct device *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->m = (struct target_medium){ .ops = &device_ops, .size = SIZE, .in_place = 1 };
	d->sector = sector;
	d->closed = closed;
	pthread_mutex_init(&d->lock, NULL);
	memset(d->bytes, OLD, SIZE);
	return d;
}

static void
device_free(struct device *d)
{
	assert_int_equal(*d->closed, 1);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static uint8_t
byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + 1);
}

/* Cuts of 1..8 KiB at any byte, from the begin; every `of`th from number `which`. */
struct cuts {
	struct target_medium *m;
	unsigned of, which;
	int backwards;
};

static void *
write_cuts(void *arg)
{
	struct cuts *c = arg;
	uint64_t begin[SIZE / 1024], offset = 0;
	struct err err = ERR_INIT;
	uint32_t random = 12345;
	uint8_t p[8192];
	unsigned n = 0, i;

	while (offset < SIZE) {
		begin[n++] = offset;
		random = random * 1664525 + 1013904223;
		offset += 1025 + (random >> 8) % 7000;
	}
	for (unsigned k = 0; k < n; k++) {
		uint64_t end;

		i = c->backwards ? n - 1 - k : k;
		if (i % c->of != c->which)
			continue;
		end = i + 1 < n ? begin[i + 1] : SIZE;
		for (offset = begin[i]; offset < end; offset++)
			p[offset - begin[i]] = byte_at(offset);
		assert_int_equal(
		    c->m->ops->write(c->m, begin[i], p, (size_t)(end - begin[i]), &err),
		    0);
	}
	return NULL;
}

static void
check_bytes(const struct device *d)
{
	for (uint64_t i = 0; i < SIZE; i++)
		if (d->bytes[i] != byte_at(i))
			fail_msg("byte %u", (unsigned)i);
}

static void
parts_become_whole_sectors(void **state)
{
	static const uint32_t sectors[] = { 512, 4096 };

	(void)state;
	for (unsigned s = 0; s < 4; s++) {
		int closed = 0;
		struct device *d = device_new(sectors[s % 2], &closed);
		struct err err = ERR_INIT;
		struct cuts c = { NULL, 1, 0, s > 1 };

		assert_int_equal(target_medium_edges(&d->m, d->sector, &c.m, &err), 0);
		write_cuts(&c);
		assert_int_equal(c.m->ops->finish(c.m, &err), 0);
		/* The parts met in memory: nothing was read for it. */
		assert_int_equal(d->reads, 0);
		assert_int_equal(d->unaligned, 0);
		check_bytes(d);
		c.m->ops->close(c.m);
		device_free(d);
	}
}

static void
threads_share_sectors(void **state)
{
	int closed = 0;
	struct device *d = device_new(4096, &closed);
	struct err err = ERR_INIT;
	struct cuts c[3];
	pthread_t threads[3];

	(void)state;
	assert_int_equal(target_medium_edges(&d->m, 4096, &c[0].m, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = (struct cuts){ c[0].m, 3, i, i == 2 };
		assert_int_equal(pthread_create(&threads[i], NULL, write_cuts, &c[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c[0].m->ops->finish(c[0].m, &err), 0);
	check_bytes(d);
	assert_int_equal(d->unaligned, 0);
	c[0].m->ops->close(c[0].m);
	device_free(d);
}

/* A model of one flat array beside the layer: writes, reads and zeros at random. */
static void
what_was_written_is_read(void **state)
{
	static uint8_t model[SIZE], there[20000];
	int closed = 0;
	struct device *d = device_new(512, &closed);
	struct target_medium *m;
	struct err err = ERR_INIT;
	uint32_t random = 99;

	(void)state;
	memset(model, OLD, SIZE);
	assert_int_equal(target_medium_edges(&d->m, 512, &m, &err), 0);
	assert_int_equal(target_medium_ends(m, &m, &err), 0);
	for (unsigned i = 0; i < 6000; i++) {
		uint64_t offset, len;

		random = random * 1664525 + 1013904223;
		offset = (random >> 4) % SIZE;
		random = random * 1664525 + 1013904223;
		len = 1 + (random >> 8) % (i % 7 == 0 ? 18000 : 700);
		if (len > SIZE - offset)
			len = SIZE - offset;
		if (i % 5 == 4) {
			offset = offset / TARGET_BLOCK * TARGET_BLOCK;
			len = TARGET_BLOCK;
			assert_int_equal(m->ops->zero(m, offset, len), 1);
			memset(model + offset, 0, len);
		} else if (i % 5 < 3) {
			memset(model + offset, (int)(random >> 24), len);
			assert_int_equal(
			    m->ops->write(m, offset, model + offset, len, &err), 0);
		}
		assert_int_equal(m->ops->read(m, offset, there, len, &err), 0);
		assert_memory_equal(there, model + offset, len);
	}
	assert_int_equal(m->ops->finish(m, &err), 0);
	assert_memory_equal(d->bytes, model, SIZE);
	assert_int_equal(d->unaligned, 0);
	m->ops->close(m);
	device_free(d);
}

/* The begin and the end of what a mount would look for. */
static int
looks_sound(const struct device *d)
{
	for (unsigned i = 0; i < 512; i++)
		if (d->bytes[i] != byte_at(i))
			return 0;
	return 1;
}

static void
ends_become_valid_last(void **state)
{
	unsigned calls = 0;

	(void)state;
	/* First whole, to count the calls; then with each of them failing. */
	for (unsigned n = 0; n <= calls; n++) {
		int closed = 0, rc;
		struct device *d = device_new(512, &closed);
		struct target_medium *m;
		struct err err = ERR_INIT;
		uint8_t *p = malloc(SIZE);

		for (unsigned i = 0; i < SIZE; i++)
			p[i] = byte_at(i);
		d->fail_at = n;
		rc = target_medium_ends(&d->m, &m, &err);
		if (rc != 0) {
			assert_int_equal(d->bytes[0], OLD);
			free(p);
			device_free(d);
			continue;
		}
		for (unsigned at = 0; rc == 0 && at < SIZE; at += SIZE / 16)
			rc = m->ops->write(m, at, p + at, SIZE / 16, &err);
		if (rc == 0)
			rc = m->ops->finish(m, &err);
		if (n == 0) {
			calls = d->calls;
			assert_int_equal(rc, 0);
			assert_true(calls > 20);
			check_bytes(d);
		} else {
			assert_int_equal(rc, -1);
			/* Sound again only when all before was on the medium. */
			if (looks_sound(d))
				check_bytes(d);
		}
		m->ops->close(m);
		free(p);
		device_free(d);
	}
}

static void
what_stays_is_not_touched(void **state)
{
	int closed = 0;
	struct device *d = device_new(512, &closed);
	struct target_medium *m;
	struct err err = ERR_INIT;
	uint8_t p[512];

	(void)state;
	/* Nothing is written: the volume is as it was, all the time. */
	assert_int_equal(target_medium_ends(&d->m, &m, &err), 0);
	assert_int_equal(m->ops->read(m, 0, p, sizeof(p), &err), 0);
	assert_int_equal(m->ops->finish(m, &err), 0);
	assert_int_equal(d->bytes[0], OLD);
	m->ops->close(m);
	assert_int_equal(closed, 1);
	/* One sector is: the begin is nothing meanwhile, and comes back. */
	closed = 0;
	memset(p, 1, sizeof(p));
	err_clear(&err);
	assert_int_equal(target_medium_ends(&d->m, &m, &err), 0);
	assert_int_equal(m->ops->write(m, SIZE / 2, p, sizeof(p), &err), 0);
	assert_int_equal(d->bytes[0], 0);
	assert_int_equal(d->bytes[SIZE - 1], 0);
	assert_int_equal(m->ops->finish(m, &err), 0);
	assert_int_equal(d->bytes[0], OLD);
	assert_int_equal(d->bytes[SIZE - 1], OLD);
	assert_int_equal(d->bytes[SIZE / 2], 1);
	m->ops->close(m);
	device_free(d);
}

static void
ends_that_are_not_as_written_make_no_volume(void **state)
{
	static const uint64_t lost[] = { 1, 3 * TARGET_END / 4, SIZE - 1, SIZE / 2 };

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		int closed = 0, ends = lost[n] != SIZE / 2;
		struct device *d = device_new(512, &closed);
		struct target_medium *m;
		struct err err = ERR_INIT;
		uint8_t *p = malloc(SIZE);

		assert_non_null(p);
		for (unsigned i = 0; i < SIZE; i++)
			p[i] = byte_at(i);
		d->lost = lost[n];
		assert_int_equal(target_medium_ends(&d->m, &m, &err), 0);
		assert_int_equal(m->ops->write(m, 0, p, SIZE, &err), 0);
		/* The middle is others' matter. */
		assert_int_equal(m->ops->finish(m, &err), ends ? -1 : 0);
		assert_true(looks_sound(d) == !ends);
		assert_true(!ends || err.code == ERR_CORRUPT);
		m->ops->close(m);
		free(p);
		device_free(d);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_become_whole_sectors),
		cmocka_unit_test(threads_share_sectors),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(ends_become_valid_last),
		cmocka_unit_test(ends_that_are_not_as_written_make_no_volume),
		cmocka_unit_test(what_stays_is_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
