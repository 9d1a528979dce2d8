#include "agent/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

#define MACHINE_CONTEXT "holdfast 2026-11 machine id"
#define MACHINE_FILE "/etc/machine-id"
#define KEY_DER_MAX 1024

struct state {
	char *dir;
	int dir_fd;
	int lock_fd;			 /* -1: not locked. */
	char address[STATE_ADDRESS_MAX]; /* "": the one in the file. */
	int socket_buffer;
};

int
state_open(const char *dir, struct state **out, struct err *err)
{
	struct state *st;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "state directory %s", dir);
	if ((st = calloc(1, sizeof(*st))) == NULL || (st->dir = strdup(dir)) == NULL) {
		free(st);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	st->lock_fd = -1;
	st->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (st->dir_fd < 0) {
		err_os(err, errno, "state directory %s", dir);
		state_close(st);
		return -1;
	}
	*out = st;
	return 0;
}

void
state_close(struct state *st)
{
	if (st == NULL)
		return;
	if (st->dir_fd >= 0)
		close(st->dir_fd);
	if (st->lock_fd >= 0)
		close(st->lock_fd);
	free(st->dir);
	free(st);
}

const char *
state_dir(const struct state *st)
{
	return st->dir;
}

int
state_lock(struct state *st, struct err *err)
{
	if (st->lock_fd >= 0)
		return 0;
	st->lock_fd = openat(st->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (st->lock_fd < 0)
		return err_os(err, errno, "%s/lock", st->dir);
	if (flock(st->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		err_set(err, ERR_BUSY,
		    "%s: busy: another holdfast-agent is already at work with it",
		    st->dir);
	else
		err_os(err, errno, "%s/lock", st->dir);
	close(st->lock_fd);
	st->lock_fd = -1;
	return -1;
}

int
state_path(const struct state *st, const char *name, char *out, struct err *err)
{
	if (snprintf(out, STATE_PATH_MAX, "%s/%s", st->dir, name) >= STATE_PATH_MAX)
		return err_set(err, ERR_LIMIT, "%s: path too long", st->dir);
	return 0;
}

/* All that `fd` holds. */
static int
read_all(int fd, struct buf *out, struct err *err)
{
	uint8_t *p;
	ssize_t n;

	buf_clear(out);
	for (;;) {
		if ((p = buf_room(out, 4096, err)) == NULL)
			return -1;
		n = read(fd, p, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(err, errno, "read");
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
}

int
state_read(const struct state *st, const char *name, struct buf *out, struct err *err)
{
	int fd, rc;

	fd = openat(st->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_os(err, errno, "%s/%s", st->dir, name);
	rc = read_all(fd, out, err);
	close(fd);
	return rc == 0 ? 1 : err_context(err, "%s/%s", st->dir, name);
}

static int
write_all(int fd, const uint8_t *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
state_write(const struct state *st, const char *name, const void *p, size_t len,
    unsigned mode, struct err *err)
{
	char temp[128];
	int fd, os;

	if (snprintf(temp, sizeof(temp), "%s.tmp", name) >= (int)sizeof(temp))
		return err_set(err, ERR_LIMIT, "%s: name too long", name);
	unlinkat(st->dir_fd, temp, 0);
	fd = openat(st->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_os(err, errno, "%s/%s", st->dir, temp);
	os = write_all(fd, p, len) != 0 || fsync(fd) != 0 ? errno : 0;
	if (close(fd) != 0 && os == 0)
		os = errno;
	if (os == 0 && renameat(st->dir_fd, temp, st->dir_fd, name) != 0)
		os = errno;
	if (os == 0 && fsync(st->dir_fd) != 0)
		os = errno;
	if (os == 0)
		return 0;
	unlinkat(st->dir_fd, temp, 0);
	return err_os(err, os, "%s/%s", st->dir, name);
}

int
state_remove(const struct state *st, const char *name, struct err *err)
{
	if (unlinkat(st->dir_fd, name, 0) != 0 && errno != ENOENT)
		return err_os(err, errno, "%s/%s", st->dir, name);
	return 0;
}

/* The key in file `name`; made and kept first if there is none. */
static int
key_in(const struct state *st, const char *name, struct cert_key **out, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	uint8_t der[KEY_DER_MAX];
	struct cert_key *key = NULL;
	size_t len;
	int rc = -1, found;

	if ((found = state_read(st, name, &file, err)) < 0)
		goto out;
	if (found) {
		rc = cert_key_load(file.p, file.len, out, err);
		if (rc != 0)
			err_context(err, "%s/%s", st->dir, name);
		goto out;
	}
	if (cert_key_new(&key, err) != 0 ||
	    cert_key_save(key, der, sizeof(der), &len, err) != 0)
		goto out;
	rc = state_write(st, name, der, len, 0600, err);
	memset(der, 0, sizeof(der));
	if (rc == 0) {
		*out = key;
		key = NULL;
	}
out:
	if (file.p != NULL)
		memset(file.p, 0, file.len);
	buf_free(&file);
	cert_key_free(key);
	return rc;
}

int
state_key(const struct state *st, struct cert_key **out, struct err *err)
{
	return key_in(st, "key", out, err);
}

int
state_next_key(const struct state *st, struct cert_key **out, struct err *err)
{
	return key_in(st, "key.next", out, err);
}

int
state_take_next_key(const struct state *st, struct err *err)
{
	if (renameat(st->dir_fd, "key.next", st->dir_fd, "key") != 0 ||
	    fsync(st->dir_fd) != 0)
		return err_os(err, errno, "%s/key", st->dir);
	return 0;
}

/* A certificate file: 1, 0 if there is none, -1. */
static int
read_cert(const struct state *st, const char *name, struct cert *out, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, name, &file, err);
	if (found == 1 && file.len > sizeof(out->der))
		found = err_set(err, ERR_CORRUPT, "%s/%s: too long", st->dir, name);
	if (found == 1) {
		memcpy(out->der, file.p, file.len);
		out->len = file.len;
	}
	buf_free(&file);
	return found;
}

static int
read_address(const struct state *st, char out[STATE_ADDRESS_MAX], struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, "server", &file, err);
	if (found == 1 && file.len >= STATE_ADDRESS_MAX)
		found = err_set(err, ERR_CORRUPT, "%s/server: too long", st->dir);
	if (found == 1) {
		memcpy(out, file.p, file.len);
		out[file.len] = '\0';
		out[strcspn(out, "\r\n")] = '\0';
	}
	buf_free(&file);
	return found;
}

int
state_identity(const struct state *st, struct state_identity *out, struct err *err)
{
	struct cert_key *key = NULL;
	int found;

	memset(out, 0, sizeof(*out));
	if ((found = read_cert(st, "cert", &out->me.cert, err)) != 1 ||
	    (found = read_cert(st, "ca", &out->ca, err)) != 1 ||
	    (found = read_address(st, out->address, err)) != 1)
		return found;
	if (cert_facts_of(&out->me.cert, &out->facts, err) != 0)
		return err_context(err, "%s/cert", st->dir);
	if (state_key(st, &key, err) != 0)
		return -1;
	out->me.key = key;
	if (st->address[0] != '\0')
		strcpy(out->address, st->address);
	return 1;
}

int
state_override_address(struct state *st, const char *address, struct err *err)
{
	if (strlen(address) >= sizeof(st->address))
		return err_set(err, ERR_LIMIT, "address %.40s...: too long", address);
	strcpy(st->address, address);
	return 0;
}

void
state_set_socket_buffer(struct state *st, int bytes)
{
	st->socket_buffer = bytes;
}

int
state_socket_buffer(const struct state *st)
{
	return st->socket_buffer;
}

void
state_identity_free(struct state_identity *id)
{
	cert_key_free((struct cert_key *)id->me.key);
	id->me.key = NULL;
}

int
state_enrolled(const struct state *st, const struct cert *cert, const struct cert *ca,
    const char *address, struct err *err)
{
	struct cert *before = calloc(1, sizeof(*before));
	int found;

	if (before == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	found = read_cert(st, "ca", before, err);
	if (found == 1 && before->len == ca->len &&
	    memcmp(before->der, ca->der, ca->len) == 0)
		found = 2;
	free(before);
	if (found < 0 || (found == 1 && (state_remove(st, "head", err) != 0 ||
					    state_remove(st, "journal", err) != 0)))
		return -1;
	/* The certificate comes last: with it the agent counts as enrolled. */
	if (state_write(st, "ca", ca->der, ca->len, 0644, err) != 0 ||
	    state_write(st, "server", address, strlen(address), 0644, err) != 0 ||
	    state_write(st, "cert", cert->der, cert->len, 0644, err) != 0)
		return -1;
	return 0;
}

/* A file of exactly `len` bytes: 1, or 0 if there is none such, or -1. */
static int
read_exactly(
    const struct state *st, const char *name, uint8_t *out, size_t len, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, name, &file, err);
	if (found == 1 && file.len != len)
		found = 0;
	if (found == 1)
		memcpy(out, file.p, len);
	buf_free(&file);
	return found;
}

int
state_head(const struct state *st, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	return read_exactly(st, "head", out, STATE_HASH_LEN, err);
}

int
state_set_head(
    const struct state *st, const uint8_t head[STATE_HASH_LEN], struct err *err)
{
	return state_write(st, "head", head, STATE_HASH_LEN, 0600, err);
}

int
state_journal(const struct state *st, uint8_t out[STATE_JOURNAL_LEN], struct err *err)
{
	return read_exactly(st, "journal", out, STATE_JOURNAL_LEN, err);
}

int
state_set_journal(
    const struct state *st, const uint8_t journal[STATE_JOURNAL_LEN], struct err *err)
{
	return state_write(st, "journal", journal, STATE_JOURNAL_LEN, 0600, err);
}

/* The id in one file: 1, or 0 if there is none in it, or -1. */
static int
machine_id(const char *path, struct buf *id, struct err *err)
{
	int fd, rc;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_os(err, errno, "machine id %s", path);
	}
	buf_clear(id);
	rc = read_all(fd, id, err);
	close(fd);
	if (rc != 0)
		return err_context(err, "machine id %s", path);
	while (id->len > 0 && (id->p[id->len - 1] == '\n' || id->p[id->len - 1] == ' '))
		id->len--;
	return id->len > 0;
}

int
state_machine(const char *path, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	static const char *const places[] = { MACHINE_FILE, "/var/lib/dbus/machine-id",
		"/sys/class/dmi/id/product_uuid" };
	struct buf id = BUF_INIT(STATE_FILE_MAX);
	int found = 0;

	if (path != NULL)
		found = machine_id(path, &id, err);
	else
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && found == 0;
		     i++)
			found = machine_id(places[i], &id, err);
	if (found == 1)
		blake3_derive_key(MACHINE_CONTEXT, id.p, id.len, out, STATE_HASH_LEN);
	else if (found == 0)
		(void)err_set(err, ERR_NOTFOUND,
		    "machine id %s: missing or empty; name another file by --machine-id",
		    path != NULL ? path : MACHINE_FILE);
	buf_free(&id);
	return found == 1 ? 0 : -1;
}
