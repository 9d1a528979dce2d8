#include "agent/disk/target_check.h"

#include <stdlib.h>

#include "agent/disk/target_place.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

/* An attached virtual disk holds its file: opening it to write fails. */
int
target_check_use(const char *path, struct err *err)
{
	(void)path;
	(void)err;
	return 0;
}

/* A disk and a volume on it: what is written over one is lost to the other. */
int
target_check_same(const char *a, const char *b)
{
	char *x = target_place_device(a), *y = target_place_device(b);
	int same;

	if (x != NULL && y != NULL)
		same = target_place_shares(x, y) || target_place_shares(y, x);
	else
		same = x == NULL && y == NULL && file_same(a, b);
	free(x);
	free(y);
	return same;
}

int
target_check_holds(const char *device, const char *path)
{
	char *x = target_place_device(device);
	int holds = x != NULL && target_place_holds(x, path);

	free(x);
	return holds;
}

char *
target_check_name(const char *path)
{
	char *place = target_place_device(path);

	return place != NULL ? place : file_real_path(path);
}

int
target_check_state(const char *path, const char *dir, struct err *err)
{
	char *device = target_place_device(path);
	int rc = device != NULL ? target_place_refuse(device, dir, err) : 0;

	free(device);
	return rc;
}

int
target_check_lock(struct file *f, const char *path, struct err *err)
{
	if (file_lock(f, err) == 0)
		return 0;
	if (err->code != ERR_BUSY)
		return -1;
	err_clear(err);
	return err_set(err, ERR_BUSY,
	    "%s: in use: it is being backed up, restored or written", path);
}

/* Windows writes what is dirty by itself every few seconds. */
void
target_check_onward(intptr_t handle)
{
	(void)handle;
}

void
target_check_forget(intptr_t handle)
{
	(void)handle;
}
