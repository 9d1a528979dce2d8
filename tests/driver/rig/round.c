/* round.c - PREPARE ... RELEASE under load. */
#include "tests/driver/rig/round.h"

#include <stdio.h>
#include <stdlib.h>

#define READ 65536u
#define TRACK_BLOCK (1u << HOTCOPY_TRACK_SHIFT)
#define TRACK_BLOCKS ((LOAD_LENGTH + TRACK_BLOCK - 1) / TRACK_BLOCK)
#define LOST ((NTSTATUS)HOTCOPY_STATUS_LOST)
#define NOT_KEPT ((NTSTATUS)HOTCOPY_STATUS_NOT_KEPT)

static unsigned
draw(struct round *w, unsigned below)
{
	w->dice = w->dice * 1664525 + 1013904223;
	return (w->dice >> 8) % below;
}

void
round_open(struct round *w, struct load *l, bool tracked, unsigned seed)
{
	memset(w, 0, sizeof(*w));
	w->tracked = tracked;
	w->dice = seed;
	w->number = (uint64_t)seed << 20;
	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		w->image[v] = calloc(1, LOAD_LENGTH);
		w->committed[v] = calloc(1, LOAD_LENGTH);
		if (w->image[v] == NULL || w->committed[v] == NULL)
			abort();
	}
	if (!NT_SUCCESS(rig_open(&w->file)))
		load_bad(l, "no handle of the control device");
	for (unsigned v = 0; v < LOAD_VOLUMES && tracked; v++) {
		NTSTATUS status = rig_track(&w->file, rig_volume(&l->rig->disk[v]), true,
		    LOAD_STORE, LOAD_STORE_BYTES, w->number++);

		if (!NT_SUCCESS(status) && !w->may_drop)
			load_bad(l, "TRACK: 0x%08x", (unsigned)status);
	}
}

void
round_close(struct round *w)
{
	if (w->file.device != NULL) {
		rig_cleanup(&w->file);
		rig_close(&w->file);
	}
	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		free(w->image[v]);
		free(w->committed[v]);
	}
}

/* Diff area and tracking store are read by nobody. */
static bool
of_ours(uint64_t offset)
{
	return offset >= LOAD_DIFF && offset < LOAD_TAIL;
}

/* false: the image was lost. */
static bool
read_volume(struct round *w, struct load *l, struct rig_file *f, unsigned v, bool again)
{
	static _Thread_local uint8_t buffer[READ];

	for (uint64_t at = 0; at < LOAD_LENGTH; at += READ) {
		uint32_t n =
		    LOAD_LENGTH - at < READ ? (uint32_t)(LOAD_LENGTH - at) : READ;
		NTSTATUS status;

		if (of_ours(at))
			continue;
		status = rig_image(f, at, buffer, n);
		if (status == LOST || (w->may_drop && !NT_SUCCESS(status)))
			return false;
		if (!NT_SUCCESS(status)) {
			load_bad(l, "the image of volume %u at %lu: 0x%08x", v,
			    (unsigned long)at, (unsigned)status);
			return false;
		}
		if (again && memcmp(w->image[v] + at, buffer, n) != 0)
			load_bad(l, "UNSTABLE: volume %u at %lu", v, (unsigned long)at);
		if (!again) {
			memcpy(w->image[v] + at, buffer, n);
			load_check(l, &w->cut, v, buffer, at, at + n);
		}
	}
	return true;
}

static bool
read_all(struct round *w, struct load *l, struct rig_file files[], bool again)
{
	unsigned first = draw(w, LOAD_VOLUMES);

	for (unsigned i = 0; i < LOAD_VOLUMES; i++) {
		unsigned v = (first + i) % LOAD_VOLUMES;

		if (!read_volume(w, l, &files[v], v, again))
			return false;
	}
	if (!again)
		load_check_pair(l, &w->cut, w->image[0], w->image[1]);
	return true;
}

/* A block where two committed images differ must be reported (P5). */
static void
check_report(struct round *w, struct load *l, struct rig_set *s)
{
	uint8_t bit[(TRACK_BLOCKS + 7) / 8 + 8];

	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		NTSTATUS status = rig_changed(s, v, 0, 0, TRACK_BLOCKS, bit);

		if (!NT_SUCCESS(status)) {
			if (!w->may_drop)
				load_bad(l, "CHANGED of volume %u: 0x%08x", v,
				    (unsigned)status);
			continue;
		}
		for (unsigned b = 0; b < TRACK_BLOCKS && w->base; b++) {
			uint64_t at = (uint64_t)b * TRACK_BLOCK;
			size_t n = LOAD_LENGTH - at < TRACK_BLOCK ? LOAD_LENGTH - at
								  : TRACK_BLOCK;
			bool told = bit[b / 8] >> b % 8 & 1;

			if (!told && !of_ours(at) &&
			    memcmp(w->image[v] + at, w->committed[v] + at, n) != 0)
				load_bad(
				    l, "CHANGED AND NOT TOLD: volume %u, block %u", v, b);
			if (told && at >= LOAD_COLD && at < LOAD_DIFF)
				w->cold_reported++;
		}
	}
}

