#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/volumes.h"
#include "agent/host/settings.h"
#include "proto/base/err.h"

/* STORAGE_BUS_TYPE of what is a guest at this machine. */
enum { BUS_1394 = 4, BUS_USB = 7, BUS_SD = 12, BUS_MMC = 13, BUS_FILE = 15 };

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* ---------------------------------------------------------------------- words -- */

/* The next of words parted by commas; 0 behind the last, -1: too long. */
static int
next_word(const char **at, char out[SETTINGS_PATH_MAX])
{
	const char *s = *at + strspn(*at, ", \t");
	size_t n = strcspn(s, ",");

	*at = s + n;
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	if (n >= SETTINGS_PATH_MAX)
		return -1;
	memcpy(out, s, n);
	out[n] = '\0';
	return n > 0;
}

/* The volume that is not to be read: 1; 0: the word is of none here; -1. */
static int
find_excluded(const struct volumes *v, const char *word,
    const struct volumes_volume **out, struct err *err)
{
	if (volumes_find(v, word, out, err) == 0)
		return 1;
	if (err->code != ERR_NOTFOUND || !volumes_is_name(word))
		return err_context(err, "exclude");
	err_clear(err);
	return 0;
}

int
volumes_listed(const struct volumes *v, const char *words,
    const struct volumes_volume *volume, struct err *err)
{
	const struct volumes_volume *one;
	char word[SETTINGS_PATH_MAX];
	int found = 0, rc, is;

	while ((rc = next_word(&words, word)) > 0) {
		if ((is = find_excluded(v, word, &one, err)) < 0)
			return -1;
		found |= is && one == volume;
	}
	return rc < 0 ? err_set(err, ERR_LIMIT, "a word is too long") : found;
}

/* "C:\ is ..."; whole, or the note's end says that there was more. */
static void
add_note(struct settings *s, const char *who, const char *what)
{
	size_t n = strlen(s->note), more = strlen(who) + strlen(what) + 3;

	if (n + more + 4 < sizeof(s->note))
		(void)snprintf(s->note + n, sizeof(s->note) - n, "%s%s %s",
		    n > 0 ? "; " : "", who, what);
	else if (n < 3 || strcmp(s->note + n - 3, "...") != 0)
		strcpy(s->note + n, "...");
}

/*
 * A stick that is not plugged in is no reason to back up nothing; a slip may be one.  With
 * `say` it is noted, behind all that is left out indeed: a note has little room.
 */
static int
look_at_excluded(const struct volumes *v, struct settings *s, int say, struct err *err)
{
	const struct volumes_volume *one;
	const char *words = s->exclude;
	char word[SETTINGS_PATH_MAX];
	int rc, is;

	while ((rc = next_word(&words, word)) > 0) {
		if ((is = find_excluded(v, word, &one, err)) < 0)
			return -1;
		if (!is && say)
			add_note(s, word, "is excluded, and no volume of this machine");
	}
	return rc < 0 ? err_set(err, ERR_LIMIT, "exclude: a word is too long") : 0;
}

/* ---------------------------------------------------------------------- names -- */

static int
letter_of(const struct volumes_volume *v)
{
	const char *p;

	for (p = v->paths; *p != '\0'; p += strlen(p) + 1)
		if (strlen(p) == 3 && p[1] == ':' && strchr(LETTERS, p[0]) != NULL)
			return p[0];
	return 0;
}

/* The last part of "C:\mnt\data\", "data". */
static void
last_part(const char *path, char *out, size_t cap)
{
	size_t end = strlen(path), from;

	while (end > 0 && path[end - 1] == '\\')
		end--;
	for (from = end; from > 0 && path[from - 1] != '\\';)
		from--;
	(void)snprintf(out, cap, "%.*s", (int)(end - from), path + from);
}

void
volumes_name(const struct volumes_volume *v, char out[LAYOUT_NAME_MAX])
{
	int letter = letter_of(v);

	out[0] = '\0';
	if (letter != 0)
		(void)snprintf(out, LAYOUT_NAME_MAX, "%c", letter);
	else if (v->paths[0] != '\0')
		last_part(v->paths, out, LAYOUT_NAME_MAX);
	else
		(void)snprintf(out, LAYOUT_NAME_MAX, "%.40s", v->label);
	for (char *p = out; *p != '\0'; p++)
		if (strchr(LETTERS "0123456789._-", *p) == NULL)
			*p = '_';
	/* "\\?\Volume{" and the first of its GUID. */
	if (out[0] == '\0' || out[strspn(out, "_")] == '\0')
		(void)snprintf(out, LAYOUT_NAME_MAX, "volume-%.8s",
		    strlen(v->guid) > 11 ? v->guid + 11 : "");
}

/* ------------------------------------------------------------------ selection -- */

static int
taken(const struct settings *s, const char *name)
{
	const struct settings_volume *v;

	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++)
		if (strcmp(v->name, name) == 0)
			return 1;
	return 0;
}

