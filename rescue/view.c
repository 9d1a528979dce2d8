#define _GNU_SOURCE /* eventfd */
#define FUSE_USE_VERSION 312
#include "rescue/view.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/restore/target.h"
#include "agent/restore/target_skip.h"
#include "proto/base/err.h"
#include "rescue/view_blocks.h"

struct view {
	struct view_config config;
	struct fuse_session *se;
	int fd;	  /* The file, held open so that the detached mount lives. */
	int stop; /* An eventfd; readable: the threads end. */
	char path[256], file[256]; /* For others; where it is mounted, or "". */
	pthread_t threads[VIEW_THREADS];
	unsigned running;

	pthread_mutex_t lock; /* All below. */
	pthread_cond_t closed;
	unsigned opens; /* Ours is one of them. */
	struct view_marks marks;
	struct view_kept *kept;
	struct view_counts counts;
	struct err why; /* Of the first failure. */
};

/* -------------------------------------------------------------------- bytes -- */

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How much of [at, at + len) can be dealt with as one: of one block, on one side. */
static size_t
piece_len(const struct view *v, uint64_t at, size_t len)
{
	uint64_t n = least(len, VIEW_BLOCK - at % VIEW_BLOCK);

	if (at < v->config.keep)
		n = least(n, v->config.keep - at);
	return (size_t)n;
}

/* Bytes that were written: 1 with them in `out` or (`below`) to be read there; 0. */
static int
find_written(struct view *v, uint64_t at, size_t n, uint8_t *out, int *below)
{
	const uint8_t *kept;
	int found;

	pthread_mutex_lock(&v->lock);
	*below = at < v->config.keep;
	if (*below) {
		found = view_marks_has(&v->marks, at / VIEW_BLOCK);
	} else {
		kept = view_kept_find(v->kept, at / VIEW_BLOCK);
		found = kept != NULL;
		if (found)
			memcpy(out, kept + at % VIEW_BLOCK, n);
	}
	pthread_mutex_unlock(&v->lock);
	return found;
}

static int
read_source(struct view *v, uint64_t at, uint8_t *out, size_t len, struct err *err)
{
	return len == 0 ? 0
			: v->config.source.read(v->config.source.arg, at, out, len, err);
}

/* What nobody wrote is asked of the source in one piece: it may be far away. */
static int
view_read(struct view *v, uint64_t at, uint8_t *out, size_t len, struct err *err)
{
	uint8_t *from = out; /* Where what is to be read of the source begins. */
	size_t n;
	int below;

	for (; len > 0; at += n, out += n, len -= n) {
		n = piece_len(v, at, len);
		if (!find_written(v, at, n, out, &below))
			continue;
		if (read_source(v, at - (uint64_t)(out - from), from,
			(size_t)(out - from), err) != 0 ||
		    (below && target_read(v->config.below, at, out, n, err) != 0))
			return -1;
		from = out + n;
	}
	return read_source(
	    v, at - (uint64_t)(out - from), from, (size_t)(out - from), err);
}

