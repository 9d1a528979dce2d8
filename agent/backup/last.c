#include "agent/backup/last.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/backup/backup.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define NAME "last.json"

static int
keep(const struct state *st, json_t *j, struct err *err)
{
	char *text = j != NULL ? json_dumps(j, JSON_INDENT(2)) : NULL;
	int rc = text != NULL ? state_write(st, NAME, text, strlen(text), 0600, err)
			      : err_set(err, ERR_NOMEM, "out of memory");

	free(text);
	json_decref(j);
	return rc;
}

int
last_made(const struct state *st, const struct settings *settings,
    const struct backup_result *r, struct err *err)
{
	const struct settings_volume *v;
	json_t *volumes = json_array();
	unsigned i;

	for (i = 0; (v = settings_source(settings, i)) != NULL; i++)
		json_array_append_new(
		    volumes, json_pack("{s:s, s:s}", "name", v->name, "path", v->path));
	return keep(st,
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "sequence",
		(json_int_t)r->point.sequence, "time_us", (json_int_t)r->point.time_us,
		"read_bytes", (json_int_t)r->counts.read_bytes, "sent_bytes",
		(json_int_t)r->counts.sent_bytes, "new_bytes",
		(json_int_t)r->counts.new_bytes, "known_bytes",
		(json_int_t)r->counts.known_bytes, "duration_us",
		(json_int_t)r->counts.duration_us, "volumes", volumes),
	    err);
}

/* A path in it need not be UTF-8, which JSON is. */
static json_t *
words(const char *text)
{
	char plain[ERR_TEXT_MAX];
	json_t *j = json_string(text);
	size_t i;

	if (j != NULL)
		return j;
	for (i = 0; text[i] != '\0' && i < sizeof(plain) - 1; i++)
		plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	plain[i] = '\0';
	return json_string(plain);
}

void
last_failed(const struct state *st, const struct err *why)
{
	json_t *j = last_read(st), *before, *failure;
	struct err ignored = ERR_INIT;
	json_int_t count;

	if (j == NULL)
		j = json_object();
	before = json_object_get(j, "failure");
	count = json_integer_value(json_object_get(before, "count"));
	failure = json_pack("{s:I, s:o, s:b, s:I}", "time_us",
	    (json_int_t)time(NULL) * 1000000, "reason", words(why->text), "interrupted",
	    why->code == ERR_CANCELED, "count", count + 1);
	if (failure != NULL && json_object_set_new(j, "failure", failure) == 0)
		(void)keep(st, j, &ignored);
	else
		json_decref(j);
}

void *
last_read(const struct state *st)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	struct err ignored = ERR_INIT;
	json_t *j = NULL;

	if (state_read(st, NAME, &file, &ignored) == 1)
		j = json_loadb((const char *)file.p, file.len, 0, NULL);
	buf_free(&file);
	if (j != NULL && !json_is_object(j)) {
		json_decref(j);
		j = NULL;
	}
	return j;
}
