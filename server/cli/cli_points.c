#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "proto/chunk/tree.h"

struct fetch {
	int (*each)(void *arg, const Wire__Point *p);
	void *arg;
};

static int
hand_over(void *arg, const ProtobufCMessage *m)
{
	const Wire__Points *points = (const Wire__Points *)m;
	const struct fetch *f = arg;

	for (size_t i = 0; i < points->n_points; i++) {
		int stop = f->each(f->arg, points->points[i]);

		if (stop != 0)
			return stop;
	}
	return 0;
}

static int
fetch(struct cli *c, const char *host, uint64_t sequence, uint32_t limit, int layout,
    struct fetch *f, struct err *err)
{
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;

	m.host = (char *)(uintptr_t)host;
	m.sequence = sequence;
	m.limit = limit;
	m.layout = layout;
	return cli_each(c, &m.base, MSG_POINTS, hand_over, f, err);
}

int
cli_fetch_points(struct cli *c, const char *host, uint64_t sequence, uint32_t limit,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err)
{
	struct fetch f = { each, arg };

	return fetch(c, host, sequence, limit, 0, &f, err);
}

int
cli_fetch_layout(struct cli *c, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err)
{
	struct fetch f = { each, arg };

	return fetch(c, host, sequence, 1, 1, &f, err);
}

/* --------------------------------------------------------------------- JSON -- */

static const char *
grade_name(uint32_t grade)
{
	static const char *const names[] = { "exclusive", "application", "crash" };

	return grade <= TREE_CRASH ? names[grade] : "unknown";
}

static json_t *
hex(const ProtobufCBinaryData *b)
{
	char text[2 * 32 + 1] = "";

	for (size_t i = 0; i < b->len && i < 32; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", b->data[i]);
	return json_string(text);
}

static json_t *
volume_json(const Wire__VolumeInfo *v)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I}",
	    "name", v->name, "size", (json_int_t)v->size, "sector_size",
	    (json_int_t)v->sector_size, "fs", v->fs, "provider", v->provider, "grade",
	    grade_name(v->grade), "root_id", hex(&v->root_id), "data_bytes",
	    (json_int_t)v->data_bytes, "hole_bytes", (json_int_t)v->hole_bytes,
	    "zero_bytes", (json_int_t)v->zero_bytes, "excluded_bytes",
	    (json_int_t)v->excluded_bytes);
}

/* The reason's name, or its number: hosts may be newer than this program. */
static const char *
reason_name(uint32_t reason)
{
	const char *name = tree_reason_name(reason);

	return name != NULL ? name : cli_number(reason);
}

static json_t *
excluded_json(const Wire__Counts *c)
{
	json_t *all = json_object();

	for (size_t i = 0; i < c->n_excluded; i++)
		(void)json_object_set_new(all, reason_name(c->excluded[i]->reason),
		    json_integer((json_int_t)c->excluded[i]->bytes));
	return all;
}

static json_t *
counts_json(const Wire__Counts *c)
{
	if (c == NULL)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I}",
	    "read_bytes", (json_int_t)c->read_bytes, "sent_bytes",
	    (json_int_t)c->sent_bytes, "stored_bytes", (json_int_t)c->stored_bytes,
	    "new_bytes", (json_int_t)c->new_bytes, "known_bytes",
	    (json_int_t)c->known_bytes, "zero_bytes", (json_int_t)c->zero_bytes,
	    "hole_bytes", (json_int_t)c->hole_bytes, "excluded_bytes",
	    (json_int_t)c->excluded_bytes, "excluded", excluded_json(c), "chunks",
	    (json_int_t)c->chunks, "new_chunks", (json_int_t)c->new_chunks, "duration_us",
	    (json_int_t)c->duration_us);
}

static json_t *
changes_json(const Wire__Point *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_changes; i++) {
		const Wire__Changes *c = p->changes[i];

		if (c->volume < p->n_volumes)
			(void)json_array_append_new(all,
			    json_pack("{s:s, s:I, s:I, s:i}", "volume",
				p->volumes[c->volume]->name, "kept_bytes",
				(json_int_t)c->kept_bytes, "proven_bytes",
				(json_int_t)c->proven_bytes, "slices", (int)c->slices));
	}
	return all;
}

