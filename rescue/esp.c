#include "rescue/esp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"

#define PATH_LEN_MAX 4096u
#define COPY_LEN (64u * 1024)

/* Append the entry of directory `path` that is called `name` in any case.  0: none. */
static int
append_entry(char path[PATH_LEN_MAX], const char *name, size_t name_len)
{
	size_t len = strlen(path);
	struct dirent *e;
	DIR *d = opendir(path);
	int found = 0;

	if (d == NULL)
		return 0;
	while (!found && (e = readdir(d)) != NULL)
		if (strlen(e->d_name) == name_len &&
		    strncasecmp(e->d_name, name, name_len) == 0 &&
		    len + 1 + name_len < PATH_LEN_MAX) {
			path[len] = '/';
			memcpy(path + len + 1, e->d_name, name_len + 1);
			found = 1;
		}
	closedir(d);
	return found;
}

/* The file that "\EFI\..." is under `dir`; 0 if there is none. */
static int
find(const char *dir, const char *path, char out[PATH_LEN_MAX])
{
	size_t n;

	if (snprintf(out, PATH_LEN_MAX, "%s", dir) >= (int)PATH_LEN_MAX)
		return 0;
	while (*path != '\0') {
		path += strspn(path, "\\");
		n = strcspn(path, "\\");
		if (n == 0)
			break;
		if (n == 2 && memcmp(path, "..", 2) == 0)
			return 0;
		if (!append_entry(out, path, n))
			return 0;
		path += n;
	}
	return 1;
}

static int
is_file(const char *dir, const char *path)
{
	char full[PATH_LEN_MAX];
	struct stat st;

	return find(dir, path, full) && stat(full, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size > 0;
}

/* `\EFI\<vendor>\<name>`, if it is there. */
static void
take(const char *dir, const char *vendor, const char *name, const char *description,
    struct esp_loader out[ESP_LOADERS_MAX], unsigned *n)
{
	struct esp_loader *l = &out[*n];

	if (*n == ESP_LOADERS_MAX ||
	    snprintf(l->path, sizeof(l->path), "\\EFI\\%s\\%s", vendor, name) >=
		(int)sizeof(l->path) ||
	    !is_file(dir, l->path))
		return;
	snprintf(l->description, sizeof(l->description), "%s", description);
	++*n;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Each vendor's directory: its shim, which starts its GRUB; else its GRUB. */
static void
take_others(
    const char *dir, const char *efi, struct esp_loader out[ESP_LOADERS_MAX], unsigned *n)
{
	static const char *const names[] = { "shimx64.efi", "grubx64.efi",
		"systemd-bootx64.efi" };
	struct dirent **list = NULL;
	int count = scandir(efi, &list, NULL, by_name), i;
	unsigned k, before;

	for (i = 0; i < count; i++) {
		const char *v = list[i]->d_name;

		before = *n;
		for (k = 0; k < 3 && *n == before; k++)
			if (v[0] != '.' && strcasecmp(v, "BOOT") != 0 &&
			    strcasecmp(v, "Microsoft") != 0)
				take(dir, v, names[k], v, out, n);
		free(list[i]);
	}
	free(list);
}

unsigned
esp_loaders(const char *dir, struct esp_loader out[ESP_LOADERS_MAX])
{
	char efi[PATH_LEN_MAX];
	unsigned n = 0;

	take(dir, "Microsoft\\Boot", "bootmgfw.efi", "Windows Boot Manager", out, &n);
	if (find(dir, "\\EFI", efi))
		take_others(dir, efi, out, &n);
	return n;
}

/* ------------------------------------------------------------------ fallback -- */

static int
copy(int from, int to, struct err *err)
{
	static char buf[COPY_LEN];
	ssize_t n, put;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n; at += put)
			if ((put = write(to, buf + at, (size_t)(n - at))) < 0)
				return err_os(err, errno, "fallback loader");
	}
	if (n < 0 || fsync(to) != 0)
		return err_os(err, errno, "fallback loader");
	return 0;
}

/* A directory below `path`, made if it is not there; `path` becomes its. */
static int
enter(char path[PATH_LEN_MAX], const char *name, struct err *err)
{
	size_t len = strlen(path);

	if (append_entry(path, name, strlen(name)))
		return 0;
	if (len + 1 + strlen(name) >= PATH_LEN_MAX)
		return err_set(err, ERR_LIMIT, "fallback loader: too long a path");
	snprintf(path + len, PATH_LEN_MAX - len, "/%s", name);
	if (mkdir(path, 0755) != 0)
		return err_os(err, errno, "fallback loader: %s", name);
	return 0;
}

/* Written beside it and renamed: half a loader must never be found. */
static int
put(const char *from, char to[PATH_LEN_MAX], struct err *err)
{
	char half[PATH_LEN_MAX + 8];
	int in, out = -1, rc = -1;

	if (strlen(to) + 14 >= PATH_LEN_MAX)
		return err_set(err, ERR_LIMIT, "fallback loader: too long a path");
	snprintf(half, sizeof(half), "%s/HFAST.TMP", to);
	strcat(to, "/BOOTX64.EFI");
	if ((in = open(from, O_RDONLY | O_CLOEXEC)) < 0 ||
	    (out = open(half, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0)
		err_os(err, errno, "fallback loader");
	else
		rc = copy(in, out, err);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (rc == 0 && rename(half, to) != 0)
		rc = err_os(err, errno, "fallback loader");
	if (rc != 0 && out >= 0)
		unlink(half);
	return rc;
}

int
esp_fallback(const char *dir, const char *path, struct err *err)
{
	char from[PATH_LEN_MAX], to[PATH_LEN_MAX];

	if (is_file(dir, ESP_FALLBACK))
		return 0;
	if (!is_file(dir, path) || !find(dir, path, from))
		return err_set(
		    err, ERR_NOTFOUND, "fallback loader: there is no %.100s", path);
	snprintf(to, sizeof(to), "%s", dir);
	if (enter(to, "EFI", err) != 0 || enter(to, "BOOT", err) != 0 ||
	    put(from, to, err) != 0)
		return -1;
	return 1;
}
