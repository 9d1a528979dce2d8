/*
 * nt_chaos_cuts.c - the moment of the cut.  A write that slips through between the gate's
 * question and its count is sent after the cut without a copy: what was read of the image
 * before it is another when it is read again.
 */
#include "tests/driver/nt_chaos_cuts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/driver/rig/rig.h"

#define VOLUMES 2
#define LENGTH (128u << 10)
#define WRITERS 4
#define PLACE (LENGTH / WRITERS)
/* Of 256 shared words and locks so many are slept at. */
#define SLEEPS 6

static struct rig rig;
static uint32_t stop;

static void *
writer_run(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg, dice = number * 77 + 1;
	uint8_t buffer[4096];

	for (unsigned n = 0; __atomic_load_n(&stop, __ATOMIC_RELAXED) == 0; n++) {
		dice = dice * 1664525 + 1013904223;
		memset(buffer, (int)n, sizeof(buffer));
		if (!NT_SUCCESS(rig_io(&rig.disk[dice >> 31], IRP_MJ_WRITE,
			number * PLACE +
			    (dice >> 8) % (PLACE - 4096) / RIG_SECTOR * RIG_SECTOR,
			buffer, sizeof(buffer))))
			shim_bugcheck("a host's write failed");
	}
	return NULL;
}

static bool
read_image(struct rig_set *s, uint8_t *image, NTSTATUS *status)
{
	struct rig_file f;

	for (unsigned v = 0; v < VOLUMES; v++) {
		*status = rig_open(&f);
		if (NT_SUCCESS(*status))
			*status = rig_bind(s, &f, v);
		for (uint64_t at = 0; at < LENGTH && NT_SUCCESS(*status); at += 65536)
			*status = rig_image(&f, at, image + v * LENGTH + at, 65536);
		rig_cleanup(&f);
		rig_close(&f);
		if (!NT_SUCCESS(*status))
			return false;
	}
	return true;
}

static bool
one_cut(uint64_t nonce)
{
	static uint8_t first[VOLUMES * LENGTH], again[VOLUMES * LENGTH];
	struct rig_wish wish = { .memory = 4u << 20, .chunk_shift = 14 };
	struct rig_set s;
	NTSTATUS status;
	bool same = true;

	memset(&s, 0, sizeof(s));
	status = rig_open(&s.file);
	if (NT_SUCCESS(status))
		status = rig_prepare(&rig, &s, VOLUMES, &wish);
	if (NT_SUCCESS(status))
		status = rig_freeze(&s, 0, 8000, nonce);
	if (NT_SUCCESS(status) && read_image(&s, first, &status)) {
		usleep(1500);
		if (read_image(&s, again, &status))
			same = memcmp(first, again, sizeof(first)) == 0;
	}
	if (!NT_SUCCESS(status))
		printf("BAD: a cut: 0x%08x\n", (unsigned)status);
	if (!same)
		printf("BAD: UNSTABLE: a write passed the cut without a copy\n");
	rig_cleanup(&s.file);
	rig_close(&s.file);
	return NT_SUCCESS(status) && same;
}

bool
chaos_cuts(unsigned seed, unsigned ms)
{
	uint64_t end = KeQueryInterruptTime() + (uint64_t)ms * 10000;
	pthread_t writer[WRITERS];
	unsigned cuts = 0;
	bool good = rig_start(&rig, VOLUMES, LENGTH) == STATUS_SUCCESS;

	for (unsigned v = 0; v < VOLUMES; v++)
		rig.disk[v].inline_ = true;
	shim_chaos_sleeps(SLEEPS);
	shim_chaos_on(seed);
	for (uintptr_t i = 0; i < WRITERS; i++)
		if (pthread_create(&writer[i], NULL, writer_run, (void *)i) != 0)
			abort();
	while (good && (cuts < 10 || KeQueryInterruptTime() < end))
		good = one_cut(++cuts);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	shim_chaos_off();
	shim_chaos_sleeps(2);
	good = rig_stop(&rig) && good;
	printf("%u cuts, %s\n", cuts, good ? "stable" : "BAD");
	fflush(stdout);
	return good;
}
