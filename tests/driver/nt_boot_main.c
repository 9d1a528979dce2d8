/*
 * nt_boot: the kill switch, failed starts and safe mode leave nothing but passing on;
 * tracking goes on over a new start, and never says less than was written; what the
 * registry says wrongly is nothing; what memory lacks for is not believed later; file
 * systems that hold are cut together; the event log tells.
 */
#include "tests/driver/rig/rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "driver/abi/names.h"
#include "driver/nt/record.h"

#define PARAMETERS RIG_SERVICE L"\\" HOTCOPY_KEY_PARAMETERS
#define VOLUMES PARAMETERS L"\\" HOTCOPY_KEY_VOLUMES
#define LENGTH ((uint64_t)8 << 20)
#define STORE ((uint64_t)4 << 20)
#define ID "DMIO:ID:a volume of the rig"
#define BLOCK (1u << HOTCOPY_TRACK_SHIFT)

#define LOG_OFF ((NTSTATUS)0xa0680001u)
#define LOG_FAILED ((NTSTATUS)0xa0680002u)
#define LOG_SAFE ((NTSTATUS)0x60680003u)
#define LOG_DROPPED ((NTSTATUS)0xa0680004u)
#define LOG_LOST ((NTSTATUS)0xa0680005u)

#define CHECK(what)       \
	((what) ? (void)0 \
		: (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), exit(1)))

static struct rig rig;
static struct rig_set set;
static uint8_t after[LENGTH]; /* a disk as the machine's end has left it */

static void
fresh(void)
{
	shim_reg_clear();
	shim_log_clear();
	shim_routines_clear();
	memset(rig_lay, 0, sizeof(rig_lay));
	shim_reg_set_dword(RIG_SERVICE, L"Start", SERVICE_BOOT_START);
}

static void
begin(unsigned disks)
{
	CHECK(rig_start(&rig, disks, LENGTH) == STATUS_SUCCESS);
	CHECK(rig_open(&set.file) == STATUS_SUCCESS);
}

static void
end(void)
{
	rig_cleanup(&set.file);
	rig_close(&set.file);
	CHECK(rig_stop(&rig));
}

/* The machine ends in order; the next start has the disk as it is then. */
static void
end_in_order(void)
{
	shim_shutdown(false);
	shim_shutdown(true);
	rig_disk_peek(&rig.disk[0], 0, after, sizeof(after));
	end();
	rig_lay[0].bytes = after;
}

static void
end_by_a_crash(void)
{
	rig_disk_peek(&rig.disk[0], 0, after, sizeof(after));
	end();
	rig_lay[0].bytes = after;
}

static void
write_at(unsigned i, uint64_t offset)
{
	uint8_t block[4096];

	memset(block, 0x5a, sizeof(block));
	CHECK(rig_io(&rig.disk[i], IRP_MJ_WRITE, offset, block, sizeof(block)) ==
	      STATUS_SUCCESS);
}

static uint32_t
failed_starts(void)
{
	ULONG value = 99;

	CHECK(shim_reg_get_dword(PARAMETERS, HOTCOPY_VALUE_FAILED_STARTS, &value));
	return value;
}

static struct hotcopy_volume
facts(unsigned i)
{
	struct hotcopy_volume v;

	CHECK(rig_facts(&set.file, rig_volume(&rig.disk[i]), &v));
	return v;
}

/* Only passing: writes go through, nothing is attached to, a version says so. */
static void
passes(NTSTATUS logged, bool listed)
{
	struct {
		struct hotcopy_volumes v;
		struct hotcopy_volume volume[2];
	} all;
	struct hotcopy_version version;
	uint8_t read[4096];

	write_at(0, 65536);
	CHECK(rig_io(&rig.disk[0], IRP_MJ_READ, 65536, read, sizeof(read)) ==
	      STATUS_SUCCESS);
	CHECK(read[0] == 0x5a && read[4095] == 0x5a);
	CHECK(rig_volume(&rig.disk[0]) == 0);
	memset(&version, 0, sizeof(version));
	CHECK(rig_call(&set.file, HOTCOPY_IOCTL_VERSION, &version, 0, sizeof(version),
		  NULL) == STATUS_SUCCESS);
	CHECK(version.flags == HOTCOPY_VERSION_DISABLED);
	memset(&all, 0, sizeof(all));
	CHECK(rig_call(&set.file, HOTCOPY_IOCTL_ENUM, &all, 0, sizeof(all), NULL) ==
	      STATUS_SUCCESS);
	CHECK(all.v.given == (listed ? 1u : 0u));
	CHECK(!listed || all.volume[0].state == HOTCOPY_PASSING);
	CHECK(shim_log_count_of(logged) == 1);
}

