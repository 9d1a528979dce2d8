#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/preflight.h"

static void add(char (*lines)[PREFLIGHT_LINE_MAX], unsigned *count, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/* One more line; with the last that fits, that there are more. */
static void
add(char (*lines)[PREFLIGHT_LINE_MAX], unsigned *count, const char *fmt, ...)
{
	va_list args;

	if (*count == PREFLIGHT_LINES_MAX) {
		(void)snprintf(
		    lines[PREFLIGHT_LINES_MAX - 1], PREFLIGHT_LINE_MAX, "and more");
		return;
	}
	va_start(args, fmt);
	(void)vsnprintf(lines[(*count)++], PREFLIGHT_LINE_MAX, fmt, args);
	va_end(args);
}

#define PROBLEM(out, ...) add((out)->problems, &(out)->problems_count, __VA_ARGS__)
#define NOTE(out, ...) add((out)->notes, &(out)->notes_count, __VA_ARGS__)

static const char *
kind_name(const struct preflight_device *d)
{
	return d->kind == LAYOUT_STORAGE ? "storage" : "network";
}

static void
say_undriven(struct preflight_report *out, const struct preflight_device *d, int problem)
{
	char(*lines)[PREFLIGHT_LINE_MAX] = problem ? out->problems : out->notes;
	unsigned *count = problem ? &out->problems_count : &out->notes_count;

	if (d->verdict == DRIVERS_LACKED)
		add(lines, count,
		    "%s controller %s: its driver %s needs firmware that is not in the "
		    "rescue image (./dev rescue --firmware)",
		    kind_name(d), d->modalias, d->modules);
	else
		add(lines, count, "%s controller %s: no driver in the rescue image",
		    kind_name(d), d->modalias);
}

/*
 * Which of its controllers has the disks is not known, so each counts; one network
 * is enough.
 */
static void
judge_devices(struct preflight_report *out)
{
	unsigned networks = 0, driven = 0, disks = 0;

	for (unsigned i = 0; i < out->devices_count; i++) {
		const struct preflight_device *d = &out->devices[i];

		networks += d->kind == LAYOUT_NETWORK;
		driven += d->kind == LAYOUT_NETWORK && d->verdict == DRIVERS_FOUND;
		disks += d->kind == LAYOUT_STORAGE;
	}
	for (unsigned i = 0; i < out->devices_count; i++) {
		const struct preflight_device *d = &out->devices[i];

		if (d->verdict == DRIVERS_FOUND)
			continue;
		if (d->kind == LAYOUT_STORAGE)
			say_undriven(out, d, 1);
		else if (d->kind == LAYOUT_NETWORK)
			say_undriven(out, d, driven == 0);
	}
	if (disks == 0)
		NOTE(out, "the point names no storage controller: not checked");
	if (networks == 0)
		NOTE(out, "the point names no network controller: not checked");
}

static void
note_machine(const struct layout *l, struct preflight_report *out)
{
	int boots = 0;

	if (l->firmware == LAYOUT_UEFI)
		NOTE(out, "it starts by UEFI: so must the new machine%s",
		    l->entries_count == 0 ? "; no boot entry was kept, the fallback path "
					    "is used"
					  : "");
	else if (l->firmware == LAYOUT_BIOS)
		NOTE(out, "it starts by BIOS: the new machine must have BIOS or its "
			  "emulation (CSM)");
	else
		NOTE(out, "how it starts, by BIOS or UEFI, is not known");
	if (l->secure_boot)
		NOTE(out, "Secure Boot was on: boot the rescue from rescue.iso or by "
			  "shimx64.efi; iPXE is not signed");
	for (unsigned i = 0; i < l->disks_count; i++) {
		boots |= l->disks[i].boots;
		if (l->disks[i].sector_size != 512)
			NOTE(out, "%s has sectors of %u bytes: so must the new disk",
			    l->disks[i].name, l->disks[i].sector_size);
	}
	if (!boots)
		NOTE(out, "which disk it starts from is not known");
}

void
preflight_judge(
    const struct drivers *d, const struct layout *l, struct preflight_report *out)
{
	out->problems_count = out->notes_count = 0;
	out->devices_count = out->disks_count = 0;
	out->firmware = out->secure_boot = 0;
	if (l == NULL || l->disks_count == 0) {
		PROBLEM(out, "no point of it has its disks (`holdfast-agent backup "
			     "--disk`): only volumes can be restored");
		return;
	}
	out->disks_count = l->disks_count;
	out->firmware = l->firmware;
	out->secure_boot = l->secure_boot;
	for (unsigned i = 0; i < l->devices_count && i < LAYOUT_DEVICES_MAX; i++) {
		struct preflight_device *o = &out->devices[out->devices_count++];

		o->kind = l->devices[i].kind;
		memcpy(o->modalias, l->devices[i].modalias, sizeof(o->modalias));
		o->verdict = drivers_find(d, o->modalias, o->modules);
	}
	judge_devices(out);
	note_machine(l, out);
}
