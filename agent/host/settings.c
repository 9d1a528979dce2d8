#include "agent/host/settings.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

#define DURATION_MAX_S (366u * 24 * 3600)

void
settings_init(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	s->level = SETTINGS_LEVEL;
	s->interval_s = SETTINGS_INTERVAL_S;
	s->retry_s = SETTINGS_RETRY_S;
	s->silence_s = SETTINGS_SILENCE_S;
	strcpy(s->provider, SETTINGS_AUTO);
	s->script_timeout_s = SETTINGS_SCRIPT_S;
	s->fast.percent = SETTINGS_FAST_PROOF;
	s->fast.large = (uint64_t)SETTINGS_FAST_LARGE_MIB << 20;
	s->fast.recent_s = SETTINGS_FAST_RECENT_S;
	strcpy(s->fast.types, SETTINGS_FAST_TYPES);
	s->hotcopy = (struct settings_hotcopy){ .tracking = 1,
		.percent = SETTINGS_TRACK_PROOF,
		.memory_mib = SETTINGS_HOTCOPY_MIB,
		.room = SETTINGS_AUTO,
		.room_percent = SETTINGS_ROOM_PERCENT,
		.throttle_ms = SETTINGS_THROTTLE_MS };
}

static int
name_ok(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((name[i] < 'a' || name[i] > 'z') &&
		    (name[i] < 'A' || name[i] > 'Z') &&
		    (name[i] < '0' || name[i] > '9') && strchr("._-", name[i]) == NULL)
			return 0;
	return len > 0 && len < SETTINGS_NAME_MAX;
}

/* Volumes or disks. */
struct list {
	struct settings_volume *items;
	unsigned *count;
	unsigned max;
	size_t name_max;
	const char *what;
};

static struct list
volumes_of(struct settings *s)
{
	return (struct list){ s->volumes, &s->count, SETTINGS_VOLUMES_MAX,
		SETTINGS_NAME_MAX, "volume" };
}

static struct list
disks_of(struct settings *s)
{
	return (struct list){ s->disks, &s->disks_count, SETTINGS_DISKS_MAX,
		SETTINGS_DISK_NAME_MAX, "disk" };
}

static int
is_in(const struct list *l, const char *name, size_t len)
{
	for (unsigned i = 0; i < *l->count; i++)
		if (strlen(l->items[i].name) == len &&
		    memcmp(l->items[i].name, name, len) == 0)
			return 1;
	return 0;
}

static int
add(struct settings *s, const struct list *l, const char *name, size_t len,
    const char *path, struct err *err)
{
	const struct list volumes = volumes_of(s), disks = disks_of(s);
	struct settings_volume *v;

	if (!name_ok(name, len) || len >= l->name_max)
		return err_set(err, ERR_LIMIT,
		    "%s name '%.*s': letters, digits, '.', '_' "
		    "and '-' only, at most %d; say NAME=PATH",
		    l->what, (int)len, name, (int)l->name_max - 1);
	if (is_in(&volumes, name, len) || is_in(&disks, name, len))
		return err_set(
		    err, ERR_EXISTS, "%s %.*s: named twice", l->what, (int)len, name);
	if (*l->count == l->max)
		return err_set(err, ERR_LIMIT, "more than %u %ss", l->max, l->what);
	if (strlen(path) >= SETTINGS_PATH_MAX)
		return err_set(
		    err, ERR_LIMIT, "%s %.*s: path too long", l->what, (int)len, name);
	v = &l->items[(*l->count)++];
	memcpy(v->name, name, len);
	v->name[len] = '\0';
	strcpy(v->path, path);
	return 0;
}

/* Behind the last separator of either system. */
static const char *
last_part(const char *path)
{
	const char *at, *part = path;

	for (at = path; *at != '\0'; at++)
		if (*at == '/' || *at == '\\')
			part = at + 1;
	return part;
}

