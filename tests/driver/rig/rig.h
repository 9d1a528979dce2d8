/*
 * rig.h - a machine for the driver: disks with faults below it, and above it what Windows
 * is to it: I/O manager, PnP manager, file systems that write, programs with handles.
 *
 * Order: rig_start, which loads the driver and starts a stack for every disk; requests;
 * rig_stop, which removes all, unloads, and says whether anything was left.  A request of
 * the rig's that does not end within the shim's patience ends the program.
 */
#ifndef TESTS_DRIVER_RIG_RIG_H
#define TESTS_DRIVER_RIG_RIG_H

#include <stdbool.h>
#include "tests/driver/shim/shim.h"
#include "driver/abi/hotcopy.h"

#define RIG_DISKS 4
#define RIG_SECTOR 512u
#define RIG_SERVICE L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\hotcopy"

/* What a disk does with requests of a kind.  "Own" are those that the filter made. */
enum rig_kind {
	RIG_HOST_READS = 1,
	RIG_HOST_WRITES = 2,
	RIG_OWN_READS = 4,
	RIG_OWN_WRITES = 8,
	RIG_ALL = 15
};

struct rig_disk {
	PDEVICE_OBJECT pdo;
	uint64_t length;
	uint8_t *bytes;
	/* Under "lock" from here. */
	pthread_mutex_t lock;
	pthread_cond_t work;
	LIST_ENTRY queue;
	pthread_t thread[2];
	unsigned held;	  /* rig_kind: stay in the queue */
	unsigned failing; /* rig_kind: fail with "status" */
	NTSTATUS status;
	uint64_t fail_from, fail_to; /* only what touches these bytes; 0, 0: all */
	bool gone;		     /* surprise removed: everything fails */
	const char *id;		     /* rig_lay's */
	bool stop, slow, inline_;    /* inline: completed before the dispatch returns */
	bool late;		     /* some writes of the host's take milliseconds */
	bool empty;		     /* inline, and no bytes are moved: for measuring */
	unsigned latency_us;	     /* of every request, exactly */
	unsigned dice;
	bool lagging;	  /* one in the queue is late */
	unsigned waiting; /* in the queue and held */
	unsigned minors[32];
	uint64_t reads, writes, flushes, own_reads, own_writes, trims;
	/* Host requests within the driver's dispatch routine. */
	LONG inside;
	bool going;
};

/* What the disks that are added next are like: their bytes (NULL: zeros), what they hold
   back from their start on, and by which name they are known (NULL: none).  Stays until
   changed. */
struct rig_lay {
	const uint8_t *bytes;
	unsigned held;
	const char *id;
};
extern struct rig_lay rig_lay[RIG_DISKS];

struct rig {
	DRIVER_OBJECT driver, disks_driver;
	UNICODE_STRING service;
	unsigned disks;
	struct rig_disk disk[RIG_DISKS];
	struct shim_counts before;
	bool loaded;
};

/* STATUS_SUCCESS, or what DriverEntry or AddDevice said.  The registry stays as it is. */
NTSTATUS rig_load(struct rig *r);
NTSTATUS rig_disk_add(struct rig *r, uint64_t length); /* AddDevice and START */
NTSTATUS rig_start(struct rig *r, unsigned disks, uint64_t length); /* all of these */
NTSTATUS rig_disk_remove(struct rig *r, unsigned i);
NTSTATUS rig_disk_surprise(struct rig *r, unsigned i); /* REMOVE must follow */
void rig_unload(struct rig *r);
bool rig_stop(struct rig *r); /* false: something leaked */

void rig_disk_hold(struct rig_disk *d, unsigned kinds); /* 0: go on */
void rig_disk_fail(struct rig_disk *d, unsigned kinds, NTSTATUS status);
void rig_disk_fail_range(
    struct rig_disk *d, unsigned kinds, NTSTATUS status, uint64_t from, uint64_t to);
/* Waits until so many requests are held.  false: they do not come. */
bool rig_disk_waits(struct rig_disk *d, unsigned number, unsigned ms);
/* The disk's bytes, as they are now. */
void rig_disk_peek(struct rig_disk *d, uint64_t offset, void *out, uint32_t length);
extern const PDRIVER_DISPATCH rig_disk_dispatch; /* for every major */
void rig_disk_open(struct rig_disk *d);
void rig_disk_close(struct rig_disk *d);

/* ---- Requests ---- */
struct rig_request {
	PIRP irp;
	KEVENT done;
	MDL mdl;
	PDEVICE_OBJECT device;
	void *buffer; /* the caller's, of buffered I/O */
	void *system;
	uint32_t bytes;
	NTSTATUS returned;
};
/* begin: fills *q and gives the next stack location, to be completed; send; wait: gives
   the status and frees.  cancel only between send and wait. */
