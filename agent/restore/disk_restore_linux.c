#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/restore/disk_restore.h"
#include "proto/base/err.h"

int
disk_restore_measure(
    const char *path, uint64_t *size, uint32_t *sector_size, struct err *err)
{
	int fd, sector = 0, rc = 0;
	struct stat st;

	*size = 0;
	*sector_size = 0;
	if (stat(path, &st) != 0) {
		if (errno == ENOENT && strncmp(path, "/dev/", 5) != 0)
			return 0;
		return err_os(err, errno, "%s", path);
	}
	if (!S_ISBLK(st.st_mode)) {
		*size = (uint64_t)st.st_size;
		return 0;
	}
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return err_os(err, errno, "%s", path);
	if (ioctl(fd, BLKGETSIZE64, size) != 0 || ioctl(fd, BLKSSZGET, &sector) != 0)
		rc = err_os(err, errno, "%s: size", path);
	(void)close(fd);
	*sector_size = (uint32_t)sector;
	return rc;
}
