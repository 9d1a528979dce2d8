#include <stdio.h>
#include <string.h>

#include "agent/disk/device.h"
#include "proto/base/err.h"

static int
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int
is_slash(char c)
{
	return c == '\\' || c == '/';
}

/* Begins `s` with `word` in any case?  What is behind it, or NULL. */
static const char *
behind(const char *s, const char *word)
{
	for (; *word != '\0'; s++, word++) {
		char a = *s, b = *word;

		if (a >= 'A' && a <= 'Z')
			a = (char)(a - 'A' + 'a');
		if (b >= 'A' && b <= 'Z')
			b = (char)(b - 'A' + 'a');
		if (a == '/')
			a = '\\';
		if (a != b)
			return NULL;
	}
	return s;
}

static int
digits(const char *s)
{
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

/* Nothing, or one slash. */
static int
ends(const char *s)
{
	return s[0] == '\0' || (is_slash(s[0]) && s[1] == '\0');
}

/* Behind "\\.\", "\\?\", "\??\", or NULL: of either slash. */
static const char *
in_namespace(const char *path)
{
	const char *s = behind(path, "\\\\.\\");

	if (s == NULL)
		s = behind(path, "\\\\?\\");
	/* Not "??\" at once: C's trigraphs. */
	if (s == NULL)
		s = behind(path, "\\?\?\\");
	return s;
}

enum device_kind
device_path_kind(const char *path)
{
	const char *s = in_namespace(path), *t;

	if (is_letter(path[0]) && path[1] == ':' && ends(path + 2))
		return DEVICE_VOLUME;
	if (s == NULL)
		return DEVICE_FILE;
	if (is_letter(s[0]) && s[1] == ':' && ends(s + 2))
		return DEVICE_VOLUME;
	if ((t = behind(s, "PhysicalDrive")) != NULL && digits(t))
		return DEVICE_DISK;
	if ((t = behind(s, "HarddiskVolume")) != NULL && digits(t))
		return DEVICE_VOLUME;
	if ((t = behind(s, "Volume{")) != NULL)
		return (t = strchr(t, '}')) != NULL && ends(t + 1) ? DEVICE_VOLUME
								   : DEVICE_FILE;
	if ((t = behind(s, "GLOBALROOT\\Device\\")) == NULL)
		return DEVICE_FILE;
	if ((s = behind(t, "HarddiskVolumeShadowCopy")) != NULL)
		return digits(s) ? DEVICE_SNAPSHOT : DEVICE_FILE;
	if ((s = behind(t, "HarddiskVolume")) != NULL)
		return digits(s) ? DEVICE_VOLUME : DEVICE_FILE;
	/* Harddisk0\Partition2; Partition0 is the whole disk. */
	if ((s = behind(t, "Harddisk")) == NULL)
		return DEVICE_FILE;
	s += strspn(s, "0123456789");
	if ((s = behind(s, "\\Partition")) == NULL || !digits(s))
		return DEVICE_FILE;
	return strcmp(s, "0") == 0 ? DEVICE_DISK : DEVICE_VOLUME;
}

int
device_path(const char *path, char *out, size_t cap, struct err *err)
{
	const char *s = in_namespace(path);
	size_t n;

	if (device_path_kind(path) == DEVICE_FILE)
		n = (size_t)snprintf(out, cap, "%s", path);
	else if (s == NULL)
		n = (size_t)snprintf(out, cap, "\\\\.\\%c:", path[0]);
	else
		n = (size_t)snprintf(
		    out, cap, "\\\\%c\\%s", path[1] == '?' ? '?' : path[2], s);
	if (n >= cap)
		return err_set(err, ERR_LIMIT, "path too long: %.100s", path);
	if (device_path_kind(path) == DEVICE_FILE)
		return 0;
	for (char *p = out; *p != '\0'; p++)
		if (*p == '/')
			*p = '\\';
	if (out[n - 1] == '\\')
		out[n - 1] = '\0';
	return 0;
}
