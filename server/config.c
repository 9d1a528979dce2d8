#include "server/config.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

enum type {
	TEXT,
	ADDRESS,
	HOUR,
	HOURS,
	NUMBER,
	SIZE,
	SHARE,
	DURATION,
	YESNO,
	LEVEL,
	FORMAT
};

struct key {
	const char *name;
	enum type type;
	size_t at;	      /* Offset in struct config. */
	size_t cap;	      /* TEXT and ADDRESS: bytes there. */
	uint64_t min, max;    /* Numbers, in units of the field. */
	int live;	      /* SIGHUP applies it. */
	const char *fallback; /* As in a file. */
	const char *meaning;
};

#define AT(field) offsetof(struct config, field)
#define ROOM(field) sizeof(((struct config *)NULL)->field)

static const struct key keys[] = {
	{ "store", TEXT, AT(store), ROOM(store), 0, 0, 0, "/var/lib/holdfast",
	    "directory of the store" },
	{ "listen", ADDRESS, AT(listen), ROOM(listen), 0, 0, 0,
	    "0.0.0.0:" CONFIG_PORT_DEFAULT,
	    "HOST:PORT to listen on; port 0: any that is free" },
	{ "advertise", ADDRESS, AT(advertise), ROOM(advertise), 0, 0, 0, "",
	    "HOST:PORT that tokens name; empty: made from listen" },
	{ "ready-file", TEXT, AT(ready_file), ROOM(ready_file), 0, 0, 0, "",
	    "file that gets the address in use once the server is ready" },
	{ "threads", NUMBER, AT(threads), 0, 0, 256, 0, "0",
	    "network threads; 0: one a core" },
	{ "workers", NUMBER, AT(workers), 0, 0, 256, 0, "0",
	    "threads that decode and hash; 0: one a core" },
	{ "disk-workers", NUMBER, AT(disk_workers), 0, 0, 256, 0, "0",
	    "threads that read and write the store; 0: four" },
	{ "max-sessions", NUMBER, AT(sessions), 0, 1, 100000, 0, "2000",
	    "connections at once" },
	{ "window", SIZE, AT(window), 0, 1 << 20, 1 << 28, 1, "8M",
	    "bytes an agent may send ahead of what is stored" },
	{ "ingest-memory", SIZE, AT(ingest_memory), 0, 1 << 24, 1ull << 40, 0, "512M",
	    "bytes received and not yet stored, of all sessions; above it they take "
	    "turns" },
	{ "silence-timeout", DURATION, AT(silence_s), 0, 1, 86400, 1, "5m",
	    "a session in which nothing moves for so long ends" },
	{ "handshake-timeout", DURATION, AT(handshake_s), 0, 1, 600, 0, "20s",
	    "a connection must be through TLS by then" },
	{ "socket-buffer", SIZE, AT(socket_buffer), 0, 0, 1 << 30, 0, "0",
	    "bytes of each connection's two buffers in the kernel; 0: the system's" },
	{ "drain-timeout", DURATION, AT(drain_s), 0, 0, 3600, 1, "20s",
	    "at the end, requests in hand have so long" },
	{ "agents-may-restore", YESNO, AT(agents_may_restore), 0, 0, 1, 1, "yes",
	    "a host may read its own points" },
	{ "certificate-lifetime", DURATION, AT(certificate_s), 0, 60, 315360000, 1, "90d",
	    "of hosts; they renew by themselves past half of it" },
	{ "read-only", YESNO, AT(read_only), 0, 0, 1, 0, "no",
	    "write nothing to the store, which may be on a read-only mount: for "
	    "restores" },
	{ "copy-to", TEXT, AT(copy_to), ROOM(copy_to), 0, 0, 0, "",
	    "directory for a second copy of the store (`holdfast store copy`)" },
	{ "copy-rate", SIZE, AT(copy_rate), 0, 0, 1ull << 40, 0, "0",
	    "bytes a second that copying may take; 0: no limit" },
	{ "rescue-dir", TEXT, AT(rescue_dir), ROOM(rescue_dir), 0, 0, 0, "",
	    "directory that `./dev rescue --out` made: what hosts are restored with" },
	{ "rescue-listen", ADDRESS, AT(rescue_listen), ROOM(rescue_listen), 0, 0, 0, "",
	    "HOST:PORT to serve it on, over plain HTTP, to machines that boot by "
	    "network; empty: not served" },
	{ "reserve", SIZE, AT(reserve), 0, 0, 1ull << 40, 0, "256M",
	    "room kept so that a full disk can be pruned; 2 % of a smaller disk; 0: "
	    "none" },
	{ "pack-parity", NUMBER, AT(pack_parity), 0, 0, 30, 0, "0",
	    "per cent of parity in packs sealed from now on, to mend them from; 0: "
	    "none" },
	{ "low-water", SHARE, AT(low_water), 0, 0, 1ull << 50, 0, "2%",
	    "with less room left (10G, 2%) no new backup begins; 0: until it is full" },
	{ "clock-jump", DURATION, AT(clock_jump_s), 0, 0, 315360000, 0, "7d",
	    "a clock further ahead of the store's last record must be accepted; 0: it is "
	    "believed" },
	{ "prune-at", HOUR, AT(prune_at), ROOM(prune_at), 0, 0, 0, "03:30",
	    "when to prune by the policies, every day, by the server's clock; off" },
	{ "gc-every", DURATION, AT(gc_every_s), 0, 0, 31536000, 0, "1d",
	    "how often to collect what no point needs; 0: only when asked to" },
	{ "verify-cycle", DURATION, AT(verify_cycle_s), 0, 0, 315360000, 0, "30d",
	    "every byte stored is read and checked once in it, and points are verified "
	    "four times; 0: only when asked to" },
	{ "maintenance-window", HOURS, AT(maintenance_window), ROOM(maintenance_window),
	    0, 0, 0, "00:00-24:00", "collecting and checking begin only then" },
	{ "maintenance-rate", SIZE, AT(maintenance_rate), 0, 1 << 16, 1ull << 36, 0,
	    "32M", "bytes a second that they read and write" },
	{ "unfinished-keep", DURATION, AT(unfinished_keep_s), 0, 3600, 315360000, 0,
	    "14d",
	    "what an unfinished backup stored, or an open restore reads, is kept so "
	    "long" },
	{ "log-level", LEVEL, AT(log_level), 0, 0, 0, 1, "info",
	    "error, warning, info or debug" },
	{ "log-format", FORMAT, AT(log_format), 0, 0, 0, 1, "text", "text or json" },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static const char *const levels[] = { "error", "warning", "info", "debug" };
static const char *const formats[] = { "text", "json" };

/* One pass over the text. */
struct pass {
	const char *file, *text;
	size_t len, at;
	int line;     /* Number of the line handed out last. */
	int bad_line; /* Where `err` was set. */
	int cut;      /* The last line did not fit the parser's buffer. */
	uint8_t seen[KEYS];
	struct config *out;
	struct err *err;
};

/* A number and its unit's factor; 0, or -1 if it is no such thing or too large. */
static int
scaled(const char *v, const char *units, const uint64_t *factors, uint64_t *out)
{
	const char *unit;
	char *end;
	uint64_t n;

	if (!isdigit((unsigned char)v[0]) || strlen(v) > 18)
		return -1;
	n = strtoull(v, &end, 10);
	*out = n;
	if (*end == '\0')
		return 0;
	unit = strchr(units, *end);
	if (unit == NULL || end[1] != '\0' || n > UINT64_MAX / factors[unit - units])
		return -1;
	*out = n * factors[unit - units];
	return 0;
}

static int
word(const char *v, const char *const words[], int n, int *out)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(v, words[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -1;
}

/* "host:port" or "[v6]:port". */
static int
is_address(const char *v)
{
	const char *port = strrchr(v, ':');
	size_t n;

	if (port == NULL || port == v || port[1] == '\0')
		return 0;
	n = strspn(port + 1, "0123456789");
	if (port[1 + n] != '\0' || n > 5 || strtoul(port + 1, NULL, 10) > 65535)
		return 0;
	if (v[0] == '[')
		return port[-1] == ']' && port - v > 2;
	for (const char *p = v; p < port; p++) {
		if (!isalnum((unsigned char)*p) && strchr(".-_", *p) == NULL)
			return 0;
	}
	return 1;
}

int
config_time_of_day(const char *text)
{
	int hour = 0, minute = 0, end = 0;

	if (strcmp(text, "off") == 0)
		return -1;
	if (strspn(text, "0123456789:") != strlen(text) ||
	    sscanf(text, "%2d:%2d%n", &hour, &minute, &end) != 2 || text[end] != '\0' ||
	    minute > 59 || hour * 60 + minute > 24 * 60)
		return -2;
	return hour * 60 + minute;
}

int
config_window(const char *text, int *from, int *to)
{
	const char *dash = strchr(text, '-');
	char first[8];

	if (dash == NULL || dash - text >= (int)sizeof(first))
		return -1;
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	*from = config_time_of_day(first);
	*to = config_time_of_day(dash + 1);
	return *from >= 0 && *to >= 0 ? 0 : -1;
}

static int
assign_number(const struct key *k, const char *v, struct config *out, struct err *err)
{
	static const uint64_t sizes[] = { 1 << 10, 1 << 20, 1 << 30 };
	static const uint64_t times[] = { 1, 60, 3600, 86400 };
	uint64_t n = 0;
	int bad;

	if (k->type == SIZE)
		bad = scaled(v, "KMG", sizes, &n);
	else if (k->type == DURATION)
		bad = scaled(v, "smhd", times, &n);
	else
		bad = scaled(v, "", NULL, &n);
	if (bad)
		return err_set(err, ERR_CORRUPT, "%s: '%.40s' is not a %s", k->name, v,
		    k->type == SIZE	  ? "size (8M)"
		    : k->type == DURATION ? "duration (30s, 5m, 2h, 90d)"
					  : "number");
	if (n < k->min || n > k->max)
		return err_set(err, ERR_CORRUPT, "%s: '%.40s' is not within %llu..%llu%s",
		    k->name, v, (unsigned long long)k->min, (unsigned long long)k->max,
		    k->type == SIZE	  ? " bytes"
		    : k->type == DURATION ? " seconds"
					  : "");
	memcpy((char *)out + k->at, &n, sizeof(n));
	return 0;
}

/* "10G" or "2%". */
static int
assign_share(const struct key *k, const char *v, struct config *out, struct err *err)
{
	static const uint64_t sizes[] = { 1 << 10, 1 << 20, 1 << 30, 1ull << 40 };
	static const uint64_t one[] = { 1 };
	struct config_share share = { 0, 0 };

	if (strchr(v, '%') != NULL) {
		if (scaled(v, "%", one, &share.percent) != 0 || share.percent > 50)
			return err_set(err, ERR_CORRUPT,
			    "%s: '%.40s' is not a share of 0%% to 50%%", k->name, v);
	} else if (scaled(v, "KMGT", sizes, &share.bytes) != 0 || share.bytes > k->max) {
		return err_set(
		    err, ERR_CORRUPT, "%s: '%.40s' is not a size (10G, 2%%)", k->name, v);
	}
	memcpy((char *)out + k->at, &share, sizeof(share));
	return 0;
}

static int
assign_hours(const struct key *k, const char *v, char *field, struct err *err)
{
	int from, to;

	if (strlen(v) >= k->cap || (k->type == HOUR ? config_time_of_day(v) == -2
						    : config_window(v, &from, &to) != 0))
		return err_set(err, ERR_CORRUPT, "%s: '%.40s' is not %s", k->name, v,
		    k->type == HOUR ? "a time (03:30) or off"
				    : "two times (22:00-06:00)");
	memcpy(field, v, strlen(v) + 1);
	return 0;
}

static int
assign(const struct key *k, const char *v, struct config *out, struct err *err)
{
	static const char *const yesno[] = { "no", "yes" };
	char *field = (char *)out + k->at;
	int i = 0;

	switch (k->type) {
	case HOUR:
	case HOURS:
		return assign_hours(k, v, field, err);
	case ADDRESS:
		if (v[0] != '\0' && !is_address(v))
			return err_set(
			    err, ERR_CORRUPT, "%s: '%.60s' is not HOST:PORT", k->name, v);
		/* Fall through. */
	case TEXT:
		if (strlen(v) >= k->cap)
			return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes",
			    k->name, k->cap - 1);
		if (v[0] == '\0' && k->fallback[0] != '\0')
			return err_set(err, ERR_CORRUPT, "%s: no value", k->name);
		memcpy(field, v, strlen(v) + 1);
		return 0;
	case NUMBER:
	case SIZE:
	case DURATION:
		return assign_number(k, v, out, err);
	case SHARE:
		return assign_share(k, v, out, err);
	case YESNO:
		if (word(v, yesno, 2, &i) != 0)
			return err_set(
			    err, ERR_CORRUPT, "%s: '%.40s' is not yes or no", k->name, v);
		memcpy(field, &i, sizeof(i));
		return 0;
	case LEVEL:
		if (word(v, levels, 4, &i) != 0)
			return err_set(err, ERR_CORRUPT,
			    "%s: '%.40s' is not error, warning, info or debug", k->name,
			    v);
		out->log_level = (enum log_level)i;
		return 0;
	case FORMAT:
		if (word(v, formats, 2, &i) != 0)
			return err_set(err, ERR_CORRUPT,
			    "%s: '%.40s' is not text or json", k->name, v);
		out->log_format = (enum log_format)i;
		return 0;
	}
	return 0;
}

void
config_defaults(struct config *out)
{
	struct err err = ERR_INIT;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < KEYS; i++)
		(void)assign(&keys[i], keys[i].fallback, out, &err);
}

