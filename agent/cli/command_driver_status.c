#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command_driver.h"
#include "agent/disk/volumes.h"
#include "agent/host/progress.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

/* As in driver/abi/hotcopy.h. */
static const char *const states[] = { "idle", "prepared", "gated", "active", "dropped",
	"removed", "passing" };
static const char *const trackings[] = { "off", "new", "valid", "recovered", "invalid" };
static const char *const whys[] = { "", "no-space", "read-error", "diff-error", "removed",
	"resized", "unknown-write", "written-into", "power", "store-error",
	"store-damaged", "foreign", "no-memory", "asked" };

static const char *
word(const char *const *words, size_t count, uint32_t n)
{
	return n < count ? words[n] : "?";
}
#define WORD(words, n) word(words, sizeof(words) / sizeof((words)[0]), n)

/* What the driver's volumes are called here, where the system lists any. */
struct names {
	struct volumes *known; /* NULL: it lists none. */
	uint64_t number[VOLUMES_MAX];
	uint8_t attached[VOLUMES_MAX];
};

static void
look_up(struct names *n, struct hotcopy_link *l)
{
	struct err ignored = ERR_INIT;

	if (!volumes_known() || volumes_list(&n->known, &ignored) != 0)
		return;
	for (unsigned i = 0; i < n->known->count; i++) {
		err_clear(&ignored);
		n->attached[i] = hotcopy_link_volume(l, n->known->volumes[i].guid,
				     &n->number[i], &ignored) == 0;
	}
}

/* "C:", or "#7" in `room`. */
static const char *
name_of(const struct names *n, uint64_t number, char room[24])
{
	for (unsigned i = 0; n->known != NULL && i < n->known->count; i++)
		if (n->attached[i] && n->number[i] == number)
			return volumes_shown(&n->known->volumes[i]);
	(void)snprintf(room, 24, "#%" PRIu64, number);
	return room;
}

static uint64_t
changed_bytes(const struct hotcopy_volume *v)
{
	return v->changed < v->length >> HOTCOPY_TRACK_SHIFT
		   ? v->changed << HOTCOPY_TRACK_SHIFT
		   : v->length;
}

/* -------------------------------------------------------------------------- text -- */

static void
print_volume(const char *name, const struct hotcopy_volume *v)
{
	char length[24], changed[24];

	progress_bytes(v->length, length);
	progress_bytes(changed_bytes(v), changed);
	printf("volume    %-16s %10s  %s, tracking %s", name, length,
	    WORD(states, v->state), WORD(trackings, v->tracking));
	if (v->why != HOTCOPY_WHY_NONE)
		printf(" (%s)", WORD(whys, v->why));
	if (v->tracking != HOTCOPY_TRACK_OFF && v->generation != 0)
		printf(", %s changed since generation %" PRIu64, changed, v->generation);
	if (v->tracking != HOTCOPY_TRACK_OFF && v->generation == 0)
		printf(", no generation yet");
	printf("%s\n", v->paging > 0 ? ", page file" : "");
}

static void
print_driver(uint32_t build, int disabled)
{
	printf("driver    build %" PRIu32 "%s\n", build,
	    disabled ? ", DISABLED: it only passes everything on" : "");
}

/* -------------------------------------------------------------------------- JSON -- */

static int
print_json(json_t *j, struct err *err)
{
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	if (text == NULL)
		return err_set(err, ERR_NOMEM, "no memory for JSON");
	puts(text);
	free(text);
	return 0;
}

static json_t *
volume_json(const char *name, const struct hotcopy_volume *v)
{
	char nonce[2 * HOTCOPY_NONCE + 1];

	for (unsigned i = 0; i < HOTCOPY_NONCE; i++)
		(void)snprintf(nonce + 2 * i, 3, "%02x", v->nonce[i]);
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:s, s:I, "
			 "s:I, s:I}",
	    "type", "volume", "name", name, "attached", 1, "number",
	    (json_int_t)v->volume, "length", (json_int_t)v->length, "sector",
	    (json_int_t)v->sector, "state", WORD(states, v->state), "tracking",
	    WORD(trackings, v->tracking), "why", WORD(whys, v->why), "generation",
	    (json_int_t)v->generation, "nonce", nonce, "changed",
	    (json_int_t)changed_bytes(v), "store", (json_int_t)v->store_bytes, "paging",
	    (json_int_t)v->paging);
}

/* ------------------------------------------------------------------------- status -- */

static int
show_driver(struct hotcopy_link *l, int json, struct err *err)
{
	uint32_t build = 0;
	int disabled = hotcopy_is_disabled(l, &build, err);

	if (disabled < 0)
		return -1;
	if (json)
		return print_json(json_pack("{s:s, s:I, s:b}", "type", "driver", "build",
				      (json_int_t)build, "disabled", disabled),
		    err);
	print_driver(build, disabled);
	return 0;
}

static int
show_volume(const char *name, const struct hotcopy_volume *v, int json, struct err *err)
{
	if (json)
		return print_json(volume_json(name, v), err);
	print_volume(name, v);
	return 0;
}

/* What the filter is not above: it was installed after they came, or refuses them. */
static int
show_others(const struct names *n, int json, struct err *err)
{
	int rc = 0;

	for (unsigned i = 0; n->known != NULL && i < n->known->count && rc == 0; i++) {
		const char *name = volumes_shown(&n->known->volumes[i]);

		if (n->attached[i])
			continue;
		if (json)
			rc = print_json(json_pack("{s:s, s:s, s:b}", "type", "volume",
					    "name", name, "attached", 0),
			    err);
		else
			printf("without   %s\n", name);
	}
	return rc;
}

static int
show_all(struct hotcopy_link *l, int json, struct err *err)
{
	struct names *n = calloc(1, sizeof(*n));
	struct hotcopy_volumes *v = NULL;
	char room[24];
	int rc;

	if (n == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the volumes' names");
	rc = hotcopy_list(l, &v, err);
	if (rc == 0)
		look_up(n, l);
	for (uint32_t i = 0; rc == 0 && i < v->given; i++)
		rc = show_volume(
		    name_of(n, v->volume[i].volume, room), &v->volume[i], json, err);
	if (rc == 0)
		rc = show_others(n, json, err);
	volumes_free(n->known);
	free(n);
	free(v);
	return rc;
}

static int
show_one(struct hotcopy_link *l, const char *path, int json, struct err *err)
{
	struct hotcopy_volume v;
	uint64_t number;

	if (hotcopy_link_volume(l, path, &number, err) != 0 ||
	    hotcopy_find(l, number, &v, err) != 0)
		return -1;
	return show_volume(path, &v, json, err);
}

/* Not a volume but all of them? */
static int
names_all(const char *path)
{
	const char *colon;

	if (path == NULL)
		return 1;
	if (strncmp(path, HOTCOPY_PLACE, strlen(HOTCOPY_PLACE)) != 0)
		return 0;
	colon = strrchr(path + strlen(HOTCOPY_PLACE), ':');
	return colon == NULL || colon[1] == '\0';
}

int
command_driver_status(const char *path, int json, struct err *err)
{
	struct hotcopy_link *l = NULL;
	int rc = hotcopy_link_open(path, &l, err);

	if (rc == 0)
		rc = show_driver(l, json, err);
	if (rc == 0)
		rc = names_all(path) ? show_all(l, json, err)
				     : show_one(l, path, json, err);
	hotcopy_link_close(l);
	return rc == 0 ? 0 : err_context(err, "driver status");
}
