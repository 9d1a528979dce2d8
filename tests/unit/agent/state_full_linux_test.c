/*
 * The disk with the agent's own memory is full, or fails: at any single thing that a
 * backup does there.  The point is made all the same, what is half remembered is believed
 * by nobody, and the next backup is right.  A real server, and volumes of the driver's
 * simulator, whose changes are tracked: so all that the agent remembers is in it.
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include "tests/unit/server/live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/backup/backup.h"
#include "agent/backup/suspect.h"
#include "agent/restore/restore.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "agent/session/reading.h"
#include "proto/base/file.h"
#include "tests/unit/agent/ntfs_map.h"
#include "tests/unit/agent/sim_driver.h"

/* Each tenth thing fails (HOLDFAST_SWEEP: each); the agent's code is the same under ASan. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 40u
#else
#define STEP 10u
#endif

/* ------------------------------------------------------------ what does not go well -- */

enum fault {
	FAULT_NONE,
	FAULT_FULL,  /* From the n-th on nothing more can be written or made, */
	FAULT_ONCE,  /* or only the n-th thing fails, */
	FAULT_CACHE, /* or from the n-th on what lies in cache/, reading it too, */
	FAULT_TREE   /* or the new tree, and something happens then. */
};

static struct {
	_Atomic int fault;
	_Atomic unsigned done, at,
	    hit; /* What was done there; which fails; how many did. */
	char dir[128];
	void (*then)(void);
} disk;

/* Does it happen, at `path`?  `reads`: nothing is changed by it. */
static int
fails(const char *path, int reads)
{
	const size_t len = strlen(disk.dir);
	const enum fault fault = (enum fault)atomic_load(&disk.fault);
	unsigned n;

	if (fault == FAULT_NONE || strncmp(path, disk.dir, len) != 0)
		return 0;
	if (fault == FAULT_CACHE ? strncmp(path + len, "/cache", 6) != 0 : reads)
		return 0;
	if (fault == FAULT_TREE && strcmp(path + len, "/cache/c=new") != 0)
		return 0;
	n = atomic_fetch_add(&disk.done, 1) + 1;
	if (fault == FAULT_ONCE ? n != disk.at : n < disk.at)
		return 0;
	if (atomic_fetch_add(&disk.hit, 1) == 0 && disk.then != NULL)
		disk.then();
	errno = fault == FAULT_FULL ? ENOSPC : EIO;
	return 1;
}

static int
fd_fails(int fd, int reads)
{
	char name[64], path[512];
	ssize_t n;

	if (atomic_load(&disk.fault) == FAULT_NONE)
		return 0;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if ((n = readlink(name, path, sizeof(path) - 1)) <= 0)
		return 0;
	path[n] = '\0';
	return fails(path, reads);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t offset);
ssize_t pread(int fd, void *p, size_t len, off_t offset);
int open(const char *path, int flags, ...);
int ftruncate(int fd, off_t len);
int fsync(int fd);
int fdatasync(int fd);
int rename(const char *from, const char *to);
int unlink(const char *path);
int mkdir(const char *path, mode_t mode);

ssize_t
pwrite(int fd, const void *p, size_t len, off_t offset)
{
	return fd_fails(fd, 0) ? -1 : syscall(SYS_pwrite64, fd, p, len, offset);
}

