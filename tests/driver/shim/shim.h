/*
 * shim.h - what tests say to the shim, and what its files say to each other.
 *
 * A rule that is broken is told to shim_bugcheck, which prints "BUGCHECK: ..." and
 * aborts.  Everything that a driver takes (pool, IRPs, MDLs, devices, threads, handles,
 * work items, log entries) is counted by sort: after a driver has gone all counts must be
 * what they were.
 */
#ifndef TESTS_DRIVER_SHIM_SHIM_H
#define TESTS_DRIVER_SHIM_SHIM_H

#include <stdbool.h>
#include "tests/driver/shim/ntddk.h"

void
shim_bugcheck(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ---- Rules ---- */
/* May this be called here?  "limit" is the highest IRQL that may. */
void shim_irql_at_most(KIRQL limit, const char *what);
KIRQL shim_irql_raise(KIRQL to); /* without a check; gives the old one */
void shim_irql_set(KIRQL to);
unsigned shim_locks_held(void); /* spin locks, by this thread */
unsigned shim_regions(void);	/* critical regions that this thread is in */
/* A driver's routine has been called and is back: as it came? */
struct shim_frame {
	KIRQL irql;
	unsigned locks, regions;
};
struct shim_frame shim_enter(void);
void shim_leave(struct shim_frame frame, const char *what);

/* ---- What is taken ---- */
enum shim_sort {
	SHIM_POOL,
	SHIM_IRP,
	SHIM_MDL,
	SHIM_DEVICE,
	SHIM_THREAD,
	SHIM_HANDLE,
	SHIM_WORK_ITEM,
	SHIM_LOG_ENTRY,
	SHIM_LINK,
	SHIM_SORTS
};
void shim_took(enum shim_sort sort, int by); /* +1 or -1 */
long shim_count(enum shim_sort sort);
/* By the calling thread since it began: whatever was taken; spin locks, and objects that
   were set, waited for or given back. */
unsigned long shim_takings(void);
unsigned long shim_lockings(void);
void shim_locked(void);
struct shim_counts {
	long of[SHIM_SORTS];
};
struct shim_counts shim_counts(void);
/* Are they what they were?  Prints what is not.  Waits a little for threads to end. */
bool shim_counts_equal(const struct shim_counts *before);

/* ---- Failing allocations ----
 * A call site is known by the return addresses of its call stack.  Random: so many of
 * 1000.  Sites: "record" collects every one that is met; "site" then fails the first call
 * from the numbered one, once. */
void shim_fail_random(unsigned per_mille, unsigned seed);
void shim_fail_record(void);
unsigned shim_fail_sites(void);
void shim_fail_site(unsigned i);
void shim_fail_all(bool on); /* every allocation, until told otherwise */
void shim_fail_off(void);
bool shim_fail_happened(void);	 /* since the last of these calls */
void shim_fail_tell(unsigned i); /* prints where site i is */
bool shim_fail_now(void);	 /* for the routines that allocate */
/* +1: nothing fails for this thread until -1: what a test itself takes. */
void shim_immune(int by);

/* ---- Disturbed order: yields and short sleeps at locks and interlocked words ---- */
void shim_chaos_on(unsigned seed);
/* Of 256 points so many are sleeps: 2 until told. */
void shim_chaos_sleeps(unsigned of_256);
void shim_chaos_off(void);
/* The calling thread stops at its nth such point from now: it sets "at" and waits for
   "go".  0: it does not stop any more; gives how many points were left. */
unsigned shim_pause_at(unsigned nth, PKEVENT at, PKEVENT go);
/* The same for the nth point of the driver's own threads, counted together.  off, by
   anybody: none stops any more; gives how many points were left.  gone: "go" was set and
   the one that was stopped has left, so that the events may go too. */
void shim_pause_driver_at(unsigned nth, PKEVENT at, PKEVENT go);
unsigned shim_pause_driver_off(void);
void shim_pause_driver_gone(void);
bool shim_thread_is_driver(void);

/* ---- Hanging: no wait of the rig's, no removal, no thread's end takes longer ---- */
void shim_patience_ms(unsigned ms); /* SHIM_PATIENCE_MS, or 60000 */
unsigned shim_patience(void);

/* ---- Objects ---- */
enum shim_object_sort { SHIM_EVENT = 1, SHIM_EVENT_AUTO, SHIM_MUTEX, SHIM_SEMAPHORE };
void shim_object_make(PKEVENT object, enum shim_object_sort sort, LONG signalled);
void shim_object_done(PKEVENT object);
bool shim_wait_ms(PKEVENT object, unsigned ms); /* false: not within that time */

/* ---- Devices, registry, log, newer routines ---- */
PDEVICE_OBJECT shim_device_by_name(const WCHAR *name); /* or symbolic link; NULL: none */
PDEVICE_OBJECT shim_device_top(PDEVICE_OBJECT device);
bool shim_device_is(const void *object);
void shim_device_hold(PDEVICE_OBJECT device);
void shim_device_release(PDEVICE_OBJECT device);
HANDLE shim_handle_make(PVOID object, bool thread);
PVOID shim_handle_object(HANDLE h);
/* Sends IRP_MJ_SHUTDOWN to all that asked for it; "last" to those of the last chance. */
void shim_shutdown(bool last);
void shim_send_shutdown(PDEVICE_OBJECT device);
void shim_boot_done(void); /* calls what registered for reinitialization */
void shim_boot_forget(void);
void shim_driver_init(PDRIVER_OBJECT driver, PUNICODE_STRING service);

void shim_reg_clear(void);
void
shim_reg_set(const WCHAR *key, const WCHAR *name, ULONG type, const void *data, ULONG n);
void shim_reg_set_dword(const WCHAR *key, const WCHAR *name, ULONG value);
bool shim_reg_get_dword(const WCHAR *key, const WCHAR *name, ULONG *value);
/* The machine's registry takes no writes, from now on. */
void shim_reg_read_only(bool on);

/* Entries written to the event log since the last clear, and the code of the last. */
void shim_log_clear(void);
unsigned shim_log_count(void);
unsigned shim_log_count_of(NTSTATUS code);
NTSTATUS shim_log_last(void);

/* What MmGetSystemRoutineAddress finds: nothing (an old kernel) until told. */
/* Which Windows this is: 10.0 until told.  Before 6.0 power requests have the old rules.
 */
void shim_os(ULONG major, ULONG minor);
bool shim_os_old(void);
void shim_routine(const char *name, PVOID address);
void shim_routines_clear(void);

#endif /* TESTS_DRIVER_SHIM_SHIM_H */