/* A part of a block: the rest of it comes from the source.  v->lock is held. */
static int
write_below(struct view *v, uint64_t at, const uint8_t *p, size_t n, struct err *err)
{
	uint64_t block = at / VIEW_BLOCK, start = block * VIEW_BLOCK;
	size_t whole = (size_t)least(VIEW_BLOCK, v->config.keep - start);
	uint8_t bytes[VIEW_BLOCK];

	if (n == whole || view_marks_has(&v->marks, block)) {
		if (target_write(v->config.below, at, p, n, err) != 0)
			return -1;
	} else {
		/* A partition may end behind its volume; what is there is zeros. */
		memset(bytes, 0, sizeof(bytes));
		if (start < v->config.source.size &&
		    read_source(v, start, bytes,
			(size_t)least(whole, v->config.source.size - start), err) != 0)
			return -1;
		memcpy(bytes + (at - start), p, n);
		if (target_write(v->config.below, start, bytes, whole, err) != 0)
			return -1;
	}
	if (view_marks_add(&v->marks, block) != 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

static int
write_kept(struct view *v, uint64_t at, const uint8_t *p, size_t n, struct err *err)
{
	uint64_t block = at / VIEW_BLOCK, start = block * VIEW_BLOCK;
	uint8_t *kept = view_kept_find(v->kept, block), bytes[VIEW_BLOCK];
	size_t whole = (size_t)least(VIEW_BLOCK, v->config.source.size - start);

	if (kept == NULL) {
		if (read_source(v, start, bytes, whole, err) != 0)
			return -1;
		if ((kept = view_kept_add(v->kept, block)) == NULL)
			return err_set(err, ERR_LIMIT,
			    "more than %zu MiB were written behind the new end of the "
			    "volume",
			    v->config.memory >> 20);
		memcpy(kept, bytes, whole);
	}
	memcpy(kept + (at - start), p, n);
	return 0;
}

static int
view_write(struct view *v, uint64_t at, const uint8_t *p, size_t len, struct err *err)
{
	size_t n;
	int rc = 0;

	if (v->config.below == NULL)
		return err_set(err, ERR_DENIED, "this view is only for reading");
	pthread_mutex_lock(&v->lock);
	v->counts.written_bytes += len;
	for (; len > 0 && rc == 0; at += n, p += n, len -= n) {
		n = piece_len(v, at, len);
		rc = at < v->config.keep ? write_below(v, at, p, n, err)
					 : write_kept(v, at, p, n, err);
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* --------------------------------------------------------------------- FUSE -- */

static void
fail(struct view *v, fuse_req_t req, const struct err *err)
{
	pthread_mutex_lock(&v->lock);
	if (v->why.code == ERR_NONE)
		v->why = *err;
	pthread_mutex_unlock(&v->lock);
	fuse_reply_err(req, err->code == ERR_DENIED ? EROFS : EIO);
}

static void
on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *v = fuse_req_userdata(req);
	struct stat st;

	(void)fi;
	memset(&st, 0, sizeof(st));
	st.st_ino = ino;
	st.st_mode = S_IFREG | 0600;
	st.st_nlink = 1;
	st.st_size = (off_t)v->config.source.size;
	st.st_blocks = (blkcnt_t)(v->config.source.size / 512);
	st.st_blksize = VIEW_BLOCK;
	fuse_reply_attr(req, &st, 3600.0);
}

static void
on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *v = fuse_req_userdata(req);

	(void)ino;
	pthread_mutex_lock(&v->lock);
	v->opens++;
	pthread_mutex_unlock(&v->lock);
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void
on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *v = fuse_req_userdata(req);

	(void)ino;
	(void)fi;
	pthread_mutex_lock(&v->lock);
	v->opens--;
	pthread_cond_broadcast(&v->closed);
	pthread_mutex_unlock(&v->lock);
	fuse_reply_err(req, 0);
}

static void
on_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off, struct fuse_file_info *fi)
{
	struct view *v = fuse_req_userdata(req);
	struct err err = ERR_INIT;
	uint8_t *p;

	(void)ino;
	(void)fi;
	if (off < 0 || (uint64_t)off >= v->config.source.size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	len = (size_t)least(len, v->config.source.size - (uint64_t)off);
	if ((p = malloc(len > 0 ? len : 1)) == NULL)
		err_set(&err, ERR_NOMEM, "out of memory");
	else
		(void)view_read(v, (uint64_t)off, p, len, &err);
	if (err.code != ERR_NONE) {
		fail(v, req, &err);
	} else {
		pthread_mutex_lock(&v->lock);
		v->counts.read_bytes += len;
		pthread_mutex_unlock(&v->lock);
		fuse_reply_buf(req, (const char *)p, len);
	}
	free(p);
}

static void
on_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t len, off_t off,
    struct fuse_file_info *fi)
{
	struct view *v = fuse_req_userdata(req);
	struct err err = ERR_INIT;

	(void)ino;
	(void)fi;
	if (off < 0 || (uint64_t)off > v->config.source.size ||
	    len > v->config.source.size - (uint64_t)off)
		fuse_reply_err(req, ENOSPC);
	else if (view_write(v, (uint64_t)off, (const uint8_t *)p, len, &err) != 0)
		fail(v, req, &err);
	else
		fuse_reply_write(req, len);
}

/* The restore syncs the target; until then nothing rests on it. */
static void
on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.getattr = on_getattr,
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
};

/* Not fuse_session_loop_mt(): its threads come and go, and are cancelled. */
static void *
serve(void *arg)
{
	struct view *v = arg;
	struct fuse_buf buf = { .mem = NULL };
	struct pollfd fds[2] = { { .fd = fuse_session_fd(v->se), .events = POLLIN },
		{ .fd = v->stop, .events = POLLIN } };
	int n;

	while (!fuse_session_exited(v->se)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents != 0)
			break;
		n = fuse_session_receive_buf(v->se, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(v->se, &buf);
	}
	free(buf.mem);
	return NULL;
}

/* ----------------------------------------------------------- coming, going -- */