/* libinih's line source.  Counts lines; it does not tell us otherwise. */
static char *
next_line(char *out, int cap, void *arg)
{
	struct pass *p = arg;
	size_t n = 0;

	if (p->at == p->len)
		return NULL;
	if (!p->cut)
		p->line++;
	p->cut = 1;
	while (p->at < p->len && n + 1 < (size_t)cap) {
		out[n] = p->text[p->at++];
		if (out[n++] == '\n') {
			p->cut = 0;
			break;
		}
	}
	out[n] = '\0';
	if (p->cut && p->at < p->len && p->err->code == ERR_NONE) {
		(void)err_set(p->err, ERR_LIMIT, "line is too long");
		p->bad_line = p->line;
	}
	return out;
}

static int
on_key(void *arg, const char *section, const char *name, const char *value)
{
	struct pass *p = arg;

	if (p->err->code != ERR_NONE)
		return 0;
	p->bad_line = p->line;
	if (section[0] != '\0') {
		(void)err_set(p->err, ERR_CORRUPT,
		    "there are no sections here: '[%.40s]'", section);
		return 0;
	}
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if (p->seen[i]++)
			(void)err_set(p->err, ERR_CORRUPT,
			    "%s: given twice, or an indented line follows it", name);
		else
			(void)assign(&keys[i], value, p->out, p->err);
		return p->err->code == ERR_NONE;
	}
	(void)err_set(p->err, ERR_CORRUPT, "there is no key '%.60s'", name);
	return 0;
}

