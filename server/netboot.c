#include "server/netboot.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/net/address.h"
#include "server/bootfile.h"
#include "server/config.h"

#define CONNECTIONS 256u
#define CONNECTIONS_A_PEER 64u /* Many machines may be behind one address. */
#define CONNECTION_MEMORY (32u * 1024)
#define IDLE_S 60u
#define THREADS 2u
#define BACKLOG 128
#define PEER_MAX 64

struct netboot {
	char dir[CONFIG_PATH_MAX];
	char address[CONFIG_ADDRESS_MAX + 8];
	struct MHD_Daemon *daemon;
};

/* What may be asked for, and nothing else. */
static const struct file {
	const char *url, *name, *type;
	int needed;
} files[] = {
	{ "/boot.ipxe", "boot.ipxe", "text/plain", 1 },
	{ "/vmlinuz", "vmlinuz", "application/octet-stream", 1 },
	{ "/initrd.img", "initrd.img", "application/octet-stream", 1 },
	{ "/rescue.iso", "rescue.iso", "application/x-iso9660-image", 0 },
	{ "/undionly.kpxe", "undionly.kpxe", "application/octet-stream", 0 },
	{ "/ipxe.efi", "ipxe.efi", "application/efi", 0 },
	{ "/snponly.efi", "snponly.efi", "application/efi", 0 },
	{ "/shimx64.efi", "shimx64.efi", "application/efi", 0 },
	{ "/grubx64.efi", "grubx64.efi", "application/efi", 0 },
	{ "/grub/grub.cfg", "grub/grub.cfg", "text/plain", 0 },
};
#define FILES (sizeof(files) / sizeof(files[0]))
#define SCRIPT (&files[0])

/* One request, from its headers to its end. */
struct fetch {
	const struct file *file; /* NULL: refused. */
	uint64_t len;
	char peer[PEER_MAX];
};

static int
open_file(const struct netboot *n, const char *name, struct stat *st)
{
	char path[CONFIG_PATH_MAX + 32];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", n->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
		(void)close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

/* ------------------------------------------------------------------- answering -- */

static enum MHD_Result
answer(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result rc;

	if (r == NULL)
		return MHD_NO;
	rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result
refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (r != NULL && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	return answer(c, status, r);
}

/*
 * boot.ipxe, with the name by which the machine found us; NULL: it cannot be had whole.
 */
static struct MHD_Response *
make_script(const struct netboot *n, const char *host, uint64_t *len)
{
	struct buf out = BUF_INIT(2 * BOOTFILE_SCRIPT_MAX);
	struct MHD_Response *r = NULL;
	struct err err = ERR_INIT;
	struct stat st = { 0 };
	char *text = malloc(BOOTFILE_SCRIPT_MAX);
	int fd = open_file(n, "boot.ipxe", &st);
	ssize_t got = -1;

	if (text != NULL && fd >= 0 && st.st_size <= (off_t)BOOTFILE_SCRIPT_MAX)
		got = read(fd, text, BOOTFILE_SCRIPT_MAX);
	if (got == st.st_size &&
	    bootfile_readdress(text, (size_t)got, host, &out, &err) == 0) {
		r = MHD_create_response_from_buffer(
		    out.len, out.p, MHD_RESPMEM_MUST_COPY);
		*len = out.len;
	}
	if (fd >= 0)
		(void)close(fd);
	buf_free(&out);
	free(text);
	return r;
}

static enum MHD_Result
answer_script(const struct netboot *n, struct MHD_Connection *c, struct fetch *f)
{
	struct MHD_Response *r = make_script(n,
	    MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
	    &f->len);

	if (r == NULL) {
		f->file = NULL;
		return refuse(c, MHD_HTTP_NOT_FOUND, "not there\n");
	}
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, f->file->type);
	return answer(c, MHD_HTTP_OK, r);
}

static enum MHD_Result
answer_file(const struct netboot *n, struct MHD_Connection *c, struct fetch *f)
{
	const char *field =
	    MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_RANGE);
	struct MHD_Response *r;
	struct stat st;
	uint64_t from = 0;
	char range[80];
	const char *type = f->file->type;
	int fd = open_file(n, f->file->name, &st), part;

	if (fd < 0) {
		f->file = NULL;
		return refuse(c, MHD_HTTP_NOT_FOUND, "not there\n");
	}
	f->len = (uint64_t)st.st_size;
	part = bootfile_range(field, (uint64_t)st.st_size, &from, &f->len);
	if (part < 0) {
		f->file = NULL;
		(void)close(fd);
		return refuse(c, MHD_HTTP_RANGE_NOT_SATISFIABLE, "no such bytes\n");
	}
	r = MHD_create_response_from_fd_at_offset64(f->len, fd, from);
	if (r == NULL) {
		(void)close(fd);
		return MHD_NO;
	}
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	if (part == 1) {
		(void)snprintf(range, sizeof(range), "bytes %llu-%llu/%llu",
		    (unsigned long long)from, (unsigned long long)(from + f->len - 1),
		    (unsigned long long)st.st_size);
		(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, range);
	}
	return answer(c, part == 1 ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, r);
}

