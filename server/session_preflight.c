#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/frame.h"

/* A report as it goes out; it points into `report`. */
struct room {
	struct preflight_report report;
	Wire__RescueDevice devices[LAYOUT_DEVICES_MAX],
	    *device_pointers[LAYOUT_DEVICES_MAX];
	char *problems[PREFLIGHT_LINES_MAX], *notes[PREFLIGHT_LINES_MAX];
};

static void
answer(struct session_job *j, struct room *r, uint16_t flags)
{
	Wire__RescueReport m = WIRE__RESCUE_REPORT__INIT;
	Wire__RescueVerdict v = WIRE__RESCUE_VERDICT__INIT, *only = &v;
	struct preflight_report *p = &r->report;

	v.host = p->host;
	v.sequence = p->sequence;
	v.time_us = p->time_us;
	v.disks = p->disks_count;
	v.firmware = p->firmware;
	v.secure_boot = p->secure_boot != 0;
	for (unsigned i = 0; i < p->devices_count; i++) {
		Wire__RescueDevice *d = &r->devices[i];

		wire__rescue_device__init(d);
		d->kind = p->devices[i].kind;
		d->modalias = p->devices[i].modalias;
		d->verdict = (uint32_t)p->devices[i].verdict;
		d->modules = p->devices[i].modules;
		r->device_pointers[i] = d;
	}
	v.n_devices = p->devices_count;
	v.devices = r->device_pointers;
	for (unsigned i = 0; i < p->problems_count; i++)
		r->problems[i] = p->problems[i];
	for (unsigned i = 0; i < p->notes_count; i++)
		r->notes[i] = p->notes[i];
	v.n_problems = p->problems_count;
	v.problems = r->problems;
	v.n_notes = p->notes_count;
	v.notes = r->notes;
	m.n_hosts = 1;
	m.hosts = &only;
	session_reply(j, &m.base, flags);
}

/* Of all hosts: as many as SESSION_ROUND holds, then on behind `after`. */
struct checking {
	struct session_job *j;
	char after[STORE_NAME_MAX];
	struct room room;
};

static int
check_peer(void *arg, const struct store_peer *p)
{
	struct checking *c = arg;
	const struct session_world *w = c->j->s->world;

	if (p->role != CERT_AGENT || p->revoked || p->points == 0 ||
	    strcmp(p->name, c->after) <= 0)
		return 0;
	c->j->more = c->j->out_bytes >= SESSION_ROUND;
	if (c->j->more)
		return 1;
	if (preflight_host(
		w->preflight, w->store, p->name, &c->room.report, &c->j->err) != 0)
		return -1;
	answer(c->j, &c->room, FRAME_MORE);
	memcpy(c->after, p->name, sizeof(c->after));
	return c->j->err.code != ERR_NONE || atomic_load(&c->j->s->gone);
}

void
session_check_run(struct session_job *j)
{
	const Wire__CheckRescue *m = (const Wire__CheckRescue *)j->msg;
	const struct session_world *w = j->s->world;
	Wire__RescueReport end = WIRE__RESCUE_REPORT__INIT;
	struct store_peer peer;
	struct checking *c = j->state;

	if (w->preflight == NULL) {
		(void)err_set(&j->err, ERR_UNSUPPORTED,
		    "the server has no rescue image: rescue-dir is not set");
		return;
	}
	if (c == NULL && (c = calloc(1, sizeof(*c))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a report");
		return;
	}
	c->j = j;
	j->state = c;
	j->state_free = free;
	if (m->host[0] == '\0') {
		if (store_peers(w->store, check_peer, c, &j->err) >= 0 && !j->more)
			session_reply(j, &end.base, 0);
	} else if (store_peer_by_name(w->store, m->host, &peer, &j->err) == 0 &&
		   preflight_host(
		       w->preflight, w->store, m->host, &c->room.report, &j->err) == 0) {
		answer(j, &c->room, 0);
	}
}

int
session_check_flag(const struct session *s, const struct store_peer *p,
    char text[PREFLIGHT_FLAG_MAX], struct err *err)
{
	text[0] = '\0';
	if (s->world->preflight == NULL || p->role != CERT_AGENT)
		return 0;
	return preflight_flag(s->world->preflight, s->world->store, p->name, p->points,
	    p->point_us, text, err);
}

void
session_check_look(struct session *s, const char *host)
{
	char text[PREFLIGHT_FLAG_MAX];
	struct err err = ERR_INIT;
	struct store_peer peer;

	if (s->world->preflight == NULL)
		return;
	if (store_peer_by_name(s->world->store, host, &peer, &err) != 0 ||
	    session_check_flag(s, &peer, text, &err) != 0)
		session_log(s, LOG_WARN, "preflight: %s", err.text);
	else if (text[0] != '\0')
		session_log(s, LOG_WARN,
		    "alarm: '%s' could not be restored to an empty machine: %s", host,
		    text);
}
