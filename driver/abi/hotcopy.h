/*
 * hotcopy.h - what passes between hotcopy.sys and those who use it.
 *
 * Two kinds of handles take these calls.  A handle of the volume itself (\\.\C:) takes
 * HOTCOPY_IOCTL_ATTACHED alone: the filter answers it before any driver below could see
 * it. A handle of the control device (\\.\HotCopy) takes all others; it opens for SYSTEM
 * and Administrators only.  The handle that prepared a set owns it: when it is closed,
 * however its process ends, the set is released and every gate opens.
 *
 * Order of calls for one set:
 *	PREPARE, DIFF_ADD*, EXCLUDE*, FREEZE, BIND + ReadFile, UNNEEDED* (from the frozen
 *	allocation bitmap, read first), DONE_READ*, CHANGED*, COMMIT | ABORT, RELEASE
 *
 * Every structure has a fixed layout, no pointers, 8-byte alignment, and begins with its
 * own size (with the tail, where one follows) and HOTCOPY_ABI.  Reserved fields and
 * unknown flags must be 0.  What does not fit exactly is refused whole with nothing
 * changed. Offsets and lengths are bytes, relative to the volume; times are 100 ns units.
 * A failed call gives an error and no bytes.
 *
 * Answers to a wrong call, as NTSTATUS: INVALID_PARAMETER (a field is wrong),
 * INFO_LENGTH_MISMATCH (a size is), REVISION_MISMATCH (ABI), INVALID_DEVICE_STATE (not
 * in this state), NOT_FOUND (no such volume or set), DEVICE_BUSY (a set is open),
 * IO_TIMEOUT (the gate could not be drained; all is as before), INSUFFICIENT_RESOURCES
 * (only PREPARE, DIFF_ADD, EXCLUDE, TRACK, BIND), SNAPSHOT_LOST (see
 * HOTCOPY_STATUS_LOST), INVALID_DEVICE_REQUEST (no such call), CANCELLED (WAIT_EVENT, and
 * FREEZE before its cut: the request was cancelled, or the set released meanwhile).
 */
#ifndef DRIVER_ABI_HOTCOPY_H
#define DRIVER_ABI_HOTCOPY_H

#include <stdint.h>

#define HOTCOPY_ABI 1u

/* Limits of one call and of one set. */
#define HOTCOPY_VOLUMES_MAX 64u	       /* volumes of a set */
#define HOTCOPY_ENUM_MAX 256u	       /* volumes of a machine */
#define HOTCOPY_EXTENTS_MAX 4096u      /* of one DIFF_ADD, EXCLUDE or TRACK */
#define HOTCOPY_BITS_MAX 8388608u      /* of one UNNEEDED or CHANGED: 1 MiB */
#define HOTCOPY_NONCE 16u	       /* bytes of a generation's nonce */
#define HOTCOPY_TRACK_SHIFT 16u	       /* changes are known by 64 KiB */
#define HOTCOPY_CHUNK_SHIFT_MIN 14u    /* copy-before-write by 16 KiB ... */
#define HOTCOPY_CHUNK_SHIFT_MAX 18u    /* ... to 256 KiB */
#define HOTCOPY_HOLD_MS_MAX 10000u     /* longest gate that may be asked for */
#define HOTCOPY_THROTTLE_MS_MAX 60000u /* longest wait of a write for room */
/* Of a set's copies, in pool that is never paged and that all of the kernel lives from. */
#define HOTCOPY_MEMORY_MAX ((uint64_t)4 << 30)

/* FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS; ATTACHED
   asks for no access, so that a handle without any can ask it. */
#define HOTCOPY_CODE(access, n) \
	(0x22u << 16 | (uint32_t)(access) << 14 | (0x800u + (n)) << 2)
