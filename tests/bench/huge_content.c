/*
 * huge_content.c - loaded into the agent (LD_PRELOAD): the holes of a huge image
 * read as data, so that a volume of any size has content that no disk holds.
 *
 *	HUGE_CONTENT=IMAGE:CLUSTER:FROM
 *
 * Each cluster of IMAGE from byte FROM on (a multiple of CLUSTER) that is all zero
 * reads as huge_fill() makes it; the file itself is only asked where it has data.
 */
#define _GNU_SOURCE /* RTLD_NEXT, SEEK_DATA */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tools/huge_volume.h"

#define FDS 1024

ssize_t pread64(int fd, void *buf, size_t len, off_t offset);

static ssize_t (*real_pread)(int, void *, size_t, off_t);
static struct stat image;
static uint32_t cluster;
static uint64_t from;
static signed char is_image[FDS]; /* 0: not asked yet. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
init(void)
{
	char path[4096];
	const char *e = getenv("HUGE_CONTENT");
	unsigned long long at;

	*(void **)&real_pread = dlsym(RTLD_NEXT, "pread64");
	if (e == NULL || sscanf(e, "%4095[^:]:%u:%llu", path, &cluster, &at) != 3 ||
	    stat(path, &image) == -1)
		abort();
	from = at;
}

static int
ours(int fd)
{
	struct stat st;

	if (fd < 0 || fd >= FDS)
		return 0;
	if (is_image[fd] == 0)
		is_image[fd] = fstat(fd, &st) == 0 && st.st_dev == image.st_dev &&
				       st.st_ino == image.st_ino
				   ? 1
				   : -1;
	return is_image[fd] == 1;
}

/* Fill what is zero; the ends of [offset, offset + len) may lie within clusters. */
static void
fill(uint8_t *p, size_t len, uint64_t offset)
{
	uint8_t whole[65536];
	size_t in, n;

	for (; len > 0; p += n, offset += n, len -= n) {
		in = offset % cluster;
		n = cluster - in < len ? cluster - in : len;
		if (offset < from || p[0] != 0 || memcmp(p, p + 1, n - 1) != 0)
			continue;
		if (n == cluster) {
			huge_fill(p, cluster, offset / cluster);
		} else {
			huge_fill(whole, cluster, offset / cluster);
			memcpy(p, whole + in, n);
		}
	}
}

ssize_t
pread64(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t got = (ssize_t)len;
	off_t data;

	(void)pthread_once(&once, init);
	if (!ours(fd) || (uint64_t)offset + len <= from ||
	    offset + (off_t)len > image.st_size)
		return real_pread(fd, buf, len, offset);
	data = lseek(fd, offset, SEEK_DATA);
	if (data == -1 || data >= offset + (off_t)len)
		memset(buf, 0, len);
	else
		got = real_pread(fd, buf, len, offset);
	if (got > 0 && offset + got < image.st_size)
		fill(buf, (size_t)got, (uint64_t)offset);
	return got;
}