static int
add_spec(struct settings *s, const struct list *l, const char *spec, struct err *err)
{
	const char *eq = strchr(spec, '='), *name = last_part(spec);
	size_t len;

	if (eq != NULL && strcspn(spec, "/\\") > (size_t)(eq - spec)) {
		if (eq[1] == '\0')
			return err_set(
			    err, ERR_NOTFOUND, "%s %s: no path", l->what, spec);
		return add(s, l, spec, (size_t)(eq - spec), eq + 1, err);
	}
	if (strncmp(spec, "label:", 6) == 0)
		name = spec + 6;
	/* "C:\" is a drive as "C:" is. */
	if (name == spec + 3 && spec[1] == ':' && *name == '\0')
		name = spec;
	len = strlen(name);
	/* A drive is named by its letter. */
	if (len >= 2 && len <= 3 && name[1] == ':')
		len = 1;
	/* An image file is named without its ending. */
	if (len > 4 &&
	    (strcmp(name + len - 4, ".img") == 0 || strcmp(name + len - 4, ".raw") == 0))
		len -= 4;
	return add(s, l, name, len, spec, err);
}

int
settings_add(struct settings *s, const char *spec, struct err *err)
{
	const struct list l = volumes_of(s);

	return add_spec(s, &l, spec, err);
}

int
settings_add_disk(struct settings *s, const char *spec, struct err *err)
{
	const struct list l = disks_of(s);

	return add_spec(s, &l, spec, err);
}

const struct settings_volume *
settings_source(const struct settings *s, unsigned i)
{
	if (i < s->count)
		return &s->volumes[i];
	return i - s->count < s->disks_count ? &s->disks[i - s->count] : NULL;
}

int
settings_duration(const char *text, uint32_t *seconds, struct err *err)
{
	unsigned long long n, unit;
	char *end;

	if (text[0] >= '0' && text[0] <= '9') {
		n = strtoull(text, &end, 10);
		unit = *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 1;
		if (*end != '\0' && strchr("smhd", *end) != NULL)
			end++;
		if (*end == '\0' && n <= DURATION_MAX_S / unit) {
			*seconds = (uint32_t)(n * unit);
			return 0;
		}
	}
	return err_set(
	    err, ERR_CORRUPT, "'%s' is no duration; say 90s, 15m, 6h or 2d", text);
}

int
settings_level(const char *text, int *level, struct err *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < 1 || n > 19)
		return err_set(
		    err, ERR_CORRUPT, "level '%s': a number from 1 to 19", text);
	*level = (int)n;
	return 0;
}

int
settings_known_provider(const char *word)
{
	static const char *const words[] = { SETTINGS_AUTO, "offline", "vss", "hotcopy" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			return 1;
	return 0;
}

int
settings_provider(struct settings *s, const char *word, struct err *err)
{
	if (!settings_known_provider(word))
		return err_set(err, ERR_CORRUPT,
		    "provider '%.32s': auto, offline, vss or hotcopy", word);
	strcpy(s->provider, word);
	return 0;
}

/* "full" or "copy" */
static int
vss_type(struct settings *s, const char *word, struct err *err)
{
	s->vss_copy = strcmp(word, "copy") == 0;
	return s->vss_copy || strcmp(word, "full") == 0
		   ? 0
		   : err_set(err, ERR_CORRUPT, "vss-type '%.32s': full or copy", word);
}

static int
silence(const char *text, uint32_t *out, struct err *err)
{
	if (settings_duration(text, out, err) != 0)
		return -1;
	if (*out == 0 || *out > SETTINGS_SILENCE_MAX_S)
		return err_set(err, ERR_LIMIT, "silence-timeout %s: from 1s to 1d", text);
	return 0;
}

/* A number of bytes that a socket's buffer may have. */
static int
bytes(const char *text, int *out, struct err *err)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 9 || text[n] != '\0')
		return err_set(err, ERR_CORRUPT,
		    "'%s' is no number of bytes from 0 to 999999999", text);
	*out = atoi(text);
	return 0;
}