#define HOTCOPY_IOCTL_ATTACHED HOTCOPY_CODE(0, 0) /* out: attached */
#define HOTCOPY_IOCTL_VERSION HOTCOPY_CODE(3, 1)  /* out: version */
#define HOTCOPY_IOCTL_ENUM HOTCOPY_CODE(3, 2)	  /* out: volumes */
#define HOTCOPY_IOCTL_TRACK HOTCOPY_CODE(3, 3)	  /* in: track */
#define HOTCOPY_IOCTL_UNTRACK HOTCOPY_CODE(3, 4)  /* in: untrack */
#define HOTCOPY_IOCTL_PREPARE HOTCOPY_CODE(3, 5)  /* in: prepare, out: prepared */
#define HOTCOPY_IOCTL_DIFF_ADD HOTCOPY_CODE(3, 6) /* in: extents */
#define HOTCOPY_IOCTL_EXCLUDE HOTCOPY_CODE(3, 7)  /* in: extents */
#define HOTCOPY_IOCTL_FREEZE HOTCOPY_CODE(3, 8)	  /* in: freeze, out: frozen */
#define HOTCOPY_IOCTL_BIND \
	HOTCOPY_CODE(3, 9) /* in: bind; ReadFile then reads the image */
#define HOTCOPY_IOCTL_UNNEEDED HOTCOPY_CODE(3, 10)  /* in: bits of copy chunks */
#define HOTCOPY_IOCTL_DONE_READ HOTCOPY_CODE(3, 11) /* in: range */
#define HOTCOPY_IOCTL_CHANGED HOTCOPY_CODE(3, 12)   /* in: bits without tail, out: bits */
#define HOTCOPY_IOCTL_COMMIT HOTCOPY_CODE(3, 13)    /* in: generation */
#define HOTCOPY_IOCTL_ABORT HOTCOPY_CODE(3, 14)	    /* in: generation */
#define HOTCOPY_IOCTL_RELEASE HOTCOPY_CODE(3, 15)   /* in: release */
#define HOTCOPY_IOCTL_WAIT_EVENT \
	HOTCOPY_CODE(3, 16)			/* out: event; waits, can be cancelled */
#define HOTCOPY_IOCTL_STATS HOTCOPY_CODE(3, 17) /* in: bind, out: stats */

/* Reads and calls on a set whose image is lost fail with this NTSTATUS of our own
   (customer bit set, facility 'hc').  Win32 has no code for it: what GetLastError() gives
   is not to be relied on; OVERLAPPED.Internal and RtlGetLastNtStatus() have it. */
#define HOTCOPY_STATUS_LOST 0xE0686301u
/* A read of bytes that were said to be unneeded, or done: never served. */
#define HOTCOPY_STATUS_NOT_KEPT 0xE0686302u

struct hotcopy_header {
	uint32_t size; /* of the whole structure with its tail */
	uint32_t abi;  /* HOTCOPY_ABI */
};

/* Whole sectors, inside the volume, none empty; those of one call rise and do not
   overlap, so a file's are sorted by their offset first. */
struct hotcopy_extent {
	uint64_t offset, length;
};

/* What a volume is doing; see driver/DESIGN.md for the moves. */
enum hotcopy_state {
	HOTCOPY_IDLE = 0,
	HOTCOPY_PREPARED = 1,
	HOTCOPY_GATED = 2,
	HOTCOPY_ACTIVE = 3,
	HOTCOPY_DROPPED = 4, /* the image is lost; the host's writes go on */
	HOTCOPY_REMOVED = 5,
	HOTCOPY_PASSING =
	    6 /* kill switch, or no thread could be made: nothing but passing on */
};

/* What the tracking of a volume is worth. */
enum hotcopy_tracking {
	HOTCOPY_TRACK_OFF = 0,
	HOTCOPY_TRACK_NEW =
	    1, /* everything counts as changed: no generation was committed */
	HOTCOPY_TRACK_VALID = 2,
	HOTCOPY_TRACK_RECOVERED =
	    3, /* after a crash: valid, but reports more than changed */
	HOTCOPY_TRACK_INVALID = 4 /* nothing may be concluded: compare all */
};