static void
test_the_kill_switch_passes_on(void)
{
	ULONG value;

	fresh();
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_DISABLED, 1);
	shim_reg_set_dword(VOLUMES, L"probe", 1);
	begin(1);
	passes(LOG_OFF, true);
	CHECK(!shim_reg_get_dword(VOLUMES, L"probe", &value));
	end();
	/* A value of another type is no switch. */
	fresh();
	shim_reg_set(PARAMETERS, HOTCOPY_VALUE_DISABLED, REG_SZ, L"1", 4);
	begin(1);
	CHECK(rig_volume(&rig.disk[0]) != 0);
	end();
}

static void
test_failed_starts_are_counted_and_end(void)
{
	fresh();
	CHECK(rig_start(&rig, 1, LENGTH) == STATUS_SUCCESS);
	CHECK(failed_starts() == 1);
	/* A program has come up. */
	CHECK(rig_open(&set.file) == STATUS_SUCCESS);
	CHECK(failed_starts() == 0);
	end();
	/* No program, but an orderly end. */
	CHECK(rig_start(&rig, 1, LENGTH) == STATUS_SUCCESS);
	CHECK(failed_starts() == 1);
	shim_shutdown(false);
	CHECK(failed_starts() == 0);
	CHECK(rig_stop(&rig));
	/* One that crashed before. */
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_FAILED_STARTS, 1);
	CHECK(rig_start(&rig, 1, LENGTH) == STATUS_SUCCESS);
	CHECK(failed_starts() == 2);
	CHECK(rig_volume(&rig.disk[0]) != 0);
	CHECK(rig_stop(&rig));
	/* Two: no more, until a person says so. */
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_FAILED_STARTS, 2);
	begin(1);
	passes(LOG_FAILED, true);
	CHECK(failed_starts() == 2);
	end();
	CHECK(failed_starts() == 2);
	/* Who is started by hand fails no start of the machine. */
	fresh();
	shim_reg_set_dword(RIG_SERVICE, L"Start", 3);
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_FAILED_STARTS, 1);
	CHECK(rig_start(&rig, 1, LENGTH) == STATUS_SUCCESS);
	CHECK(failed_starts() == 1);
	CHECK(rig_stop(&rig));
}

static void
test_safe_mode_is_left_alone(void)
{
	static ULONG mode = 2, code = 0x90f3c2;

	fresh();
	shim_routine("InitSafeBootMode", &mode);
	begin(1);
	CHECK(shim_device_top(rig.disk[0].pdo) == rig.disk[0].pdo);
	passes(LOG_SAFE, false);
	end();
	/* What is no mode (an emulator's code) is none. */
	fresh();
	shim_routine("InitSafeBootMode", &code);
	begin(1);
	CHECK(rig_volume(&rig.disk[0]) != 0);
	end();
}

/* A driver whose registry takes nothing still works. */
static void
test_a_registry_that_takes_nothing_stops_nobody(void)
{
	fresh();
	shim_reg_read_only(true);
	begin(1);
	CHECK(rig_volume(&rig.disk[0]) != 0);
	write_at(0, 0);
	end();
	shim_reg_read_only(false);
}

static void
track(void)
{
	CHECK(rig_track(&set.file, rig_volume(&rig.disk[0]), true, STORE,
		  facts(0).store_bytes, 3) == STATUS_SUCCESS);
}

/* A generation is committed, so that the report is about what comes after it. */
static void
commit(uint64_t nonce)
{
	struct rig_wish wish = { .memory = 1 << 20 };
	uint64_t generation;

	CHECK(rig_prepare(&rig, &set, 1, &wish) == STATUS_SUCCESS);
	CHECK(rig_freeze(&set, HOTCOPY_FREEZE_GENERATION | HOTCOPY_FREEZE_CUT_ONLY, 0,
		  nonce) == STATUS_SUCCESS);
	generation = set.frozen.generation[0];
	CHECK(generation != 0);
	CHECK(rig_release(&set) == STATUS_SUCCESS);
	CHECK(rig_generation(&set.file, HOTCOPY_IOCTL_COMMIT, rig_volume(&rig.disk[0]),
		  generation, nonce) == STATUS_SUCCESS);
}

