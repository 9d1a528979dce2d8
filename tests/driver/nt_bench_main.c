/*
 * nt_bench: what the driver costs, as lines "name value unit".  Built without the shim's
 * checks.  Times of the idle path are CPU time of one thread over a disk that does
 * nothing; latencies and rates are over disks that take LATENCY_US for every request, so
 * that only what the driver adds can differ.  Ratios count, not microseconds.
 */
#include "tests/driver/rig/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LENGTH (256ull << 20)
#define LATENCY_US 300
#define ROUNDS 9
#define WRITES 400000
#define TOUCHES 150
#define CHUNK (16u << 10)
/* Far enough apart that no copy is made ahead of its write. */
#define APART (8ull * CHUNK)
#define UNNEEDED 2048u /* chunks from here */
#define READERS 8
#define READ (64u << 10)

static struct rig rig;
static int failed;

static double
seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

static void
line(const char *name, double value, const char *unit)
{
	printf("%s %.2f %s\n", name, value, unit);
	fflush(stdout);
}

static void
must(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "nt_bench: %s: 0x%08x\n", what, (unsigned)status);
	failed = 1;
}

/* ---- The idle path: CPU time of a write ---- */
static NTSTATUS
kept(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device;
	(void)irp;
	(void)context;
	return STATUS_MORE_PROCESSING_REQUIRED;
}

static double
writes_ns(PDEVICE_OBJECT device)
{
	PIRP irp = IoAllocateIrp(4, FALSE);
	unsigned dice = 1;
	double begin = seconds(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < WRITES; i++) {
		PIO_STACK_LOCATION at;

		IoReuseIrp(irp, STATUS_SUCCESS);
		dice = dice * 1664525 + 1013904223;
		at = IoGetNextIrpStackLocation(irp);
		at->MajorFunction = IRP_MJ_WRITE;
		at->Parameters.Write.Length = 4096;
		at->Parameters.Write.ByteOffset.QuadPart =
		    (LONGLONG)((dice >> 8) % (LENGTH / 4096)) * 4096;
		IoSetCompletionRoutine(irp, kept, NULL, TRUE, TRUE, TRUE);
		IoCallDriver(device, irp);
	}
	begin = seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
	IoFreeIrp(irp);
	return begin / WRITES * 1e9;
}

static void
idle_path(struct rig_file *f)
{
	static double lower[ROUNDS], idle[ROUNDS], tracked[ROUNDS];
	static double idle_more[ROUNDS], tracked_more[ROUNDS];
	unsigned long takings, lockings;
	long pool;

	must(rig_track(f, rig_volume(&rig.disk[1]), true, 0, 0, 1), "TRACK");
	for (unsigned v = 0; v < 2; v++)
		rig.disk[v].empty = true;
	writes_ns(shim_device_top(rig.disk[1].pdo));
	pool = shim_count(SHIM_POOL) + shim_count(SHIM_IRP);
	takings = shim_takings();
	lockings = shim_lockings();
	for (unsigned i = 0; i < ROUNDS; i++) {
		lower[i] = writes_ns(rig.disk[0].pdo);
		idle[i] = writes_ns(shim_device_top(rig.disk[0].pdo));
		tracked[i] = writes_ns(shim_device_top(rig.disk[1].pdo));
		idle_more[i] = idle[i] - lower[i];
		tracked_more[i] = tracked[i] - lower[i];
	}
	/* The IRP of each run is the host's. */
	line("allocations", (double)(shim_takings() - takings) - 3 * ROUNDS,
	    "by all these writes");
	line("locks", (double)(shim_lockings() - lockings), "by all these writes");
	line("write_lower", median(lower, ROUNDS), "ns");
	line("write_idle", median(idle, ROUNDS), "ns");
	line("write_tracked", median(tracked, ROUNDS), "ns");
	line("idle_added", median(idle_more, ROUNDS), "ns");
	line("tracked_added", median(tracked_more, ROUNDS), "ns");
	line("left_allocated",
	    (double)(shim_count(SHIM_POOL) + shim_count(SHIM_IRP) - pool), "objects");
	for (unsigned v = 0; v < 2; v++)
		rig.disk[v].empty = false;
}

/* ---- Latencies of a write ---- */
static uint8_t buffer[READ];

static double
write_us(unsigned disk, uint64_t offset)
{
	double begin = seconds(CLOCK_MONOTONIC);

	must(rig_io(&rig.disk[disk], IRP_MJ_WRITE, offset, buffer, 4096), "a write");
	return (seconds(CLOCK_MONOTONIC) - begin) * 1e6;
}

/* In turn: a volume of no set, a chunk touched first, and again, one that is not needed.
 */