static void
name_peer(struct MHD_Connection *c, char out[PEER_MAX])
{
	const union MHD_ConnectionInfo *i =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	socklen_t len;

	(void)snprintf(out, PEER_MAX, "?");
	if (i == NULL || i->client_addr == NULL)
		return;
	len = i->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						    : sizeof(struct sockaddr_in);
	(void)getnameinfo(i->client_addr, len, out, PEER_MAX, NULL, 0, NI_NUMERICHOST);
}

/* Called at the headers, and once more when nothing follows them. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *data, size_t *data_len, void **state)
{
	const struct netboot *n = arg;
	struct fetch *f = *state;

	(void)version;
	(void)data;
	if (f == NULL) {
		f = calloc(1, sizeof(*f));
		*state = f;
		if (f != NULL)
			name_peer(c, f->peer);
		return f != NULL ? MHD_YES : MHD_NO;
	}
	if (*data_len != 0)
		return MHD_NO;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	for (size_t i = 0; i < FILES; i++) {
		if (strcmp(url, files[i].url) == 0)
			f->file = &files[i];
	}
	if (f->file == NULL)
		return refuse(c, MHD_HTTP_NOT_FOUND, "not there\n");
	return f->file == SCRIPT ? answer_script(n, c, f) : answer_file(n, c, f);
}

static void
on_done(void *arg, struct MHD_Connection *c, void **state,
    enum MHD_RequestTerminationCode how)
{
	struct fetch *f = *state;

	(void)arg;
	(void)c;
	if (f != NULL && f->file != NULL)
		log_event(LOG_INFO, "netboot: %s fetched %s, %llu bytes%s", f->peer,
		    f->file->url, (unsigned long long)f->len,
		    how == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : ": broken off");
	free(f);
	*state = NULL;
}

/* -------------------------------------------------------------------- starting -- */

static int
check_dir(const struct netboot *n, struct err *err)
{
	struct stat st;
	int fd;

	if (stat(n->dir, &st) != 0)
		return err_os(err, errno, "rescue-dir: %.200s", n->dir);
	for (size_t i = 0; i < FILES; i++) {
		if (!files[i].needed)
			continue;
		fd = open_file(n, files[i].name, &st);
		if (fd < 0)
			return err_set(err, ERR_NOTFOUND,
			    "rescue-dir: %.200s has no %s that can be read (%s); `./dev "
			    "rescue --out DIR` makes them",
			    n->dir, files[i].name, strerror(errno));
		(void)close(fd);
		if (&files[i] == SCRIPT && st.st_size > (off_t)BOOTFILE_SCRIPT_MAX)
			return err_set(err, ERR_LIMIT,
			    "rescue-dir: %.200s/%s is longer than %u bytes", n->dir,
			    files[i].name, BOOTFILE_SCRIPT_MAX);
	}
	return 0;
}

static int
bind_one(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, e;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	e = errno;
	(void)close(fd);
	errno = e;
	return -1;
}

static int
listen_on(const char *text, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	struct address at;
	int fd = -1, r;

	if (address_parse(text, &at, err) != 0)
		return err_context(err, "rescue-listen");
	r = getaddrinfo(at.host[0] != '\0' ? at.host : NULL, at.port, &hints, &found);
	if (r != 0)
		return err_set(
		    err, ERR_IO, "rescue-listen: %s: %s", text, gai_strerror(r));
	for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
		fd = bind_one(a);
	if (fd < 0)
		(void)err_os(err, errno, "rescue-listen: %s", text);
	freeaddrinfo(found);
	return fd;
}

int
netboot_start(const char *dir, const char *listen, struct netboot **out, struct err *err)
{
	struct netboot *n = calloc(1, sizeof(*n));
	const union MHD_DaemonInfo *info;
	int fd;

	if (n == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the netboot server");
	(void)snprintf(n->dir, sizeof(n->dir), "%s", dir);
	if (check_dir(n, err) != 0 || (fd = listen_on(listen, err)) < 0) {
		free(n);
		return -1;
	}
	n->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL,
	    NULL, on_request, n, MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_CONNECTION_LIMIT,
	    CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, CONNECTIONS_A_PEER,
	    MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_POOL_SIZE, THREADS,
	    MHD_OPTION_END);
	if (n->daemon == NULL) {
		(void)close(fd);
		free(n);
		return err_set(err, ERR_IO, "the netboot server does not start");
	}
	info = MHD_get_daemon_info(n->daemon, MHD_DAEMON_INFO_BIND_PORT);
	(void)snprintf(n->address, sizeof(n->address), "%.*s:%u",
	    (int)(strrchr(listen, ':') - listen), listen,
	    info != NULL ? (unsigned)info->port : 0);
	*out = n;
	return 0;
}

const char *
netboot_address(const struct netboot *n)
{
	return n->address;
}

void
netboot_stop(struct netboot *n)
{
	if (n == NULL)
		return;
	MHD_stop_daemon(n->daemon);
	free(n);
}
