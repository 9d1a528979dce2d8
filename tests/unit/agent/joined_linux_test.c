/*
 * A disk in use, joined from snapshots of its volumes and what is read live: a file
 * stands for \\.\PhysicalDrive0, another for the snapshot of the volume on it.  What
 * comes back is the disk as it was, byte for byte.
 */
#include "tests/unit/server/live.h"

#include <pthread.h>

#include "agent/backup/backup.h"
#include "agent/capture/capture_disks.h"
#include "agent/clone/clone.h"
#include "agent/restore/disk_order.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "tests/unit/agent/disk_image.h"

#define SIZE (48 * MIB)
#define PARTS 4

/* ESP, MSR, the volume, recovery. */
static const struct {
	uint64_t offset, length;
	uint8_t role;
} parts[PARTS] = { { MIB, 4 * MIB, LAYOUT_ESP }, { 5 * MIB, MIB, LAYOUT_MSR },
	{ 8 * MIB, 24 * MIB, LAYOUT_DATA }, { 33 * MIB, 8 * MIB, LAYOUT_RECOVERY } };
#define VOLUME_AT (8 * MIB)
#define VOLUME_LEN (24 * MIB)

static struct live live;
static struct live_peer admin;

struct world {
	char dir[64], drive[96], snapshot[96], target[96];
	struct state *st;
	struct settings settings;
	struct backup_options options;
	struct backup_result b;
	uint8_t *expected; /* The disk that is to come back. */
	char said[256];
	struct err err;
};

/* The system that a test makes up. */
static struct {
	const struct world *w;
	struct disk_image d;
	pthread_mutex_t lock;
	/* Reads that touch this byte change it: `after` so many, as many times. */
	uint64_t changing;
	unsigned after, times;
	int left_out, elsewhere, decrypted;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int
group_up(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	return 0;
}

static int
group_down(void **state)
{
	(void)state;
	live_peer_free(&admin);
	live_stop(&live);
	return 0;
}

/* --------------------------------------------------------------------- the disk -- */

static int
fake_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	int rc;

	pthread_mutex_lock(&fake.lock);
	if (fake.times > 0 && fake.changing >= offset && fake.changing - offset < len) {
		if (fake.after > 0) {
			fake.after--;
		} else {
			fake.d.p[fake.changing]++;
			fake.times--;
		}
	}
	rc = image_read_at(arg, offset, buf, len, err);
	pthread_mutex_unlock(&fake.lock);
	return rc;
}

static int
fake_open(const char *path, const char *exclude, const char *provider,
    struct capture_disk *out, struct err *err)
{
	(void)exclude;
	(void)err;
	assert_string_equal(path, fake.w->drive);
	assert_string_equal(provider, "offline");
	memset(out, 0, sizeof(*out));
	out->read = fake_read;
	out->arg = &fake.d;
	out->size = SIZE;
	out->sector_size = 512;
	out->count = 1;
	snprintf(
	    out->pieces[0].path, sizeof(out->pieces[0].path), "%s", fake.w->snapshot);
	/* A label may be cut in the middle of a character. */
	strcpy(out->pieces[0].shown, fake.left_out ? "D:\\B\xc3" : "D:\\");
	out->pieces[0].offset = VOLUME_AT + (fake.elsewhere ? 512 : 0);
	out->pieces[0].left_out = fake.left_out;
	out->pieces[0].decrypted = fake.decrypted;
	return 1;
}

static const struct capture_disks fakes = { fake_open };

static void
say(void *arg, const char *line)
{
	struct world *w = arg;

	snprintf(w->said, sizeof(w->said), "%s", line);
}