PIO_STACK_LOCATION
rig_begin(struct rig_request *q, PDEVICE_OBJECT device, UCHAR major, UCHAR minor);
void rig_buffer(struct rig_request *q, void *buffer, uint32_t length); /* by an MDL */
void rig_system_buffer(struct rig_request *q, void *buffer, uint32_t in, uint32_t out);
NTSTATUS rig_send(struct rig_request *q); /* what the driver returned */
bool rig_done(struct rig_request *q, unsigned ms);
void rig_cancel(struct rig_request *q);
NTSTATUS rig_wait(struct rig_request *q, uint32_t *information);

/* The top of a disk's stack, for requests: enter, send, leave. */
PDEVICE_OBJECT rig_enter(struct rig_disk *d);
void rig_leave(struct rig_disk *d);

/* The host's, synchronous. */
NTSTATUS
rig_io(struct rig_disk *d, UCHAR major, uint64_t offset, void *buffer, uint32_t length);
/* The same in two halves; the buffer stays the request's until the wait. */
void rig_io_begin(struct rig_request *q, struct rig_disk *d, UCHAR major, uint64_t offset,
    void *buffer, uint32_t length);
NTSTATUS rig_flush(struct rig_disk *d);
NTSTATUS rig_trim(struct rig_disk *d, uint64_t offset, uint64_t length);
NTSTATUS rig_ioctl(struct rig_disk *d, ULONG code, void *buffer, uint32_t in,
    uint32_t out, uint32_t *got);
NTSTATUS rig_pnp(struct rig_disk *d, UCHAR minor);
NTSTATUS rig_usage(struct rig_disk *d, DEVICE_USAGE_NOTIFICATION_TYPE type, bool in);
NTSTATUS rig_power(struct rig_disk *d, UCHAR minor, POWER_STATE_TYPE type, int state);

/* ---- Handles of the control device ---- */
struct rig_file {
	FILE_OBJECT object;
	PDEVICE_OBJECT device;
};
NTSTATUS rig_open(struct rig_file *f);
NTSTATUS rig_call(struct rig_file *f, ULONG code, void *buffer, uint32_t in,
    uint32_t room, uint32_t *out);
void rig_call_begin(struct rig_request *q, struct rig_file *f, ULONG code, void *buffer,
    uint32_t in, uint32_t room);
NTSTATUS rig_image(struct rig_file *f, uint64_t offset, void *out, uint32_t length);
void rig_cleanup(struct rig_file *f);
void rig_close(struct rig_file *f); /* cleanup must have been */

/* ---- Calls of the ABI ---- */
struct rig_set {
	struct rig_file file;
	uint64_t number;
	uint32_t chunk_shift, volumes;
	uint64_t volume[RIG_DISKS]; /* the driver's numbers */
	struct hotcopy_frozen frozen;
};
struct rig_wish {
	uint64_t memory;
	uint32_t chunk_shift;
	enum hotcopy_full full;
	uint32_t throttle_ms;
	uint64_t only_changed;
};
uint64_t rig_volume(struct rig_disk *d); /* 0: the filter has none */
void rig_nonce(uint8_t nonce[HOTCOPY_NONCE], uint64_t seed);
/* Of the first "volumes" disks.  The file must be open. */
NTSTATUS
rig_prepare(
    struct rig *r, struct rig_set *s, unsigned volumes, const struct rig_wish *wish);
NTSTATUS
rig_extents(struct rig_set *s, ULONG code, unsigned at, uint64_t offset, uint64_t length);
NTSTATUS
rig_freeze(struct rig_set *s, uint32_t flags, uint32_t timeout_ms, uint64_t nonce);
NTSTATUS rig_bind(struct rig_set *s, struct rig_file *f, unsigned index);
NTSTATUS rig_unneeded(
    struct rig_set *s, unsigned index, uint64_t first, uint32_t bits, const uint8_t *bit);
NTSTATUS
rig_done_read(struct rig_set *s, unsigned index, uint64_t offset, uint64_t length);
NTSTATUS rig_changed(struct rig_set *s, unsigned index, uint32_t flags, uint64_t first,
    uint32_t bits, uint8_t *bit);
NTSTATUS rig_stats(struct rig_set *s, unsigned index, struct hotcopy_stats *stats);
NTSTATUS rig_release(struct rig_set *s);
NTSTATUS rig_track(struct rig_file *f, uint64_t volume, bool create, uint64_t offset,
    uint64_t length, uint64_t nonce);
NTSTATUS rig_generation(
    struct rig_file *f, ULONG code, uint64_t volume, uint64_t generation, uint64_t nonce);
/* What ENUM says of a volume.  false: not there. */
bool rig_facts(struct rig_file *f, uint64_t volume, struct hotcopy_volume *out);

#endif /* TESTS_DRIVER_RIG_RIG_H */