int
config_parse(
    const char *file, const char *text, size_t len, struct config *out, struct err *err)
{
	struct pass p = {
		.file = file, .text = text, .len = len, .out = out, .err = err
	};
	int line;

	config_defaults(out);
	if (len > CONFIG_TEXT_MAX)
		return err_set(
		    err, ERR_LIMIT, "%s: longer than %u bytes", file, CONFIG_TEXT_MAX);
	if (memchr(text, '\0', len) != NULL)
		return err_set(
		    err, ERR_CORRUPT, "%s: holds a NUL byte: not a text file", file);

	line = ini_parse_stream(next_line, &p, on_key, &p);
	if (line < 0)
		return err_set(err, ERR_NOMEM, "%s: no memory to read it", file);
	/* A line that is no "key = value" shows only in the result. */
	if (line > 0 && (err->code == ERR_NONE || line < p.bad_line)) {
		err_clear(err);
		return err_set(err, ERR_CORRUPT, "%s:%d: not 'key = value'", file, line);
	}
	if (err->code != ERR_NONE)
		return err_context(err, "%s:%d", file, p.bad_line);
	if (out->rescue_listen[0] != '\0' && out->rescue_dir[0] == '\0')
		return err_set(err, ERR_CORRUPT,
		    "%s: rescue-listen: there is no rescue-dir to serve", file);
	return 0;
}