static void
generation_end(
    struct round *w, struct load *l, struct rig_set *s, uint64_t nonce, bool whole)
{
	bool commit = whole && draw(w, 4) != 0;

	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		NTSTATUS status = rig_generation(&w->file,
		    commit ? HOTCOPY_IOCTL_COMMIT : HOTCOPY_IOCTL_ABORT, s->volume[v],
		    s->frozen.generation[v], nonce);

		if (!NT_SUCCESS(status) && !w->may_drop)
			load_bad(l, "%s: 0x%08x", commit ? "COMMIT" : "ABORT",
			    (unsigned)status);
	}
	if (!commit) {
		w->aborts++;
		return;
	}
	w->commits++;
	w->base = true;
	for (unsigned v = 0; v < LOAD_VOLUMES; v++)
		memcpy(w->committed[v], w->image[v], LOAD_LENGTH);
}

/* What was said to be unneeded or read is not served any more, the rest stays right. */
static bool
let_go(struct round *w, struct load *l, struct rig_set *s, struct rig_file files[])
{
	uint32_t chunk = 1u << s->chunk_shift;
	uint32_t chunks = (LOAD_LENGTH + chunk - 1) / chunk;
	unsigned v = draw(w, LOAD_VOLUMES);
	uint32_t gone = draw(w, LOAD_COLD / chunk);
	uint8_t bit[(LOAD_LENGTH >> HOTCOPY_CHUNK_SHIFT_MIN) / 8 + 2] = { 0 };
	uint8_t *buffer = malloc(chunk);
	NTSTATUS status;

	if (buffer == NULL)
		abort();
	bit[gone / 8] |= (uint8_t)(1u << gone % 8);
	status = rig_unneeded(s, v, 0, chunks, bit);
	if (status == STATUS_SUCCESS) {
		/* One sector short of the chunk before: that one stays. */
		uint64_t from = (uint64_t)(gone + 1) * chunk;

		status = rig_done_read(s, v, from, chunk + chunk - RIG_SECTOR);
	}
	if (!NT_SUCCESS(status) && status != LOST)
		load_bad(l, "UNNEEDED or DONE_READ: 0x%08x", (unsigned)status);
	for (uint32_t c = gone; c < gone + 3 && NT_SUCCESS(status); c++) {
		uint64_t at = (uint64_t)c * chunk;
		NTSTATUS expected = c < gone + 2 ? NOT_KEPT : STATUS_SUCCESS;

		if (at + chunk > LOAD_COLD)
			break;
		status = rig_image(&files[v], at, buffer, chunk);
		if (status == LOST)
			break;
		if (status != expected)
			load_bad(l, "chunk %u of volume %u: 0x%08x, not 0x%08x", c, v,
			    (unsigned)status, (unsigned)expected);
		else if (NT_SUCCESS(status) &&
			 memcmp(buffer, w->image[v] + at, chunk) != 0)
			load_bad(l,
			    "UNSTABLE: volume %u, chunk %u, its neighbour was let go", v,
			    c);
		status = STATUS_SUCCESS;
	}
	free(buffer);
	return status != LOST;
}

static NTSTATUS
prepare(struct round *w, struct load *l, struct rig_set *s, enum round_diff where,
    bool *small)
{
	struct rig_wish wish = { .memory = 16 * LOAD_MIB };
	NTSTATUS status;

	*small = where != ROUND_MEMORY || draw(w, 4) == 0;
	if (*small)
		wish.memory = LOAD_MIB;
	wish.chunk_shift = draw(w, 2) ? 0 : 14 + draw(w, 3);
	wish.full = draw(w, 3) == 0 ? HOTCOPY_FULL_THROTTLE : HOTCOPY_FULL_DROP;
	wish.throttle_ms = 30;
	status = rig_prepare(l->rig, s, LOAD_VOLUMES, &wish);
	if (NT_SUCCESS(status) && where == ROUND_SAME_VOLUME) {
		status = rig_extents(s, HOTCOPY_IOCTL_DIFF_ADD, draw(w, LOAD_VOLUMES),
		    LOAD_DIFF, LOAD_DIFF_BYTES);
	} else if (NT_SUCCESS(status) && where == ROUND_OTHER_VOLUME) {
		/* Of the third disk, which is of no set. */
		s->volume[LOAD_VOLUMES] = rig_volume(&l->rig->disk[LOAD_VOLUMES]);
		status =
		    rig_extents(s, HOTCOPY_IOCTL_DIFF_ADD, LOAD_VOLUMES, 0, 8 * LOAD_MIB);
		*small = false;
	}
	return status;
}