static void
latencies(struct rig_set *s, struct rig_file *image)
{
	static double idle[TOUCHES], first[TOUCHES], again[TOUCHES], unneeded[TOUCHES];
	struct rig_wish wish = { .memory = 64u << 20, .chunk_shift = 14 };
	uint8_t bits[TOUCHES];
	struct hotcopy_stats stats;

	must(rig_prepare(&rig, s, 1, &wish), "PREPARE");
	must(rig_freeze(s, 0, 5000, 1), "FREEZE");
	must(rig_bind(s, image, 0), "BIND");
	memset(bits, 0xff, sizeof(bits));
	must(rig_unneeded(s, 0, UNNEEDED, TOUCHES * 8, bits), "UNNEEDED");
	for (unsigned i = 0; i < TOUCHES; i++) {
		idle[i] = write_us(1, i * APART);
		first[i] = write_us(0, i * APART);
		again[i] = write_us(0, i * APART);
		unneeded[i] = write_us(0, (uint64_t)UNNEEDED * CHUNK + i * APART);
	}
	must(rig_stats(s, 0, &stats), "STATS");
	/* Or the first touches were none. */
	if (stats.copied != TOUCHES)
		must(STATUS_UNSUCCESSFUL, "not one copy a first touch");
	line("copied", (double)stats.copied, "chunks");
	line("latency_idle", median(idle, TOUCHES), "us");
	line("latency_first_touch", median(first, TOUCHES), "us");
	line("latency_preserved", median(again, TOUCHES), "us");
	line("latency_not_needed", median(unneeded, TOUCHES), "us");
	line("first_touch_ratio", median(first, TOUCHES) / median(idle, TOUCHES), "x");
	line("preserved_ratio", median(again, TOUCHES) / median(idle, TOUCHES), "x");
	line("not_needed_ratio", median(unneeded, TOUCHES) / median(idle, TOUCHES), "x");
}

/* ---- The rate of frozen reads beside raw ones ---- */
struct reader {
	pthread_t thread;
	struct rig_file *image; /* NULL: the disk */
	unsigned number;
};

static void *
read_run(void *arg)
{
	struct reader *r = arg;
	uint8_t *to = malloc(READ);

	for (unsigned i = r->number; i < 512; i += READERS) {
		/* Beyond what was let go. */
		uint64_t at = (64ull << 20) + (uint64_t)i * READ;

		must(r->image == NULL ? rig_io(&rig.disk[0], IRP_MJ_READ, at, to, READ)
				      : rig_image(r->image, at, to, READ),
		    "a read");
	}
	free(to);
	return NULL;
}

static double
read_rate(struct rig_file *image)
{
	struct reader reader[READERS];
	double begin = seconds(CLOCK_MONOTONIC);

	for (unsigned i = 0; i < READERS; i++) {
		reader[i].image = image;
		reader[i].number = i;
		if (pthread_create(&reader[i].thread, NULL, read_run, &reader[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(reader[i].thread, NULL);
	return 512.0 * READ / (1 << 20) / (seconds(CLOCK_MONOTONIC) - begin);
}

static void
frozen_reads(struct rig_file *image)
{
	double raw[ROUNDS], frozen[ROUNDS], ratio[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		raw[i] = read_rate(NULL);
		frozen[i] = read_rate(image);
		ratio[i] = frozen[i] / raw[i];
	}
	line("read_raw", median(raw, ROUNDS), "MiB/s");
	line("read_frozen", median(frozen, ROUNDS), "MiB/s");
	line("frozen_read_ratio", median(ratio, ROUNDS), "x");
}

/* ---- The gate: 64 writes on their way when it closes ---- */
static void
gates(struct rig_set *s)
{
	static struct rig_request q[64];
	struct rig_wish wish = { .memory = 64u << 20, .chunk_shift = 14 };
	double gate[ROUNDS], longest = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		must(rig_prepare(&rig, s, 2, &wish), "PREPARE");
		for (unsigned k = 0; k < 64; k++)
			rig_io_begin(&q[k], &rig.disk[k % 2], IRP_MJ_WRITE,
			    (uint64_t)k * READ, buffer, 4096);
		must(rig_freeze(s, 0, 5000, 1), "FREEZE");
		for (unsigned k = 0; k < 64; k++)
			must(rig_wait(&q[k], NULL), "a write at the gate");
		gate[i] = (double)(s->frozen.opened - s->frozen.closed) / 10000;
		longest = gate[i] > longest ? gate[i] : longest;
		must(rig_release(s), "RELEASE");
	}
	line("gate_median", median(gate, ROUNDS), "ms");
	line("gate_longest", longest, "ms");
}

int
main(void)
{
	static struct rig_set set;
	struct rig_file image;

	if (rig_start(&rig, 2, LENGTH) != STATUS_SUCCESS ||
	    rig_open(&set.file) != STATUS_SUCCESS || rig_open(&image) != STATUS_SUCCESS) {
		fprintf(stderr, "nt_bench: the driver does not start\n");
		return 1;
	}
	idle_path(&set.file);
	for (unsigned v = 0; v < 2; v++) {
		rig.disk[v].slow = false;
		rig.disk[v].latency_us = LATENCY_US;
	}
	latencies(&set, &image);
	frozen_reads(&image);
	must(rig_release(&set), "RELEASE");
	gates(&set);
	rig_cleanup(&image);
	rig_close(&image);
	rig_cleanup(&set.file);
	rig_close(&set.file);
	if (!rig_stop(&rig))
		failed = 1;
	return failed;
}