static void
test_tracking_goes_on_after_an_orderly_end(void)
{
	fresh();
	rig_lay[0].id = ID;
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_OFF);
	track();
	commit(11);
	write_at(0, 5 * BLOCK);
	write_at(0, 7 * BLOCK);
	CHECK(facts(0).changed == 2);
	end_in_order();
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_VALID);
	CHECK(facts(0).changed == 2);
	write_at(0, 9 * BLOCK);
	CHECK(facts(0).changed == 3);
	CHECK(shim_log_count_of(LOG_LOST) == 0);
	end_by_a_crash();
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_RECOVERED);
	CHECK(facts(0).changed >= 3);
	end();
}

/* What Windows itself says to every volume at its start is no write. */
static void
test_the_mount_manager_spoils_no_tracking(void)
{
	static const ULONG codes[] = { 0x4d0010u, 0x4dc010u, 0x4dc014u, 0x56c008u,
		0x56c064u };
	uint8_t name[16] = { 0 };

	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(15);
	end_in_order();
	begin(1);
	for (size_t i = 0; i < ARRAYSIZE(codes); i++)
		rig_ioctl(&rig.disk[0], codes[i], name, sizeof(name), 0, NULL);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_VALID);
	end();
}

static void
prepare(void)
{
	struct rig_wish wish = { .memory = 1 << 20 };

	CHECK(rig_prepare(&rig, &set, 1, &wish) == STATUS_SUCCESS);
}

/* An UNTRACK that is refused, for the volume is in a set, forgets nothing. */
static void
test_untracked_in_vain_is_tracked_after_the_next_start(void)
{
	struct hotcopy_untrack u = { .h = { sizeof(u), HOTCOPY_ABI } };

	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(16);
	prepare();
	u.volume = rig_volume(&rig.disk[0]);
	CHECK(rig_call(&set.file, HOTCOPY_IOCTL_UNTRACK, &u, sizeof(u), 0, NULL) ==
	      STATUS_INVALID_DEVICE_STATE);
	CHECK(rig_release(&set) == STATUS_SUCCESS);
	write_at(0, 5 * BLOCK);
	end_in_order();
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_VALID);
	CHECK(facts(0).changed == 1);
	end();
}

/* Who only passes says of nothing that it is tracked.  true: the volume does. */
static bool
passes_untracked(void)
{
	struct {
		struct hotcopy_volumes v;
		struct hotcopy_volume volume[1];
	} all;

	memset(&all, 0, sizeof(all));
	if (!NT_SUCCESS(
		rig_call(&set.file, HOTCOPY_IOCTL_ENUM, &all, 0, sizeof(all), NULL)) ||
	    all.v.given == 0 || all.volume[0].state != HOTCOPY_PASSING)
		return false;
	CHECK(all.volume[0].tracking == HOTCOPY_TRACK_OFF ||
	      all.volume[0].tracking == HOTCOPY_TRACK_INVALID);
	CHECK(rig_track(&set.file, all.volume[0].volume, true, 0, 0, 3) ==
	      STATUS_INVALID_DEVICE_STATE);
	return true;
}

/* One start with allocation "site" failing (-1: none), in which the host writes.  true:
   its volume only passed. */
static bool
start_and_write(int site)
{
	bool passed = false;

	if (site < 0)
		shim_fail_record();
	else
		shim_fail_site((unsigned)site);
	rig_start(&rig, 1, LENGTH);
	if (site >= 0)
		shim_fail_off();
	write_at(0, 5 * BLOCK);
	if (NT_SUCCESS(rig_open(&set.file))) {
		passed = passes_untracked();
		rig_cleanup(&set.file);
		rig_close(&set.file);
	}
	shim_shutdown(false);
	shim_shutdown(true);
	if (site < 0)
		shim_fail_off();
	return passed;
}

/* Memory lacks somewhere while the machine starts, so that a store is not opened or a
   volume is not watched: the next start does not believe that store. */
