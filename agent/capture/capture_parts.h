/*
 * capture_parts.h - between capture.c (volumes, and all together) and capture_disk.c
 * (disks).
 */
#ifndef AGENT_CAPTURE_CAPTURE_PARTS_H
#define AGENT_CAPTURE_CAPTURE_PARTS_H

#include "agent/capture/capture.h"

/* The next volume of the list, empty but for these; NULL: the name is taken. */
struct capture_volume *capture_add(struct capture *c, const char *name, uint64_t size,
    uint32_t sector_size, struct err *err);

/* All of it is `len` bytes of the view from `offset`. */
void capture_set_view(struct capture_volume *v, struct snapshot_volume *view,
    uint64_t offset, uint64_t len);

/*
 * capture_tracking.c: before the set is made (`o` are its options); before it is frozen;
 * after that went well or not; once the volumes are known; in the end, which comes once
 * or is `ok` 0.
 */
void capture_track_open(struct capture *c, struct snapshot_options *o);
void capture_track_cut(struct capture *c);
void capture_track_seen(struct capture *c);
void capture_track_volumes(struct capture *c);
void capture_track_finish(struct capture *c, int ok);
void capture_track_close(struct capture *c);

/* One line about several disks. */
void capture_note(struct capture *c, const char *who, const char *text);

/* Open disk `i` of the settings: take hold of what can be frozen of it. */
int capture_open_disk(struct capture *c, const struct settings *s,
    const struct capture_disks *disks, unsigned i, struct err *err);

/* Once all is frozen: its image and its partitions become volumes. */
int capture_add_disk(
    struct capture *c, const struct settings *s, unsigned i, struct err *err);

void capture_close_disk(struct capture_source *d);

#endif /* AGENT_CAPTURE_CAPTURE_PARTS_H */
