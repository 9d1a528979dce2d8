#include "agent/map/spill.h"

#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

static int
dir_open(void *arg, void **out, struct err *err)
{
	struct file *f;

	if (file_open(arg, FILE_UNNAMED, &f, err) != 0)
		return err_context(err, "a temporary file");
	*out = f;
	return 0;
}

static int
dir_write(void *file, uint64_t offset, const void *p, size_t len, struct err *err)
{
	struct err unknown = ERR_INIT;
	uint64_t room;

	/* The host needs its disk more than we do. */
	if (file_room(file, &room, &unknown) == 0 && room < SPILL_RESERVE + len)
		return err_set(err, ERR_NOSPACE,
		    "no space left for a temporary file: %u MiB stay free",
		    (unsigned)(SPILL_RESERVE >> 20));
	if (file_write(file, offset, p, len, err) != 0)
		return err_context(err, "a temporary file");
	return 0;
}

static int
dir_read(void *file, uint64_t offset, void *p, size_t len, struct err *err)
{
	if (file_read_all(file, offset, p, len, err) != 0)
		return err_context(err, "a temporary file");
	return 0;
}

static void
dir_close(void *file)
{
	file_close(file);
}

void
spill_dir(struct spill *out, const char *dir)
{
	static const struct spill_ops ops = { dir_open, dir_write, dir_read, dir_close };

	out->ops = &ops;
	out->arg = (void *)dir;
}