static int
locked(const struct volumes_volume *v, struct err *err)
{
	if (v->bitlocker != VOLUMES_LOCKED)
		return 0;
	return err_set(err, ERR_DENIED,
	    "%s is locked by BitLocker: unlock it, or leave it out (exclude)",
	    volumes_shown(v));
}

static int
readable(struct settings *s, const struct volumes_volume *v, struct err *err)
{
	if (locked(v, err) != 0)
		return -1;
	if (v->bitlocker == VOLUMES_UNLOCKED)
		add_note(
		    s, volumes_shown(v), "is encrypted by BitLocker, its image is not");
	return 0;
}

static int
add_volume(struct settings *s, const struct volumes_volume *v, struct err *err)
{
	char name[LAYOUT_NAME_MAX], spec[LAYOUT_NAME_MAX + 80];
	size_t n;

	if (readable(s, v, err) != 0)
		return -1;
	volumes_name(v, name);
	n = strlen(name);
	if (n > 50)
		name[n = 50] = '\0';
	/* Two with one name: the GUID parts them, the same every day. */
	if (taken(s, name))
		(void)snprintf(name + n, sizeof(name) - n, "-%.8s",
		    strlen(v->guid) > 11 ? v->guid + 11 : "");
	(void)snprintf(spec, sizeof(spec), "%s=%s", name, v->guid);
	return settings_add(s, spec, err);
}

static const struct volumes_disk *
disk_numbered(const struct volumes *v, uint32_t number)
{
	for (unsigned i = 0; i < v->disks_count; i++)
		if (v->disks[i].number == number)
			return &v->disks[i];
	return NULL;
}

/* Does Windows or the firmware start from it? */
static int
is_home(const struct volumes *v, const struct volumes_disk *d)
{
	for (unsigned i = 0; i < v->count; i++) {
		const struct volumes_volume *one = &v->volumes[i];

		for (unsigned k = 0; k < one->extents_count; k++)
			if (one->extents[k].disk == d->number &&
			    (one->boot || one->system || one->page_file))
				return 1;
	}
	return 0;
}

static int
is_guest(const struct volumes *v, const struct volumes_disk *d)
{
	return (d->removable || d->bus == BUS_USB || d->bus == BUS_1394 ||
		   d->bus == BUS_SD || d->bus == BUS_MMC || d->bus == BUS_FILE) &&
	       !is_home(v, d);
}

/* Why a disk's table and gaps are not in the point; NULL: they are. */
static const char *
why_not(const struct volumes *v, const struct volumes_disk *d)
{
	return d->offline	? "is offline: nothing of it is backed up"
	       : is_guest(v, d) ? "is removable, external or an image: left out"
	       : d->unreadable	? "cannot be read: left out"
	       : d->pool	? "belongs to a storage pool, which is not laid out again"
	       : d->dynamic	? "is dynamic: its volumes are backed up, it is not laid "
				  "out again"
	       : d->table == LAYOUT_NO_TABLE
		   ? "has no partition table: only its volumes are backed up"
		   : NULL;
}

/* Volumes on the disk: how many, and how many of them are left out. */
static int
count_left_out(const struct volumes *v, const struct settings *s,
    const struct volumes_disk *d, unsigned *all, unsigned *out, struct err *err)
{
	const struct volumes_extent *piece;
	int rc;

	*all = *out = 0;
	for (unsigned i = 0; i < v->count; i++) {
		piece = volumes_piece(&v->volumes[i]);
		if (piece == NULL || piece->disk != d->number)
			continue;
		if ((rc = volumes_listed(v, s->exclude, &v->volumes[i], err)) < 0)
			return -1;
		++*all;
		*out += (unsigned)rc;
	}
	return 0;
}

static int
add_disk(const struct volumes *v, struct settings *s, const struct volumes_disk *d,
    uint8_t *whole, struct err *err)
{
	const char *why = why_not(v, d);
	unsigned all, out;
	char name[16], spec[64];

	(void)snprintf(name, sizeof(name), "disk%lu", (unsigned long)d->number);
	if (d->unreadable && is_home(v, d))
		return err_set(err, ERR_IO, "%s: %s", name, d->note);
	if (why != NULL) {
		add_note(s, name, why);
		return 0;
	}
	if (count_left_out(v, s, d, &all, &out, err) != 0)
		return -1;
	if (all > 0 && out == all)
		return 0;
	*whole = 1;
	(void)snprintf(spec, sizeof(spec), "%s=\\\\.\\PhysicalDrive%lu", name,
	    (unsigned long)d->number);
	return settings_add_disk(s, spec, err);
}

/* A volume that is no piece of a disk that is read: by itself, unless it is a guest. */
static int
add_alone(const struct volumes *v, struct settings *s, const struct volumes_volume *one,
    struct err *err)
{
	const struct volumes_disk *d;