static void
test_a_start_without_memory_misses_no_change(void)
{
	static uint8_t before[LENGTH];
	unsigned sites, off = 0, kept = 0, passed = 0;

	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(17);
	end_in_order();
	memcpy(before, after, sizeof(before));
	rig_lay[0].bytes = before;
	start_and_write(-1);
	CHECK(rig_stop(&rig));
	sites = shim_fail_sites();
	for (unsigned i = 0; i < sites; i++) {
		struct hotcopy_volume v;

		fresh();
		rig_lay[0].id = ID;
		begin(1);
		track();
		commit(17);
		end_in_order();
		passed += start_and_write((int)i);
		rig_disk_peek(&rig.disk[0], 0, after, sizeof(after));
		CHECK(rig_stop(&rig));
		begin(1);
		v = facts(0);
		if (v.tracking == HOTCOPY_TRACK_OFF ||
		    v.tracking == HOTCOPY_TRACK_INVALID) {
			off++;
		} else {
			if (v.changed == 0)
				shim_fail_tell(i);
			CHECK(v.changed > 0);
			kept++;
		}
		end();
	}
	CHECK(off > 0 && kept > 0 && passed > 0);
}

/* The disk may be off before its volume is told: nothing is written to it, and the image
   goes all the same. */
static void
test_sleep_writes_nothing(void)
{
	struct hotcopy_volume v;

	fresh();
	begin(1);
	track();
	prepare();
	CHECK(rig_freeze(&set, 0, 0, 18) == STATUS_SUCCESS);
	rig_disk_hold(&rig.disk[0], RIG_OWN_WRITES);
	rig_power(&rig.disk[0], IRP_MN_SET_POWER, SystemPowerState, PowerSystemSleeping3);
	for (unsigned ms = 0; (v = facts(0)).state != HOTCOPY_DROPPED; ms++) {
		CHECK(ms < shim_patience());
		usleep(1000);
	}
	CHECK(!rig_disk_waits(&rig.disk[0], 1, 100));
	rig_disk_hold(&rig.disk[0], 0);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_NEW);
	end();
}

/* A TRIM that waits for a copy finds, when its turn comes, that its range is no more. */
static void
test_a_held_range_that_is_cut_off_still_ends(void)
{
	struct rig_request q;
	DEVICE_MANAGE_DATA_SET_ATTRIBUTES *a;
	DEVICE_DATA_SET_RANGE *range;
	uint64_t space[8] = { 0 };
	PIO_STACK_LOCATION at;
	PDEVICE_OBJECT top;

	fresh();
	begin(1);
	prepare();
	CHECK(rig_freeze(&set, 0, 0, 19) == STATUS_SUCCESS);
	rig_disk_hold(&rig.disk[0], RIG_OWN_READS);
	a = (DEVICE_MANAGE_DATA_SET_ATTRIBUTES *)space;
	a->Size = sizeof(*a);
	a->Action = DeviceDsmAction_Trim;
	a->DataSetRangesOffset = 32;
	a->DataSetRangesLength = sizeof(*range);
	range = (DEVICE_DATA_SET_RANGE *)&space[4];
	range->StartingOffset = (LONGLONG)(LENGTH - BLOCK);
	range->LengthInBytes = BLOCK;
	top = rig_enter(&rig.disk[0]);
	at = rig_begin(&q, top, IRP_MJ_DEVICE_CONTROL, 0);
	rig_system_buffer(&q, space, sizeof(space), 0);
	at->Parameters.DeviceIoControl.IoControlCode =
	    IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES;
	at->Parameters.DeviceIoControl.InputBufferLength = sizeof(space);
	rig_send(&q);
	rig_leave(&rig.disk[0]);
	CHECK(rig_disk_waits(&rig.disk[0], 1, shim_patience()));
	rig.disk[0].length = LENGTH / 2;
	CHECK(rig_ioctl(&rig.disk[0], IOCTL_DISK_GROW_PARTITION, space, 16, 0, NULL) ==
	      STATUS_SUCCESS);
	rig_disk_hold(&rig.disk[0], 0);
	rig_wait(&q, NULL);
	rig.disk[0].length = LENGTH;
	end();
}

