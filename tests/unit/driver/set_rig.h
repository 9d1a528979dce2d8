/*
 * set_rig.h - three volumes of memory and a set of them, for tests of sets.
 */
#ifndef TESTS_UNIT_DRIVER_SET_RIG_H
#define TESTS_UNIT_DRIVER_SET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "driver/core/set.h"
#include "tests/unit/driver/ram_volume.h"

#define CHUNK 16384u
#define SIZE (2u << 20)
#define MEMORY (16u << 20)
#define MS 10000u

struct rig {
	struct ram ram[3];
	struct set *set;
	uint32_t told;
};

static inline void
events(void *who)
{
	struct rig *r = who;

	__atomic_fetch_add(&r->told, 1, __ATOMIC_RELAXED);
}

static inline void
rig_make(struct rig *r)
{
	memset(r, 0, sizeof *r);
	for (unsigned i = 0; i < 3; i++)
		ram_make(&r->ram[i], i + 1, SIZE, (uint8_t)(i + 1));
}

static inline enum set_result
prepare(struct rig *r, uint32_t volumes, uint64_t only_changed)
{
	struct hotcopy_prepare p = {
		.volumes = volumes, .memory = MEMORY, .only_changed = only_changed
	};
	struct volume *v[3];

	for (unsigned i = 0; i < 3; i++)
		v[i] = r->ram[i].volume;
	return set_prepare(&r->set, 77, &p, v, (struct set_notice){ events, r });
}

static inline void
rig_end(struct rig *r)
{
	set_free(r->set);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(volume_waiting(r->ram[i].volume), 0);
		ram_end(&r->ram[i]);
	}
}

static inline enum set_result
freeze(struct rig *r, uint32_t flags, uint32_t timeout_ms, struct hotcopy_frozen *out)
{
	struct hotcopy_freeze f = { .flags = flags,
		.timeout_ms = timeout_ms,
		.hold_ms = 10000,
		.nonce = { 1, 2, 3 } };

	return set_freeze(r->set, &f, out, NULL);
}

static inline bool
image_is(struct rig *r, uint32_t index, uint64_t offset, uint32_t length, uint8_t fill)
{
	uint8_t *out = malloc(length);
	bool is = set_read(r->set, index, offset, out, length) == SET_OK &&
		  ram_all(out, length, fill);

	free(out);
	return is;
}

#endif /* TESTS_UNIT_DRIVER_SET_RIG_H */
