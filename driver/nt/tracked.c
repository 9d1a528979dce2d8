#include "driver/nt/tracked.h"
#include <mountdev.h>
#include "driver/abi/names.h"
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/nt/ctl.h"
#include "driver/nt/record.h"
#include "driver/nt/registry.h"
#include "driver/nt/shutdown.h"

#define KEY HOTCOPY_KEY_PARAMETERS L"\\" HOTCOPY_KEY_VOLUMES

struct known {
	struct known *next;
	uint64_t number;
	uint32_t bytes;
	uint8_t id[RECORD_ID_MAX];
};

/* Locks, in order: calls, list. */
static struct {
	struct env_mutex calls; /* one TRACK or UNTRACK with its registry at a time */
	struct env_mutex list;
	struct known *first;
} tracked;

void
tracked_begin(void)
{
	env_mutex_init(&tracked.calls);
	env_mutex_init(&tracked.list);
	tracked.first = NULL;
}

void
tracked_end(void)
{
	env_mutex_done(&tracked.calls);
	env_mutex_done(&tracked.list);
}

/* MOUNTDEV_UNIQUE_ID: a length of 16 bits, then as many bytes.  false: no memory; no
   bytes: it has none. */
static bool
ask_id(struct filter *f, struct known *k)
{
	uint32_t room = sizeof(USHORT) + RECORD_ID_MAX;
	uint8_t *answer = env_alloc(room);
	IO_STATUS_BLOCK result;
	USHORT length = 0;
	KEVENT event;
	IRP *irp = NULL;

	k->bytes = 0;
	if (answer == NULL)
		return false;
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	/* The same buffer for both ways: Wine gives a driver that of the input. */
	irp = IoBuildDeviceIoControlRequest(IOCTL_MOUNTDEV_QUERY_UNIQUE_ID, f->lower,
	    answer, room, answer, room, FALSE, &event, &result);
	if (irp != NULL) {
		NTSTATUS status = IoCallDriver(f->lower, irp);

		if (status == STATUS_PENDING) {
			KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
			status = result.Status;
		}
		if (NT_SUCCESS(status) && result.Information >= sizeof(length) &&
		    result.Information <= room) {
			memcpy(&length, answer, sizeof(length));
			if (length > result.Information - sizeof(length))
				length = 0;
		}
	}
	k->bytes = length;
	memcpy(k->id, answer + sizeof(length), length);
	env_free(answer);
	return irp != NULL;
}

/* Two of one identification at a time: a clone, or the same that has come again before
   its first device was removed.  The second is a stranger. */
static bool
join(struct known *k)
{
	struct known *o;
	bool alone = true;

	env_mutex_take(&tracked.list);
	for (o = tracked.first; o != NULL && alone; o = o->next)
		alone = o->bytes != k->bytes || memcmp(o->id, k->id, k->bytes) != 0;
	if (alone) {
		k->next = tracked.first;
		tracked.first = k;
	}
	env_mutex_give(&tracked.list);
	return alone;
}

static void
name_of(const struct known *k, WCHAR name[RECORD_NAME])
{
	char digits[RECORD_NAME];

	record_name(k->id, k->bytes, digits);
	for (uint32_t i = 0; i < RECORD_NAME; i++)
		name[i] = (WCHAR)digits[i];
}

static struct hotcopy_track *
recorded(const struct known *k)
{
	HANDLE key = registry_open(KEY, false);
	struct hotcopy_track *t = NULL;
	WCHAR name[RECORD_NAME];
	uint8_t *record;
	uint32_t size;

	name_of(k, name);
	record = registry_bytes(key, name, RECORD_MAX, &size);
	if (record != NULL)
		t = record_read(record, size, k->id, k->bytes);
	env_free(record);
	registry_close(key);
	return t;
}

/*
 * true: no later start finds one.  "durably": also after a crash.  Not so where a device
 * starts: the registry's file lies on a volume, and who waits for the one while PnP waits
 * for him may wait for himself.  Windows writes it down soon (boot.c asks for it, too),
 * and until then the prints of the store speak for it.
 */
static bool
forget(const struct known *k, bool durably)
{
	HANDLE key = registry_open(KEY, false);
	WCHAR name[RECORD_NAME];
	bool gone;

	if (key == NULL)
		return true;
	name_of(k, name);
	gone = registry_forget(key, name);
	if (durably)
		registry_flush(key);
	registry_close(key);
	return gone;
}

/* The same for all volumes: who it is cannot be asked. */
static void
forget_all(void)
{
	HANDLE key = registry_open(KEY, false);

	if (key == NULL)
		return;
	registry_forget_key(key);
	registry_close(key);
}

static void
lost(void *who, enum hotcopy_reason why)
{
	struct known *k = who;

	ctl_lost(k->number, why);
}

void
tracked_missed(struct filter *f)
{
	struct known *k = f != NULL ? env_alloc(sizeof(*k)) : NULL;

	if (k == NULL || !ask_id(f, k))
		forget_all();
	else if (k->bytes != 0)
		forget(k, false);
	env_free(k);
}

static struct track *
open_recorded(struct filter *f, struct known *k)
{
	struct track_notice notice = { lost, k };
	struct hotcopy_track *how = recorded(k);
	struct track *t = NULL;

	if (how != NULL)
		t = track_open(f->volume, how, how->extent, notice);
	env_free(how);
	return t;
}

