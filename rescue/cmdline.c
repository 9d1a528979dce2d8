#include "rescue/cmdline.h"

#include <string.h>

#include "proto/base/err.h"

/* A word, without its quotes; cut where it is too long to be one of ours. */
struct word {
	char text[2048];
	size_t len;
	int cut;
};

/* The next word from `*at` on; 0 if there is none. */
static int
next_word(const char *p, size_t len, size_t *at, struct word *w)
{
	int quoted = 0;
	char c;

	w->len = 0;
	w->cut = 0;
	while (*at < len && ((unsigned char)p[*at] <= ' '))
		++*at;
	if (*at == len)
		return 0;
	for (; *at < len; ++*at) {
		c = p[*at];
		if (c == '\0' || (!quoted && (unsigned char)c <= ' '))
			break;
		if (c == '"')
			quoted = !quoted;
		else if (w->len < sizeof(w->text) - 1)
			w->text[w->len++] = c;
		else
			w->cut = 1;
	}
	w->text[w->len] = '\0';
	return 1;
}

/* ------------------------------------------------------------------ values -- */

static int
take_text(const char *what, const char *value, char *out, size_t room, struct err *err)
{
	size_t len = value == NULL ? 0 : strlen(value), i;

	if (len == 0)
		return err_set(err, ERR_UNSUPPORTED, "holdfast.%s: no value", what);
	if (len >= room)
		return err_set(err, ERR_UNSUPPORTED,
		    "holdfast.%s: longer than %zu characters", what, room - 1);
	for (i = 0; i < len; i++)
		if ((unsigned char)value[i] <= ' ' || (unsigned char)value[i] >= 127)
			return err_set(err, ERR_UNSUPPORTED,
			    "holdfast.%s: a character that does not belong there", what);
	memcpy(out, value, len + 1);
	return 0;
}

