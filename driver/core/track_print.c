/*
 * track_print.c - prints of what a system that mounts a volume for writing changes, so
 * that writes made while we were not there are noticed.
 *
 * The boot print is of NTFS's boot file, which nobody changes in daily use: it is
 * compared after a crash, too.  The clean print has besides the volume's first sectors
 * (where FAT and exFAT keep what a mount changes) and, of NTFS, the first records of the
 * file table and the restart pages of its log, which every mount for writing changes.
 */
#include <string.h>

#include "driver/core/track_state.h"
#include "driver/core/volume.h"

#define BOOT_BYTES 8192u   /* NTFS: $Boot */
#define FIRST_BYTES 16384u /* FAT32: the reserved sectors */
#define RECORDS 4u	   /* $MFT, $MFTMirr, $LogFile, $Volume */
#define LOG_RECORD 2u
#define RESTART_BYTES 8192u
#define RECORD_MAX 4096u
#define CLUSTER_MAX (2u << 20)
#define DATA 0x80u
#define END 0xffffffffu

static uint32_t
load16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static bool
is_power(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* Shifts, for i686 has no division of 64 bits. */
static uint64_t
times(uint64_t v, uint32_t power)
{
	return v << __builtin_ctz(power);
}

bool
track_print_boot(const uint8_t *boot, uint64_t length, struct track_ntfs *n)
{
	uint32_t sector = load16(boot + 11), per = boot[13], shift = boot[64];
	uint64_t lcn = track_load64(boot + 48);

	if (memcmp(boot + 3, "NTFS    ", 8) != 0 || !is_power(sector) || sector < 512 ||
	    sector > 4096)
		return false;
	/* Past 128 it is a power of two, negative. */
	if (per > 128) {
		if (per < 244)
			return false;
		per = 1u << (256 - per);
	}
	if (!is_power(per) || per > CLUSTER_MAX / sector)
		return false;
	n->cluster = sector * per;
	/* Clusters, or if negative a power of two bytes. */
	if (shift >= 128)
		n->record = shift > 256 - 13 ? 1u << (256 - shift) : 0;
	else
		n->record = shift > RECORD_MAX ? 0 : shift * n->cluster;
	if (!is_power(n->record) || n->record < 512 || n->record > RECORD_MAX)
		return false;
	if (lcn > length >> __builtin_ctz(n->cluster))
		return false;
	n->mft = times(lcn, n->cluster);
	return n->mft <= length && RECORDS * n->record <= length - n->mft;
}

/* The first run of unnamed data: how long, where. */
static bool
first_run(const uint8_t *run, uint32_t room, uint64_t *lcn)
{
	uint32_t lengths, places;

	if (room < 1)
		return false;
	lengths = run[0] & 15;
	places = run[0] >> 4;
	if (lengths == 0 || places == 0 || lengths > 8 || places > 7 ||
	    1 + lengths + places > room)
		return false;
	*lcn = 0;
	for (uint32_t i = 0; i < places; i++)
		*lcn |= (uint64_t)run[1 + lengths + i] << 8 * i;
	return (run[lengths + places] & 0x80) == 0; /* not before the volume */
}

bool
track_print_log(
    const uint8_t *record, const struct track_ntfs *n, uint64_t length, uint64_t *offset)
{
	uint32_t at = load16(record + 20);
	uint64_t lcn;

	if (memcmp(record, "FILE", 4) != 0)
		return false;
	while (at <= n->record - 72 && (at & 7) == 0) {
		const uint8_t *a = record + at;
		uint32_t kind = track_load32(a), size = track_load32(a + 4), runs;

		if (kind == END || size < 24 || size > n->record - at)
			return false;
		runs = load16(a + 32);
		if (kind == DATA && a[8] == 1 && a[9] == 0) {
			if (runs < 64 || runs >= size ||
			    !first_run(a + runs, size - runs, &lcn) ||
			    lcn > length >> __builtin_ctz(n->cluster))
				return false;
			*offset = times(lcn, n->cluster);
			return *offset <= length && RESTART_BYTES <= length - *offset;
		}
		at += size;
	}
	return false;
}

/* Adds bytes of the volume to the sum; "buffer" has them afterwards. */
static int
add(struct track *t, uint64_t offset, uint32_t bytes, uint8_t *buffer, uint64_t *sum)
{
	if (offset >= t->length)
		return 0;
	if (bytes > t->length - offset)
		bytes = (uint32_t)(t->length - offset);
	bytes &= ~(t->sector - 1);
	if (bytes > 0 && volume_read(t->volume, offset, buffer, bytes) != 0)
		return -1;
	*sum = track_sum(*sum, buffer, bytes);
	return 0;
}

void
track_print(struct track *t, bool clean, uint8_t *buffer, struct track_print *p)
{
	uint64_t boot = 1, sum = 1, log;
	struct track_ntfs n;

	memset(p, 0, sizeof(*p));
	memset(buffer, 0, TRACK_PAGE);
	if (add(t, 0, BOOT_BYTES, buffer, &boot) != 0)
		return;
	p->ntfs = track_print_boot(buffer, t->length, &n);
	p->boot = boot;
	if (!clean || add(t, 0, FIRST_BYTES, buffer, &sum) != 0)
		return;
	if (p->ntfs) {
		if (add(t, n.mft & ~(uint64_t)(t->sector - 1), RECORDS * n.record, buffer,
			&sum) != 0)
			return;
		/* A log that is not found is no part of the print, now and then. */
		if (track_print_log(
			buffer + LOG_RECORD * n.record, &n, t->length, &log) &&
		    add(t, log & ~(uint64_t)(t->sector - 1), RESTART_BYTES, buffer,
			&sum) != 0)
			return;
	}
	p->clean = sum;
}