/* A number from `least` to `most`. */
static int
number(const char *text, unsigned least, unsigned most, unsigned *out, struct err *err)
{
	size_t n = strspn(text, "0123456789");
	unsigned long value =
	    n > 0 && n < 8 && text[n] == '\0' ? strtoul(text, NULL, 10) : most + 1ul;

	if (value < least || value > most)
		return err_set(err, ERR_CORRUPT, "'%s' is no number from %u to %u", text,
		    least, most);
	*out = (unsigned)value;
	return 0;
}

/* "mdf ldf", "*.mdf, .ldf": what names end in. */
static int
types(const char *text, char out[SETTINGS_TYPES_MAX], struct err *err)
{
	size_t n = 0;

	if (strlen(text) >= SETTINGS_TYPES_MAX)
		return err_set(
		    err, ERR_LIMIT, "a list of types of %zu bytes", strlen(text));
	for (; *text != '\0'; text++)
		if (*text >= 'A' && *text <= 'Z')
			out[n++] = (char)(*text - 'A' + 'a');
		else if (*text == ',' || *text == '\t')
			out[n++] = ' ';
		else if (*text != '*' && *text != '.')
			out[n++] = *text;
	out[n] = '\0';
	return 0;
}

/* "on" or "off" */
static int
on_off(const char *name, const char *text, int *out, struct err *err)
{
	*out = strcmp(text, "on") == 0;
	return *out || strcmp(text, "off") == 0
		   ? 0
		   : err_set(err, ERR_CORRUPT, "%s '%.32s': on or off", name, text);
}

/* A key that begins with "fast". */
static int
fast_key(struct settings_fast *f, const char *name, const char *value, struct err *err)
{
	unsigned mib;

	if (strcmp(name, "fast") == 0)
		return on_off(name, value, &f->on, err);
	if (strcmp(name, "fast-proof") == 0)
		return number(value, 1, 100, &f->percent, err);
	if (strcmp(name, "fast-recent") == 0)
		return settings_duration(value, &f->recent_s, err);
	if (strcmp(name, "fast-types") == 0)
		return types(value, f->types, err);
	if (strcmp(name, "fast-large") != 0)
		return err_set(err, ERR_CORRUPT, "unknown key '%s' in [agent]", name);
	if (number(value, 0, 1u << 20, &mib, err) != 0)
		return -1;
	f->large = (uint64_t)mib << 20;
	return 0;
}

static int
throttle(const char *text, uint32_t *ms, struct err *err)
{
	uint32_t s;

	if (settings_duration(text, &s, err) != 0)
		return -1;
	if (s > SETTINGS_THROTTLE_MAX_MS / 1000)
		return err_set(
		    err, ERR_LIMIT, "hotcopy-throttle %s: from 0s to 60s", text);
	*ms = s * 1000;
	return 0;
}

/* A key that begins with "track" or "hotcopy-". */
static int
hotcopy_key(
    struct settings_hotcopy *h, const char *name, const char *value, struct err *err)
{
	if (strcmp(name, "tracking") == 0)
		return on_off(name, value, &h->tracking, err);
	if (strcmp(name, "track-after-crash") == 0)
		return on_off(name, value, &h->after_crash, err);
	if (strcmp(name, "track-proof") == 0)
		return number(value, 1, 100, &h->percent, err);
	if (strcmp(name, "hotcopy-memory") == 0)
		return number(value, 1, 4096, &h->memory_mib, err);
	if (strcmp(name, "hotcopy-room-size") == 0)
		return number(value, 1, 100, &h->room_percent, err);
	if (strcmp(name, "hotcopy-throttle") == 0)
		return throttle(value, &h->throttle_ms, err);
	if (strcmp(name, "hotcopy-force") == 0)
		return on_off(name, value, &h->forced, err);
	if (strcmp(name, "hotcopy-flush") == 0)
		return on_off(name, value, &h->flush, err);
	if (strcmp(name, "hotcopy-room") == 0) {
		if (value[0] == '\0' || strlen(value) >= sizeof(h->room))
			return err_set(err, ERR_CORRUPT,
			    "hotcopy-room: auto, none or a volume's path");
		strcpy(h->room, value);
		return 0;
	}
	if (strcmp(name, "hotcopy-lost") != 0)
		return err_set(err, ERR_CORRUPT, "unknown key '%s' in [agent]", name);
	h->fail_if_lost = strcmp(value, "fail") == 0;
	if (!h->fail_if_lost && strcmp(value, "restart") != 0)
		return err_set(
		    err, ERR_CORRUPT, "hotcopy-lost '%.32s': restart or fail", value);
	return 0;
}

