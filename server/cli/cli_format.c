#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING 32
#define CELL 48

static char *
slot(void)
{
	static char ring[RING][CELL];
	static unsigned next;

	return ring[next++ % RING];
}

const char *
cli_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB",
		"EiB" };
	double v = (double)bytes;
	char *out = slot();
	int u = 0;

	while (v >= 1023.95 && u < 6) {
		v /= 1024;
		u++;
	}
	(void)snprintf(out, CELL, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return out;
}

int
cli_rate(const char *text, uint64_t *out)
{
	static const char units[] = "KMG";
	unsigned long long n;
	const char *unit;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	n = strtoull(text, &end, 10);
	if (n == 0)
		return -1;
	if (*end != '\0') {
		if ((unit = strchr(units, *end)) == NULL || end[1] != '\0' ||
		    n >> 32 != 0)
			return -1;
		n <<= 10 * (unit - units + 1);
	}
	*out = n;
	return 0;
}

const char *
cli_number(uint64_t n)
{
	char *out = slot();

	(void)snprintf(out, CELL, "%llu", (unsigned long long)n);
	return out;
}

const char *
cli_time(int64_t us)
{
	time_t t = (time_t)(us / 1000000);
	char *out = slot();
	struct tm tm;

	if (us == 0)
		return "-";
	(void)localtime_r(&t, &tm);
	(void)strftime(out, CELL, "%Y-%m-%d %H:%M:%S", &tm);
	return out;
}

const char *
cli_span(uint64_t us)
{
	uint64_t s = us / 1000000;
	char *out = slot();

	if (s < 60)
		(void)snprintf(out, CELL, "%.1f s", (double)us / 1e6);
	else
		(void)snprintf(out, CELL, "%llu:%02llu:%02llu",
		    (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60),
		    (unsigned long long)(s % 60));
	return out;
}

json_t *
cli_json_time(int64_t us)
{
	time_t t = (time_t)(us / 1000000);
	char day[32], out[64];
	struct tm tm;

	if (us == 0)
		return json_null();
	(void)gmtime_r(&t, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out, sizeof(out), "%s.%06dZ", day, (int)(us % 1000000));
	return json_string(out);
}

int
cli_json_print(json_t *j, struct err *err)
{
	int bad = j == NULL || json_dumpf(j, stdout, JSON_INDENT(2)) != 0 ||
		  putchar('\n') == EOF;

	json_decref(j);
	return bad ? err_set(err, ERR_IO, "cannot write the JSON") : 0;
}

int
cli_duration(const char *text, uint64_t *seconds)
{
	static const char units[] = "smhd";
	static const uint64_t factors[] = { 1, 60, 3600, 86400 };
	size_t digits = strspn(text, "0123456789");
	const char *unit;

	if (digits == 0 || digits > 9)
		return -1;
	*seconds = strtoull(text, NULL, 10);
	if (text[digits] == '\0')
		return 0;
	unit = strchr(units, text[digits]);
	if (unit == NULL || text[digits + 1] != '\0')
		return -1;
	*seconds *= factors[unit - units];
	return 0;
}

int
cli_point_name(
    const char *text, char host[CERT_NAME_MAX], uint64_t *sequence, struct err *err)
{
	const char *slash = strchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);

	*sequence = 0;
	if (n == 0 || n >= CERT_NAME_MAX)
		return err_set(
		    err, ERR_PROTOCOL, "'%.80s' is not HOST or HOST/NUMBER", text);
	memcpy(host, text, n);
	host[n] = '\0';
	if (slash == NULL || strcmp(slash, "/latest") == 0)
		return 0;
	if (strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
	    strlen(slash + 1) > 18 || (*sequence = strtoull(slash + 1, NULL, 10)) == 0)
		return err_set(
		    err, ERR_PROTOCOL, "'%.80s' is not HOST or HOST/NUMBER", text);
	return 0;
}

struct cli_table {
	size_t columns, rows, cap;
	const char *rights;
	char **cells;
};

struct cli_table *
cli_table_new(size_t columns, const char *const titles[], const char *rights)
{
	struct cli_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	t->columns = columns;
	t->rights = rights;
	cli_table_row(t, titles);
	return t;
}

void
cli_table_row(struct cli_table *t, const char *const cells[])
{
	if (t->rows == t->cap) {
		t->cap = t->cap == 0 ? 32 : t->cap * 2;
		t->cells = realloc(t->cells, t->cap * t->columns * sizeof(*t->cells));
		if (t->cells == NULL)
			abort();
	}
	for (size_t i = 0; i < t->columns; i++) {
		char *copy = strdup(cells[i]);

		if (copy == NULL)
			abort();
		t->cells[t->rows * t->columns + i] = copy;
	}
	t->rows++;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t
columns_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
cli_table_print(struct cli_table *t)
{
	size_t wide[CLI_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->rows * t->columns; i++) {
		size_t n = columns_of(t->cells[i]), *w = &wide[i % t->columns];

		*w = n > *w ? n : *w;
	}
	for (size_t r = 0; r < t->rows; r++) {
		for (size_t i = 0; i < t->columns; i++) {
			const char *cell = t->cells[r * t->columns + i];
			size_t lacks = wide[i] - columns_of(cell);
			int right = t->rights[i] == 'r';

			if (right)
				(void)printf("%*s", (int)lacks, "");
			(void)fputs(cell, stdout);
			/* Nothing trails the last column. */
			if (i + 1 < t->columns)
				(void)printf("%*s", (int)(right ? 2 : lacks + 2), "");
		}
		(void)putchar('\n');
	}
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

int
cli_since(const char *text, int64_t *us)
{
	struct tm tm = { .tm_isdst = -1 };
	uint64_t seconds;
	int end = 0;

	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end) ==
		3 &&
	    end > 0 && text[end] == '\0') {
		tm.tm_year -= 1900;
		tm.tm_mon -= 1;
		*us = (int64_t)mktime(&tm) * 1000000;
		return 0;
	}
	if (cli_duration(text, &seconds) != 0)
		return -1;
	*us = ((int64_t)time(NULL) - (int64_t)seconds) * 1000000;
	return 0;
}