/* Why an image was dropped, or tracking became invalid. */
enum hotcopy_reason {
	HOTCOPY_WHY_NONE = 0,
	HOTCOPY_WHY_NO_SPACE = 1,   /* diff area and memory full */
	HOTCOPY_WHY_READ_ERROR = 2, /* the volume could not be read for a copy */
	HOTCOPY_WHY_DIFF_ERROR = 3, /* the diff area could not be read or written */
	HOTCOPY_WHY_REMOVED = 4,
	HOTCOPY_WHY_RESIZED = 5,
	HOTCOPY_WHY_UNKNOWN_WRITE = 6, /* a request that writes nobody knows where */
	HOTCOPY_WHY_WRITTEN_INTO =
	    7,		       /* the host wrote into our diff or tracking extents */
	HOTCOPY_WHY_POWER = 8, /* sleep, hibernation, shutdown */
	HOTCOPY_WHY_STORE_ERROR = 9, /* the tracking store could not be read or written */
	HOTCOPY_WHY_STORE_DAMAGED = 10,
	HOTCOPY_WHY_FOREIGN = 11, /* written by others while we were not there */
	HOTCOPY_WHY_NO_MEMORY = 12,
	HOTCOPY_WHY_ASKED = 13 /* a caller said so */
};

struct hotcopy_attached {
	struct hotcopy_header h;
	uint64_t
	    volume; /* the driver's number for it, until the next start of the machine */
};

struct hotcopy_version {
	struct hotcopy_header h;
	uint32_t build; /* of the driver, rises */
	uint32_t flags; /* HOTCOPY_VERSION_* */
};
#define HOTCOPY_VERSION_DISABLED 1u /* the kill switch, or the count of failed starts */

struct hotcopy_volume {
	uint64_t volume;
	uint64_t length;
	uint32_t sector;
	uint32_t state;	   /* enum hotcopy_state */
	uint32_t tracking; /* enum hotcopy_tracking */
	uint32_t why;	   /* enum hotcopy_reason, of the last drop or invalidation */
	/* That was committed last: what CHANGED is against; 0: none.  Who cannot tell
	   whether a COMMIT arrived sends it again. */
	uint64_t generation;
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t changed;     /* tracking blocks that would be reported now */
	uint64_t store_bytes; /* that a tracking store for it takes */
	uint32_t paging;      /* page files, hibernation and dump files on it */
	uint32_t reserved;
};

/* The caller's buffer holds as many as it likes; count says how many there are. */
struct hotcopy_volumes {
	struct hotcopy_header h;
	uint32_t count;
	uint32_t given;
	struct hotcopy_volume volume[];
};

/*
 * Begin to track a volume.  The extents are of a file on the same volume that the caller
 * has pinned and keeps pinned; together at least store_bytes of struct hotcopy_volume. No
 * extents: tracking in memory alone, until the machine stops.  The volume must be OFF
 * (UNTRACK first) and in no set.  Without CREATE what lies there stays, but INVALID: who
 * calls cannot vouch for the writes that passed before.  (What the driver opens by itself
 * at the machine's start is VALID or RECOVERED.)
 */
struct hotcopy_track {
	struct hotcopy_header h;
	uint64_t volume;
	uint32_t flags; /* HOTCOPY_TRACK_* */
	uint32_t extents;
	uint8_t guid[16]; /* the volume's, written into the store and compared */
	uint8_t nonce[HOTCOPY_NONCE]; /* of the first generation, random; with CREATE */
	struct hotcopy_extent extent[];
};
/* Forget what lies there; everything counts as changed. */
#define HOTCOPY_TRACK_CREATE 1u

