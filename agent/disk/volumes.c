#include "agent/disk/volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "proto/base/err.h"

void
volumes_free(struct volumes *v)
{
	free(v);
}

/* -------------------------------------------------------------------- finding -- */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == '/' ? '\\' : c;
}

/* Equal in any case, either slash, with or without one at the end? */
static int
same_path(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	while (n > 0 && lower(a[n - 1]) == '\\')
		n--;
	while (m > 0 && lower(b[m - 1]) == '\\')
		m--;
	if (n != m || n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return 0;
	return 1;
}

/* `spec` without "\\.\" before a letter, and with "\\?\" before "Volume{". */
static int
is_called(const struct volumes_volume *v, const char *spec)
{
	const char *s = spec, *p;

	if (strlen(s) > 4 && lower(s[0]) == '\\' && lower(s[3]) == '\\')
		s += 4;
	if (s != spec && same_path(s, v->guid + 4))
		return 1;
	for (p = v->paths; *p != '\0'; p += strlen(p) + 1)
		if (same_path(s, p))
			return 1;
	return 0;
}

#define LABEL "label:"

int
volumes_is_spec(const char *spec)
{
	return strncmp(spec, LABEL, sizeof(LABEL) - 1) == 0;
}

int
volumes_is_name(const char *spec)
{
	const int drive =
	    ((spec[0] >= 'a' && spec[0] <= 'z') || (spec[0] >= 'A' && spec[0] <= 'Z')) &&
	    spec[1] == ':';

	if (volumes_is_spec(spec))
		return spec[sizeof(LABEL) - 1] != '\0';
	if (drive)
		return spec[2] == '\0' || lower(spec[2]) == '\\';
	/* "\\.\D:", "\\?\Volume{...}": no other of Windows' names is in a list. */
	return device_path_kind(spec) == DEVICE_VOLUME && strpbrk(spec, ":{") != NULL;
}

/* Labels are alike in any case, as Windows has it, of ASCII. */
static int
is_labelled(const struct volumes_volume *v, const char *label)
{
	const char *s = v->label;

	for (; *s != '\0' && *label != '\0'; s++, label++) {
		char a = *s, b = *label;

		if (a >= 'A' && a <= 'Z')
			a = (char)(a - 'A' + 'a');
		if (b >= 'A' && b <= 'Z')
			b = (char)(b - 'A' + 'a');
		if (a != b)
			return 0;
	}
	return *s == *label;
}

const char *
volumes_shown(const struct volumes_volume *v)
{
	return v->paths[0] != '\0' ? v->paths : v->label[0] != '\0' ? v->label : v->guid;
}

static int
several(const struct volumes *v, const char *spec, struct err *err)
{
	const char *label = spec + sizeof(LABEL) - 1;
	char names[128] = "";
	size_t n;

	for (unsigned i = 0; i < v->count; i++)
		if (is_labelled(&v->volumes[i], label)) {
			n = strlen(names);
			(void)snprintf(names + n, sizeof(names) - n, "%s%s",
			    n > 0 ? ", " : "",
			    v->volumes[i].paths[0] != '\0' ? v->volumes[i].paths
							   : v->volumes[i].guid);
		}
	return err_set(err, ERR_EXISTS,
	    "%s: several volumes have this label (%s): name one by letter or GUID", spec,
	    names);
}

int
volumes_find(const struct volumes *v, const char *spec, const struct volumes_volume **out,
    struct err *err)
{
	const char *label = volumes_is_spec(spec) ? spec + sizeof(LABEL) - 1 : NULL;
	unsigned found = 0;

	if (label != NULL && label[0] == '\0')
		return err_set(err, ERR_NOTFOUND, "label: which one? say label:NAME");
	for (unsigned i = 0; i < v->count; i++) {
		const struct volumes_volume *one = &v->volumes[i];

		if (label != NULL ? is_labelled(one, label) : is_called(one, spec)) {
			*out = one;
			found++;
		}
	}
	if (found > 1 && label != NULL)
		return several(v, spec, err);
	if (found == 0)
		return err_set(err, ERR_NOTFOUND,
		    "%s: no volume of this machine; see 'holdfast-agent volumes'", spec);
	return 0;
}

/*
 * A shadow copy's difference area has 320 MB at least, 32 MB where the volume has less
 * than 500 (and something is to be left), "MinDiffAreaFileSize" at
 * learn.microsoft.com/windows/win32/backup/registry-keys-for-backup-and-restore
 */
#define SMALL (500ull << 20)
#define SMALL_NEEDS (50ull << 20)
#define NEEDS (320ull << 20)
#define HIDDEN_MAX (2048ull << 20) /* No volume of that size is hidden for its data. */

int
volumes_freezable(const struct volumes_volume *v)
{
	if (strcmp(v->fs, "NTFS") != 0 && strcmp(v->fs, "ReFS") != 0 &&
	    strcmp(v->fs, "CSVFS") != 0)
		return 0;
	if (v->paths[0] != '\0' || v->boot || v->page_file || v->size == 0 ||
	    v->size > HIDDEN_MAX)
		return 1;
	return v->room >= (v->size < SMALL ? SMALL_NEEDS : NEEDS);
}

const struct volumes_extent *
volumes_piece(const struct volumes_volume *v)
{
	return v->extents_count == 1 ? &v->extents[0] : NULL;
}
