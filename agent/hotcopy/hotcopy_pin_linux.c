#include "agent/hotcopy/hotcopy_pin.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

/* What the disks are called that may be written over. */
#define ROOM_NAME "room"

struct hotcopy_pin {
	struct hotcopy_extent whole; /* From the disk's start. */
};

/* Its size and sectors. */
static int
measure(const char *volume, struct hotcopy_volume *out, struct err *err)
{
	struct hotcopy_link *l = NULL;
	uint64_t number;
	int rc;

	if (hotcopy_link_open(volume, &l, err) != 0)
		return -1;
	rc = hotcopy_link_volume(l, volume, &number, err);
	if (rc == 0)
		rc = hotcopy_find(l, number, out, err);
	hotcopy_link_close(l);
	return rc;
}

int
hotcopy_pin_open(const char *volume, enum hotcopy_pin_use use, uint64_t bytes,
    struct hotcopy_pin **out, struct err *err)
{
	const char *name = strrchr(volume, ':');
	struct hotcopy_volume v;
	struct hotcopy_pin *p;

	if (use != HOTCOPY_PIN_ROOM)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: a tracking store of the simulator is named when it starts "
		    "(track=NAME:OFFSET)",
		    volume);
	/* Nothing else tells a disk with files on it from one that is empty. */
	if (name == NULL || strncmp(name + 1, ROOM_NAME, strlen(ROOM_NAME)) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: only a disk of the simulator whose name begins with " ROOM_NAME
		    " is written over",
		    volume);
	if (measure(volume, &v, err) != 0)
		return -1;
	bytes += (v.sector - bytes % v.sector) % v.sector;
	if (bytes == 0 || bytes > v.length)
		return err_set(err, ERR_NOSPACE, "%s has %llu bytes, and is to give %llu",
		    volume, (unsigned long long)v.length, (unsigned long long)bytes);
	if ((p = malloc(sizeof(*p))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for room on %s", volume);
	p->whole.offset = 0;
	p->whole.length = bytes;
	*out = p;
	return 0;
}

unsigned
hotcopy_pin_extents(const struct hotcopy_pin *p, const struct hotcopy_extent **extent)
{
	*extent = &p->whole;
	return 1;
}

void
hotcopy_pin_close(struct hotcopy_pin *p)
{
	free(p);
}

void
hotcopy_pin_clean(const char *volume)
{
	(void)volume; /* Its room is a disk of its own. */
}
