#include "server/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX (2 * CERT_DER_MAX)

static int
path_of(const char *dir, const char *name, char *out, size_t cap, struct err *err)
{
	if (snprintf(out, cap, "%s/%s", dir, name) >= (int)cap)
		return err_set(err, ERR_LIMIT, "%.100s...: the name is too long", dir);
	return 0;
}

/* Whole or not at all, and on disk when it returns. */
static int
write_file(const char *dir, const char *name, const void *p, size_t len, mode_t mode,
    struct err *err)
{
	char path[600], fresh[620];
	const char *at = p;
	int fd;

	if (path_of(dir, name, path, sizeof(path), err) != 0)
		return -1;
	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_os(err, errno, "%.150s", fresh);
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0)
			break;
		at += n;
		len -= (size_t)n;
	}
	if (len > 0 || fsync(fd) != 0) {
		int os = errno;

		(void)close(fd);
		(void)unlink(fresh);
		return err_os(err, os, "%.150s", fresh);
	}
	(void)close(fd);
	if (rename(fresh, path) != 0)
		return err_os(err, errno, "%.150s", path);
	return 0;
}

static int
read_file(const char *dir, const char *name, void *out, size_t cap, size_t *len,
    struct err *err)
{
	char path[600];
	ssize_t n = 0;
	int fd;

	*len = 0;
	if (path_of(dir, name, path, sizeof(path), err) != 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_os(err, errno, "%.150s", path);
	while (*len < cap && (n = read(fd, (char *)out + *len, cap - *len)) > 0)
		*len += (size_t)n;
	if (n < 0) {
		int os = errno;

		(void)close(fd);
		return err_os(err, os, "%.150s", path);
	}
	(void)close(fd);
	if (*len == cap)
		return err_set(err, ERR_LIMIT, "%.150s: too long", path);
	return 0;
}

int
cli_identity_prepare(const char *dir, struct err *err)
{
	char path[600];

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "%.150s", dir);
	if (path_of(dir, "operator.key", path, sizeof(path), err) != 0)
		return -1;
	if (access(path, F_OK) == 0)
		return err_set(
		    err, ERR_EXISTS, "%.150s exists: not overwriting an operator", path);
	return 0;
}

static int
write_pem(const char *dir, const char *name, const struct cert *cert, struct err *err)
{
	char pem[PEM_MAX];

	if (cert_to_pem(cert, pem, sizeof(pem), err) != 0)
		return -1;
	return write_file(dir, name, pem, strlen(pem), 0644, err);
}

int
cli_identity_write(const char *dir, const struct cert_key *key, const struct cert *cert,
    const struct cert *ca, const char *server, struct err *err)
{
	uint8_t der[CERT_DER_MAX];
	char line[220];
	size_t len;
	int rc;

	if (cert_key_save(key, der, sizeof(der), &len, err) != 0)
		return -1;
	rc = write_file(dir, "operator.key", der, len, 0600, err);
	explicit_bzero(der, sizeof(der));
	(void)snprintf(line, sizeof(line), "%.200s\n", server);
	if (rc != 0 || write_pem(dir, "operator.pem", cert, err) != 0 ||
	    write_pem(dir, "ca.pem", ca, err) != 0 ||
	    write_file(dir, "server", line, strlen(line), 0644, err) != 0)
		return -1;
	return 0;
}

int
cli_identity_renew(const char *dir, const struct cert *cert, struct err *err)
{
	return write_pem(dir, "operator.pem", cert, err);
}

static int
read_pem(const char *dir, const char *name, struct cert *out, struct err *err)
{
	char pem[PEM_MAX];
	size_t len;

	if (read_file(dir, name, pem, sizeof(pem) - 1, &len, err) != 0)
		return -1;
	pem[len] = '\0';
	if (cert_from_pem(pem, out, err) != 0)
		return err_context(err, "%.100s/%s", dir, name);
	return 0;
}

int
cli_identity_read(const char *dir, struct cert_key **key, struct cert *cert,
    struct cert *ca, char *server, size_t cap, struct err *err)
{
	uint8_t der[CERT_DER_MAX];
	size_t len;

	if (read_file(dir, "operator.key", der, sizeof(der), &len, err) != 0)
		return -1;
	if (cert_key_load(der, len, key, err) != 0) {
		explicit_bzero(der, sizeof(der));
		return err_context(err, "%.100s/operator.key", dir);
	}
	explicit_bzero(der, sizeof(der));
	if (read_pem(dir, "operator.pem", cert, err) != 0 ||
	    read_pem(dir, "ca.pem", ca, err) != 0 ||
	    read_file(dir, "server", server, cap - 1, &len, err) != 0)
		return -1;
	server[len] = '\0';
	server[strcspn(server, "\r\n")] = '\0';
	return 0;
}
