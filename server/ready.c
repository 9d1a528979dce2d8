#include "server/ready.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/err.h"

void
ready_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len;
	int fd;

	if (path == NULL || (len = strlen(path)) == 0 || len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* Linux' abstract names. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

int
ready_write(const char *path, const char *address, struct err *err)
{
	char fresh[600];
	FILE *f;
	int bad;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return err_set(err, ERR_LIMIT, "%.100s...: the name is too long", path);
	f = fopen(fresh, "w");
	if (f == NULL)
		return err_os(err, errno, "%.150s", fresh);
	bad = fprintf(f, "%s\n", address) < 0;
	bad = fclose(f) != 0 || bad;
	if (bad || rename(fresh, path) != 0) {
		int os = errno;

		(void)unlink(fresh);
		return err_os(err, os, "%.150s", path);
	}
	return 0;
}