static int
take_point(const char *value, uint64_t *out, struct err *err)
{
	uint64_t n = 0;
	const char *p = value == NULL ? "" : value;

	*out = 0;
	if (strcmp(p, "latest") == 0)
		return 0;
	for (; *p >= '0' && *p <= '9' && n < UINT64_MAX / 10 - 1; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (n == 0 || *p != '\0')
		return err_set(err, ERR_UNSUPPORTED,
		    "holdfast.point: '%.40s' is neither 'latest' nor a number",
		    value == NULL ? "" : value);
	*out = n;
	return 0;
}

/* The last '=' divides: a device's name has none, a disk's may. */
static int
take_map(struct cmdline *c, const char *p, size_t len, struct err *err)
{
	struct cmdline_map *m = &c->maps[c->maps_count];
	const char *device;
	size_t name = len, dev, i;

	while (name > 0 && p[name - 1] != '=')
		name--;
	device = p + name;
	dev = len - name;
	if (name < 2 || name - 1 >= sizeof(m->name))
		return err_set(err, ERR_UNSUPPORTED,
		    "holdfast.disk: '%.*s' is not NAME=/dev/X",
		    (int)(len < 60 ? len : 60), p);
	if (dev > 5 && memcmp(device, "/dev/", 5) == 0) {
		device += 5;
		dev -= 5;
	}
	if (dev == 0 || dev >= sizeof(m->device) || memchr(device, '/', dev) != NULL ||
	    device[0] == '.')
		return err_set(err, ERR_UNSUPPORTED,
		    "holdfast.disk: '%.*s' is no disk of /dev",
		    (int)(dev < 60 ? dev : 60), device);
	if (c->maps_count == LAYOUT_DISKS_MAX)
		return err_set(err, ERR_LIMIT, "holdfast.disk: more than %u disks",
		    LAYOUT_DISKS_MAX);
	memset(m, 0, sizeof(*m));
	memcpy(m->name, p, name - 1);
	memcpy(m->device, device, dev);
	for (i = 0; i < c->maps_count; i++)
		if (strcmp(c->maps[i].name, m->name) == 0 ||
		    strcmp(c->maps[i].device, m->device) == 0)
			return err_set(err, ERR_UNSUPPORTED,
			    "holdfast.disk: %s=%s: one of them was named before", m->name,
			    m->device);
	c->maps_count++;
	return 0;
}

static int
take_disks(struct cmdline *c, const char *value, struct err *err)
{
	const char *p = value == NULL ? "" : value;
	size_t n;

	c->unattended = 1;
	c->maps_count = 0;
	c->automatic = strcmp(p, "auto") == 0;
	if (c->automatic)
		return 0;
	for (;; p += n + 1) {
		n = strcspn(p, ",");
		if (take_map(c, p, n, err) != 0)
			return -1;
		if (p[n] == '\0')
			return 0;
	}
}

static int
take_end(struct cmdline *c, const char *value, struct err *err)
{
	static const char *const names[] = { "reboot", "poweroff", "shell" };
	unsigned i;

	for (i = 0; value != NULL && i < 3; i++)
		if (strcmp(value, names[i]) == 0) {
			c->end = (enum cmdline_end)i;
			c->end_said = 1;
			return 0;
		}
	return err_set(err, ERR_UNSUPPORTED,
	    "holdfast.end: '%.40s' is none of reboot, poweroff, shell",
	    value == NULL ? "" : value);
}

/* A word that is there or not; "=0" and "=no" take it back. */
static int
take_flag(const char *what, const char *value, int *out, struct err *err)
{
	if (value == NULL || strcmp(value, "1") == 0 || strcmp(value, "yes") == 0)
		*out = 1;
	else if (strcmp(value, "0") == 0 || strcmp(value, "no") == 0)
		*out = 0;
	else
		return err_set(err, ERR_UNSUPPORTED, "holdfast.%s: takes no value", what);
	return 0;
}

/* ------------------------------------------------------------------- words -- */

/* `name` without its "holdfast."; `value` NULL if there is no '='. */
static int
take(struct cmdline *c, const char *name, const char *value, struct err *err)
{
	const struct {
		const char *name;
		int *flag;
	} flags[] = { { "extend", &c->extend }, { "shrink", &c->shrink },
		{ "adapt", &c->adapt }, { "fallback-loader", &c->fallback_loader },
		{ "verify", &c->verify }, { "force", &c->force } };
	static const char *const others[] = { "ip", "ca", "console" };
	size_t i;

	if (strcmp(name, "server") == 0)
		return take_text(name, value, c->server, sizeof(c->server), err);
	if (strcmp(name, "token") == 0)
		return take_text(name, value, c->token, sizeof(c->token), err);
	if (strcmp(name, "point") == 0)
		return take_point(value, &c->sequence, err);
	if (strcmp(name, "disk") == 0)
		return take_disks(c, value, err);
	if (strcmp(name, "end") == 0)
		return take_end(c, value, err);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(name, flags[i].name) == 0)
			return take_flag(name, value, flags[i].flag, err);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(name, others[i]) == 0)
			return 0;
	for (i = 0; i < sizeof(c->unknown) - 1 && name[i] != '\0'; i++)
		c->unknown[i] = name[i] > ' ' && name[i] < 127 ? name[i] : '?';
	c->unknown[i] = '\0';
	return 0;
}

int
cmdline_parse(const char *p, size_t len, struct cmdline *out, struct err *err)
{
	static const char prefix[] = "holdfast.";
	struct word w;
	size_t at = 0;
	char *value;

	memset(out, 0, sizeof(*out));
	if (len > CMDLINE_LEN_MAX)
		return err_set(err, ERR_LIMIT, "the command line is longer than %u bytes",
		    CMDLINE_LEN_MAX);
	while (at < len && p[at] != '\0' && next_word(p, len, &at, &w)) {
		if (strncmp(w.text, prefix, sizeof(prefix) - 1) != 0)
			continue;
		if (w.cut)
			return err_set(err, ERR_LIMIT, "%.30s...: longer than %zu bytes",
			    w.text, sizeof(w.text) - 1);
		if ((value = strchr(w.text, '=')) != NULL)
			*value++ = '\0';
		if (take(out, w.text + sizeof(prefix) - 1, value, err) != 0)
			return -1;
	}
	return 0;
}