/* A list of what is free that was made before the cut is never taken; bytes beyond the
   end are never given. */
static void
refused(struct round *w, struct load *l, struct rig_set *s, struct rig_file *image)
{
	uint8_t bits[8] = { 0xff, 0xff, 0xff, 0xff }, sectors[4 * RIG_SECTOR];

	if (image == NULL) {
		if (NT_SUCCESS(rig_unneeded(s, draw(w, LOAD_VOLUMES), 0, 32, bits)))
			load_bad(l, "UNNEEDED is taken before the cut");
		return;
	}
	if (NT_SUCCESS(
		rig_image(image, LOAD_LENGTH - RIG_SECTOR, sectors, 2 * RIG_SECTOR)) ||
	    NT_SUCCESS(rig_image(image, LOAD_LENGTH, sectors, RIG_SECTOR)))
		load_bad(l, "an image is read beyond its end");
}

static void
frozen(struct round *w, struct load *l, struct rig_set *s, uint64_t nonce, bool small)
{
	struct rig_file files[LOAD_VOLUMES];
	uint64_t gate = s->frozen.opened - s->frozen.closed;
	bool whole = true;

	w->snapshots++;
	w->gate_total += gate;
	if (gate > w->gate_longest)
		w->gate_longest = gate;
	if (s->frozen.cut < s->frozen.closed || s->frozen.opened < s->frozen.cut)
		load_bad(l, "the gate opened before it was closed");
	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		NTSTATUS status = rig_open(&files[v]);

		if (NT_SUCCESS(status))
			status = rig_bind(s, &files[v], v);
		if (!NT_SUCCESS(status) && status != LOST)
			whole = false;
	}
	if (!whole && !w->may_drop)
		load_bad(l, "BIND fails");
	if (whole)
		refused(w, l, s, &files[0]);
	whole = whole && read_all(w, l, files, false) && read_all(w, l, files, true) &&
		(draw(w, 2) == 0 || let_go(w, l, s, files));
	if (!whole) {
		w->dropped++;
		if (!small && !w->may_drop)
			load_bad(l, "an image was lost that had room enough");
	}
	if (whole && w->tracked)
		check_report(w, l, s);
	if (w->tracked)
		generation_end(w, l, s, nonce, whole);
	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		if (files[v].device == NULL)
			continue;
		rig_cleanup(&files[v]);
		rig_close(&files[v]);
	}
}

void
round_one(struct round *w, struct load *l)
{
	enum round_diff where = (enum round_diff)draw(w, ROUND_DIFFS);
	uint64_t nonce = w->number++;
	struct rig_set s;
	NTSTATUS status;
	bool small = false;

	memset(&s, 0, sizeof(s));
	status = rig_open(&s.file);
	if (NT_SUCCESS(status))
		status = prepare(w, l, &s, where, &small);
	if (NT_SUCCESS(status)) {
		refused(w, l, &s, NULL);
		load_cut_begin(l, &w->cut);
		status = rig_freeze(
		    &s, w->tracked ? HOTCOPY_FREEZE_GENERATION : 0, 5000, nonce);
		load_cut_end(l, &w->cut);
	}
	if (NT_SUCCESS(status)) {
		frozen(w, l, &s, nonce, small);
		if (draw(w, 2) && !NT_SUCCESS(status = rig_release(&s)))
			load_bad(l, "RELEASE: 0x%08x", (unsigned)status);
	} else {
		w->unready++;
		if (!w->may_drop)
			load_bad(
			    l, "PREPARE, DIFF_ADD or FREEZE: 0x%08x", (unsigned)status);
	}
	if (s.file.device == NULL)
		return;
	rig_cleanup(&s.file);
	rig_close(&s.file);
}

void
round_many(struct round *w, struct load *l, unsigned rounds, unsigned ms)
{
	uint64_t end = KeQueryInterruptTime() + (uint64_t)ms * 10000;

	for (unsigned i = 0; (i < rounds || KeQueryInterruptTime() < end) && l->bad == 0;
	     i++)
		round_one(w, l);
}

void
round_tell(const struct round *w, const struct load *l)
{
	printf("writes %lu failed %lu reads %lu pairs %lu; snapshots %lu dropped %lu "
	       "unready %lu "
	       "commits %lu aborts %lu; gate mean %lu us, longest %lu us; bad %u\n",
	    (unsigned long)l->writes, (unsigned long)l->failed, (unsigned long)l->reads,
	    (unsigned long)l->pairs, (unsigned long)w->snapshots,
	    (unsigned long)w->dropped, (unsigned long)w->unready,
	    (unsigned long)w->commits, (unsigned long)w->aborts,
	    (unsigned long)(w->snapshots ? w->gate_total / w->snapshots / 10 : 0),
	    (unsigned long)w->gate_longest / 10, l->bad);
}