	if (!one->fixed)
		return 0;
	for (unsigned k = 0; k < one->extents_count; k++) {
		d = disk_numbered(v, one->extents[k].disk);
		if (d != NULL && (d->offline || is_guest(v, d)))
			return 0;
	}
	if (locked(one, err) != 0)
		return -1;
	if (one->size > 0 && one->extents_count > 0)
		return add_volume(s, one, err);
	add_note(s, volumes_shown(one), "does not say how long it is or where: left out");
	return 0;
}

static int
select_all(const struct volumes *v, struct settings *s, struct err *err)
{
	uint8_t whole[VOLUMES_DISKS_MAX] = { 0 };
	int out;

	for (unsigned i = 0; i < v->disks_count; i++)
		if (add_disk(v, s, &v->disks[i], &whole[i], err) != 0)
			return -1;
	for (unsigned i = 0; i < v->count; i++) {
		const struct volumes_volume *one = &v->volumes[i];
		const struct volumes_extent *piece = volumes_piece(one);
		const struct volumes_disk *d =
		    piece != NULL ? disk_numbered(v, piece->disk) : NULL;

		if ((out = volumes_listed(v, s->exclude, one, err)) < 0)
			return -1;
		if (out && (d == NULL || !whole[d - v->disks]))
			add_note(s, volumes_shown(one), "is left out");
		else if (out)
			continue; /* Capture says so, and what BitLocker decrypts. */
		else if ((d != NULL && whole[d - v->disks]
				 ? locked(one, err)
				 : add_alone(v, s, one, err)) != 0)
			return -1;
	}
	if (s->count + s->disks_count == 0)
		return err_set(err, ERR_NOTFOUND,
		    "no disk or volume to back up; see 'holdfast-agent volumes'");
	return 0;
}

static int
select_words(const struct volumes *v, struct settings *s, struct err *err)
{
	const struct volumes_volume *one;
	const char *words = s->include;
	char word[SETTINGS_PATH_MAX];
	int rc, out;

	while ((rc = next_word(&words, word)) > 0) {
		if (strcmp(word, "all") == 0)
			return err_set(err, ERR_CORRUPT,
			    "'all' stands alone, not among other words");
		if (volumes_find(v, word, &one, err) != 0 ||
		    (out = volumes_listed(v, s->exclude, one, err)) < 0)
			return -1;
		if (out)
			return err_set(err, ERR_EXISTS,
			    "%s is both included and excluded", volumes_shown(one));
		if (add_volume(s, one, err) != 0)
			return -1;
	}
	return rc < 0 ? err_set(err, ERR_LIMIT, "a word is too long") : 0;
}

/* A path that names a volume in a way that only the list understands, or a locked one. */
static int
resolve(const struct volumes *v, struct settings *s, struct settings_volume *of,
    struct err *err)
{
	const struct volumes_volume *one;
	struct err none = ERR_INIT;

	if (volumes_find(v, of->path, &one, volumes_is_spec(of->path) ? err : &none) != 0)
		return volumes_is_spec(of->path) ? -1 : 0;
	if (readable(s, one, err) != 0)
		return -1;
	if (device_path_kind(of->path) == DEVICE_FILE)
		(void)snprintf(of->path, sizeof(of->path), "%s", one->guid);
	return 0;
}

static int
select_what(const struct volumes *v, struct settings *s, struct err *err)
{
	unsigned named = s->count + s->disks_count;

	for (unsigned i = 0; i < s->count; i++)
		if (resolve(v, s, &s->volumes[i], err) != 0)
			return err_context(err, "volume %s", s->volumes[i].name);
	if (s->include[0] == '\0' && named > 0)
		return 0;
	if (s->include[0] == '\0' || strcmp(s->include, "all") == 0)
		return select_all(v, s, err);
	return select_words(v, s, err) != 0 ? err_context(err, "include") : 0;
}

int
volumes_select(const struct volumes *v, struct settings *s, struct err *err)
{
	return look_at_excluded(v, s, 0, err) == 0 && select_what(v, s, err) == 0 &&
		       look_at_excluded(v, s, 1, err) == 0
		   ? 0
		   : -1;
}

int
volumes_wanted(const struct settings *s)
{
	return s->count + s->disks_count > 0 || s->include[0] != '\0' || volumes_known();
}

/* Can it be read only with the help of the list? */
static int
needs_list(const char *path)
{
	size_t n = strlen(path);

	return volumes_is_spec(path) || device_path_kind(path) != DEVICE_FILE ||
	       (n > 0 && path[n - 1] == '\\');
}

int
volumes_choose(struct settings *s, struct err *err)
{
	int needed = s->include[0] != '\0' || s->exclude[0] != '\0' ||
		     s->count + s->disks_count == 0;
	struct volumes *v = NULL;
	int rc;

	s->note[0] = '\0';
	for (unsigned i = 0; i < s->count; i++)
		needed |= needs_list(s->volumes[i].path);
	if (!needed)
		return 0;
	if (volumes_list(&v, err) != 0)
		return -1;
	rc = volumes_select(v, s, err);
	volumes_free(v);
	return rc;
}
