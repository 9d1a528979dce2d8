#include "agent/restore/disk_order.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/session/dial.h"
#include "proto/base/err.h"

/* Progress as it comes, for progress.h. */
struct showing {
	struct progress *progress;
	uint64_t written, received; /* That it was told of. */
};

static void
on_progress(void *arg, const struct disk_restore_progress *p)
{
	struct showing *s = arg;

	progress_add(s->progress, PROGRESS_READ, p->received - s->received);
	progress_add(s->progress, PROGRESS_SENT, p->written - s->written);
	progress_at(s->progress, p->done);
	s->received = p->received;
	s->written = p->written;
}

static int
find_disk(const struct disk_order *o, const struct disk_restore_point *p, unsigned *disk,
    struct err *err)
{
	const struct layout *l = &p->layout;
	const struct layout_disk *d = layout_disk_find(l, o->disk);
	char names[200] = "";
	size_t n = 0;

	if (d != NULL) {
		*disk = (unsigned)(d - l->disks);
		return 0;
	}
	for (unsigned i = 0; i < l->disks_count && n + 1 < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
		    i > 0 ? ", " : "", l->disks[i].name);
	if (o->disk[0] == '\0')
		return err_set(err, ERR_NOTFOUND,
		    "point %" PRIu64 " of %s has disks %s: say which", p->sequence,
		    p->host, names);
	return err_set(err, ERR_NOTFOUND,
	    "point %" PRIu64 " of %s has no disk '%.60s', but %s", p->sequence, p->host,
	    o->disk, names);
}

static int
make_plan(const struct disk_order *o, const struct disk_restore_point *p, unsigned disk,
    struct disk_plan *plan, struct err *err)
{
	struct disk_plan_wish *wish = calloc(1, sizeof(*wish));
	int rc = -1;

	if (wish == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (disk_restore_measure(o->target, &wish->size, &wish->sector_size, err) != 0)
		goto out;
	/* How long the file of a virtual disk is says nothing about the disk. */
	if ((o->flags & DISK_RESTORE_VHDX) != 0 && wish->sector_size == 0)
		wish->size = 0;
	if (wish->sector_size == 0 && o->size > 0)
		wish->size = o->size;
	if (wish->size == 0)
		wish->size = p->layout.disks[disk].size;
	wish->flags = o->extend ? DISK_PLAN_EXTEND : 0;
	rc = o->wish != NULL ? o->wish(o->fit_arg, p, disk, wish, err) : 0;
	if (rc == 0)
		rc = disk_plan_make(&p->layout, disk, wish, plan, NULL, err);
out:
	free(wish);
	return rc == 0 ? 0 : err_context(err, "target %s", o->target);
}

static void
describe(const struct disk_restore_point *p, const struct disk_plan *plan,
    struct disk_order_result *out)
{
	(void)snprintf(out->host, sizeof(out->host), "%s", p->host);
	out->sequence = p->sequence;
	(void)snprintf(
	    out->disk, sizeof(out->disk), "%s", p->layout.disks[plan->disk].name);
	out->old_size = plan->old_size;
	out->partitions = plan->count;
	for (unsigned i = 0; i < plan->count; i++)
		if (plan->parts[i].role != LAYOUT_EXTENDED &&
		    plan->parts[i].length > plan->parts[i].from_length) {
			out->longer =
			    p->layout.partitions[plan->parts[i].partition].number;
			out->longer_bytes = plan->parts[i].length;
		}
}

static int
run(const struct disk_order *o, struct disk_restore_point *p, struct disk_plan *plan,
    struct disk_order_result *out, struct err *err)
{
	struct showing showing = { NULL, 0, 0 };
	struct disk_restore_job job = { .dial = o->dial,
		.dial_arg = o->dial_arg,
		.point = p,
		.plan = plan,
		.target = o->target,
		.flags = o->flags,
		.retry_s = o->retry_s,
		.progress = on_progress,
		.progress_arg = &showing,
		.say = o->say,
		.say_arg = o->say_arg,
		.stop = o->stop };
	uint64_t total = 0;
	unsigned disk = 0;
	int rc;

	if (find_disk(o, p, &disk, err) != 0 || make_plan(o, p, disk, plan, err) != 0)
		return -1;
	describe(p, plan, out);
	if (o->attach != NULL)
		o->attach(o->fit_arg, plan, &job);
	total = p->volume[p->layout.disks[disk].volume].data_bytes;
	for (unsigned i = 0; i < plan->count; i++)
		if (plan->parts[i].volume != LAYOUT_NO_VOLUME)
			total += p->volume[plan->parts[i].volume].data_bytes;
	if (progress_start(o->mode, "restore", total, &showing.progress, err) != 0)
		return -1;
	rc = disk_restore_run(&job, &out->run, err);
	progress_stop(showing.progress);
	return rc;
}

int
disk_order_run(const struct disk_order *o, struct disk_order_result *out, struct err *err)
{
	struct disk_restore_point *p = calloc(1, sizeof(*p));
	struct disk_plan *plan = calloc(1, sizeof(*plan));
	struct dial d;
	int rc = -1;

	memset(out, 0, sizeof(*out));
	if (p == NULL || plan == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	if (o->dial(o->dial_arg, &d, err) != 0)
		goto out;
	rc = disk_restore_find(d.ch, o->host, o->sequence, p, err);
	dial_close(&d);
	if (rc == 0)
		rc = run(o, p, plan, out, err);
out:
	free(p);
	free(plan);
	return rc;
}

void
disk_order_print(const struct disk_order *o, const struct disk_order_result *r, int json)
{
	const struct disk_restore_result *n = &r->run;
	char size[24], got[24], put[24], same[24], rate[24], longer[24];
	double s = (double)n->duration_us / 1e6;

	if (json) {
		(void)printf(
		    "{\"event\":\"restored\",\"host\":\"%s\",\"sequence\":%" PRIu64
		    ",\"disk\":\"%s\",\"size\":%" PRIu64 ",\"old_size\":%" PRIu64
		    ",\"partitions\":%u,\"extended\":%u,\"received_bytes\":%" PRIu64
		    ",\"written_bytes\":%" PRIu64 ",\"same_bytes\":%" PRIu64
		    ",\"lost_sessions\":%u,\"duration_us\":%" PRIu64 "}\n",
		    r->host, r->sequence, r->disk, n->size, r->old_size, r->partitions,
		    r->longer, n->received_bytes, n->written_bytes, n->same_bytes,
		    n->lost, n->duration_us);
		return;
	}
	progress_bytes(n->size, size);
	progress_bytes(n->received_bytes, got);
	progress_bytes(n->written_bytes, put);
	progress_bytes(n->same_bytes, same);
	progress_bytes(r->longer_bytes, longer);
	progress_bytes(s > 0 ? (uint64_t)((double)n->written_bytes / s) : 0, rate);
	(void)printf("restored disk %s of %s/%" PRIu64
		     " to %s: %s, %u partition%s; received %s, written %s",
	    r->disk, r->host, r->sequence, o->target, size, r->partitions,
	    r->partitions == 1 ? "" : "s", got, put);
	if ((o->flags & DISK_RESTORE_DELTA) != 0)
		(void)printf(", already right %s", same);
	if ((o->flags & DISK_RESTORE_VERIFY) != 0)
		(void)printf(", read back");
	(void)printf("; %.1f s, %s/s\n", s, rate);
	if (r->longer > 0 && o->attach == NULL)
		(void)printf(
		    "  partition %u is %s long now; its file system is not yet\n",
		    r->longer, longer);
}
