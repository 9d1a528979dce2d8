/*
 * nt.h - what the files of driver/nt share: a filter's device extension, and the count of
 * requests that use it.
 *
 * Every request on a filter's device enters it first (entry.c) and leaves it exactly
 * once: when it has been passed on for good, or, where a completion routine of ours will
 * run, there.  IRP_MN_REMOVE_DEVICE closes it, waits until all have left, and only then
 * may the device be detached and deleted.  One atomic addition and one subtraction a
 * request: an IO_REMOVE_LOCK does the same with a call each.
 */
#ifndef DRIVER_NT_NT_H
#define DRIVER_NT_NT_H

#include "driver/nt/compat.h"
#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

#define NT_TAG 'pCtH' /* of our pool: "HtCp" */

/* Special files on a volume: their kinds as IRP_MN_DEVICE_USAGE_NOTIFICATION names them.
 */
#define NT_USAGES 3

struct lower;

/* The device extension of a filter.  The device is freed by IoDeleteDevice. */
struct filter {
	DEVICE_OBJECT *self, *lower, *pdo;
	uint32_t users;	       /* requests inside, and NT_CLOSED */
	uint32_t ready;	       /* volume may be used; atomic, and never taken back */
	uint32_t early;	       /* something was changed before; atomic */
	struct volume *volume; /* NULL: nothing but passing on */
	struct lower *io;      /* laid by for our own I/O; with volume */
	KEVENT left;	       /* closed, and the last has left */

	struct env_mutex learning;	  /* held while the drivers below are asked */
	uint32_t length_low, length_high; /* of the volume; atomic, each for itself */

	KEVENT usage; /* one at a time: a lock that waits */
	uint32_t usages[NT_USAGES];
	bool pagable; /* the device was DO_POWER_PAGABLE when we came */
};

#define NT_CLOSED 0x80000000u

static inline void
nt_leave(struct filter *f)
{
	if (atomic_sub(&f->users, 1) == (NT_CLOSED | 1))
		KeSetEvent(&f->left, IO_NO_INCREMENT, FALSE);
}

/* false: the device is being removed; the request must end with STATUS_DELETE_PENDING. */
static inline bool
nt_enter(struct filter *f)
{
	uint32_t before = atomic_add(&f->users, 1);

	if (!(before & NT_CLOSED))
		return true;
	nt_leave(f);
	return false;
}

/* What a request may ask, or NULL. */
static inline struct volume *
nt_volume(struct filter *f)
{
	return atomic_get(&f->ready) != 0 ? f->volume : NULL;
}

/* The same for one that changes the volume.  Either it sees "ready", or who has set that
   sees "early". */
static inline struct volume *
nt_changed(struct filter *f)
{
	if (atomic_get(&f->ready) == 0)
		atomic_put(&f->early, 1);
	return nt_volume(f);
}

/* Beyond the end of the volume, as far as we know?  While the length changes an old half
   may meet a new one: then who asks again is told. */
static inline bool
nt_beyond(const struct filter *f, uint64_t offset, uint64_t length)
{
	uint64_t size =
	    (uint64_t)atomic_get(&f->length_high) << 32 | atomic_get(&f->length_low);

	return offset > size || length > size - offset;
}

/* Ends a request that goes no further down. */
static inline NTSTATUS
nt_complete(IRP *irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

#endif /* DRIVER_NT_NT_H */
