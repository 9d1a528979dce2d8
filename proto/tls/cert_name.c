#include "proto/tls/cert_name.h"

#include <stdio.h>
#include <string.h>

#include <mbedtls/oid.h>

#include "proto/base/err.h"

static const char *const role_names[] = { "nobody", "agent", "viewer", "restorer",
	"admin", "rescue", "server", "ca" };

#define ROLES (sizeof(role_names) / sizeof(role_names[0]))

const char *
cert_role_name(enum cert_role role)
{
	return (size_t)role < ROLES ? role_names[role] : "unknown";
}

int
cert_role_parse(const char *name, enum cert_role *out)
{
	size_t i;

	for (i = 0; i < ROLES; i++) {
		if (strcmp(name, role_names[i]) == 0) {
			*out = (enum cert_role)i;
			return 0;
		}
	}
	return -1;
}

int
cert_name_check(const char *name, struct err *err)
{
	static const char may[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-";
	size_t n = strlen(name), good = strspn(name, may);

	if (n == 0)
		return err_set(err, ERR_LIMIT, "an empty name");
	if (n >= CERT_NAME_MAX)
		return err_set(err, ERR_LIMIT,
		    "a name of %zu characters, at most %d are allowed", n,
		    CERT_NAME_MAX - 1);
	if (good != n)
		return err_set(err, ERR_LIMIT,
		    "character %zu of the name is none of letters, digits, '.', '_' and "
		    "'-'",
		    good + 1);
	return 0;
}

int
cert_name_part(
    const mbedtls_x509_name *name, enum cert_part part, char out[CERT_NAME_MAX])
{
	static const char *const oids[] = { MBEDTLS_OID_AT_ORGANIZATION,
		MBEDTLS_OID_AT_ORG_UNIT, MBEDTLS_OID_AT_CN };
	int found = 0;
	size_t i;

	for (; name != NULL; name = name->next) {
		if (name->oid.len != strlen(oids[part]) ||
		    memcmp(name->oid.p, oids[part], name->oid.len) != 0)
			continue;
		if (found++ || name->val.len == 0 || name->val.len >= CERT_NAME_MAX)
			return -1;
		for (i = 0; i < name->val.len; i++) {
			if (name->val.p[i] < 0x20 || name->val.p[i] > 0x7e)
				return -1;
		}
		memcpy(out, name->val.p, name->val.len);
		out[name->val.len] = '\0';
	}
	return found ? 0 : -1;
}

/* Days from 1970-01-01 in the Gregorian calendar, whose 400 years repeat. */
static int64_t
days_of(int64_t year, int month, int day)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304,
		334 };
	int64_t y = year - 1;
	int64_t days = 365 * y + y / 4 - y / 100 + y / 400;
	int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	days += before[month - 1] + (leap && month > 2) + day - 1;
	return days - 719162; /* From 0001-01-01 to 1970-01-01. */
}

int64_t
cert_time_seconds(const mbedtls_x509_time *t)
{
	int month = t->mon < 1 ? 1 : t->mon > 12 ? 12 : t->mon;

	return days_of(t->year < 1 ? 1 : t->year, month, t->day) * 86400 +
	       t->hour * 3600 + t->min * 60 + t->sec;
}

static void
day_of(int64_t days, int *year, int *month, int *day)
{
	int64_t y = 1970 + days / 366; /* Never too late. */

	while (days_of(y + 1, 1, 1) <= days)
		y++;
	*month = 12;
	while (days_of(y, *month, 1) > days)
		(*month)--;
	*day = (int)(days - days_of(y, *month, 1)) + 1;
	*year = (int)y;
}

void
cert_time_text(int64_t seconds, char out[CERT_TIME_TEXT])
{
	int y, m, d, in_day;

	if (seconds < 0)
		seconds = 0;
	if (seconds > CERT_TIME_MAX)
		seconds = CERT_TIME_MAX;
	day_of(seconds / 86400, &y, &m, &d);
	in_day = (int)(seconds % 86400);
	(void)snprintf(out, CERT_TIME_TEXT, "%04u%02u%02u%02u%02u%02u",
	    (unsigned)y % 10000u, (unsigned)m % 100u, (unsigned)d % 100u,
	    (unsigned)in_day / 3600 % 100u, (unsigned)in_day / 60 % 60,
	    (unsigned)in_day % 60);
}

void
cert_time_day(int64_t seconds, char out[CERT_TIME_TEXT])
{
	char all[CERT_TIME_TEXT];

	cert_time_text(seconds, all);
	(void)snprintf(out, CERT_TIME_TEXT, "%.4s-%.2s-%.2s", all, all + 4, all + 6);
}
