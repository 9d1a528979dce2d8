/*
 * nt_exact: one thread, one step after the other, so that what an image and a report must
 * be is known to the byte and to the bit, and a broken rule shows in every run.
 *
 *	nt_exact [SCENE]
 */
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>

#define NOT_KEPT ((NTSTATUS)HOTCOPY_STATUS_NOT_KEPT)
/* Large enough that one bit of a thousand that is not set is seen in any case. */
#define BLOCK (1u << HOTCOPY_TRACK_SHIFT)
#define BLOCKS 4096u
#define GENERATIONS 3u

static struct scene scene;

static void
prepared(void)
{
	struct scene *s = &scene;

	scene_start(s);
	/* Who forgets to mark a request pending is not saved by a disk that does. */
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		s->rig.disk[v].inline_ = true;
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		for (uint64_t at = 0; at < SCENE_FREE; at += 65536)
			scene_write(s, v, at, 65536);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
}

static bool
is(unsigned v, unsigned chunk, NTSTATUS expected)
{
	return scene_image(&scene, v, (uint64_t)chunk * SCENE_CHUNK, SCENE_CHUNK) ==
	       expected;
}

/* Every way in which a write may lie to chunks, on both volumes at the same places. */
static void
a_copy_is_of_its_chunk_and_volume(void)
{
	static const struct {
		uint32_t offset, length;
	} write[] = { { 0, SCENE_CHUNK }, { SCENE_CHUNK + 512, 512 },
		{ 3 * SCENE_CHUNK - 8192, 8192 + 512 }, { 5 * SCENE_CHUNK - 512, 1024 },
		{ 7 * SCENE_CHUNK - 512, 2 * SCENE_CHUNK + 1024 },
		{ 12 * SCENE_CHUNK, 65536 }, { 20 * SCENE_CHUNK - 4096, 4096 },
		{ 21 * SCENE_CHUNK + 512, 3 * SCENE_CHUNK } };
	struct scene *s = &scene;

	prepared();
	SCENE_REQUIRE(s, scene_freeze(s, 0, 1) == STATUS_SUCCESS);
	for (size_t i = 0; i < sizeof(write) / sizeof(*write); i++) {
		for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
			scene_write(s, v, write[i].offset, write[i].length);
			for (unsigned w = 0; w < SCENE_VOLUMES; w++)
				SCENE_REQUIRE(s, scene_image_all(s, w) == STATUS_SUCCESS);
		}
	}
	scene_stop(s);
}

/* What was said to be needed no more is not served, and what lies beside it is. */
static void
what_is_let_go(void)
{
	struct scene *s = &scene;
	uint8_t all[16], bits[16] = { 0, 0, 0x04 }; /* chunk 18 */

	memset(all, 0xff, sizeof(all));
	prepared();
	/* A list of what is free that was made before the cut. */
	SCENE_REQUIRE(s, !NT_SUCCESS(rig_unneeded(&s->set, 0, 0, 64, all)));
	SCENE_REQUIRE(s, rig_extents(&s->set, HOTCOPY_IOCTL_EXCLUDE, 1, 30 * SCENE_CHUNK,
			     2 * SCENE_CHUNK) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, 0, 1) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_unneeded(&s->set, 0, 0, 64, bits) == STATUS_SUCCESS);
	SCENE_REQUIRE(
	    s, rig_done_read(&s->set, 0, 0, SCENE_CHUNK + RIG_SECTOR) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_done_read(&s->set, 0, 5 * SCENE_CHUNK + RIG_SECTOR,
			     2 * SCENE_CHUNK) == STATUS_SUCCESS);
	/* All of these are written; then what is kept is a copy. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned chunk = 0; chunk < 40; chunk++) {
			bool gone = chunk == 0 || chunk == 6 || chunk == 18;
			bool excluded = chunk == 30 || chunk == 31;

			if (!is(0, chunk, gone ? NOT_KEPT : STATUS_SUCCESS))
				scene_bad(s, "chunk %u of the first volume", chunk);
			if (!is(1, chunk, excluded ? NOT_KEPT : STATUS_SUCCESS))
				scene_bad(s, "chunk %u of the second volume", chunk);
		}
		for (unsigned v = 0; v < SCENE_VOLUMES && round == 0; v++)
			for (unsigned i = 0; i < 40; i++)
				scene_write(
				    s, v, (i * 7 % 40) * (uint64_t)SCENE_CHUNK, 4096);
	}
	scene_stop(s);
}

/* ---- Reports ---- */
static struct rig rig;
static unsigned bad;

