#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/last.h"
#include "agent/backup/suspect.h"
#include "agent/cli/command.h"
#include "agent/host/seal.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "agent/session/pending.h"
#include "agent/session/reading.h"
#include "proto/base/err.h"
#include "proto/wire/msg.h"

static json_t *
volume_json(const Wire__VolumeInfo *v)
{
	return json_pack("{s:s, s:I, s:s, s:s, s:i, s:I, s:I, s:I, s:I}", "name", v->name,
	    "size", (json_int_t)v->size, "fs", v->fs, "provider", v->provider, "grade",
	    (int)v->grade, "data_bytes", (json_int_t)v->data_bytes, "hole_bytes",
	    (json_int_t)v->hole_bytes, "zero_bytes", (json_int_t)v->zero_bytes,
	    "excluded_bytes", (json_int_t)v->excluded_bytes);
}

static int
print_json(void *arg, const Wire__Point *p)
{
	const Wire__Counts none = WIRE__COUNTS__INIT;
	const Wire__Counts *n = p->counts != NULL ? p->counts : &none;
	json_t *volumes = json_array();
	json_t *j;
	size_t i;

	(void)arg;
	for (i = 0; i < p->n_volumes; i++)
		json_array_append_new(volumes, volume_json(p->volumes[i]));
	j = json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:b, s:s, s:o}",
	    "host", p->host, "sequence", (json_int_t)p->sequence, "time_us",
	    (json_int_t)p->time_us, "frozen_at_us", (json_int_t)p->frozen_at_us,
	    "read_bytes", (json_int_t)n->read_bytes, "known_bytes",
	    (json_int_t)n->known_bytes, "new_bytes", (json_int_t)n->new_bytes,
	    "sent_bytes", (json_int_t)n->sent_bytes, "stored_bytes",
	    (json_int_t)n->stored_bytes, "duration_us", (json_int_t)n->duration_us,
	    "note", p->note, "capture", p->capture, "unproven", p->n_changes > 0,
	    "suspect", p->suspect, "volumes", volumes);
	if (j != NULL) {
		json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(j);
	return 0;
}

static int
print_text(void *arg, const Wire__Point *p)
{
	const Wire__Counts none = WIRE__COUNTS__INIT;
	const Wire__Counts *n = p->counts != NULL ? p->counts : &none;
	char when[24], read[24], sent[24];
	size_t i;

	(void)arg;
	command_time(p->time_us, when);
	progress_bytes(n->read_bytes, read);
	progress_bytes(n->sent_bytes, sent);
	printf("%5" PRIu64 "  %s  read %9s  sent %9s ", p->sequence, when, read, sent);
	for (i = 0; i < p->n_volumes; i++) {
		progress_bytes(p->volumes[i]->size, read);
		printf(" %s (%s, %s)", p->volumes[i]->name, p->volumes[i]->fs, read);
	}
	fputs(p->suspect[0] != '\0' ? " suspect"
	      : p->n_changes > 0    ? " unproven"
				    : "",
	    stdout);
	putchar('\n');
	return 0;
}

int
command_points(const struct command_context *c, struct err *err)
{
	struct dial d;
	int rc;

	if (dial_open(c->st, c->machine, c->stop, &d, err) != 0)
		return err_context(err, "points");
	if (d.welcome.rolled_back)
		command_say(NULL, DIAL_ROLLED_BACK);
	rc = reading_points(
	    d.ch, "", 0, c->cmd->json ? print_json : print_text, NULL, err);
	dial_close(&d);
	return rc == 0 ? 0 : err_context(err, "points");
}

/* ------------------------------------------------------------------ status -- */

/* "dpapi", "none"; where the system seals nothing "none" is no news. */
static const char *
key_seal(const struct command_context *c)
{
	enum seal_kind kind = SEAL_NONE;
	struct err ignored = ERR_INIT;

	(void)state_key_kind(c->st, &kind, &ignored);
	return kind == SEAL_DPAPI ? "dpapi" : "none";
}

/* Names of hosts are ASCII. */
static int
names_equal(const char *a, const char *b)
{
	while (*a != '\0' && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
		a++;
		b++;
	}
	return *a == *b;
}

/* A host keeps the name that it was enrolled under, whatever its computer is called. */
static void
say_name(const char *enrolled)
{
	struct err ignored = ERR_INIT;
	char host[ENROL_HOST_MAX];

	if (enrol_host_name(host, &ignored) != 0)
		return;
	host[strcspn(host, ".")] = '\0';
	if (!names_equal(host, enrolled))
		printf("computer name   %s; it stays the host %s\n", host, enrolled);
}

