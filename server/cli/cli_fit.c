#include "server/cli/cli_fit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/host_facts.h"
#include "agent/restore/disk_order.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"
#include "rescue/adapt.h"
#include "rescue/fit.h"

/* One modalias a line; of all that a machine has only its disks' controllers count. */
static int
read_machine(const char *path, struct layout *l, struct err *err)
{
	FILE *f = fopen(path, "re");
	struct layout_device *d;
	char line[LAYOUT_TEXT_MAX];
	int rc = 0;

	if (f == NULL)
		return err_os(err, errno, "%s", path);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!adapt_pci_storage(line) || l->devices_count == LAYOUT_DEVICES_MAX)
			continue;
		d = &l->devices[l->devices_count++];
		d->kind = LAYOUT_STORAGE;
		strcpy(d->modalias, line);
	}
	if (ferror(f))
		rc = err_os(err, errno, "%s", path);
	else if (l->devices_count == 0)
		rc = err_set(err, ERR_NOTFOUND,
		    "%s: no storage controller in it (lines as in sysfs' modalias)",
		    path);
	fclose(f);
	return rc;
}

static int
wish(void *arg, const struct disk_restore_point *p, unsigned disk,
    struct disk_plan_wish *out, struct err *err)
{
	struct cli_fit *f = arg;
	struct fit_config config = { .dial = f->order->dial,
		.dial_arg = f->order->dial_arg,
		.host = p->host,
		.sequence = p->sequence,
		.layout = &p->layout,
		.disk = disk,
		.flags = f->flags,
		.say = f->order->say,
		.say_arg = f->order->say_arg,
		.stop = f->order->stop };

	if (f->there != NULL) {
		config.devices = f->there->devices;
		config.devices_count = f->there->devices_count;
	}
	if (fit_new(&config, &f->fit, err) != 0)
		return -1;
	return fit_wish(f->fit, out, err);
}

static void
attach(void *arg, const struct disk_plan *plan, struct disk_restore_job *job)
{
	struct cli_fit *f = arg;

	fit_attach(f->fit, plan, job);
}

int
cli_fit_begin(struct cli_fit *f, struct disk_order *o, struct err *err)
{
	if (f->flags == 0)
		return 0;
	if ((f->flags & (FIT_ADAPT | FIT_REPORT)) != 0) {
		if ((f->there = calloc(1, sizeof(*f->there))) == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		if (f->machine == NULL)
			host_facts_read(NULL, f->there);
		else if (read_machine(f->machine, f->there, err) != 0)
			return -1;
	}
	f->order = o;
	o->wish = wish;
	o->attach = attach;
	o->fit_arg = f;
	return 0;
}

void
cli_fit_end(struct cli_fit *f)
{
	fit_free(f->fit);
	free(f->there);
	f->fit = NULL;
	f->there = NULL;
}
