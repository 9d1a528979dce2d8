#include "agent/capture/tracking_store.h"

#include <windows.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/target_place.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_pin.h"
#include "proto/base/err.h"

#define GUID_AT 10u /* "\\?\Volume" before the '{'. */

/* The pins of this process, by volume.  Windows closes them when it ends. */
static struct {
	pthread_mutex_t lock;
	unsigned count;
	struct {
		char *volume; /* "\\?\Volume{...}" */
		struct hotcopy_pin *pin;
	} of[HOTCOPY_ENUM_MAX];
} pins = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The volume's GUID as the driver has it, its first three groups turned; or zeros. */
static void
guid_of(const char *volume, uint8_t guid[16])
{
	unsigned a, b, c, d[8];

	memset(guid, 0, 16);
	if (strlen(volume) <= GUID_AT ||
	    sscanf(volume + GUID_AT, "{%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x}", &a, &b,
		&c, &d[0], &d[1], &d[2], &d[3], &d[4], &d[5], &d[6], &d[7]) != 11)
		return;
	for (unsigned i = 0; i < 4; i++)
		guid[i] = (uint8_t)(a >> 8 * i);
	for (unsigned i = 0; i < 2; i++) {
		guid[4 + i] = (uint8_t)(b >> 8 * i);
		guid[6 + i] = (uint8_t)(c >> 8 * i);
	}
	for (unsigned i = 0; i < 8; i++)
		guid[8 + i] = (uint8_t)d[i];
}

/* Drop the pin of `volume`, if it is held. */
static void
let_go(const char *volume)
{
	for (unsigned i = 0; i < pins.count; i++) {
		if (strcmp(pins.of[i].volume, volume) != 0)
			continue;
		hotcopy_pin_close(pins.of[i].pin);
		free(pins.of[i].volume);
		pins.of[i] = pins.of[--pins.count];
		return;
	}
}

/* The pin of `volume`: held already, or made.  NULL: there is no room for it. */
static struct hotcopy_pin *
hold(const char *volume, uint64_t bytes)
{
	struct err ignored = ERR_INIT;
	struct hotcopy_pin *pin;
	char *copy;

	for (unsigned i = 0; i < pins.count; i++)
		if (strcmp(pins.of[i].volume, volume) == 0)
			return pins.of[i].pin;
	if (pins.count == HOTCOPY_ENUM_MAX ||
	    hotcopy_pin_open(volume, HOTCOPY_PIN_STORE, bytes, &pin, &ignored) != 0)
		return NULL;
	if ((copy = strdup(volume)) == NULL) {
		hotcopy_pin_close(pin);
		return NULL;
	}
	pins.of[pins.count].volume = copy;
	pins.of[pins.count++].pin = pin;
	return pin;
}

int
tracking_store_begin(struct hotcopy_link *l, const char *path,
    const struct hotcopy_volume *v, const uint8_t nonce[HOTCOPY_NONCE], struct err *err)
{
	const struct hotcopy_extent *extent = NULL;
	char *volume = target_place_device(path);
	struct hotcopy_pin *pin = NULL;
	uint8_t guid[16] = { 0 };
	unsigned n = 0;
	int rc;

	pthread_mutex_lock(&pins.lock);
	if (volume != NULL) {
		guid_of(volume, guid);
		pin = hold(volume, v->store_bytes);
	}
	if (pin != NULL)
		n = hotcopy_pin_extents(pin, &extent);
	/* More pieces than a call takes: it lies in too many to be a store. */
	if (n > HOTCOPY_EXTENTS_MAX)
		n = 0;
	rc = hotcopy_track(l, v->volume, guid, nonce, extent, n, err);
	if (pin != NULL && (rc != 0 || n == 0))
		let_go(volume);
	pthread_mutex_unlock(&pins.lock);
	free(volume);
	return rc;
}

char *
tracking_store_volume(const char *path, uint64_t number)
{
	char *volume = target_place_device(path), name[32];

	if (volume != NULL)
		return volume;
	(void)snprintf(name, sizeof(name), "#%llu", (unsigned long long)number);
	return _strdup(name);
}

void
tracking_store_hold(const char *path, const struct hotcopy_volume *v)
{
	char *volume = target_place_device(path);

	if (volume == NULL)
		return;
	pthread_mutex_lock(&pins.lock);
	(void)hold(volume, v->store_bytes);
	pthread_mutex_unlock(&pins.lock);
	free(volume);
}

void
tracking_store_drop(const char *path)
{
	char *volume = target_place_device(path);

	if (volume == NULL)
		return;
	pthread_mutex_lock(&pins.lock);
	let_go(volume);
	pthread_mutex_unlock(&pins.lock);
	free(volume);
}
