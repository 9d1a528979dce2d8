#include "proto/base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file_twin.h"

#define ZEROS_MAX (64u * 1024)
#define LOAD_STEP 4096u

void
file_close(struct file *f)
{
	struct err ignored = ERR_INIT;

	if (f != NULL)
		(void)file_finish(f, &ignored);
}

int
file_read_all(const struct file *f, uint64_t offset, void *p, size_t len, struct err *err)
{
	size_t got;

	if (file_read(f, offset, p, len, &got, err) != 0)
		return -1;
	if (got < len)
		return err_set(err, ERR_IO, "%s: ends at byte %" PRIu64,
		    file_twin_path(f), offset + got);
	return 0;
}

int
file_zero(struct file *f, uint64_t offset, uint64_t len, struct err *err)
{
	static const uint8_t zeros[ZEROS_MAX];
	size_t n;

	if (file_twin_punch(f, offset, len))
		return 0;
	for (; len > 0; offset += n, len -= n) {
		n = len < ZEROS_MAX ? (size_t)len : ZEROS_MAX;
		if (file_write(f, offset, zeros, n, err) != 0)
			return -1;
	}
	return 0;
}

int
file_load(const char *path, struct buf *out, struct err *err)
{
	struct file *f = NULL;
	size_t got = LOAD_STEP;
	uint8_t *p;
	int rc = 0;

	buf_clear(out);
	if (file_open(path, FILE_IN_ORDER, &f, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	while (rc == 0 && got > 0) {
		if ((p = buf_room(out, LOAD_STEP, err)) == NULL)
			rc = err_context(err, "%s", path);
		else if ((rc = file_read(f, out->len, p, LOAD_STEP, &got, err)) == 0)
			out->len += got;
	}
	file_close(f);
	return rc == 0 ? 1 : -1;
}

/* `len` bytes as the whole of a new file, on the medium. */
static int
write_new(const char *path, const void *p, size_t len, unsigned mode, struct err *err)
{
	const unsigned flags =
	    FILE_TO_WRITE | FILE_TO_BEGIN | ((mode & 0044u) != 0 ? FILE_TWIN_SHOWN : 0);
	struct file *f;
	int rc;

	if (file_remove(path, err) < 0 || file_open(path, flags, &f, err) != 0)
		return -1;
	rc = file_write(f, 0, p, len, err);
	if (rc == 0)
		rc = file_sync(f, err);
	if (rc == 0)
		return file_finish(f, err);
	file_close(f);
	return -1;
}

int
file_store(const char *path, const void *p, size_t len, unsigned mode, struct err *err)
{
	struct err ignored = ERR_INIT;
	const size_t size = strlen(path) + sizeof(".tmp");
	char *temp = malloc(size);
	int rc;

	if (temp == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)snprintf(temp, size, "%s.tmp", path);
	rc = write_new(temp, p, len, mode, err);
	if (rc == 0)
		rc = file_replace(temp, path, err);
	if (rc != 0)
		(void)file_remove(temp, &ignored);
	free(temp);
	return rc;
}
