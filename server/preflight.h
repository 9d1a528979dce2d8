/*
 * preflight.h - could a host be restored to an empty machine like its own, with the
 * rescue image that is served today?
 *
 * What a point says of the machine (proto/layout) is judged by the image's table of
 * drivers (drivers.h): nothing is kept, so a verdict is over as soon as a backup or a
 * new image changes it.  The table is read again when its file has changed.
 *
 * Any thread may call; there is one lock, under which no store is called.
 */
#ifndef SERVER_PREFLIGHT_H
#define SERVER_PREFLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"
#include "server/drivers.h"
#include "storage/store.h"

struct err;
struct preflight;

#define PREFLIGHT_LINES_MAX 16u
#define PREFLIGHT_LINE_MAX 384u
#define PREFLIGHT_FLAG_MAX 256u
/* Points of a host looked at for its disks, from the newest. */
#define PREFLIGHT_POINTS_MAX 256u

struct preflight_device {
	uint8_t kind; /* enum layout_kind */
	enum drivers_verdict verdict;
	char modalias[LAYOUT_TEXT_MAX];
	char modules[DRIVERS_NAMES_MAX];
};

struct preflight_report {
	char host[STORE_NAME_MAX];
	uint64_t sequence; /* The newest point that has disks; 0: none has. */
	int64_t time_us;
	unsigned disks_count, devices_count;
	struct preflight_device devices[LAYOUT_DEVICES_MAX];
	uint8_t firmware, secure_boot;
	unsigned problems_count, notes_count; /* Without problems it can be restored. */
	char problems[PREFLIGHT_LINES_MAX][PREFLIGHT_LINE_MAX];
	char notes[PREFLIGHT_LINES_MAX][PREFLIGHT_LINE_MAX];
};

/* The pure part: fill all but host, sequence and time.  `l`: NULL if no point has disks.
 */
void preflight_judge(
    const struct drivers *d, const struct layout *l, struct preflight_report *out);

/* `dir`/modules.alias.  ERR_NOTFOUND, ERR_CORRUPT. */
int preflight_open(const char *dir, struct preflight **out, struct err *err);
void preflight_close(struct preflight *p);

/* Judge a host by its newest point with disks. */
int preflight_host(struct preflight *p, struct store *store, const char *host,
    struct preflight_report *out, struct err *err);

/*
 * What `holdfast hosts` says of a host with `points` points, the newest of `point_us`:
 * why it could not be restored, or "".  Hosts without disks in their points are not
 * meant to be.  Kept until one of these or the image changes.
 */
int preflight_flag(struct preflight *p, struct store *store, const char *host,
    uint64_t points, int64_t point_us, char text[PREFLIGHT_FLAG_MAX], struct err *err);

#endif /* SERVER_PREFLIGHT_H */