static void
make_disk(struct disk_image *d, uint64_t seed, uint8_t type)
{
	struct layout *l = calloc(1, sizeof(*l));
	struct err err = ERR_INIT;

	*d = disk_image_new(SIZE);
	l->disks_count = 1;
	strcpy(l->disks[0].name, "disk0");
	l->disks[0].table = LAYOUT_GPT;
	l->disks[0].size = SIZE;
	l->disks[0].sector_size = 512;
	memset(l->disks[0].id, 0x11, 16);
	for (unsigned i = 0; i < PARTS; i++) {
		struct layout_partition *p = &l->partitions[l->partitions_count++];

		p->number = (uint16_t)(i + 1);
		p->role = parts[i].role;
		p->offset = parts[i].offset;
		p->length = parts[i].length;
		p->volume = p->role == LAYOUT_MSR ? LAYOUT_NO_VOLUME : (uint8_t)(i + 1);
		memset(p->id, (int)(0x20 + i), 16);
		memset(p->type, type, 16);
		if (p->role == LAYOUT_ESP)
			memcpy(p->type, disk_table_esp, 16);
		if (p->role == LAYOUT_MSR)
			memcpy(p->type, disk_table_msr, 16);
		if (p->role == LAYOUT_RECOVERY)
			memcpy(p->type, disk_table_recovery, 16);
	}
	if (disk_image_gpt(l, d, &err) != 0)
		fail_msg("%s", err.text);
	/* Everything but the tables is full of something: gaps, MSR and all. */
	live_noise(d->p + 64 * 512, (size_t)(SIZE - 128 * 512), seed);
	free(l);
}