/* The end of it, and of what the store says; not while the volume is in a set. */
struct hotcopy_untrack {
	struct hotcopy_header h;
	uint64_t volume;
	uint32_t flags; /* HOTCOPY_UNTRACK_* */
	uint32_t reserved;
};
/* Tracking goes on, but what it knows is INVALID until the next committed generation:
   after a restore, a revert, a mismatch that was found. */
#define HOTCOPY_UNTRACK_INVALIDATE 1u

enum hotcopy_full {
	HOTCOPY_FULL_DROP = 0, /* no room for a copy: the image is dropped at once */
	HOTCOPY_FULL_THROTTLE =
	    1, /* the write waits, at most throttle_ms, for DONE_READ */
};

struct hotcopy_prepare {
	struct hotcopy_header h;
	uint32_t volumes;
	uint32_t chunk_shift; /* 0: by the largest volume */
	uint32_t full;	      /* enum hotcopy_full */
	uint32_t throttle_ms; /* at most HOTCOPY_THROTTLE_MS_MAX */
	uint64_t memory;      /* bytes for all copies; 1 MiB to HOTCOPY_MEMORY_MAX */
	uint64_t volume[HOTCOPY_VOLUMES_MAX];
	/* Bit n: of volume n only what CHANGED reports is needed (a tracked incremental).
	 */
	uint64_t only_changed;
};

struct hotcopy_prepared {
	struct hotcopy_header h;
	uint64_t set;
	uint32_t chunk_shift;
	uint32_t reserved;
};

/*
 * DIFF_ADD: extents of "at" hold copies for any volume of the set.  "at" may itself be of
 * the set; then the extents are excluded from its image and its tracking.
 * EXCLUDE: extents of "at" are never needed (page files, the hibernation file).
 */
struct hotcopy_extents {
	struct hotcopy_header h;
	uint64_t set;
	uint64_t at; /* a volume */
	uint32_t extents;
	uint32_t reserved;
	struct hotcopy_extent extent[];
};

struct hotcopy_freeze {
	struct hotcopy_header h;
	uint64_t set;
	uint32_t flags;	     /* HOTCOPY_FREEZE_* */
	uint32_t timeout_ms; /* of the closed gate; 0: 2000 */
	uint32_t hold_ms;    /* with AT_HOLD: how long to wait for the holds */
	uint32_t reserved;
	uint8_t
	    nonce[HOTCOPY_NONCE]; /* of the generation that begins at the cut, random */
};
#define HOTCOPY_FREEZE_AT_HOLD \
	1u /* cut when each volume has seen FLUSH_AND_HOLD_WRITES */
#define HOTCOPY_FREEZE_CUT_ONLY 2u   /* a generation ends; no image (VSS makes one) */
#define HOTCOPY_FREEZE_GENERATION 4u /* tracked volumes begin a new generation */

struct hotcopy_frozen {
	struct hotcopy_header h;
	uint64_t set;
	uint64_t closed, cut, opened; /* since the machine's start */
	uint32_t held;		      /* writes that waited */
	uint32_t volumes;
	uint64_t generation[HOTCOPY_VOLUMES_MAX]; /* that began; 0: none */
};

/* BIND, STATS, UNNEEDED, DONE_READ and CHANGED: any handle; DIFF_ADD, EXCLUDE, FREEZE and
   RELEASE: the one that prepared (others: INVALID_DEVICE_STATE), which alone is told of
   the set's events; of events of no set every handle is. */

/* BIND: ReadFile on this handle reads volume number "index" of the set.  STATS: of it.
   Our own extents on it (diff area, tracking store) are NOT_KEPT; what of them shares a
   copy chunk with other bytes is served, and may change. */
struct hotcopy_bind {
	struct hotcopy_header h;
	uint64_t set;
	uint32_t index;
	uint32_t reserved;
};

/*
 * UNNEEDED: a bit that is 1 says that this copy chunk holds nothing of use.  Only the
 * frozen bitmap may say so.  Chunks of 1 << chunk_shift. CHANGED: what changed since the
 * last committed generation, by 1 << HOTCOPY_TRACK_SHIFT. Bits from the lowest of byte 0.
 */
