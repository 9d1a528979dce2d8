#include <stdio.h>
#include <string.h>

#include "agent/restore/disk_restore.h"
#include "agent/session/reading.h"
#include "proto/base/err.h"

struct finding {
	struct disk_restore_point *out;
	uint64_t wanted;
	unsigned points;
	int found;
	struct err *err;
};

static void
note_doubt(void *arg, const char *line)
{
	struct disk_restore_point *p = arg;

	(void)snprintf(p->doubt, sizeof(p->doubt), "%s", line);
}

static int
take(struct disk_restore_point *out, const Wire__Point *p, struct err *err)
{
	if (p->n_volumes > DISK_RESTORE_VOLUMES_MAX ||
	    strlen(p->host) >= sizeof(out->host))
		return err_set(err, ERR_PROTOCOL, "a point that cannot be");
	(void)snprintf(out->host, sizeof(out->host), "%s", p->host);
	out->sequence = p->sequence;
	out->time_us = p->time_us;
	restore_warn(p, note_doubt, out);
	out->volumes = (unsigned)p->n_volumes;
	for (unsigned i = 0; i < out->volumes; i++) {
		struct disk_restore_volume *v = &out->volume[i];

		(void)snprintf(v->name, sizeof(v->name), "%s", p->volumes[i]->name);
		(void)snprintf(v->fs, sizeof(v->fs), "%s", p->volumes[i]->fs);
		v->size = p->volumes[i]->size;
		v->data_bytes = p->volumes[i]->data_bytes;
		if (p->volumes[i]->root_id.len != CHUNK_ID_LEN)
			return err_set(err, ERR_PROTOCOL, "a volume without a root");
		memcpy(v->root_id.b, p->volumes[i]->root_id.data, CHUNK_ID_LEN);
	}
	return layout_parse(
	    p->layout.data, p->layout.len, out->volumes, &out->layout, err);
}

static int
on_point(void *arg, const Wire__Point *p)
{
	struct finding *f = arg;

	if (f->wanted != 0 && p->sequence != f->wanted)
		return 0;
	f->points++;
	if (p->layout.len == 0)
		return 0;
	if (take(f->out, p, f->err) != 0)
		return -1;
	f->found = f->out->layout.disks_count > 0;
	return f->found;
}

int
disk_restore_find(struct channel *ch, const char *host, uint64_t sequence,
    struct disk_restore_point *out, struct err *err)
{
	struct finding f = { out, sequence, 0, 0, err };
	const char *name = host[0] != '\0' ? host : "this host";

	memset(out, 0, sizeof(*out));
	if (reading_layouts(ch, host, sequence, on_point, &f, err) < 0)
		return -1;
	if (f.found)
		return 0;
	if (sequence == 0)
		return err_set(err, ERR_NOTFOUND, "%s has %s", name,
		    f.points > 0 ? "no point with a disk" : "no points");
	return err_set(err, ERR_NOTFOUND, "%s %llu of %s%s",
	    f.points > 0 ? "point" : "no point", (unsigned long long)sequence, name,
	    f.points > 0 ? " has no disk" : "");
}
