#include "rescue/nvram.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define ATTRIBUTES 7u /* Kept; seen by boot services and by the system. */
#define ATTRIBUTES_LEN 4u
#define ORDER_MAX 512u
#define NUMBERS 65536u

/* All that is looked up before anything is written. */
struct nvram {
	int dir;
	uint8_t used[NUMBERS / 8];
	uint8_t order[2 * ORDER_MAX]; /* BootOrder's value as it was. */
	size_t order_len;
	struct loadopt want[NVRAM_ENTRIES_MAX];
	uint16_t got[NVRAM_ENTRIES_MAX];
	int placed[NVRAM_ENTRIES_MAX];
	/* Others that start the same: they leave the order and are removed. */
	uint16_t twins[ORDER_MAX];
	unsigned twins_count;
};

static int
is_used(const struct nvram *v, unsigned n)
{
	return v->used[n / 8] >> n % 8 & 1;
}

static void
set_used(struct nvram *v, unsigned n)
{
	v->used[n / 8] |= (uint8_t)(1u << n % 8);
}

/* ---------------------------------------------------------------- variables -- */

/* The value of a variable, without its attributes; 0 if there is none. */
static int
read_value(
    int dir, const char *name, uint8_t *out, size_t room, size_t *len, struct err *err)
{
	uint8_t raw[ATTRIBUTES_LEN + LOADOPT_LEN_MAX + 1];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	*len = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_os(err, errno, "NVRAM: %.20s", name);
	do
		n = read(fd, raw, sizeof(raw));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		err_os(err, errno, "NVRAM: %.20s", name);
	close(fd);
	if (n < 0)
		return -1;
	if (n <= (ssize_t)ATTRIBUTES_LEN)
		return 0;
	if ((size_t)n - ATTRIBUTES_LEN > room)
		return err_set(
		    err, ERR_LIMIT, "NVRAM: %.20s is longer than %zu bytes", name, room);
	*len = (size_t)n - ATTRIBUTES_LEN;
	memcpy(out, raw + ATTRIBUTES_LEN, *len);
	return 0;
}

/* efivarfs guards variables against "rm -rf /" by this flag; elsewhere there is none. */
static void
make_mutable(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), flags = 0;

	if (fd < 0)
		return;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0) {
		flags &= ~FS_IMMUTABLE_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
}

/* The firmware takes a variable in one write() or not at all. */
static int
write_value(int dir, const char *name, const uint8_t *p, size_t len, struct err *err)
{
	uint8_t raw[ATTRIBUTES_LEN + LOADOPT_LEN_MAX];
	struct stat st;
	ssize_t n;
	int fd;

	store_le32(raw, ATTRIBUTES);
	memcpy(raw + ATTRIBUTES_LEN, p, len);
	make_mutable(dir, name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_os(err, errno, "NVRAM: %.20s", name);
	n = write(fd, raw, ATTRIBUTES_LEN + len);
	if (n != (ssize_t)(ATTRIBUTES_LEN + len)) {
		err_os(err, n < 0 ? errno : EIO, "NVRAM: %.20s", name);
		close(fd);
		return -1;
	}
	/* A directory that plays efivarfs keeps what was longer. */
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)(ATTRIBUTES_LEN + len))
		(void)!ftruncate(fd, (off_t)(ATTRIBUTES_LEN + len));
	close(fd);
	return 0;
}

static void
entry_name(uint16_t number, char out[64])
{
	snprintf(out, 64, "Boot%04X-" GLOBAL, number);
}

/* "Boot00A1-<global>": its number, or -1. */
static int
entry_number(const char *name)
{
	char digits[5], *end;
	unsigned long n;

	if (strlen(name) != 9 + strlen(GLOBAL) || strncmp(name, "Boot", 4) != 0 ||
	    strcasecmp(name + 8, "-" GLOBAL) != 0)
		return -1;
	memcpy(digits, name + 4, 4);
	digits[4] = '\0';
	n = strtoul(digits, &end, 16);
	return *end == '\0' && strspn(digits, "0123456789ABCDEFabcdef") == 4 ? (int)n
									     : -1;
}

/* ------------------------------------------------------------------- the old -- */

/* Whose place entry `number` must give up, if anybody's. */
static void
look_at(struct nvram *v, const char *name, uint16_t number, unsigned n)
{
	uint8_t raw[LOADOPT_LEN_MAX];
	struct err ignored = ERR_INIT;
	struct loadopt o;
	unsigned i, same = 0;
	size_t len;

	set_used(v, number);
	/* What cannot be understood is somebody's, and stays. */
	if (read_value(v->dir, name, raw, sizeof(raw), &len, &ignored) != 0 ||
	    loadopt_parse(raw, len, &o, &ignored) != 0)
		return;
	for (i = 0; i < n; i++) {
		if (!loadopt_same(&o, &v->want[i]))
			continue;
		same = 1;
		if (!v->placed[i]) {
			v->placed[i] = 1;
			v->got[i] = number;
			return;
		}
	}
	if (same && v->twins_count < ORDER_MAX)
		v->twins[v->twins_count++] = number;
}