/* One line's meaning while the file is read. */
struct reading {
	struct settings *s;
	struct err *err;
};

static int
take_script(struct reading *r, const char *name, const char *value, char *out)
{
	if (strlen(value) >= SETTINGS_PATH_MAX)
		return err_set(r->err, ERR_LIMIT, "%s: path too long", name);
	strcpy(out, value);
	return 0;
}

/* pre-script, post-script, script-timeout. */
static int
script_key(struct reading *r, const char *name, const char *value)
{
	if (strcmp(name, "pre-script") == 0)
		return take_script(r, name, value, r->s->pre_script);
	if (strcmp(name, "post-script") == 0)
		return take_script(r, name, value, r->s->post_script);
	if (settings_duration(value, &r->s->script_timeout_s, r->err) != 0)
		return -1;
	if (r->s->script_timeout_s == 0)
		return err_set(
		    r->err, ERR_LIMIT, "script-timeout %s: at least 1s", value);
	return 0;
}

static int
agent_key(struct reading *r, const char *name, const char *value)
{
	if (strcmp(name, "level") == 0)
		return settings_level(value, &r->s->level, r->err);
	if (strcmp(name, "interval") == 0) {
		if (settings_duration(value, &r->s->interval_s, r->err) != 0)
			return -1;
		if (r->s->interval_s == 0)
			return err_set(
			    r->err, ERR_LIMIT, "interval %s: at least 1s", value);
		return 0;
	}
	if (strcmp(name, "retry-for") == 0)
		return settings_duration(value, &r->s->retry_s, r->err);
	if (strcmp(name, "silence-timeout") == 0)
		return silence(value, &r->s->silence_s, r->err);
	if (strcmp(name, "provider") == 0)
		return settings_provider(r->s, value, r->err);
	if (strcmp(name, "vss-type") == 0)
		return vss_type(r->s, value, r->err);
	if (strncmp(name, "fast", 4) == 0)
		return fast_key(&r->s->fast, name, value, r->err);
	if (strncmp(name, "track", 5) == 0 || strncmp(name, "hotcopy-", 8) == 0)
		return hotcopy_key(&r->s->hotcopy, name, value, r->err);
	if (strcmp(name, "socket-buffer") == 0)
		return bytes(value, &r->s->socket_buffer, r->err);
	if (strcmp(name, "pre-script") == 0 || strcmp(name, "post-script") == 0 ||
	    strcmp(name, "script-timeout") == 0)
		return script_key(r, name, value);
	return err_set(r->err, ERR_CORRUPT, "unknown key '%s' in [agent]", name);
}

static int
volumes_key(struct reading *r, const char *name, const char *value)
{
	char *out = strcmp(name, "include") == 0   ? r->s->include
		    : strcmp(name, "exclude") == 0 ? r->s->exclude
						   : NULL;

	if (out == NULL)
		return err_set(
		    r->err, ERR_CORRUPT, "unknown key '%s' in [volumes]", name);
	if (value[0] == '\0')
		return err_set(r->err, ERR_CORRUPT, "%s: which volumes?", name);
	if (out[0] != '\0')
		return err_set(r->err, ERR_EXISTS, "%s: named twice", name);
	if (strlen(value) >= SETTINGS_PATH_MAX)
		return err_set(r->err, ERR_LIMIT, "%s: too long", name);
	strcpy(out, value);
	return 0;
}