static void
test_untracked_is_forgotten_before_it_is_done(void)
{
	struct hotcopy_untrack u;

	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	memset(&u, 0, sizeof(u));
	u.h.size = sizeof(u);
	u.h.abi = HOTCOPY_ABI;
	u.volume = rig_volume(&rig.disk[0]);
	/* What cannot be forgotten is still tracked. */
	shim_reg_read_only(true);
	CHECK(rig_call(&set.file, HOTCOPY_IOCTL_UNTRACK, &u, sizeof(u), 0, NULL) ==
	      STATUS_IO_DEVICE_ERROR);
	shim_reg_read_only(false);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_NEW);
	CHECK(rig_call(&set.file, HOTCOPY_IOCTL_UNTRACK, &u, sizeof(u), 0, NULL) ==
	      STATUS_SUCCESS);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_OFF);
	write_at(0, 5 * BLOCK);
	end_in_order();
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_OFF);
	end();
}

static void
test_a_start_that_only_passed_ends_the_tracking(void)
{
	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(12);
	end_in_order();
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_DISABLED, 1);
	begin(1);
	write_at(0, 5 * BLOCK);
	end_in_order();
	shim_reg_set_dword(PARAMETERS, HOTCOPY_VALUE_DISABLED, 0);
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_OFF);
	end();
}

static void
test_a_clone_is_a_stranger(void)
{
	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(14);
	write_at(0, 7 * BLOCK);
	end_in_order();
	rig_lay[1] = rig_lay[0];
	begin(2);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_VALID);
	CHECK(facts(1).tracking == HOTCOPY_TRACK_OFF);
	/* It has the store, too, and this is not in it. */
	write_at(1, 5 * BLOCK);
	rig_disk_peek(&rig.disk[1], 0, after, sizeof(after));
	end();
	begin(1);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_OFF);
	end();
}

static void *
late_start(void *arg)
{
	(void)arg;
	CHECK(rig_disk_add(&rig, LENGTH) == STATUS_SUCCESS);
	return NULL;
}