/* The last point, and what went wrong since then. */
static void
status_backups(const json_t *last, const json_t *failure)
{
	const int interrupted = json_is_true(json_object_get(failure, "interrupted"));
	json_int_t count = json_integer_value(json_object_get(failure, "count"));
	const char *reason = json_string_value(json_object_get(failure, "reason"));
	char when[24];

	command_time(json_integer_value(json_object_get(last, "time_us")), when);
	if (last != NULL)
		printf("last backup     point %lld at %s UTC\n",
		    (long long)json_integer_value(json_object_get(last, "sequence")),
		    when);
	else
		puts("last backup     none");
	if (failure == NULL)
		return;
	command_time(json_integer_value(json_object_get(failure, "time_us")), when);
	printf("since then      %s at %s UTC: %s\n",
	    interrupted ? "interrupted" : "FAILED", when, reason != NULL ? reason : "?");
	if (count > 1)
		printf(
		    "                %lld attempts without a point\n", (long long)count);
}

/* One that is noted stands until a backup of the volume has read all of it. */
static int
suspect_text(void *arg, const char *volume, const struct suspect *s)
{
	(void)arg;
	printf("suspect         %s: ", volume);
	if (s->since > 0)
		printf("its points after %" PRIu64, s->since);
	else
		fputs("all its points", stdout);
	printf(" may be wrong: %s; the server %s; its next backup reads all\n", s->how,
	    s->told ? "knows" : "hears of it then");
	return 0;
}

static int
suspect_json(void *arg, const char *volume, const struct suspect *s)
{
	json_t *how = json_string(s->how);

	json_array_append_new(arg, json_pack("{s:s, s:I, s:b, s:o}", "volume", volume,
				       "since", (json_int_t)s->since, "told", s->told,
				       "how", how != NULL ? how : json_null()));
	return 0;
}

static void
status_text(const struct state_identity *id, const char *server, const char *seal)
{
	char when[24];

	command_time(id->facts.not_after * 1000000, when);
	printf(
	    "enrolled as     %s\nserver          %s: %s\ncertificate     until %s UTC\n",
	    id->facts.name, id->address, server, when);
	say_name(id->facts.name);
	if (strcmp(seal, "none") != 0)
		printf("private key     sealed for this machine (%s)\n", seal);
	else if (seal_available())
		puts("private key     NOT SEALED: DPAPI does not work here");
}

int
command_status(const struct command_context *c, struct err *err)
{
	struct err why = ERR_INIT, ignored = ERR_INIT;
	struct state_identity id;
	struct pending waits;
	struct dial d;
	json_t *kept, *last, *failure, *suspects, *j;
	int found, reached;

	if ((found = state_identity(c->st, &id, err)) < 0)
		return err_context(err, "status");
	if (found == 0)
		return err_set(err, ERR_NOTFOUND, "status: %s: not enrolled%s",
		    state_dir(c->st),
		    pending_read(c->st, &waits, &why) == 1
			? " yet; `run`, or the service, goes on trying"
			: "");
	kept = last_read(c->st);
	failure = json_incref(json_object_get(kept, "failure"));
	(void)json_object_del(kept, "failure");
	last = json_object_get(kept, "sequence") != NULL ? kept : NULL;
	reached = dial_open(c->st, c->machine, c->stop, &d, &why) == 0;
	if (reached && d.welcome.rolled_back)
		command_say(NULL, DIAL_ROLLED_BACK);
	if (reached)
		dial_close(&d);
	if (c->cmd->json) {
		suspects = json_array();
		(void)suspect_each(c->st, suspect_json, suspects, &ignored);
		j = json_pack("{s:s, s:s, s:I, s:b, s:s, s:s, s:O?, s:O?, s:o}", "name",
		    id.facts.name, "server", id.address, "certificate_ends_s",
		    (json_int_t)id.facts.not_after, "reachable", reached, "why_not",
		    why.text, "key_seal", key_seal(c), "last", last, "failure", failure,
		    "suspects", suspects);
		if (j != NULL)
			json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(j);
	} else {
		status_text(&id, reached ? "reachable" : why.text, key_seal(c));
		status_backups(last, failure);
		(void)suspect_each(c->st, suspect_text, NULL, &ignored);
	}
	json_decref(failure);
	json_decref(kept);
	state_identity_free(&id);
	/* Being unreachable is what was asked about, not a failure to tell. */
	return 0;
}