static int
on_line(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;
	const char *of = NULL;
	struct list l;

	if (r->err->code != ERR_NONE)
		return 0;
	if (strcmp(section, "agent") == 0)
		return agent_key(r, name, value) == 0;
	if (strcmp(section, "volumes") == 0)
		return volumes_key(r, name, value) == 0;
	if (strncmp(section, "volume ", 7) == 0) {
		l = volumes_of(r->s);
		of = section + 7;
	} else if (strncmp(section, "disk ", 5) == 0) {
		l = disks_of(r->s);
		of = section + 5;
	}
	if (of != NULL && strcmp(name, "path") == 0)
		return add(r->s, &l, of, strlen(of), value, r->err) == 0;
	if (of != NULL) {
		err_set(r->err, ERR_CORRUPT, "unknown key '%s' in [%s]", name, section);
		return 0;
	}
	err_set(r->err, ERR_CORRUPT, "unknown section [%s]", section);
	return 0;
}

/*
 * libinih cuts what is longer than it takes and reads the rest as a line of its own, or not
 * at all: so whether all fits is seen before.  -1: not, on line `*line` (0: on none).
 */
static int
check_lengths(const struct buf *file, int *line, struct err *err)
{
	const char *at = (const char *)file->p, *end = at + file->len, *stop, *section;

	*line = 0;
	if (memchr(at, '\0', file->len) != NULL)
		return err_set(
		    err, ERR_CORRUPT, "holds a NUL byte: no text in ASCII or UTF-8");
	for (; at < end; at = stop + 1) {
		++*line;
		if ((stop = memchr(at, '\n', (size_t)(end - at))) == NULL)
			stop = end;
		if ((size_t)(stop - at) > SETTINGS_LINE_MAX)
			return err_set(err, ERR_LIMIT,
			    "a line of %zu bytes, at most %u are read",
			    (size_t)(stop - at), SETTINGS_LINE_MAX);
		section = at;
		while (section < stop && (*section == ' ' || *section == '\t'))
			section++;
		if (section == stop || *section != '[')
			continue;
		at = memchr(section, ']', (size_t)(stop - section));
		if (at != NULL && (size_t)(at - section) - 1 > SETTINGS_SECTION_MAX)
			return err_set(err, ERR_LIMIT,
			    "a section's name of %zu bytes, at most %u are read",
			    (size_t)(at - section) - 1, SETTINGS_SECTION_MAX);
	}
	return 0;
}

/* Lines longer than libinih's 200 bytes: Debian's takes them where it is told so. */
static void
take_long_lines(void)
{
	ini_use_stack = false;
	ini_allow_realloc = true;
	ini_max_line = (int)SETTINGS_LINE_MAX + 3; /* "\r\n" and the NUL. */
}

int
settings_load(struct settings *s, const char *path, struct err *err)
{
	struct buf file = BUF_INIT(SETTINGS_FILE_MAX);
	struct reading r = { s, err };
	int found, line = 0;

	found = file_load(path, &file, err);
	if (found == 1 && file.len > 0 && check_lengths(&file, &line, err) == 0 &&
	    (found = buf_add_u8(&file, 0, err) == 0 ? 1 : -1) == 1) {
		take_long_lines();
		line = ini_parse_string((const char *)file.p, on_line, &r);
	}
	buf_free(&file);
	if (found != 1)
		return found;
	if (line < 0)
		return err_set(err, ERR_NOMEM, "%s: out of memory", path);
	if (err->code != ERR_NONE)
		return line > 0 ? err_context(err, "%s:%d", path, line)
				: err_context(err, "%s", path);
	if (line != 0)
		return err_set(err, ERR_CORRUPT, "%s:%d: not a setting", path, line);
	return 0;
}