ssize_t
pread(int fd, void *p, size_t len, off_t offset)
{
	return fd_fails(fd, 1) ? -1 : syscall(SYS_pread64, fd, p, len, offset);
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (fails(path, (flags & (O_CREAT | O_TMPFILE)) == 0))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int
ftruncate(int fd, off_t len)
{
	return fd_fails(fd, 0) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

/* Power does not fail here, and this is most of what the server does. */
int
fsync(int fd)
{
	return fd_fails(fd, 0) ? -1 : 0;
}

int
fdatasync(int fd)
{
	return fd_fails(fd, 0) ? -1 : 0;
}

int
rename(const char *from, const char *to)
{
	return fails(to, 0) ? -1 : (int)syscall(SYS_rename, from, to);
}

/* A full disk lets go of what it has. */
int
unlink(const char *path)
{
	const int fault = atomic_load(&disk.fault);

	return fault != FAULT_FULL && fault != FAULT_TREE && fails(path, 0)
		   ? -1
		   : (int)syscall(SYS_unlink, path);
}

int
mkdir(const char *path, mode_t mode)
{
	return fails(path, 0) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

/* --------------------------------------------------------------------------- a world -- */

static struct live live;
static struct live_peer admin;
static struct sim sim;

struct world {
	char dir[64], target[96];
	struct state *st;
	struct settings settings;
	struct backup_options options;
	struct backup_result b;
	uint8_t *bytes;
	unsigned seed, said; /* How often it was said that not all is noted here. */
	struct err err;
};

static void
say(void *arg, const char *line)
{
	struct world *w = arg;

	w->said += strncmp(line, "the point is made, but not all", 30) == 0;
}

static void
enrolled(struct world *w)
{
	struct enrol_options o = { .name = "full" };
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	char text[TOKEN_TEXT_MAX], got[CERT_NAME_MAX];
	ProtobufCMessage *reply;
	struct live_session s;
	struct err err = ERR_INIT;

	live_dial(&live, &admin, &s);
	m.uses = 1;
	m.ttl_s = 600;
	live_ok(channel_call(s.ch, &m.base, MSG_TOKEN_TEXT, &reply, &err));
	snprintf(text, sizeof(text), "%s", ((Wire__TokenText *)reply)->text);
	msg_free(reply);
	live_hangup(&s);
	o.token = text;
	memcpy(o.machine, w->options.machine, sizeof(o.machine));
	if (enrol_run(w->st, &o, got, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

/* As a host: the driver knows of it. */
static void
write_disk(struct world *w, uint64_t at, const uint8_t *p, uint32_t len)
{
	memcpy(w->bytes + at, p, len);
	assert_int_equal(disk_write(sim.disk[0], at, p, len), 0);
}

/* An NTFS with some files, and behind it what is nobody's. */
static void
fill(struct world *w)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);

	for (unsigned file = 0; file < 8; file++) {
		struct image_run runs[4] = { { f + file * 25u, 12 },
			{ f + file * 25u + 14, 8 }, { 0, 0 }, { 0, 0 } };
		char name[16];

		(void)snprintf(name, sizeof(name), "file-%u", file);
		image_file(v, 16 + file, 5, name, runs);
		live_noise(image_cluster(v, runs[0].lcn), 12 * 4096, 70 + file);
	}
	image_finish(v);
	write_disk(w, 0, v->p, (uint32_t)v->size);
	image_free(v);
}

/* Some block becomes another one; now and then a record of a file does. */
static void
change(struct world *w)
{
	uint8_t block[4096];
	uint64_t at = (w->seed * 41u % (SIM_LENGTH / 4096 - 200) + 150) * 4096;

	live_noise(block, sizeof(block), ++w->seed);
	write_disk(w, at, block, sizeof(block));
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char spec[250];

	strcpy(w->dir, "/tmp/hf-full-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	sim_start(&sim);
	snprintf(disk.dir, sizeof(disk.dir), "%s/state", w->dir);
	snprintf(w->target, sizeof(w->target), "%s/restored", w->dir);
	assert_int_equal(state_open(disk.dir, &w->st, &w->err), 0);
	assert_int_equal(state_lock(w->st, &w->err), 0);
	w->bytes = malloc(SIM_LENGTH);
	memset(w->bytes, 'o', SIM_LENGTH);
	settings_init(&w->settings);
	w->settings.level = 1;
	w->settings.retry_s = 0;
	w->settings.fast.on = 1;
	snprintf(spec, sizeof(spec), "c=%s", sim_path(&sim, "c"));
	assert_int_equal(settings_add(&w->settings, spec, &w->err), 0);
	w->options.settings = &w->settings;
	w->options.mode = PROGRESS_SILENT;
	w->options.say = say;
	w->options.say_arg = w;
	memset(w->options.machine, 7, sizeof(w->options.machine));
	live_start(&live);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	enrolled(w);
	fill(w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char cmd[96];

	atomic_store(&disk.fault, FAULT_NONE);
	live_peer_free(&admin);
	live_stop(&live);
	sim_stop(&sim);
	state_close(w->st);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w->bytes);
	free(w);
	return 0;
}

static void
back_up(struct world *w, int check, const char *when)
{
	const uint64_t before = w->b.point.sequence;

	err_clear(&w->err);
	w->options.check_changes = check;
	if (backup_run(w->st, &w->options, &w->b, &w->err) != 0)
		fail_msg("%s %u: %s", when, disk.at, w->err.text);
	assert_int_equal(w->b.point.sequence, before + 1);
}

/* The newest point is what the disk holds. */
static void
comes_back(struct world *w)
{
	struct restore_job job = { .host = "",
		.volume = "c",
		.target = w->target,
		.flags = RESTORE_FORCE,
		.mode = PROGRESS_SILENT };
	uint8_t *got = malloc(SIM_LENGTH + 1);
	struct restore_result r;
	struct dial d;
	FILE *f;

	if (dial_open(w->st, w->options.machine, NULL, &d, &w->err) != 0)
		fail_msg("%s", w->err.text);
	job.ch = d.ch;
	job.keys = &d.keys;
	if (restore_run(&job, &r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	dial_close(&d);
	assert_non_null(f = fopen(w->target, "r"));
	assert_int_equal(fread(got, 1, SIM_LENGTH + 1, f), SIM_LENGTH);
	fclose(f);
	/* What is free comes back as zeros. */
	for (size_t i = 0; i < SIM_LENGTH; i++)
		if (got[i] != w->bytes[i] && got[i] != 0)
			fail_msg("byte %zu of point %llu differs", i,
			    (unsigned long long)w->b.point.sequence);
	free(got);
}

/* ---------------------------------------------------------------------------- claims -- */

static void
sweep(struct world *w, enum fault fault, const char *name)
{
	const unsigned step = getenv("HOLDFAST_SWEEP") != NULL ? 1 : STEP;
	unsigned kept = 0, cases = 0, restored = 0, said = 0, hit = 1;

	back_up(w, 0, name);
	for (unsigned nth = step < 3 ? 1 : (unsigned)fault; hit > 0; nth += step) {
		change(w);
		w->said = 0;
		atomic_store(&disk.done, 0);
		atomic_store(&disk.hit, 0);
		atomic_store(&disk.at, nth);
		atomic_store(&disk.fault, fault);
		back_up(w, 0, name);
		atomic_store(&disk.fault, FAULT_NONE);
		hit = disk.hit;
		kept += w->b.kept_bytes > 0;
		said += w->said > 0;
		if (fault == FAULT_FULL && hit > 0 && w->said == 0)
			fail_msg("%s %u: not a word of it", name, nth);
		if (hit == 0 && w->said > 0)
			fail_msg("%s %u: said without a reason", name, nth);
		if (cases++ % 8 == 0) {
			comes_back(w);
			restored++;
		}
		/* The next one, with all that is left in the directory. */
		change(w);
		back_up(w, 1, "the next");
	}
	comes_back(w);
	printf("%s: %u cases, %u incrementals, %u warnings, %u restored\n", name, cases,
	    kept, said, restored + 1);
	assert_true(cases > 40 / step && kept > cases / 3 && (said > 0 || cases < 5));
	/* And when all is well again it is an incremental. */
	change(w);
	back_up(w, 1, "afterwards");
	assert_true(w->b.kept_bytes > 0);
	assert_non_null(strstr(w->b.captured, "changes by tracking"));
}

static void
a_full_disk_costs_reading(void **state)
{
	sweep(*state, FAULT_FULL, "full");
}

static void
a_disk_that_fails_once_costs_reading(void **state)
{
	sweep(*state, FAULT_ONCE, "once");
}

static void
a_directory_that_is_lost_costs_reading(void **state)
{
	sweep(*state, FAULT_CACHE, "cache");
}

/* One bit of each pack, and the server looks. */
static void
rot(void)
{
	struct store_verify_report r;
	char dir[96], path[400];
	struct err err = ERR_INIT;
	struct dirent *e;
	struct stat st;
	uint8_t byte;
	DIR *d;
	int fd;

	snprintf(dir, sizeof(dir), "%s/packs", live.dir);
	assert_non_null(d = opendir(dir));
	while ((e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] == '.' || (fd = open(path, O_RDWR)) == -1)
			continue;
		assert_int_equal(fstat(fd, &st), 0);
		if (st.st_size > 100000) {
			assert_int_equal(pread(fd, &byte, 1, 50000), 1);
			byte ^= 1;
			assert_int_equal(pwrite(fd, &byte, 1, 50000), 1);
		}
		(void)close(fd);
	}
	(void)closedir(d);
	live_ok(store_verify(server_store(live.server), 1.0, 0, NULL, NULL, &r, &err));
	assert_true(r.bad_groups > 0);
}

/* The tree would tell where it lies; now all is asked for. */
static void
what_the_server_lost_is_found_without_a_tree(void **state)
{
	struct world *w = *state;

	back_up(w, 0, "first");
	change(w);
	back_up(w, 0, "second");
	change(w);
	disk.then = rot;
	atomic_store(&disk.hit, 0);
	atomic_store(&disk.at, 0);
	atomic_store(&disk.fault, FAULT_TREE);
	back_up(w, 0, "rotten");
	atomic_store(&disk.fault, FAULT_NONE);
	disk.then = NULL;
	assert_true(disk.hit > 0);
	assert_int_equal(w->b.attempts, 2);
	assert_int_equal(w->b.kept_bytes, 0);
	comes_back(w);
	change(w);
	back_up(w, 1, "the next");
	comes_back(w);
}

static int
count_suspects(void *arg, const Wire__Point *p)
{
	*(unsigned *)arg += p->suspect[0] != '\0';
	return 0;
}

static unsigned
suspects(struct world *w)
{
	unsigned n = 0;
	struct dial d;

	if (dial_open(w->st, w->options.machine, NULL, &d, &w->err) != 0 ||
	    reading_points(d.ch, "", 0, count_suspects, &n, &w->err) != 0)
		fail_msg("%s", w->err.text);
	dial_close(&d);
	return n;
}

/* Noted, and then nobody tracks any more: the server hears of it all the same. */
static void
a_note_is_told_though_nobody_tracks(void **state)
{
	const struct suspect s = { .told = 0, .since = 1, .how = "byte 7" };
	struct world *w = *state;
	char path[STATE_PATH_MAX];
	enum file_kind kind;

	back_up(w, 0, "first");
	back_up(w, 0, "second");
	assert_int_equal(suspects(w), 0);
	assert_int_equal(state_path(w->st, "cache/c=suspect", path, &w->err), 0);
	assert_int_equal(suspect_store(path, &s, &w->err), 0);
	w->settings.fast.on = w->settings.hotcopy.tracking = 0;
	back_up(w, 0, "third");
	assert_non_null(strstr(w->b.note, "c: all is read: byte 7"));
	assert_int_equal(suspects(w), 1);
	assert_int_equal(file_kind(path, &kind, &w->err), 0);
	assert_int_equal(kind, FILE_IS_NOTHING);
	back_up(w, 0, "fourth");
	assert_null(strstr(w->b.note, "byte 7"));
	assert_int_equal(suspects(w), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_costs_reading),
		TEST(a_disk_that_fails_once_costs_reading),
		TEST(a_directory_that_is_lost_costs_reading),
		TEST(what_the_server_lost_is_found_without_a_tree),
		TEST(a_note_is_told_though_nobody_tracks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
