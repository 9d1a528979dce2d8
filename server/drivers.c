#include "server/drivers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

/* A line of the text; words end with NUL in the copy that `drivers` owns. */
struct alias {
	const char *pattern, *module;
};

struct drivers {
	char *text;
	struct alias *aliases;
	size_t count;
	const char **lacking; /* Modules without their firmware. */
	size_t lacking_count;
};

/* -------------------------------------------------------------------- matching -- */

static unsigned char
plain(char c)
{
	return c == '-' ? '_' : (unsigned char)c;
}

/*
 * Does `c` match the brackets at `p` ("[a-f0]", "[!x]")?  1 or 0, and `*end` is what
 * follows them; -1: they do not end, so '[' stands for itself.
 */
static int
bracket(const char *p, unsigned char c, const char **end)
{
	int negated = p[1] == '!' || p[1] == '^', hit = 0;
	const char *at = p + 1 + negated, *first = at;
	unsigned char from, to;

	while (*at != '\0' && (*at != ']' || at == first)) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		from = to = (unsigned char)*at++;
		if (at[0] == '-' && at[1] != ']' && at[1] != '\0') {
			at++;
			if (*at == '\\' && at[1] != '\0')
				at++;
			to = (unsigned char)*at++;
		}
		if (from <= c && c <= to)
			hit = 1;
	}
	if (*at != ']')
		return -1;
	*end = at + 1;
	return hit != negated;
}

/* One thing of the pattern that is no '*' against one character: what follows it, or
 * NULL. */
static const char *
one(const char *p, char c)
{
	const char *end;

	switch (*p) {
	case '\0':
		return NULL;
	case '?':
		return p + 1;
	case '[':
		switch (bracket(p, (unsigned char)c, &end)) {
		case 1:
			return end;
		case 0:
			return NULL;
		default:
			break;
		}
		break;
	case '\\':
		if (p[1] == '\0')
			return NULL;
		p++;
		break;
	default:
		break;
	}
	return plain(*p) == plain(c) ? p + 1 : NULL;
}

int
drivers_match(const char *pattern, const char *text)
{
	const char *p = pattern, *t = text, *next;
	const char *star = NULL, *from = NULL; /* The last '*': it takes up to `from`. */

	while (*t != '\0') {
		if (*p == '*') {
			star = ++p;
			from = t;
		} else if ((next = one(p, *t)) != NULL) {
			p = next;
			t++;
		} else if (star != NULL) {
			p = star;
			t = ++from;
		} else {
			return 0;
		}
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

/* --------------------------------------------------------------------- reading -- */

/* The next word of a line, ended by NUL there; NULL. */
static char *
word(char **at)
{
	char *w = *at + strspn(*at, " \t\r"), *end;

	if (*w == '\0' || *w == '#')
		return NULL;
	end = w + strcspn(w, " \t\r");
	*at = end;
	if (*end != '\0') {
		*end = '\0';
		*at = end + 1;
	}
	return w;
}

static int
read_line(struct drivers *d, char *line, size_t number, struct err *err)
{
	const char *what = word(&line), *a, *b;

	if (what == NULL)
		return 0;
	if (strcmp(what, "alias") == 0) {
		a = word(&line);
		b = word(&line);
		if (a == NULL || b == NULL)
			return err_set(err, ERR_CORRUPT,
			    "line %zu: not 'alias PATTERN MODULE'", number);
		d->aliases[d->count].pattern = a;
		d->aliases[d->count++].module = b;
	} else if (strcmp(what, "lacks-firmware") == 0) {
		a = word(&line);
		if (a == NULL)
			return err_set(err, ERR_CORRUPT,
			    "line %zu: not 'lacks-firmware MODULE'", number);
		d->lacking[d->lacking_count++] = a;
	}
	return 0;
}

static int
read_lines(struct drivers *d, struct err *err)
{
	size_t number = 1;
	char *end;

	for (char *line = d->text;; line = end + 1, number++) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end = '\0';
		if (strlen(line) >= DRIVERS_LINE_MAX)
			return err_set(err, ERR_LIMIT, "line %zu is too long", number);
		if (read_line(d, line, number, err) != 0)
			return -1;
		if (end == NULL)
			return 0;
	}
}

int
drivers_parse(const char *text, size_t len, struct drivers **out, struct err *err)
{
	struct drivers *d;
	size_t lines = 1;

	if (len > DRIVERS_TEXT_MAX)
		return err_set(err, ERR_LIMIT, "longer than %u bytes", DRIVERS_TEXT_MAX);
	if (memchr(text, '\0', len) != NULL)
		return err_set(err, ERR_CORRUPT, "holds a NUL byte: not a text file");
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	d = calloc(1, sizeof(*d));
	if (d != NULL) {
		d->text = malloc(len + 1);
		d->aliases = calloc(lines, sizeof(*d->aliases));
		d->lacking = calloc(lines, sizeof(*d->lacking));
	}
	if (d == NULL || d->text == NULL || d->aliases == NULL || d->lacking == NULL) {
		drivers_free(d);
		return err_set(err, ERR_NOMEM, "no memory for %zu lines", lines);
	}
	memcpy(d->text, text, len);
	d->text[len] = '\0';
	if (read_lines(d, err) != 0) {
		drivers_free(d);
		return -1;
	}
	*out = d;
	return 0;
}

void
drivers_free(struct drivers *d)
{
	if (d == NULL)
		return;
	free(d->text);
	free(d->aliases);
	free(d->lacking);
	free(d);
}

size_t
drivers_count(const struct drivers *d)
{
	return d->count;
}

/* --------------------------------------------------------------------- finding -- */

static int
lacks(const struct drivers *d, const char *module)
{
	for (size_t i = 0; i < d->lacking_count; i++) {
		if (strcmp(d->lacking[i], module) == 0)
			return 1;
	}
	return 0;
}

/* Add `name` to the list, if it is not in it and fits. */
static void
name_add(char names[DRIVERS_NAMES_MAX], const char *name)
{
	size_t len = strlen(name), used = strlen(names);

	for (const char *p = names; (p = strstr(p, name)) != NULL; p += len) {
		if ((p == names || p[-1] == ' ') && (p[len] == ',' || p[len] == '\0'))
			return;
	}
	if (used + len + 3 <= DRIVERS_NAMES_MAX)
		(void)snprintf(names + used, DRIVERS_NAMES_MAX - used, "%s%s",
		    used > 0 ? ", " : "", name);
}

enum drivers_verdict
drivers_find(const struct drivers *d, const char *modalias, char names[DRIVERS_NAMES_MAX])
{
	char lacking[DRIVERS_NAMES_MAX] = "";

	names[0] = '\0';
	for (size_t i = 0; i < d->count; i++) {
		const struct alias *a = &d->aliases[i];

		if (drivers_match(a->pattern, modalias))
			name_add(lacks(d, a->module) ? lacking : names, a->module);
	}
	if (names[0] != '\0')
		return DRIVERS_FOUND;
	memcpy(names, lacking, sizeof(lacking));
	return lacking[0] != '\0' ? DRIVERS_LACKED : DRIVERS_NONE;
}