/* The drivers below have started, the store is being read, and a file system writes. */
static void
test_a_write_before_the_store_is_read_is_not_lost(void)
{
	uint8_t block[4096] = { 0 };
	struct rig_request q;
	pthread_t thread;

	fresh();
	rig_lay[0].id = ID;
	begin(1);
	track();
	commit(13);
	end_in_order();
	rig_lay[0].held = RIG_OWN_READS;
	/* Here, so that no disk of the last start is taken for the new one. */
	CHECK(rig_load(&rig) == STATUS_SUCCESS);
	CHECK(pthread_create(&thread, NULL, late_start, NULL) == 0);
	while (__atomic_load_n(&rig.disks, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	CHECK(rig_disk_waits(&rig.disk[0], 1, shim_patience()));
	rig_io_begin(&q, &rig.disk[0], IRP_MJ_WRITE, 5 * BLOCK, block, sizeof(block));
	CHECK(rig_wait(&q, NULL) == STATUS_SUCCESS);
	rig_disk_hold(&rig.disk[0], 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(rig_open(&set.file) == STATUS_SUCCESS);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_INVALID);
	CHECK(facts(0).why == HOTCOPY_WHY_FOREIGN);
	end();
	rig_lay[0].held = 0;
}

static void
test_wrong_records_are_none(void)
{
	uint64_t one = 4096, huge = ~(uint64_t)0 - 4095;
	struct {
		struct hotcopy_track t;
		struct hotcopy_extent extent;
	} in = { .t = { { sizeof(in), HOTCOPY_ABI }, .extents = 1 } };
	char digits[RECORD_NAME];
	WCHAR name[RECORD_NAME];
	uint8_t *record;
	uint32_t size;

	record_name(ID, sizeof(ID) - 1, digits);
	for (int i = 0; i < RECORD_NAME; i++)
		name[i] = (WCHAR)digits[i];
	for (int kind = 0; kind < 7; kind++) {
		fresh();
		rig_lay[0].id = ID;
		in.extent.offset = kind == 4 ? huge : kind == 5 ? 1 : STORE;
		in.extent.length = kind == 6 ? one : 1 << 20;
		record = record_make(ID, sizeof(ID) - 1, &in.t, &size);
		CHECK(record != NULL);
		if (kind == 0)
			shim_reg_set(VOLUMES, name, REG_SZ, record, size);
		else if (kind == 1)
			shim_reg_set(VOLUMES, name, REG_BINARY, record, 3);
		else if (kind == 2)
			shim_reg_set(VOLUMES, name, REG_BINARY, record, size - 1);
		else
			shim_reg_set(VOLUMES, name, REG_BINARY, record, size);
		ExFreePoolWithTag(record, 'pCtH');
		begin(1);
		/* Of a disk without a store, even a right one gives nothing to believe.
		 */
		CHECK(facts(0).tracking ==
		      (kind == 3 ? HOTCOPY_TRACK_INVALID : HOTCOPY_TRACK_OFF));
		write_at(0, 5 * BLOCK);
		end();
	}
}

struct frozen {
	uint32_t hold_ms, done;
	NTSTATUS status;
};

static void *
freeze_at_hold(void *arg)
{
	struct frozen *f = arg;
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} u;

	memset(&u, 0, sizeof(u));
	u.in.h.size = sizeof(u.in);
	u.in.h.abi = HOTCOPY_ABI;
	u.in.set = set.number;
	u.in.flags = HOTCOPY_FREEZE_AT_HOLD;
	u.in.hold_ms = f->hold_ms;
	f->status = rig_call(
	    &set.file, HOTCOPY_IOCTL_FREEZE, &u, sizeof(u.in), sizeof(u.out), NULL);
	__atomic_store_n(&f->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
send_hold(struct rig_request *q, unsigned i)
{
	PDEVICE_OBJECT top = rig_enter(&rig.disk[i]);
	PIO_STACK_LOCATION at = rig_begin(q, top, IRP_MJ_DEVICE_CONTROL, 0);

	at->Parameters.DeviceIoControl.IoControlCode =
	    IOCTL_VOLSNAP_FLUSH_AND_HOLD_WRITES;
	rig_send(q);
	rig_leave(&rig.disk[i]);
}

/* One thread sends to both volumes, as who sends several asynchronously does. */
static void
test_file_systems_that_hold_are_cut_together(void)
{
	struct rig_wish wish = { .memory = 1 << 20 };
	struct frozen f = { .hold_ms = HOTCOPY_HOLD_MS_MAX };
	struct rig_request q[2];
	pthread_t thread;

	fresh();
	begin(2);
	/* Nobody wants a cut: no waiting. */
	send_hold(&q[0], 0);
	CHECK(rig_wait(&q[0], NULL) == STATUS_SUCCESS);
	CHECK(rig_prepare(&rig, &set, 2, &wish) == STATUS_SUCCESS);
	send_hold(&q[0], 0);
	CHECK(rig_wait(&q[0], NULL) == STATUS_SUCCESS);
	CHECK(pthread_create(&thread, NULL, freeze_at_hold, &f) == 0);
	/* Until FREEZE wants them, holds come back by themselves. */
	send_hold(&q[0], 0);
	send_hold(&q[1], 1);
	while (__atomic_load_n(&f.done, __ATOMIC_SEQ_CST) == 0)
		for (unsigned i = 0; i < 2; i++)
			if (rig_done(&q[i], 20)) {
				CHECK(rig_wait(&q[i], NULL) == STATUS_SUCCESS);
				send_hold(&q[i], i);
			}
	for (unsigned i = 0; i < 2; i++)
		CHECK(rig_wait(&q[i], NULL) == STATUS_SUCCESS);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(f.status == STATUS_SUCCESS);
	/* Frozen already: no waiting. */
	send_hold(&q[0], 0);
	CHECK(rig_wait(&q[0], NULL) == STATUS_SUCCESS);
	CHECK(rig_release(&set) == STATUS_SUCCESS);
	/* Only one of two holds: that ends with FREEZE. */
	CHECK(rig_prepare(&rig, &set, 2, &wish) == STATUS_SUCCESS);
	f.hold_ms = 600;
	CHECK(pthread_create(&thread, NULL, freeze_at_hold, &f) == 0);
	send_hold(&q[0], 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(f.status == STATUS_IO_TIMEOUT);
	CHECK(rig_wait(&q[0], NULL) == STATUS_SUCCESS);
	end();
}

/* A program that is killed, and a sender who takes his request back. */
static void
test_who_waits_for_a_hold_may_go(void)
{
	enum { CANCELLED, CLOSED, TAKEN_BACK };
	struct rig_wish wish = { .memory = 1 << 20 };

	fresh();
	for (unsigned what = CANCELLED; what <= TAKEN_BACK; what++) {
		union {
			struct hotcopy_freeze in;
			struct hotcopy_frozen out;
		} u = { .in = { .h = { sizeof(u.in), HOTCOPY_ABI },
			    .flags = HOTCOPY_FREEZE_AT_HOLD,
			    .hold_ms = HOTCOPY_HOLD_MS_MAX } };
		struct rig_request freeze, hold;
		NTSTATUS held, froze;
		uint64_t began;

		begin(2);
		CHECK(rig_prepare(&rig, &set, 2, &wish) == STATUS_SUCCESS);
		u.in.set = set.number;
		rig_call_begin(&freeze, &set.file, HOTCOPY_IOCTL_FREEZE, &u, sizeof(u.in),
		    sizeof(u.out));
		/* The first of these may come before FREEZE wants it. */
		send_hold(&hold, 0);
		while (rig_done(&hold, 50)) {
			CHECK(rig_wait(&hold, NULL) == STATUS_SUCCESS);
			send_hold(&hold, 0);
		}
		CHECK(!rig_done(&freeze, 0));
		began = KeQueryInterruptTime();
		if (what == CANCELLED)
			rig_cancel(&freeze);
		else if (what == CLOSED)
			rig_cleanup(&set.file);
		else
			rig_cancel(&hold);
		/* One that was not done may only have been slow, and nobody's wish yet. */
		while ((held = rig_wait(&hold, NULL)) == STATUS_SUCCESS &&
		       what == TAKEN_BACK) {
			CHECK(!rig_done(&freeze, 0));
			send_hold(&hold, 0);
			rig_cancel(&hold);
		}
		CHECK(held == (what == TAKEN_BACK ? STATUS_CANCELLED : STATUS_SUCCESS));
		if (what == TAKEN_BACK)
			rig_cancel(&freeze);
		froze = rig_wait(&freeze, NULL);
		/* One that has not begun yet when its handle goes is refused. */
		CHECK(froze == STATUS_CANCELLED ||
		      (what == CLOSED && froze == STATUS_INVALID_DEVICE_STATE));
		CHECK(KeQueryInterruptTime() - began < 50000000);
		if (what != CLOSED)
			rig_cleanup(&set.file);
		rig_close(&set.file);
		CHECK(rig_stop(&rig));
	}
}

static bool
comes(NTSTATUS code, unsigned number)
{
	for (unsigned ms = 0; shim_log_count_of(code) < number; ms++) {
		if (ms > shim_patience())
			return false;
		usleep(1000);
	}
	return shim_log_count_of(code) == number;
}

static void
test_the_event_log_tells(void)
{
	struct rig_wish wish = { .memory = 1 << 20 };

	fresh();
	begin(1);
	CHECK(rig_track(&set.file, rig_volume(&rig.disk[0]), true, 0, 0, 3) ==
	      STATUS_SUCCESS);
	CHECK(rig_prepare(&rig, &set, 1, &wish) == STATUS_SUCCESS);
	CHECK(rig_freeze(&set, 0, 0, 14) == STATUS_SUCCESS);
	CHECK(rig_ioctl(&rig.disk[0], 0x53c044u, NULL, 0, 0, NULL) != STATUS_SUCCESS);
	CHECK(comes(LOG_DROPPED, 1));
	CHECK(comes(LOG_LOST, 1));
	CHECK(facts(0).state == HOTCOPY_DROPPED);
	CHECK(facts(0).tracking == HOTCOPY_TRACK_INVALID);
	end();
}

int
main(void)
{
	test_the_kill_switch_passes_on();
	test_failed_starts_are_counted_and_end();
	test_safe_mode_is_left_alone();
	test_a_registry_that_takes_nothing_stops_nobody();
	test_tracking_goes_on_after_an_orderly_end();
	test_the_mount_manager_spoils_no_tracking();
	test_untracked_in_vain_is_tracked_after_the_next_start();
	test_a_start_without_memory_misses_no_change();
	test_sleep_writes_nothing();
	test_a_held_range_that_is_cut_off_still_ends();
	test_untracked_is_forgotten_before_it_is_done();
	test_a_start_that_only_passed_ends_the_tracking();
	test_a_clone_is_a_stranger();
	test_a_write_before_the_store_is_read_is_not_lost();
	test_wrong_records_are_none();
	test_file_systems_that_hold_are_cut_together();
	test_who_waits_for_a_hold_may_go();
	test_the_event_log_tells();
	fresh();
	puts("nt_boot: ok");
	return 0;
}
