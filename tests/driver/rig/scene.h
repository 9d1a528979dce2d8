/*
 * scene.h - volumes with an exact model beside them, for one thread that does one thing
 * after the other: after every step the disks are what was written, and an image is what
 * they were at the cut, or it is lost.
 */
#ifndef TESTS_DRIVER_RIG_SCENE_H
#define TESTS_DRIVER_RIG_SCENE_H

#include "tests/driver/rig/rig.h"

#define SCENE_VOLUMES 2
#define SCENE_LENGTH ((1u << 20) + 5 * RIG_SECTOR)
/* What nobody writes: place for a diff area and a tracking store. */
#define SCENE_FREE (768u << 10)
#define SCENE_DIFF (896u << 10)
#define SCENE_DIFF_BYTES (128u << 10)
#define SCENE_STORE SCENE_FREE
#define SCENE_STORE_BYTES (128u << 10)
#define SCENE_CHUNK (1u << HOTCOPY_CHUNK_SHIFT_MIN)

struct scene {
	struct rig rig;
	struct rig_set set;
	struct rig_file image[SCENE_VOLUMES];
	uint8_t *model[SCENE_VOLUMES], *frozen[SCENE_VOLUMES];
	unsigned dice, bad;
	bool may_fail; /* calls may; the host's requests may not */
	bool started[SCENE_VOLUMES];
};

void
scene_bad(struct scene *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The driver and SCENE_VOLUMES volumes, and the handle of set.file. */
void scene_start(struct scene *s);
void scene_stop(struct scene *s); /* with disks compared and leaks told */

/* Waits; the model follows what has succeeded. */
void scene_write(struct scene *s, unsigned v, uint64_t offset, uint32_t length);
void scene_trim(struct scene *s, unsigned v, uint64_t offset, uint32_t length);
/* A write that the caller waits for by scene_wrote. */
struct scene_write {
	struct rig_request q;
	uint8_t *bytes;
	unsigned v;
	uint64_t offset;
	uint32_t length;
};
void scene_write_begin(
    struct scene *s, struct scene_write *w, unsigned v, uint64_t offset, uint32_t length);
NTSTATUS scene_wrote(struct scene *s, struct scene_write *w);
void scene_disks_right(struct scene *s);

/* PREPARE of all volumes with so much memory. */
NTSTATUS scene_prepare(struct scene *s, uint64_t memory, enum hotcopy_full full);
NTSTATUS scene_freeze(struct scene *s, uint32_t flags, uint64_t nonce);
NTSTATUS scene_frozen(struct scene *s); /* the second half: after a FREEZE of others' */
/* Success: the bytes were those of the cut. */
NTSTATUS scene_image(struct scene *s, unsigned v, uint64_t offset, uint32_t length);
/* All of it but what nobody writes; gives the first status that is none of success. */
NTSTATUS scene_image_all(struct scene *s, unsigned v);
void scene_release(struct scene *s);
uint32_t scene_state(struct scene *s, unsigned v); /* enum hotcopy_state; 99: no ENUM */

#define SCENE_REQUIRE(s, what) \
	((what) ? (void)0 : scene_bad((s), "%s:%d: %s", __FILE__, __LINE__, #what))

#endif /* TESTS_DRIVER_RIG_SCENE_H */