/* A file mounted over `file`; the session has its /dev/fuse. */
static int
mount_over(struct view *v, const char *file, struct err *err)
{
	char *argv[] = { "holdfast", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	char text[160];

	if (fd < 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "no /dev/fuse (the kernel's module fuse): %s", strerror(errno));
	(void)snprintf(text, sizeof(text), "fd=%d,rootmode=%o,user_id=%u,group_id=%u", fd,
	    (unsigned)S_IFREG, (unsigned)geteuid(), (unsigned)getegid());
	if (mount("holdfast", file, "fuse.holdfast", MS_NOSUID | MS_NODEV, text) != 0) {
		err_set(err, ERR_UNSUPPORTED, "a volume cannot be shown by FUSE: %s",
		    strerror(errno));
		close(fd);
		return -1;
	}
	(void)snprintf(text, sizeof(text), "/dev/fd/%d", fd);
	v->se = fuse_session_new(&args, &ops, sizeof(ops), v);
	fuse_opt_free_args(&args);
	if (v->se == NULL || fuse_session_mount(v->se, text) != 0) {
		umount2(file, MNT_DETACH);
		close(fd);
		return err_set(err, ERR_UNSUPPORTED, "libfuse does not start");
	}
	return 0;
}

static int
start_threads(struct view *v, struct err *err)
{
	int os;

	for (; v->running < VIEW_THREADS; v->running++)
		if ((os = pthread_create(&v->threads[v->running], NULL, serve, v)) != 0)
			return err_os(err, os, "thread");
	return 0;
}

/* A file of our own to mount over. */
static int
make_name(struct view *v, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	(void)snprintf(v->file, sizeof(v->file), "%s/holdfast-view.XXXXXX",
	    tmp != NULL && tmp[0] == '/' && strlen(tmp) < 200 ? tmp : "/tmp");
	if ((fd = mkstemp(v->file)) < 0) {
		err_os(err, errno, "%s", v->file);
		v->file[0] = '\0';
		return -1;
	}
	close(fd);
	return 0;
}

/* Serve, and take hold of the file. */
static int
mount_and_serve(struct view *v, struct err *err)
{
	if (make_name(v, err) != 0 || mount_over(v, v->file, err) != 0 ||
	    start_threads(v, err) != 0)
		return -1;
	if ((v->fd = open(v->file, O_RDWR | O_CLOEXEC)) < 0)
		return err_os(err, errno, "%s", v->file);
	strcpy(v->path, v->file);
	if (!v->config.named)
		view_nameless(v);
	return 0;
}

void
view_nameless(struct view *v)
{
	if (v->file[0] == '\0')
		return;
	if (v->se != NULL)
		umount2(v->file, MNT_DETACH);
	unlink(v->file);
	v->file[0] = '\0';
	(void)snprintf(
	    v->path, sizeof(v->path), "/proc/%ld/fd/%d", (long)getpid(), v->fd);
}

int
view_open(const struct view_config *config, struct view **out, struct err *err)
{
	struct view *v = calloc(1, sizeof(*v));
	uint64_t blocks;

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	v->config = *config;
	if (v->config.memory == 0)
		v->config.memory = VIEW_MEMORY;
	if (v->config.below == NULL)
		v->config.keep = 0;
	v->fd = -1;
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->closed, NULL);
	blocks = v->config.keep / VIEW_BLOCK + 1;
	v->kept = view_kept_new(v->config.memory);
	v->stop = eventfd(0, EFD_CLOEXEC);
	if (view_marks_init(&v->marks, blocks) != 0 || v->kept == NULL || v->stop < 0)
		err_set(err, ERR_NOMEM, "out of memory");
	else if (mount_and_serve(v, err) == 0) {
		*out = v;
		return 0;
	}
	view_close(v);
	return -1;
}

const char *
view_path(const struct view *v)
{
	return v->path;
}

int
view_failure(struct view *v, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&v->lock);
	if (v->why.code != ERR_NONE) {
		*err = v->why;
		rc = -1;
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

int
view_settle(struct view *v, uint32_t ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&v->lock);
	while (v->opens > 1 && rc == 0)
		rc = pthread_cond_timedwait(&v->closed, &v->lock, &until);
	rc = v->opens > 1;
	pthread_mutex_unlock(&v->lock);
	return rc;
}

void
view_quiet(struct view *v)
{
	uint64_t one = 1;

	view_nameless(v);
	/* While the threads serve: closing asks them. */
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	if (v->running > 0 && write(v->stop, &one, sizeof(one)) != sizeof(one))
		fuse_session_exit(v->se);
	while (v->running > 0)
		pthread_join(v->threads[--v->running], NULL);
	if (v->se != NULL)
		fuse_session_destroy(v->se);
	v->se = NULL;
}

static int
next_written(void *arg, uint64_t at, uint64_t *from, uint64_t *len)
{
	const struct view *v = arg;
	uint64_t first, count;

	if (!view_marks_next(&v->marks, at / VIEW_BLOCK, &first, &count))
		return 0;
	*from = first * VIEW_BLOCK;
	*len = count * VIEW_BLOCK;
	if (*from < at) {
		*len -= at - *from;
		*from = at;
	}
	return 1;
}

void
view_skip(const struct view *v, struct target_skip *out)
{
	out->next = next_written;
	out->arg = (void *)(uintptr_t)v;
	out->end = v->config.keep;
}

void
view_counts(struct view *v, struct view_counts *out)
{
	pthread_mutex_lock(&v->lock);
	*out = v->counts;
	out->below_bytes = v->marks.count * VIEW_BLOCK;
	out->memory_bytes = view_kept_bytes(v->kept);
	pthread_mutex_unlock(&v->lock);
}

void
view_close(struct view *v)
{
	if (v == NULL)
		return;
	view_quiet(v);
	if (v->stop >= 0)
		close(v->stop);
	view_marks_free(&v->marks);
	view_kept_free(v->kept);
	pthread_cond_destroy(&v->closed);
	pthread_mutex_destroy(&v->lock);
	free(v);
}