static int
look_around(struct nvram *v, unsigned n, struct err *err)
{
	int fd = dup(v->dir), number;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		err_os(err, errno, "NVRAM");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(d)) != NULL)
		if ((number = entry_number(e->d_name)) >= 0)
			look_at(v, e->d_name, (uint16_t)number, n);
	closedir(d);
	/* If it cannot be read, writing it would lose what it holds. */
	if (read_value(v->dir, "BootOrder-" GLOBAL, v->order, sizeof(v->order),
		&v->order_len, err) != 0)
		return -1;
	v->order_len -= v->order_len % 2;
	return 0;
}

/* ------------------------------------------------------------------- the new -- */

static int
place(struct nvram *v, struct nvram_entry *entries, unsigned n, struct err *err)
{
	unsigned i, free_one = 0;

	for (i = 0; i < n; i++) {
		if (!v->placed[i] && !is_used(v, entries[i].number))
			v->got[i] = entries[i].number;
		else if (!v->placed[i]) {
			while (free_one < NUMBERS && is_used(v, free_one))
				free_one++;
			if (free_one == NUMBERS)
				return err_set(err, ERR_LIMIT, "NVRAM: no free entry");
			v->got[i] = (uint16_t)free_one;
		}
		set_used(v, v->got[i]);
		entries[i].number = v->got[i];
	}
	return 0;
}

static int
leaves_order(const struct nvram *v, uint16_t number, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (v->got[i] == number)
			return 1;
	for (i = 0; i < v->twins_count; i++)
		if (v->twins[i] == number)
			return 1;
	return 0;
}

static int
write_order(struct nvram *v, unsigned n, struct err *err)
{
	uint8_t order[2 * (ORDER_MAX + NVRAM_ENTRIES_MAX)];
	size_t len = 0, at;
	unsigned i;

	for (i = 0; i < n; i++, len += 2)
		store_le16(order + len, v->got[i]);
	for (at = 0; at < v->order_len; at += 2)
		if (!leaves_order(v, load_le16(v->order + at), n)) {
			memcpy(order + len, v->order + at, 2);
			len += 2;
		}
	return write_value(v->dir, "BootOrder-" GLOBAL, order, len, err);
}

/* Only now, when nothing refers to them. */
static void
remove_twins(struct nvram *v)
{
	char name[64];
	unsigned i;

	for (i = 0; i < v->twins_count; i++) {
		entry_name(v->twins[i], name);
		make_mutable(v->dir, name);
		(void)unlinkat(v->dir, name, 0);
	}
}

/* The first `n` are written, the order is not: what was not there before goes again. */
static void
take_back(struct nvram *v, unsigned n)
{
	char name[64];
	unsigned i;

	for (i = 0; i < n; i++) {
		entry_name(v->got[i], name);
		if (!v->placed[i])
			(void)unlinkat(v->dir, name, 0);
	}
}

static int
write_all(struct nvram *v, const struct nvram_entry *entries, unsigned n, struct err *err)
{
	char name[64];
	unsigned i;

	for (i = 0; i < n; i++) {
		entry_name(v->got[i], name);
		if (write_value(v->dir, name, entries[i].option, entries[i].len, err) !=
		    0) {
			take_back(v, i + 1);
			return -1;
		}
	}
	if (write_order(v, n, err) == 0)
		return 0;
	take_back(v, n);
	return -1;
}

static int
add(struct nvram *v, struct nvram_entry *entries, unsigned n, struct err *err)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (loadopt_parse(entries[i].option, entries[i].len, &v->want[i], err) !=
		    0)
			return -1;
	if (look_around(v, n, err) != 0 || place(v, entries, n, err) != 0)
		return -1;
	if (write_all(v, entries, n, err) != 0)
		return -1;
	remove_twins(v);
	return 0;
}

int
nvram_add(const char *dir, struct nvram_entry *entries, unsigned n, struct err *err)
{
	struct nvram *v;
	int rc;

	if (n > NVRAM_ENTRIES_MAX)
		return err_set(err, ERR_LIMIT, "NVRAM: %u entries at once", n);
	if (n == 0)
		return 0;
	if ((v = calloc(1, sizeof(*v))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	v->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->dir < 0) {
		rc = err_os(err, errno, "NVRAM: %s", dir);
	} else {
		rc = add(v, entries, n, err);
		close(v->dir);
	}
	free(v);
	return rc;
}
