/*
 * sim_driver.h - the driver's simulator inside a test: disks "c", "d" of 4 MiB and "room"
 * of 2, on temporary files, at a socket of their own.
 *
 *	sim_start -> sim_path, sim.disk[] -> sim_stop
 */
#ifndef TESTS_UNIT_AGENT_SIM_DRIVER_H
#define TESTS_UNIT_AGENT_SIM_DRIVER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/sim/calls.h"
#include "driver/sim/disk.h"

#define SIM_DISKS 3
#define SIM_LENGTH (4u << 20)
#define SIM_ROOM (2u << 20)

struct sim {
	char dir[100], socket[120];
	struct calls *calls;
	struct disk *disk[SIM_DISKS]; /* c, d, room; as a host writes them. */
};

static const char *const sim_names[SIM_DISKS] = { "c", "d", "room" };

static inline void
sim_file(const struct sim *s, int i, char out[300])
{
	snprintf(out, 300, "%s/%s.img", s->dir, sim_names[i]);
}

/* The disks are full of 'o'. */
static inline void
sim_start(struct sim *s)
{
	unsigned char *bytes = malloc(SIM_LENGTH);
	char path[300], why[200];

	memset(s, 0, sizeof(*s));
	snprintf(s->dir, sizeof(s->dir), "%s/holdfast-hotcopy.XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->socket, sizeof(s->socket), "%s/control", s->dir);
	s->calls = calls_listen(s->socket, why, sizeof(why));
	assert_non_null(s->calls);
	memset(bytes, 'o', SIM_LENGTH);
	for (int i = 0; i < SIM_DISKS; i++) {
		size_t length = i == 2 ? SIM_ROOM : SIM_LENGTH;
		int fd;

		sim_file(s, i, path);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(write(fd, bytes, length), length);
		close(fd);
		s->disk[i] = disk_open(
		    sim_names[i], path, (uint64_t)i + 1, 512, NULL, why, sizeof(why));
		assert_non_null(s->disk[i]);
	}
	free(bytes);
	assert_int_equal(
	    calls_start(s->calls, s->disk, SIM_DISKS, NULL, why, sizeof(why)), 0);
}

static inline void
sim_stop(struct sim *s)
{
	char path[300];

	if (s->calls != NULL)
		calls_close(s->calls);
	for (int i = 0; i < SIM_DISKS; i++) {
		disk_close(s->disk[i]);
		sim_file(s, i, path);
		unlink(path);
	}
	assert_int_equal(rmdir(s->dir), 0);
}

static inline const char *
sim_path(const struct sim *s, const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "hotcopy:%s:%s", s->socket, name);
	return path;
}

#endif /* TESTS_UNIT_AGENT_SIM_DRIVER_H */