static json_t *
point_json(const Wire__Point *p)
{
	json_t *volumes = json_array();

	for (size_t i = 0; i < p->n_volumes; i++)
		(void)json_array_append_new(volumes, volume_json(p->volumes[i]));
	return json_pack(
	    "{s:s, s:I, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:o, "
	    "s:s, s:b, s:o, s:s, s:o, s:I}",
	    "host", p->host, "sequence", (json_int_t)p->sequence, "time",
	    cli_json_time(p->time_us), "frozen_at", cli_json_time(p->frozen_at_us),
	    "note", p->note, "volumes", volumes, "counts", counts_json(p->counts),
	    "record", hex(&p->record), "previous", hex(&p->previous), "verified",
	    p->verified_us != 0 ? cli_json_time(p->verified_us) : json_null(), "damage",
	    p->damage, "held_by", p->held_by, "held_why", p->held_why, "locked_until",
	    cli_json_time(p->locked_us), "capture", p->capture, "unproven",
	    p->n_changes > 0, "changes", changes_json(p), "suspect", p->suspect,
	    "suspect_since", cli_json_time(p->suspect_us), "proven_to",
	    (json_int_t)p->proven);
}

/* -------------------------------------------------------------------- tables -- */

struct listing {
	json_t *json;
	struct cli_table *table;
	size_t count;
};

static const char *
name_of(const Wire__Point *p, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s/%llu", p->host, (unsigned long long)p->sequence);
	return out;
}

static const char *
known_share(const Wire__Counts *c, char *out, size_t cap)
{
	double all = (double)c->known_bytes + (double)c->new_bytes;

	(void)snprintf(
	    out, cap, "%.1f%%", all > 0 ? 100.0 * (double)c->known_bytes / all : 0.0);
	return out;
}

static const char *
rate(const Wire__Counts *c, char *out, size_t cap)
{
	if (c->duration_us == 0)
		return "-";
	(void)snprintf(out, cap, "%s/s",
	    cli_size((uint64_t)((double)c->read_bytes * 1e6 / (double)c->duration_us)));
	return out;
}

static void
names_of(const Wire__Point *p, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < p->n_volumes && n + 1 < cap; i++)
		n += (size_t)snprintf(
		    out + n, cap - n, "%s%s", i > 0 ? "," : "", p->volumes[i]->name);
}

/* "DAMAGED suspect unproven held locked verified" and the note. */
static const char *
remarks(const Wire__Point *p, char *out, size_t cap)
{
	const char *words[] = { p->damage[0] != '\0' ? "DAMAGED" : "",
		p->suspect[0] != '\0' ? "suspect" : "",
		p->n_changes > 0 ? "unproven" : "", p->held_by[0] != '\0' ? "held" : "",
		p->locked_us != 0 ? "locked" : "", p->verified_us != 0 ? "verified" : "",
		p->note };
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < 7 && n + 1 < cap; i++)
		if (words[i][0] != '\0')
			n += (size_t)snprintf(
			    out + n, cap - n, "%s%s", n > 0 ? " " : "", words[i]);
	return out;
}

static int
add(void *arg, const Wire__Point *p)
{
	const Wire__Counts none = WIRE__COUNTS__INIT,
			   *c = p->counts != NULL ? p->counts : &none;
	char name[100], volumes[200], share[32], speed[64], note[MSG_TEXT_MAX + 64];
	struct listing *l = arg;

	l->count++;
	if (l->json != NULL) {
		(void)json_array_append_new(l->json, point_json(p));
		return 0;
	}
	names_of(p, volumes, sizeof(volumes));
	cli_table_row(l->table,
	    (const char *const[]){ name_of(p, name, sizeof(name)), cli_time(p->time_us),
		volumes, cli_size(c->read_bytes), cli_size(c->sent_bytes),
		cli_size(c->stored_bytes), known_share(c, share, sizeof(share)),
		rate(c, speed, sizeof(speed)), remarks(p, note, sizeof(note)) });
	return 0;
}