static void
require(bool good, const char *what)
{
	if (good)
		return;
	printf("BAD: %s\n", what);
	fflush(stdout);
	bad++;
}

/* Which blocks are written in a generation: most, and others each time. */
static bool
written(unsigned generation, unsigned block)
{
	return ((block * 2654435761u + generation * 40503u) >> 20) % 7 != 0 &&
	       (block + generation) % 5 != 0;
}

static void
write_blocks(unsigned generation)
{
	static uint8_t sector[RIG_SECTOR];

	for (unsigned i = 0; i < BLOCKS; i++) {
		unsigned block = i * 1021 % BLOCKS;

		if (written(generation, block))
			require(rig_io(&rig.disk[0], IRP_MJ_WRITE,
				    (uint64_t)block * BLOCK + i % 128 * RIG_SECTOR,
				    sector, RIG_SECTOR) == STATUS_SUCCESS,
			    "a host's write");
	}
}

/* The first block is read back from the image: served if it changed, else only_changed
   has left it out. */
static void
check_image(struct rig_set *set, unsigned generation)
{
	struct rig_file image;
	uint8_t sector[RIG_SECTOR];

	require(rig_open(&image) == STATUS_SUCCESS &&
		    rig_bind(set, &image, 0) == STATUS_SUCCESS,
	    "BIND");
	for (unsigned block = 0; block < 64; block++) {
		NTSTATUS status =
		    rig_image(&image, (uint64_t)block * BLOCK, sector, RIG_SECTOR);

		require(
		    status == (written(generation, block) ? STATUS_SUCCESS : NOT_KEPT),
		    "an image of changes only");
	}
	rig_cleanup(&image);
	rig_close(&image);
}

static void
check_report(struct rig_set *set, unsigned generation)
{
	static uint8_t bit[BLOCKS / 8];
	unsigned missed = 0, more = 0;

	require(
	    rig_changed(set, 0, 0, 0, BLOCKS, bit) == STATUS_SUCCESS, "CHANGED fails");
	for (unsigned block = 0; block < BLOCKS; block++) {
		bool told = bit[block / 8] >> block % 8 & 1;
		bool changed = generation == 0 || written(generation, block);

		missed += changed && !told;
		more += told && !changed;
	}
	if (missed + more == 0)
		return;
	printf(
	    "BAD: generation %u: CHANGED AND NOT TOLD: %u blocks; %u told for nothing\n",
	    generation, missed, more);
	bad++;
}

static void
every_block_is_told_and_no_other(void)
{
	struct rig_set set;
	struct rig_wish wish = { .memory = 4u << 20 };
	NTSTATUS status;

	memset(&set, 0, sizeof(set));
	if (rig_start(&rig, 1, (uint64_t)BLOCKS * BLOCK) != STATUS_SUCCESS ||
	    rig_open(&set.file) != STATUS_SUCCESS) {
		require(false, "the driver does not start");
		return;
	}
	rig.disk[0].inline_ = true;
	require(rig_track(&set.file, rig_volume(&rig.disk[0]), true, 0, 0, 1) ==
		    STATUS_SUCCESS,
	    "TRACK");
	for (unsigned g = 0; g < GENERATIONS; g++) {
		write_blocks(g);
		wish.only_changed = g > 0;
		status = rig_prepare(&rig, &set, 1, &wish);
		if (NT_SUCCESS(status))
			status =
			    rig_freeze(&set, HOTCOPY_FREEZE_GENERATION, 5000, g + 10);
		require(NT_SUCCESS(status), "PREPARE or FREEZE");
		if (!NT_SUCCESS(status))
			break;
		check_report(&set, g);
		if (g > 0)
			check_image(&set, g);
		require(rig_generation(&set.file, HOTCOPY_IOCTL_COMMIT, set.volume[0],
			    set.frozen.generation[0], g + 10) == STATUS_SUCCESS,
		    "COMMIT");
		require(rig_release(&set) == STATUS_SUCCESS, "RELEASE");
	}
	rig_cleanup(&set.file);
	rig_close(&set.file);
	require(rig_stop(&rig), "something leaked");
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} scenes[] = { { "copies", a_copy_is_of_its_chunk_and_volume },
		{ "let-go", what_is_let_go },
		{ "report", every_block_is_told_and_no_other } };
	unsigned all = 0;

	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++) {
		if (argc > 1 && strcmp(argv[1], scenes[i].name) != 0)
			continue;
		scene.bad = bad = 0;
		scenes[i].run();
		all += scene.bad + bad;
		printf("%s: %s\n", scenes[i].name, scene.bad + bad == 0 ? "ok" : "BAD");
		fflush(stdout);
	}
	return all != 0;
}
