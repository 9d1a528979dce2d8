#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "rescue/adapt.h"

static int add(struct buf *out, struct err *err, const char *fmt, ...) ERR_PRINTF(3, 4);

static int
add(struct buf *out, struct err *err, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return 0;
	return buf_add(
	    out, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1, err);
}

/* "pci:v00008086d00002922..." as "8086:2922". */
static void
device_name(const char *modalias, char out[12])
{
	if (strlen(modalias) < 22)
		(void)snprintf(out, 12, "?");
	else
		(void)snprintf(out, 12, "%.4s:%.4s", modalias + 9, modalias + 18);
}

static const char *
state_of(const struct adapt_driver *d)
{
	if (!d->has_file)
		return "its file is missing";
	if (d->enabled)
		return "starts at boot now";
	if (d->override)
		return "kept from starting at boot (StartOverride)";
	return d->start == 0 ? "starts at boot" : "does not start at boot";
}

static int
add_device(const struct adapt_report *r, const struct adapt_device *d, struct buf *out,
    struct err *err)
{
	char name[12];

	device_name(d->modalias, name);
	if (add(out, err, "%s controller %s:", d->storage ? "storage" : "other", name) !=
	    0)
		return -1;
	if (d->count == 0 && add(out, err, " no driver on the volume") != 0)
		return -1;
	for (unsigned i = 0; i < d->count; i++)
		if (add(out, err, "%s %s %s", i > 0 ? "," : "",
			r->drivers[d->driver[i]].name,
			state_of(&r->drivers[d->driver[i]])) != 0)
			return -1;
	return add(out, err, "\n");
}

int
adapt_starts(const struct adapt_report *r)
{
	unsigned i, storage = 0;

	for (i = 0; i < r->devices_count; i++) {
		if (r->devices[i].storage && !r->devices[i].starts)
			return 0;
		storage += r->devices[i].storage != 0;
	}
	return storage > 0;
}

int
adapt_print(const struct adapt_report *r, struct buf *out, struct err *err)
{
	unsigned i, storage = 0;

	if (add(out, err,
		"drivers in ControlSet%03u that start at boot:", r->control_set) != 0)
		return -1;
	for (i = 0; i < r->drivers_count; i++)
		if (r->drivers[i].start == 0 &&
		    add(out, err, " %s%s", r->drivers[i].name,
			r->drivers[i].has_file ? "" : "(no file)") != 0)
			return -1;
	if (add(out, err, "\n") != 0)
		return -1;
	for (i = 0; i < r->devices_count; i++) {
		storage += r->devices[i].storage != 0;
		/* Others are worth a line only if the volume knows them. */
		if ((r->devices[i].storage || r->devices[i].count > 0) &&
		    add_device(r, &r->devices[i], out, err) != 0)
			return -1;
	}
	for (i = 0; i < r->drivers_count; i++)
		if (r->drivers[i].enabled &&
		    add(out, err, "enabled: %s\n", r->drivers[i].name) != 0)
			return -1;
	if (storage == 0)
		return add(out, err, "no storage controller of this machine is known\n");
	return add(out, err, "%s\n",
	    adapt_starts(r)
		? "Windows has a driver for every storage controller of this machine"
		: "Windows may not start here: a storage controller has no driver that "
		  "starts at boot");
}