static void
show(const struct key *k, const struct config *c, char *out, size_t cap)
{
	const char *field = (const char *)c + k->at;
	struct config_share share;
	uint64_t n = 0;
	int yes;

	switch (k->type) {
	case TEXT:
	case ADDRESS:
	case HOUR:
	case HOURS:
		(void)snprintf(out, cap, "%s", field);
		break;
	case NUMBER:
	case SIZE:
	case DURATION:
		memcpy(&n, field, sizeof(n));
		(void)snprintf(out, cap, "%llu%s", (unsigned long long)n,
		    k->type == DURATION ? "s" : "");
		break;
	case SHARE:
		memcpy(&share, field, sizeof(share));
		(void)snprintf(out, cap, "%llu%s",
		    (unsigned long long)(share.percent ? share.percent : share.bytes),
		    share.percent ? "%" : "");
		break;
	case YESNO:
		memcpy(&yes, field, sizeof(yes));
		(void)snprintf(out, cap, "%s", yes ? "yes" : "no");
		break;
	case LEVEL:
		(void)snprintf(out, cap, "%s", levels[c->log_level]);
		break;
	case FORMAT:
		(void)snprintf(out, cap, "%s", formats[c->log_format]);
		break;
	}
}

const char *
config_needs_restart(const struct config *now, const struct config *then)
{
	char a[CONFIG_PATH_MAX], b[CONFIG_PATH_MAX];

	for (size_t i = 0; i < KEYS; i++) {
		show(&keys[i], now, a, sizeof(a));
		show(&keys[i], then, b, sizeof(b));
		if (!keys[i].live && strcmp(a, b) != 0)
			return keys[i].name;
	}
	return NULL;
}

void
config_each(const struct config *c,
    void (*each)(void *arg, const char *key, const char *value, const char *meaning),
    void *arg)
{
	char value[CONFIG_PATH_MAX];

	for (size_t i = 0; i < KEYS; i++) {
		show(&keys[i], c, value, sizeof(value));
		each(arg, keys[i].name, value, keys[i].meaning);
	}
}
