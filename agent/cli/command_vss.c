#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/command.h"
#include "agent/vss/vss_doctor.h"
#include "proto/base/err.h"

static const char *const service_states[] = { "absent", "stopped", "running" };

static const char *
provider_type(int type)
{
	static const char *const types[] = { "unknown", "system", "software", "hardware",
		"file share" };

	return types[type >= 0 && type < 5 ? type : 0];
}

static void
print_text(const struct vss_report *r, int bad)
{
	char a[24], b[24], c[24];

	for (unsigned i = 0; i < r->services_count; i++)
		printf("service   %-20s %s%s\n", r->services[i].name,
		    service_states[r->services[i].state],
		    r->services[i].disabled ? ", disabled" : "");
	for (unsigned i = 0; i < r->providers_count; i++)
		printf("provider  %s (%s, %s)\n", r->providers[i].name,
		    provider_type(r->providers[i].type), r->providers[i].version);
	for (unsigned i = 0; i < r->writers_count; i++) {
		const struct vss_report_writer *w = &r->writers[i];
		char words[80] = "";

		if (w->failure != VSS_OK)
			vss_words(w->failure, words, sizeof(words));
		printf("writer    %-40s %s%s%s\n", w->name, vss_state_name(w->state),
		    words[0] != '\0' ? ", " : "", words);
	}
	for (unsigned i = 0; i < r->areas_count; i++) {
		const struct vss_report_area *d = &r->areas[i];

		progress_bytes(d->used, a);
		progress_bytes(d->maximum, b);
		progress_bytes(d->free, c);
		printf("area      of %s on %s: %s used, at most %s, %s free\n", d->volume,
		    d->on, a, d->maximum == UINT64_MAX ? "all" : b, c);
	}
	for (unsigned i = 0; i < r->copies_count; i++) {
		command_time(r->copies[i].made_us, a);
		printf("copy      %s of %s, %s UTC\n", r->copies[i].id,
		    r->copies[i].volume, a);
	}
	for (unsigned i = 0; i < r->advice_count; i++)
		printf("%s %s\n", r->advice[i].bad ? "PROBLEM  " : "advice   ",
		    r->advice[i].text);
	puts(bad ? "a backup by VSS would fail" : "VSS is well");
}

static json_t *
writer_json(const struct vss_report_writer *w)
{
	char words[80] = "";

	if (w->failure != VSS_OK)
		vss_words(w->failure, words, sizeof(words));
	return json_pack("{s:s, s:s, s:s, s:s}", "id", w->id, "name", w->name, "state",
	    vss_state_name(w->state), "failure", words);
}

static json_t *
area_json(const struct vss_report_area *a)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:I, s:I}", "volume", a->volume, "on",
	    a->on, "used", (json_int_t)a->used, "allocated", (json_int_t)a->allocated,
	    "maximum",
	    a->maximum == UINT64_MAX ? json_null() : json_integer((json_int_t)a->maximum),
	    "free", (json_int_t)a->free, "total", (json_int_t)a->total);
}

static int
print_json(const struct vss_report *r, int bad, struct err *err)
{
	json_t *services = json_array(), *providers = json_array(),
	       *writers = json_array(), *areas = json_array(), *copies = json_array(),
	       *advice = json_array(), *j;
	char *text;

	for (unsigned i = 0; i < r->services_count; i++)
		json_array_append_new(
		    services, json_pack("{s:s, s:s, s:b}", "name", r->services[i].name,
				  "state", service_states[r->services[i].state],
				  "disabled", r->services[i].disabled));
	for (unsigned i = 0; i < r->providers_count; i++)
		json_array_append_new(providers,
		    json_pack("{s:s, s:s, s:s, s:s}", "id", r->providers[i].id, "name",
			r->providers[i].name, "version", r->providers[i].version, "type",
			provider_type(r->providers[i].type)));
	for (unsigned i = 0; i < r->writers_count; i++)
		json_array_append_new(writers, writer_json(&r->writers[i]));
	for (unsigned i = 0; i < r->areas_count; i++)
		json_array_append_new(areas, area_json(&r->areas[i]));
	for (unsigned i = 0; i < r->copies_count; i++)
		json_array_append_new(copies,
		    json_pack("{s:s, s:s, s:I, s:I}", "id", r->copies[i].id, "volume",
			r->copies[i].volume, "made_us", (json_int_t)r->copies[i].made_us,
			"attributes", (json_int_t)r->copies[i].attributes));
	for (unsigned i = 0; i < r->advice_count; i++)
		json_array_append_new(
		    advice, json_pack("{s:b, s:s}", "problem", r->advice[i].bad, "text",
				r->advice[i].text));
	j = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "healthy", !bad, "services",
	    services, "providers", providers, "writers", writers, "areas", areas,
	    "copies", copies, "advice", advice);
	text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (text == NULL)
		return err_set(err, ERR_NOMEM, "no memory for JSON");
	puts(text);
	free(text);
	return 0;
}

int
command_vss(const struct command *cmd, struct err *err)
{
	struct vss_report *r;
	int bad, rc = 0;

	if (vss_doctor_look(&r, err) != 0)
		return -1;
	bad = vss_doctor_judge(r);
	if (cmd->json)
		rc = print_json(r, bad, err);
	else
		print_text(r, bad);
	vss_report_free(r);
	if (rc == 0 && bad)
		rc = err_set(
		    err, ERR_UNSUPPORTED, "vss doctor: a backup by VSS would fail");
	return rc;
}
