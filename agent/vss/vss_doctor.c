#include "agent/vss/vss_doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

/* The least that a difference area may have (vssadmin add shadowstorage). */
#define AREA_MIN (320ull << 20)
/* Copies of one volume: 512 at most, 64 of them a client's (api/vsbackup/). */
#define COPIES_MANY 60u
#define COPIES_FULL 500u
#define DAY_US ((int64_t)86400 * 1000000)
#define OLD_DAYS 30
#define ATTR_PERSISTENT 0x1u

static void advise(struct vss_report *r, int bad, const char *fmt, ...) ERR_PRINTF(3, 4);

static void
advise(struct vss_report *r, int bad, const char *fmt, ...)
{
	struct vss_advice *a = &r->advice[r->advice_count];
	va_list ap;

	if (r->advice_count == VSS_ADVICE_MAX)
		return;
	r->advice_count++;
	a->bad = bad;
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
}

static void
judge_services(struct vss_report *r)
{
	/* All but the event system start when they are needed. */
	for (unsigned i = 0; i < r->services_count; i++) {
		const struct vss_report_service *s = &r->services[i];

		if (s->state == VSS_SERVICE_ABSENT)
			advise(r, 1, "service %s is not there", s->name);
		else if (s->disabled)
			advise(r, 1, "service %s is disabled: sc config %s start= demand",
			    s->name, s->name);
		else if (strcmp(s->name, "EventSystem") == 0 &&
			 s->state != VSS_SERVICE_RUNNING)
			advise(r, 1, "service %s does not run: net start %s", s->name,
			    s->name);
	}
}

static void
judge_writers(struct vss_report *r)
{
	char words[80];

	if (r->writers_count == 0)
		advise(r, 1,
		    "no writer answers: see the Event Log (VSS), and whether "
		    "EventSystem and RPC run");
	for (unsigned i = 0; i < r->writers_count; i++) {
		const struct vss_report_writer *w = &r->writers[i];

		if (!vss_state_failed(w->state) && w->failure == VSS_OK)
			continue;
		vss_words(w->failure, words, sizeof(words));
		advise(r, vss_retry_of(w->failure) != VSS_LATER,
		    "writer %.60s %s, %s: restart its service if that stays", w->name,
		    vss_state_name(w->state), words);
	}
}

static unsigned
copies_of(const struct vss_report *r, const char *volume)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->copies_count; i++)
		n += strcmp(r->copies[i].volume, volume) == 0;
	return n;
}

static void
judge_copies(struct vss_report *r)
{
	unsigned old = 0, passing = 0;

	for (unsigned i = 0; i < r->copies_count; i++) {
		const struct vss_report_copy *c = &r->copies[i];
		unsigned n = copies_of(r, c->volume), seen = 0;

		for (unsigned k = 0; k < i; k++)
			seen |= strcmp(r->copies[k].volume, c->volume) == 0;
		if (!seen && n >= COPIES_MANY)
			advise(r, n >= COPIES_FULL,
			    "%.100s has %u shadow copies: delete old ones", c->volume, n);
		old += r->now_us - c->made_us > OLD_DAYS * DAY_US;
		passing += (c->attributes & ATTR_PERSISTENT) == 0;
	}
	if (old > 0)
		advise(r, 0, "%u shadow cop%s older than %d days: vssadmin list shadows",
		    old, old == 1 ? "y is" : "ies are", OLD_DAYS);
	if (passing > 0)
		advise(r, 0,
		    "%u shadow cop%s a backup that goes on, perhaps another "
		    "program's",
		    passing, passing == 1 ? "y is of" : "ies are of");
}

static void
judge_areas(struct vss_report *r)
{
	for (unsigned i = 0; i < r->areas_count; i++) {
		const struct vss_report_area *a = &r->areas[i];

		if (a->free < AREA_MIN)
			advise(r, 1,
			    "%.80s has %" PRIu64
			    " MiB free: too little for the shadow copies of %.80s",
			    a->on, a->free >> 20, a->volume);
		else if (a->total > 0 && a->free < a->total / 20)
			advise(r, 0,
			    "%.80s is nearly full: shadow copies of %.80s may "
			    "be lost while they are read",
			    a->on, a->volume);
		if (a->maximum != UINT64_MAX && a->maximum < AREA_MIN)
			advise(r, 1,
			    "the difference area of %.80s may have %" PRIu64
			    " MiB only: vssadmin resize shadowstorage",
			    a->volume, a->maximum >> 20);
		else if (a->maximum != UINT64_MAX && a->used > a->maximum / 10 * 9)
			advise(r, 0,
			    "the difference area of %.80s is nearly at its "
			    "limit: vssadmin resize shadowstorage",
			    a->volume);
	}
	if (r->areas_trouble[0] != '\0')
		advise(r, 0, "difference areas: %.180s", r->areas_trouble);
}

int
vss_doctor_judge(struct vss_report *r)
{
	r->advice_count = 0;
	judge_services(r);
	if (r->trouble[0] != '\0') {
		advise(r, 1, "%.199s", r->trouble);
	} else {
		if (r->providers_count == 0)
			advise(r, 1, "no provider of shadow copies is registered");
		judge_writers(r);
		judge_copies(r);
		judge_areas(r);
	}
	for (unsigned i = 0; i < r->advice_count; i++)
		if (r->advice[i].bad)
			return 1;
	return 0;
}

void
vss_report_free(struct vss_report *r)
{
	free(r);
}

int
vss_doctor_databases(const struct vss_report *r, char *out, size_t cap)
{
	size_t len = 0;

	if (cap > 0)
		out[0] = '\0';
	for (unsigned i = 0; i < r->writers_count; i++) {
		const struct vss_report_writer *w = &r->writers[i];

		if (w->database && len < cap)
			len += (size_t)snprintf(out + len, cap - len, "%s%.60s",
			    len > 0 ? ", " : "", w->name);
	}
	/* A list that may lack some says nothing of who is not in it. */
	return r->trouble[0] == '\0' && r->writers_count > 0 &&
	       r->writers_count < VSS_REPORT_MAX;
}