int
cli_points(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	static const char *const titles[] = { "POINT", "TIME", "VOLUMES", "READ", "SENT",
		"STORED", "DEDUPLICATED", "RATE", "NOTE" };
	struct listing l = { 0 };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			l.json = l.json == NULL ? json_array() : l.json;
		else if ((rc = cli_option(c, "points", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("points", argc, argv, 0, 1, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0)
		return cli_fail("points", &err);
	if (l.json == NULL)
		l.table = cli_table_new(9, titles, "lllrrrrrl");
	if (cli_fetch_points(c, argc > optind ? argv[optind] : "", 0, 0, add, &l, &err) !=
	    0)
		return cli_fail("points", &err);
	if (l.json == NULL)
		cli_table_print(l.table);
	else if (cli_json_print(l.json, &err) != 0)
		return cli_fail("points", &err);
	return 0;
}

static void
show_volumes(const Wire__Point *p)
{
	static const char *const titles[] = { "  VOLUME", "SIZE", "FS", "PROVIDER",
		"GRADE", "DATA", "FREE", "ZERO", "EXCLUDED" };
	struct cli_table *t = cli_table_new(9, titles, "lrlllrrrr");

	for (size_t i = 0; i < p->n_volumes; i++) {
		const Wire__VolumeInfo *v = p->volumes[i];
		char name[80];

		(void)snprintf(name, sizeof(name), "  %.70s", v->name);
		cli_table_row(
		    t, (const char *const[]){ name, cli_size(v->size), v->fs, v->provider,
			   grade_name(v->grade), cli_size(v->data_bytes),
			   cli_size(v->hole_bytes), cli_size(v->zero_bytes),
			   cli_size(v->excluded_bytes) });
	}
	cli_table_print(t);
}

static int
show(void *arg, const Wire__Point *p)
{
	const Wire__Counts *c = p->counts;
	char text[100];
	struct listing *l = arg;

	if (l->count++ > 0)
		return 0;
	if (l->json != NULL) {
		json_decref(l->json);
		l->json = point_json(p);
		cli_layout_json(p, l->json);
		return 0;
	}
	(void)printf("point         %s\n", name_of(p, text, sizeof(text)));
	(void)printf("time          %s (the server's)\n", cli_time(p->time_us));
	(void)printf("frozen at     %s (the host's)\n", cli_time(p->frozen_at_us));
	if (p->capture[0] != '\0')
		(void)printf("frozen by     %s\n", p->capture);
	if (p->note[0] != '\0')
		(void)printf("note          %s\n", p->note);
	(void)printf("verified      %s\n",
	    p->verified_us != 0 ? cli_time(p->verified_us) : "never");
	if (p->damage[0] != '\0')
		(void)printf("DAMAGED       %s\n", p->damage);
	if (p->suspect[0] != '\0') {
		(void)printf(
		    "suspect       since %s: %s\n", cli_time(p->suspect_us), p->suspect);
		(void)printf("              it may not be what was there: restore from a "
			     "point that is not suspect where you can\n");
	}
	for (size_t i = 0; i < p->n_changes; i++) {
		const Wire__Changes *k = p->changes[i];

		if (k->volume < p->n_volumes)
			(void)printf(
			    "unproven      volume %s: %s not read, by a list of changes; "
			    "%s of it proven, all in %u points\n",
			    p->volumes[k->volume]->name, cli_size(k->kept_bytes),
			    cli_size(k->proven_bytes), k->slices);
	}
	if (p->proven > 0)
		(void)printf("              all is proven up to point %llu\n",
		    (unsigned long long)p->proven);
	if (p->held_by[0] != '\0')
		(void)printf("held          by %s: %s\n", p->held_by, p->held_why);
	if (p->locked_us != 0)
		(void)printf("locked        until %s\n", cli_time(p->locked_us));
	if (c != NULL) {
		(void)printf("read          %s in %s", cli_size(c->read_bytes),
		    cli_span(c->duration_us));
		(void)printf(", %s\n", rate(c, text, sizeof(text)));
		(void)printf("sent          %s, stored %s\n", cli_size(c->sent_bytes),
		    cli_size(c->stored_bytes));
		(void)printf("new           %s in %s chunks\n", cli_size(c->new_bytes),
		    cli_number(c->new_chunks));
		(void)printf("deduplicated  %s, %s\n", cli_size(c->known_bytes),
		    known_share(c, text, sizeof(text)));
		for (size_t i = 0; i < c->n_excluded; i++)
			(void)printf("%s%s %s%s", i == 0 ? "left out      " : ", ",
			    cli_size(c->excluded[i]->bytes),
			    reason_name(c->excluded[i]->reason),
			    i + 1 == c->n_excluded ? "\n" : "");
	}
	(void)printf("record        ");
	for (size_t i = 0; i < p->record.len; i++)
		(void)printf("%02x", p->record.data[i]);
	(void)printf("\n\n");
	show_volumes(p);
	cli_layout_print(p);
	return 0;
}

int
cli_show(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	char host[CERT_NAME_MAX];
	struct listing l = { 0 };
	struct err err = ERR_INIT;
	uint64_t sequence;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			l.json = l.json == NULL ? json_object() : l.json;
		else if ((rc = cli_option(c, "show", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("show", argc, argv, 1, 1, "HOST[/NUMBER]")) != 0)
		return rc;
	if (cli_point_name(argv[optind], host, &sequence, &err) != 0 ||
	    cli_connect(c, &err) != 0 ||
	    cli_fetch_layout(c, host, sequence, show, &l, &err) != 0)
		return cli_fail("show", &err);
	if (l.count == 0) {
		(void)err_set(&err, ERR_NOTFOUND, "'%s' has no points", host);
		return cli_fail("show", &err);
	}
	if (l.json != NULL && cli_json_print(l.json, &err) != 0)
		return cli_fail("show", &err);
	return 0;
}