struct hotcopy_bits {
	struct hotcopy_header h;
	uint64_t set;
	uint32_t index;
	uint32_t flags; /* HOTCOPY_BITS_*, CHANGED only */
	uint64_t first;
	uint32_t bits;
	uint32_t reserved;
	uint8_t bit[];
};
/* As of this call, not of the cut: what is asked when VSS made the image after a
 * CUT_ONLY.  Our own store, which is in VSS' image, counts as changed. */
#define HOTCOPY_BITS_NOW 1u

/* Read and safe: no longer kept for the set. */
struct hotcopy_range {
	struct hotcopy_header h;
	uint64_t set;
	uint32_t index;
	uint32_t reserved;
	uint64_t offset, length;
};

/* COMMIT: the server holds this generation; the one before is forgotten.  ABORT: it does
   not; the next report covers both.  Any handle, at any time, also after a new start. */
struct hotcopy_generation {
	struct hotcopy_header h;
	uint64_t volume;
	uint64_t generation;
	uint8_t nonce[HOTCOPY_NONCE];
};

struct hotcopy_release {
	struct hotcopy_header h;
	uint64_t set;
};

enum hotcopy_event_code {
	HOTCOPY_EVENT_LOW_SPACE = 1,	 /* argument: bytes left */
	HOTCOPY_EVENT_DROPPED = 2,	 /* argument: enum hotcopy_reason */
	HOTCOPY_EVENT_TRACKING_LOST = 3, /* argument: enum hotcopy_reason */
	HOTCOPY_EVENT_THROTTLED = 4	 /* argument: offset that a write waits for */
};

struct hotcopy_event {
	struct hotcopy_header h;
	uint64_t set; /* 0: of no set */
	uint64_t volume;
	uint64_t sequence; /* a gap: so many were lost */
	uint64_t time;
	uint64_t argument;
	uint32_t code; /* enum hotcopy_event_code */
	uint32_t reserved;
};

struct hotcopy_stats {
	struct hotcopy_header h;
	uint64_t writes;	       /* seen since the cut, until the image was lost */
	uint64_t held;		       /* that waited */
	uint64_t copied;	       /* chunks */
	uint64_t needed;	       /* chunks still to be read or copied */
	uint64_t diff_used, diff_size; /* bytes */
	uint64_t memory_used, memory_size;
	uint64_t longest_hold;
	uint64_t reads, reads_kept; /* of the image; from copies */
	uint64_t throttled;
};

/* Same sizes with every compiler. */
#define HOTCOPY_SIZE(name, bytes) \
	typedef char              \
	    hotcopy_size_##name[sizeof(struct hotcopy_##name) == (bytes) ? 1 : -1]
HOTCOPY_SIZE(header, 8);
HOTCOPY_SIZE(extent, 16);
HOTCOPY_SIZE(attached, 16);
HOTCOPY_SIZE(version, 16);
HOTCOPY_SIZE(volume, 80);
HOTCOPY_SIZE(volumes, 16);
HOTCOPY_SIZE(track, 56);
HOTCOPY_SIZE(untrack, 24);
HOTCOPY_SIZE(prepare, 552);
HOTCOPY_SIZE(prepared, 24);
HOTCOPY_SIZE(extents, 32);
HOTCOPY_SIZE(freeze, 48);
HOTCOPY_SIZE(frozen, 560);
HOTCOPY_SIZE(bind, 24);
HOTCOPY_SIZE(bits, 40);
HOTCOPY_SIZE(range, 40);
HOTCOPY_SIZE(generation, 40);
HOTCOPY_SIZE(release, 16);
HOTCOPY_SIZE(event, 56);
HOTCOPY_SIZE(stats, 104);
#undef HOTCOPY_SIZE

#endif /* DRIVER_ABI_HOTCOPY_H */