static void
write_file(const char *path, const uint8_t *p, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void
enrolled(struct world *w, const char *name)
{
	struct enrol_options o = { .name = name };
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

/*
 * The drive holds garbage where the volume is: only the snapshot has it right.  The file
 * system ends `tail` bytes before its partition does.
 */
static struct world *
world_new(const char *name, uint64_t seed, size_t tail)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t *frozen = malloc((size_t)VOLUME_LEN);
	char text[160];

	strcpy(w->dir, "/tmp/hf-joined-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(text, sizeof(text), "%s/state", w->dir);
	assert_int_equal(state_open(text, &w->st, &w->err), 0);
	snprintf(w->drive, sizeof(w->drive), "%s/drive", w->dir);
	snprintf(w->snapshot, sizeof(w->snapshot), "%s/snapshot", w->dir);
	snprintf(w->target, sizeof(w->target), "%s/target", w->dir);
	memset(&fake.d, 0, sizeof(fake.d));
	fake.w = w;
	fake.times = fake.after = 0;
	fake.left_out = fake.elsewhere = fake.decrypted = 0;
	make_disk(&fake.d, seed, 0x77);
	live_noise(frozen, (size_t)VOLUME_LEN, seed + 1);
	write_file(w->snapshot, frozen, (size_t)VOLUME_LEN - tail);
	w->expected = malloc((size_t)SIZE);
	memcpy(w->expected, fake.d.p, (size_t)SIZE);
	memcpy(w->expected + VOLUME_AT, frozen, (size_t)VOLUME_LEN - tail);
	free(frozen);
	settings_init(&w->settings);
	w->settings.level = 1;
	w->settings.retry_s = 60;
	snprintf(text, sizeof(text), "disk0=%s", w->drive);
	assert_int_equal(settings_add_disk(&w->settings, text, &w->err), 0);
	w->options.settings = &w->settings;
	w->options.disks = &fakes;
	w->options.say = say;
	w->options.say_arg = w;
	memset(w->options.machine, (int)seed, sizeof(w->options.machine));
	w->options.mode = PROGRESS_SILENT;
	enrolled(w, name);
	return w;
}

static void
world_free(struct world *w)
{
	char cmd[96];

	state_close(w->st);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", w->dir);
	assert_int_equal(system(cmd), 0);
	free(fake.d.p);
	free(w->expected);
	free(w);
}

static void
back_up(struct world *w)
{
	err_clear(&w->err);
	w->said[0] = '\0';
	if (backup_run(w->st, &w->options, &w->b, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

static void
fails(struct world *w, enum err_code code, const char *says)
{
	err_clear(&w->err);
	assert_int_equal(backup_run(w->st, &w->options, &w->b, &w->err), -1);
	if (w->err.code != code || strstr(w->err.text, says) == NULL)
		fail_msg("%d: %s", (int)w->err.code, w->err.text);
}

static int
dial_again(void *arg, struct dial *out, struct err *err)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	const struct world *w = arg;
	int rc;

	pthread_mutex_lock(&one);
	rc = dial_open(w->st, w->options.machine, NULL, out, err);
	pthread_mutex_unlock(&one);
	if (rc == 0)
		out->st = NULL;
	return rc;
}

static void
is_expected(const struct world *w)
{
	uint8_t *got = malloc((size_t)SIZE + 1);
	FILE *f;

	assert_non_null(f = fopen(w->target, "r"));
	assert_int_equal(fread(got, 1, (size_t)SIZE + 1, f), SIZE);
	fclose(f);
	for (size_t i = 0; i < SIZE; i++)
		if (got[i] != w->expected[i])
			fail_msg("byte %zu differs", i);
	free(got);
}

/* `restore --disk disk0`, and the disk is as expected. */
static void
comes_back(struct world *w)
{
	struct disk_order o = { .dial = dial_again,
		.dial_arg = w,
		.host = "",
		.disk = "disk0",
		.target = w->target,
		.mode = PROGRESS_SILENT };
	struct disk_order_result r;

	err_clear(&w->err);
	if (disk_order_run(&o, &r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	is_expected(w);
}

/* `clone --disk` of it, without the server. */
static int
clone_of(struct world *w, struct clone_result *r)
{
	const struct clone_job job = { .from = w->drive,
		.to = w->target,
		.whole = 1,
		.verify = 1,
		.mode = PROGRESS_SILENT,
		.say = say,
		.say_arg = w,
		.disks = &fakes };

	err_clear(&w->err);
	w->said[0] = '\0';
	return clone_run(&job, r, &w->err);
}

/* ------------------------------------------------------------------------ claims -- */

static void
a_joined_disk_comes_back_byte_for_byte(void **state)
{
	struct world *w = world_new("joined", 21, 0);

	(void)state;
	back_up(w);
	/* Image, ESP, the volume, recovery; MSR is in the image. */
	assert_int_equal(w->b.volumes, 4);
	comes_back(w);
	/* The next day nothing is new. */
	back_up(w);
	assert_int_equal(w->b.counts.new_chunks, 0);
	world_free(w);
}

static void
sectors_behind_the_file_system_are_the_disks(void **state)
{
	struct world *w = world_new("tail", 23, 4096 + 512);

	(void)state;
	back_up(w);
	comes_back(w);
	world_free(w);
}

/* What lies behind it on the disk is BitLocker's own. */
static void
behind_what_is_decrypted_are_zeros(void **state)
{
	struct world *w = world_new("bitlocker", 24, 4096 + 512);

	(void)state;
	fake.decrypted = 1;
	back_up(w);
	assert_non_null(
	    strstr(w->b.note, "D:\\: encrypted by BitLocker, its image is not"));
	memset(w->expected + VOLUME_AT + VOLUME_LEN - 4096 - 512, 0, 4096 + 512);
	comes_back(w);
	world_free(w);
}

static void
what_changed_meanwhile_is_read_again(void **state)
{
	struct world *w = world_new("again", 25, 0);

	(void)state;
	/* The ESP, once between its first and its second reading. */
	fake.changing = 2 * MIB + 77;
	fake.times = 2;
	back_up(w);
	assert_non_null(strstr(w->said, "disk0.1 changed while it was read"));
	memcpy(w->expected + MIB, fake.d.p + MIB, 4 * MIB);
	comes_back(w);
	/* A gap. */
	fake.changing = 7 * MIB + 1;
	fake.times = 2;
	back_up(w);
	assert_non_null(strstr(w->said, "disk0 changed while it was read"));
	world_free(w);
}

static void
what_never_stands_still_is_no_point(void **state)
{
	struct world *w = world_new("never", 27, 0);

	(void)state;
	fake.changing = 34 * MIB;
	fake.times = 1000;
	fails(w, ERR_BUSY, "volume disk0.4: it changes while it is read");
	world_free(w);
}

static void
the_volumes_own_bytes_on_the_disk_may_change(void **state)
{
	struct world *w = world_new("free", 29, 0);

	(void)state;
	fake.changing = VOLUME_AT + 4096;
	fake.times = 1000;
	back_up(w);
	/* Nobody looked there. */
	assert_int_equal(fake.times, 1000);
	comes_back(w);
	world_free(w);
}

static void
a_table_that_changes_is_no_point(void **state)
{
	struct world *w = world_new("table", 31, 0);

	(void)state;
	/* After it was read, and before the image was: that one stands still. */
	fake.changing = 512 + 16;
	fake.after = 1;
	fake.times = 1;
	fails(w, ERR_SNAPSHOT_LOST, "partition table changed");
	world_free(w);
}

static void
a_volume_left_out_comes_back_empty(void **state)
{
	struct world *w = world_new("left", 33, 0);

	(void)state;
	fake.left_out = 1;
	back_up(w);
	assert_int_equal(w->b.volumes, 3);
	assert_non_null(strstr(w->b.note, "D:\\B?: left out"));
	memset(w->expected + VOLUME_AT, 0, VOLUME_LEN);
	comes_back(w);
	world_free(w);
}

static void
what_does_not_fit_is_refused(void **state)
{
	struct world *w = world_new("misfit", 35, 0);
	uint8_t *more = calloc(1, (size_t)VOLUME_LEN + 512);

	(void)state;
	fake.elsewhere = 1;
	fails(w, ERR_UNSUPPORTED, "disk disk0: D:\\ lies at byte");
	fake.elsewhere = 0;
	write_file(w->snapshot, more, (size_t)VOLUME_LEN + 512);
	fails(w, ERR_CORRUPT, "D:\\ has 25166336 bytes, its partition 3 has 25165824");
	free(more);
	world_free(w);
}

static void
a_dynamic_disk_is_refused(void **state)
{
	static const uint8_t ldm[16] = { 0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f,
		0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad };
	struct world *w = world_new("dynamic", 37, 0);
	uint8_t *entry = fake.d.p + 2 * 512 + 2 * 128;
	uint8_t *head = fake.d.p + 512;

	(void)state;
	memcpy(entry, ldm, 16);
	store_le32(head + 88, disk_table_crc(0, fake.d.p + 2 * 512, 128 * 128));
	store_le32(head + 16, 0);
	store_le32(head + 16, disk_table_crc(0, head, 92));
	fails(w, ERR_UNSUPPORTED, "dynamic disk");
	world_free(w);
}

static void
a_joined_disk_is_cloned_as_well(void **state)
{
	struct world *w = world_new("cloned", 41, 4096 + 512);
	struct clone_result r;

	(void)state;
	/*
	 * Of the ESP a block that is zeros, but when it is first read.  What the first
	 * reading wrote must not stay in a file where zeros are not written.
	 */
	fake.changing = 2 * MIB + 77;
	fake.after = fake.times = 1;
	memset(fake.d.p + 2 * MIB, 0, 65536);
	fake.d.p[fake.changing] = 0xff;
	memcpy(w->expected + MIB, fake.d.p + MIB, 4 * MIB);
	w->expected[fake.changing] = 0;
	if (clone_of(w, &r) != 0)
		fail_msg("%s", w->err.text);
	assert_non_null(strstr(w->said, "source.1 changed while it was read"));
	assert_int_equal(fake.times, 0);
	assert_true(r.partitions == 4 && r.data_bytes == SIZE &&
		    r.checked_bytes == SIZE && r.zero_bytes == 65536);
	is_expected(w);
	assert_int_equal(remove(w->target), 0);
	fake.times = 1000;
	assert_int_equal(clone_of(w, &r), -1);
	assert_int_equal(w->err.code, ERR_BUSY);
	assert_string_equal(w->err.text,
	    "partition 1: it changes while it is read, and nothing here freezes it: stop "
	    "what writes there");
	assert_int_equal(remove(w->target), -1);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_joined_disk_comes_back_byte_for_byte),
		cmocka_unit_test(what_changed_meanwhile_is_read_again),
		cmocka_unit_test(what_never_stands_still_is_no_point),
		cmocka_unit_test(sectors_behind_the_file_system_are_the_disks),
		cmocka_unit_test(behind_what_is_decrypted_are_zeros),
		cmocka_unit_test(the_volumes_own_bytes_on_the_disk_may_change),
		cmocka_unit_test(a_table_that_changes_is_no_point),
		cmocka_unit_test(a_volume_left_out_comes_back_empty),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(a_dynamic_disk_is_refused),
		cmocka_unit_test(a_joined_disk_is_cloned_as_well),
	};

	return cmocka_run_group_tests(tests, group_up, group_down);
}
