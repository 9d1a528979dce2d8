/*
 * core_bench.h - disks that cost what they are told to, under the real core, and the
 * calls of the ABI as a program makes them.  A call that is refused ends the program.
 */
#ifndef TESTS_DRIVER_CORE_BENCH_H
#define TESTS_DRIVER_CORE_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct control_file;
struct volume;

/* A disk without bytes: it reads as zeros and forgets what is written. */
struct core_bench_disk {
	uint64_t length;
	uint32_t read_us, write_us; /* atomic: what one I/O takes */
	uint32_t reads, writes;	    /* atomic: of the core */
	struct volume *volume;
};

/* The number is that of volume_make, from 1.  It joins the one control there is. */
struct core_bench_disk *core_bench_disk_make(uint64_t number, uint64_t length);
/* Another device's volume, for tests that have bytes. */
void core_bench_join(struct volume *v);
void core_bench_leave(struct volume *v);
void core_bench_disk_free(struct core_bench_disk *d);
/* As a host writes: asks, waits if it must, takes write_us, tells. */
void core_bench_write(struct core_bench_disk *d, uint64_t offset, uint32_t length);

/* The set of all that follows. */
uint64_t core_bench_prepare(const uint64_t *volumes, uint32_t count, uint64_t memory,
    uint32_t chunk_shift, bool only_changed);
void core_bench_diff_add(uint64_t at, uint64_t offset, uint64_t length);
/* false: the gate could not be drained. */
bool core_bench_freeze(struct hotcopy_frozen *out);
void core_bench_track(uint64_t volume);
void core_bench_commit(uint64_t volume, uint64_t generation);
void core_bench_unneeded(uint64_t first, uint32_t count, const uint8_t *bits);
void core_bench_changed(uint64_t first, uint32_t count, uint8_t *bits);
void core_bench_done(uint64_t offset, uint64_t length);
void core_bench_stats(struct hotcopy_stats *stats);
void core_bench_release(void);
/* A handle of its own that reads volume 0 of the set. */
struct control_file *core_bench_reader(void);
void core_bench_reader_close(struct control_file *f);

#define CORE_BENCH_NONCE 7u /* every byte of every nonce */

/* Microseconds of wall, and nanoseconds of this thread's CPU. */
double core_bench_wall(void);
double core_bench_cpu(void);

#endif /* TESTS_DRIVER_CORE_BENCH_H */
