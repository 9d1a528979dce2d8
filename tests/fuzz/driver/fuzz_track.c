/*
 * A store of any bytes.  It is opened: whatever it says, nothing crashes, and a store
 * that is believed never reports less than its own map and log say; a write that passes
 * afterwards is reported, after the next start, too.  The sums are made right first (the
 * first byte says of which cells), or nearly all would end there.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/core/track_format.h"
#include "driver/core/track_state.h"
#include "driver/core/volume.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define LENGTH ((uint64_t)3 << TRACK_REGION_SHIFT)
#define STORE_AT ((uint64_t)1 << 20)
#define STORE_MAX (64u << 10)
#define FIRST (16u << 10)

static uint8_t store[STORE_MAX], first[FIRST];
static uint64_t bytes;
static uint64_t unreadable; /* of the store; 0: none */

static void
must(int holds)
{
	if (!holds)
		abort();
}

static int
read_at(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	(void)device;
	must(offset + length <= LENGTH);
	if (unreadable != 0 && offset == STORE_AT + unreadable)
		return -1;
	memset(buffer, 0, length);
	if (offset >= STORE_AT && offset + length <= STORE_AT + bytes)
		memcpy(buffer, store + (offset - STORE_AT), length);
	else if (offset + length <= FIRST)
		memcpy(buffer, first + offset, length);
	return 0;
}

static int
write_at(void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	(void)device;
	(void)through;
	must(offset >= STORE_AT && offset + length <= STORE_AT + bytes);
	memcpy(store + (offset - STORE_AT), buffer, length);
	return 0;
}

static void
forward(void *device, struct held *h)
{
	(void)device;
	(void)h;
}

static void
seal(uint8_t which)
{
	for (uint32_t c = 0; c * TRACK_CELL < bytes; c++) {
		uint8_t *cell = store + c * TRACK_CELL;

		if ((which >> (c & 7) & 1) == 0)
			continue;
		/* Only the sum; all else stays as it came. */
		for (unsigned i = 0; i < 8; i++)
			cell[TRACK_CELL - 8 + i] =
			    (uint8_t)(track_sum(0, cell, TRACK_CELL - 8) >> 8 * i);
	}
}

static bool
believed(struct track *t, struct track_facts *f)
{
	track_facts(t, f);
	return f->state == HOTCOPY_TRACK_VALID || f->state == HOTCOPY_TRACK_RECOVERED;
}

static bool
reported(struct track *t, uint64_t block)
{
	uint8_t byte;

	track_report(t, true, block & ~(uint64_t)7, 8, &byte);
	return (byte >> (block & 7) & 1) != 0;
}

/* Opens, writes as a host, and starts anew. */
static void
live(struct volume *v)
{
	static const struct hotcopy_extent e = { STORE_AT, STORE_MAX };
	struct hotcopy_track how = { .extents = 1 };
	struct track_notice notice = { NULL, NULL };
	struct track_facts f;
	uint64_t before;
	struct track *t;

	must((t = track_open(v, &how, &e, notice)) != NULL);
	if (!believed(t, &f))
		must(f.changed == LENGTH >> HOTCOPY_TRACK_SHIFT);
	before = f.changed;
	while (!track_write(t, LENGTH - 512, 512))
		track_log(t, LENGTH - 512, 512);
	must(reported(t, (LENGTH >> HOTCOPY_TRACK_SHIFT) - 1));
	track_free(t);
	must((t = track_open(v, &how, &e, notice)) != NULL);
	if (believed(t, &f))
		must(f.changed >= before &&
		     reported(t, (LENGTH >> HOTCOPY_TRACK_SHIFT) - 1));
	(void)track_checkpoint(t);
	(void)track_cut(t, how.nonce);
	(void)track_cut_store(t);
	(void)track_commit(t, f.generation + 1, how.nonce);
	(void)track_clean(t);
	(void)believed(t, &f);
	track_free(t);
	how.flags = HOTCOPY_TRACK_CREATE;
	must((t = track_open(v, &how, &e, notice)) != NULL);
	track_facts(t, &f);
	must(f.state == HOTCOPY_TRACK_NEW);
	track_free(t);
}

/* What is taken from NTFS's bytes lies in the volume. */
static void
parse(void)
{
	struct track_ntfs n;
	uint64_t log;

	if (!track_print_boot(first, LENGTH, &n))
		return;
	must(n.record >= 512 && n.record <= 4096 && n.mft + 4 * n.record <= LENGTH);
	if (track_print_log(first + 4096 + 2048, &n, LENGTH, &log))
		must(log < LENGTH);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const struct volume_ops ops = { read_at, write_at, forward };
	struct volume *v;
	size_t boot;

	if (len < 2)
		return 0;
	bytes = track_store_bytes(LENGTH);
	memset(store, 0, sizeof(store));
	memset(first, 0, sizeof(first));
	boot = p[0] & 1 ? (len - 2) / 4 : 0;
	if (boot > FIRST)
		boot = FIRST;
	memcpy(first, p + 2, boot);
	len -= 2 + boot;
	memcpy(store, p + 2 + boot, len < bytes ? len : (size_t)bytes);
	seal(p[1]);
	unreadable = p[0] & 4 ? (uint64_t)(p[0] >> 3) * TRACK_PAGE : 0;
	parse();
	must((v = volume_make(&ops, NULL, 1, LENGTH, p[0] & 2 ? 512 : 4096)) != NULL);
	live(v);
	volume_gone(v);
	volume_free(v);
	return 0;
}
