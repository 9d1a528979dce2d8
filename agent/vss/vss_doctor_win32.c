#include "agent/vss/vss_doctor.h"

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/com_thread.h"
#include "agent/vss/vss_com.h"
#include "proto/base/err.h"

#define POLL_MS 200u
#define GATHER_MS (300u * 1000)

/* ----------------------------------------------------------------- services -- */

static void
look_service(SC_HANDLE manager, const wchar_t *name, struct vss_report_service *out)
{
	union {
		QUERY_SERVICE_CONFIGW config;
		char room[8192]; /* "The maximum size of this array is 8K bytes." */
	} u;
	SC_HANDLE service =
	    OpenServiceW(manager, name, SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG);
	SERVICE_STATUS status;
	DWORD needed;

	if (service == NULL)
		return;
	out->state = VSS_SERVICE_STOPPED;
	if (QueryServiceStatus(service, &status) &&
	    status.dwCurrentState == SERVICE_RUNNING)
		out->state = VSS_SERVICE_RUNNING;
	if (QueryServiceConfigW(service, &u.config, sizeof(u), &needed))
		out->disabled = u.config.dwStartType == SERVICE_DISABLED;
	(void)CloseServiceHandle(service);
}

static void
look_services(struct vss_report *r)
{
	static const struct {
		const wchar_t *wide;
		const char *name;
	} names[] = { { L"VSS", "VSS" }, { L"swprv", "swprv" },
		{ L"EventSystem", "EventSystem" } };
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);

	if (manager == NULL)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct vss_report_service *s = &r->services[r->services_count++];

		(void)snprintf(s->name, sizeof(s->name), "%s", names[i].name);
		look_service(manager, names[i].wide, s);
	}
	(void)CloseServiceHandle(manager);
}

/* ------------------------------------------------------------------ writers -- */

static int
bad(vss_code code)
{
	return (code & 0x80000000u) != 0;
}

static vss_code
run(struct vss_com *c, enum vss_async what)
{
	vss_code status = VSS_ASYNC_PENDING, code = vss_com_ops.start(c, what);

	for (uint32_t ms = 0; !bad(code) && status == VSS_ASYNC_PENDING; ms += POLL_MS) {
		if (ms >= GATHER_MS) {
			vss_com_ops.cancel(c);
			return 0x80042319u; /* VSS_E_WRITER_NOT_RESPONDING */
		}
		code = vss_com_ops.poll(c, POLL_MS, &status);
	}
	return bad(code) ? code : bad(status) ? status : VSS_OK;
}

/* Whose data they are, their metadata tells; by the class that both name. */
static vss_code
mark_databases(struct vss_com *c, struct vss_report *r)
{
	unsigned count = 0;
	vss_code code = vss_com_ops.writers(c, &count);
	char id[39];

	for (unsigned i = 0; !bad(code) && i < count; i++) {
		struct vss_writer w = { .name = NULL };

		code = vss_com_ops.writer(c, i, &w);
		vss_id_text(&w.id, id);
		for (unsigned k = 0; !bad(code) && k < r->writers_count; k++)
			if (w.name != NULL && strcmp(r->writers[k].id, id) == 0)
				r->writers[k].database |= vss_is_database(&w);
		vss_writer_free(&w);
	}
	return code;
}

static vss_code
look_writers(struct vss_com *c, struct vss_report *r)
{
	unsigned count = 0;
	vss_code code = vss_com_ops.create(c);

	if (!bad(code))
		code = vss_com_ops.init(c);
	if (!bad(code))
		code = vss_com_ops.set_state(c, 0, 1);
	if (!bad(code))
		code = vss_com_ops.set_context(c, 0);
	if (!bad(code))
		code = run(c, VSS_GATHER_METADATA);
	if (!bad(code))
		code = run(c, VSS_GATHER_STATUS);
	if (!bad(code))
		code = vss_com_ops.statuses(c, &count);
	for (unsigned i = 0; !bad(code) && i < count && i < VSS_REPORT_MAX; i++) {
		struct vss_report_writer *w = &r->writers[r->writers_count];
		struct vss_status s = { .name = NULL };

		code = vss_com_ops.status(c, i, &s);
		if (bad(code))
			break;
		r->writers_count++;
		vss_id_text(&s.id, w->id);
		(void)snprintf(
		    w->name, sizeof(w->name), "%.95s", s.name != NULL ? s.name : "?");
		w->state = s.state;
		w->failure = s.failure;
		free(s.name);
	}
	if (!bad(code))
		code = mark_databases(c, r);
	/* Nothing was prepared: "can simply be released" (aborting-vss-operations). */
	vss_com_ops.close(c);
	return code;
}

/* ------------------------------------------------------- copies and providers -- */

static void
on_copy(void *arg, const struct vss_report_copy *copy)
{
	struct vss_report *r = arg;

	if (r->copies_count < VSS_REPORT_MAX)
		r->copies[r->copies_count++] = *copy;
}

static void
on_provider(void *arg, const struct vss_report_provider *p)
{
	struct vss_report *r = arg;

	if (r->providers_count < sizeof(r->providers) / sizeof(r->providers[0]))
		r->providers[r->providers_count++] = *p;
}

static vss_code
look_objects(struct vss_com *c, struct vss_report *r)
{
	vss_code code = vss_com_ops.create(c);

	if (!bad(code))
		code = vss_com_ops.init(c);
	if (!bad(code))
		code = vss_com_ops.set_context(c, 0xFFFFFFFFu); /* VSS_CTX_ALL */
	if (!bad(code))
		code = vss_com_providers(c, on_provider, r);
	if (!bad(code))
		code = vss_com_copies(c, on_copy, r);
	vss_com_ops.close(c);
	return code;
}

static int
look(void *arg)
{
	struct vss_report *r = arg;
	struct vss_com *c = NULL;
	struct err err = ERR_INIT;
	vss_code code;

	if (vss_com_new(&c, &err) != 0) {
		(void)snprintf(r->trouble, sizeof(r->trouble), "%s", err.text);
		return 0;
	}
	if (bad(code = look_objects(c, r)))
		(void)vss_err(&err, code, "Query");
	else if (bad(code = look_writers(c, r)))
		(void)vss_err(&err, code, "GatherWriterStatus");
	else if (vss_com_areas(r->areas, VSS_REPORT_MAX, &r->areas_count, &err) != 0)
		(void)snprintf(
		    r->areas_trouble, sizeof(r->areas_trouble), "%s", err.text);
	if (bad(code))
		(void)snprintf(r->trouble, sizeof(r->trouble), "%s", err.text);
	vss_com_free(c);
	return 0;
}

int
vss_doctor_look(struct vss_report **out, struct err *err)
{
	struct vss_report *r = calloc(1, sizeof(*r));
	struct com_thread *t;
	FILETIME now;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a report");
	GetSystemTimeAsFileTime(&now);
	r->now_us = vss_com_time(
	    (int64_t)((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime));
	look_services(r);
	if (com_thread_new(&t, err) != 0) {
		vss_report_free(r);
		return -1;
	}
	(void)com_thread_call(t, look, r);
	com_thread_free(t);
	*out = r;
	return 0;
}