/*
 * Whoever is not tracked now, or sees no write, is not to be believed at a later start:
 * a store of its own may lie there.
 */
void
tracked_start(struct filter *f)
{
	struct known *k = env_alloc(sizeof(*k));
	struct track *t;
	bool asked = k != NULL && ask_id(f, k);

	if (asked && k->bytes != 0) {
		k->number = volume_number(f->volume);
		if (join(k)) {
			t = open_recorded(f, k);
			if (t == NULL) {
				forget(k, false);
				return;
			}
			(void)volume_track_put(f->volume, t);
			shutdown_last_chance();
			return;
		}
		forget(k, false);
	} else if (!asked) {
		forget_all();
	}
	env_free(k);
}

void
tracked_leave(struct filter *f)
{
	struct known **at, *k = NULL;
	struct track *t;

	t = volume_track_put(f->volume, NULL);
	if (t != NULL)
		track_free(t);
	env_mutex_take(&tracked.list);
	for (at = &tracked.first; *at != NULL; at = &(*at)->next)
		if ((*at)->number == volume_number(f->volume)) {
			k = *at;
			*at = k->next;
			break;
		}
	env_mutex_give(&tracked.list);
	env_free(k);
}

/* A copy, for the volume may go.  NULL: it is not known by an identification. */
static struct known *
find(uint64_t number)
{
	struct known *k, *copy = env_alloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	env_mutex_take(&tracked.list);
	for (k = tracked.first; k != NULL && k->number != number; k = k->next)
		;
	if (k != NULL)
		memcpy(copy, k, sizeof(*copy));
	env_mutex_give(&tracked.list);
	if (k == NULL) {
		env_free(copy);
		return NULL;
	}
	return copy;
}

/* What cannot be kept ends with this start of the machine. */
static void
remember(const struct known *k, const struct hotcopy_track *t)
{
	HANDLE key = NULL, parameters = registry_open(HOTCOPY_KEY_PARAMETERS, true);
	WCHAR name[RECORD_NAME];
	uint8_t *record;
	uint32_t size;
	bool kept = false;

	record = record_make(k->id, k->bytes, t, &size);
	if (parameters != NULL && record != NULL)
		key = registry_open(KEY, true);
	if (key != NULL) {
		name_of(k, name);
		kept = registry_put_bytes(key, name, record, size);
		registry_flush(key);
	}
	registry_close(key);
	registry_close(parameters);
	env_free(record);
	if (kept)
		shutdown_last_chance();
	else
		forget(k, true);
}

/* It was forgotten for nothing: tracking goes on. */
static void
put_back(const struct known *k, const uint8_t *record, uint32_t size)
{
	HANDLE key = registry_open(KEY, true);
	WCHAR name[RECORD_NAME];

	name_of(k, name);
	registry_put_bytes(key, name, record, size);
	registry_close(key);
}

/* Forgotten, durably, before writes pass that the store does not know of. */
static enum set_result
untrack(struct control_file *file, void *buffer, uint32_t in, uint32_t room,
    uint32_t *out, const struct known *k)
{
	HANDLE key = registry_open(KEY, false);
	enum set_result result = SET_IO;
	WCHAR name[RECORD_NAME];
	uint8_t *record;
	uint32_t size;

	name_of(k, name);
	record = registry_bytes(key, name, RECORD_MAX, &size);
	registry_close(key);
	if (forget(k, true)) {
		result = control_call(file, HOTCOPY_IOCTL_UNTRACK, buffer, in, room, out);
		if (result != SET_OK && record != NULL)
			put_back(k, record, size);
	}
	env_free(record);
	return result;
}

/*
 * TRACK: remembered when the new store is there; until then an old record leads to the
 * old one, which track_invalidate has made worthless.
 */
static enum set_result
change(struct control_file *file, uint32_t code, void *buffer, uint32_t in, uint32_t room,
    uint32_t *out, const struct known *k)
{
	const struct hotcopy_untrack *u = buffer;
	enum set_result result;

	if (code == HOTCOPY_IOCTL_UNTRACK && u->flags == 0)
		return untrack(file, buffer, in, room, out, k);
	result = control_call(file, code, buffer, in, room, out);
	if (result == SET_OK && code == HOTCOPY_IOCTL_TRACK)
		remember(k, buffer);
	return result;
}

enum set_result
tracked_call(struct control_file *file, uint32_t code, void *buffer, uint32_t in,
    uint32_t room, uint32_t *out)
{
	enum set_result result;
	struct known *k = NULL;

	if ((code == HOTCOPY_IOCTL_TRACK && in >= sizeof(struct hotcopy_track)) ||
	    (code == HOTCOPY_IOCTL_UNTRACK && in == sizeof(struct hotcopy_untrack))) {
		/* Both have the volume at the same place. */
		env_mutex_take(&tracked.calls);
		k = find(((const struct hotcopy_untrack *)buffer)->volume);
		if (k == NULL)
			env_mutex_give(&tracked.calls);
	}
	*out = 0;
	if (k == NULL)
		return control_call(file, code, buffer, in, room, out);
	result = change(file, code, buffer, in, room, out, k);
	env_mutex_give(&tracked.calls);
	env_free(k);
	return result;
}
