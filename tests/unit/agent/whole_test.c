/*
 * The agent against a real server: enrolled by a token, volumes backed up,
 * through a server that goes away, and restored equal.
 */
#include "tests/unit/server/live.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "agent/backup/backup.h"
#include "agent/backup/sources.h"
#include "agent/host/stop.h"
#include "agent/restore/restore.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "tests/tools/huge_volume.h"

#define SPAN ((size_t)TREE_SPAN_LEN)
#define SIZE (SPAN + 6 * 1024 * 1024)

static struct live live;
static struct live_peer admin;

struct world {
	char dir[64], image[96], target[96];
	struct state *st;
	struct settings settings;
	struct backup_options options;
	struct backup_result b;
	struct restore_result r;
	uint8_t *bytes;
	struct err err;
};

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

static void
write_image(const struct world *w)
{
	FILE *f = fopen(w->image, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(w->bytes, 1, SIZE, f), SIZE);
	assert_int_equal(fclose(f), 0);
}

/* A state directory and an image: noise, a hole, noise again, of this `seed`. */
static struct world *
world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[128];

	strcpy(w->dir, "/tmp/hf-whole-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(path, sizeof(path), "%s/state", w->dir);
	snprintf(w->image, sizeof(w->image), "%s/image", w->dir);
	snprintf(w->target, sizeof(w->target), "%s/restored", w->dir);
	assert_int_equal(state_open(path, &w->st, &w->err), 0);
	w->bytes = calloc(1, SIZE);
	live_noise(w->bytes, 3 * 1024 * 1024, seed);
	live_noise(w->bytes + SPAN - 1000, 2 * 1024 * 1024, seed + 1);
	write_image(w);
	settings_init(&w->settings);
	w->settings.level = 1;
	w->settings.retry_s = 60;
	snprintf(path, sizeof(path), "c=%s", w->image);
	assert_int_equal(settings_add(&w->settings, path, &w->err), 0);
	w->options.settings = &w->settings;
	memset(w->options.machine, (int)seed, sizeof(w->options.machine));
	w->options.mode = PROGRESS_SILENT;
	return w;
}

static void
world_free(struct world *w)
{
	char cmd[96];

	state_close(w->st);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w->bytes);
	free(w);
}

static void
new_token(char text[TOKEN_TEXT_MAX], unsigned uses)
{
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	ProtobufCMessage *reply;
	struct live_session s;
	struct err err = ERR_INIT;

	live_dial(&live, &admin, &s);
	m.uses = uses;
	m.ttl_s = 600;
	live_ok(channel_call(s.ch, &m.base, MSG_TOKEN_TEXT, &reply, &err));
	snprintf(text, TOKEN_TEXT_MAX, "%s", ((Wire__TokenText *)reply)->text);
	msg_free(reply);
	live_hangup(&s);
}

static int
enrol_with(struct world *w, const char *token, const char *name)
{
	struct enrol_options o = { .token = token, .name = name };
	char got[CERT_NAME_MAX];

	memcpy(o.machine, w->options.machine, sizeof(o.machine));
	err_clear(&w->err);
	return enrol_run(w->st, &o, got, &w->err);
}

static void
enrolled(struct world *w, const char *name)
{
	char token[TOKEN_TEXT_MAX];

	new_token(token, 1);
	if (enrol_with(w, token, name) != 0)
		fail_msg("%s", w->err.text);
}

static void
back_up(struct world *w)
{
	err_clear(&w->err);
	if (backup_run(w->st, &w->options, &w->b, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

static int
restore(struct world *w, uint64_t sequence, unsigned flags)
{
	struct restore_job job = { .host = "",
		.sequence = sequence,
		.volume = "c",
		.target = w->target,
		.flags = flags,
		.mode = PROGRESS_SILENT };
	struct dial d;
	int rc;

	err_clear(&w->err);
	if (dial_open(w->st, w->options.machine, NULL, &d, &w->err) != 0)
		return -1;
	job.ch = d.ch;
	job.keys = &d.keys;
	rc = restore_run(&job, &w->r, &w->err);
	dial_close(&d);
	return rc;
}

static void
restored_equals(struct world *w, const uint8_t *bytes)
{
	uint8_t *got = malloc(SIZE + 1);
	FILE *f = fopen(w->target, "r");

	assert_non_null(f);
	assert_int_equal(fread(got, 1, SIZE + 1, f), SIZE);
	fclose(f);
	assert_memory_equal(got, bytes, SIZE);
	free(got);
}

/* ------------------------------------------------------------------ enrolment -- */

static void
a_lost_reply_is_asked_for_again(void **state)
{
	struct world *w = world_new(11), *other = world_new(12);
	char token[TOKEN_TEXT_MAX];
	struct state_identity id;

	(void)state;
	new_token(token, 1);
	assert_int_equal(enrol_with(w, token, "lost"), 0);
	/* The agent died before it kept the certificate; the key is there. */
	assert_int_equal(state_remove(w->st, "cert", &w->err), 0);
	assert_int_equal(state_identity(w->st, &id, &w->err), 0);
	if (enrol_with(w, token, "lost") != 0)
		fail_msg("%s", w->err.text);
	/* For another key the token is used up. */
	assert_int_equal(enrol_with(other, token, "other"), -1);
	assert_int_equal(other->err.code, ERR_DENIED);
	/* Who is enrolled does not enrol by accident. */
	assert_int_equal(enrol_with(w, token, "lost"), -1);
	assert_int_equal(w->err.code, ERR_EXISTS);
	world_free(w);
	world_free(other);
}

static void
a_token_of_another_authority_is_refused(void **state)
{
	struct world *w = world_new(13);
	char token[TOKEN_TEXT_MAX];
	struct token t;

	(void)state;
	new_token(token, 1);
	assert_int_equal(token_parse(token, &t, &w->err), 0);
	t.ca_fingerprint[3] ^= 1;
	assert_int_equal(token_format(&t, token, &w->err), 0);
	assert_int_equal(enrol_with(w, token, "misled"), -1);
	assert_int_equal(w->err.code, ERR_DENIED);
	world_free(w);
}

static void
a_copied_state_on_another_machine_is_refused(void **state)
{
	struct world *w = world_new(14);
	struct dial d;

	(void)state;
	enrolled(w, "origin");
	w->options.machine[0] ^= 1;
	assert_int_equal(dial_open(w->st, w->options.machine, NULL, &d, &w->err), -1);
	assert_int_equal(w->err.code, ERR_DENIED);
	world_free(w);
}

static void
certificates_are_renewed(void **state)
{
	struct world *w = world_new(15);
	struct state_identity before, after;
	struct dial d;

	(void)state;
	enrolled(w, "renewed");
	assert_int_equal(state_identity(w->st, &before, &w->err), 1);
	assert_int_equal(dial_open(w->st, w->options.machine, NULL, &d, &w->err), 0);
	if (dial_renew(&d, &w->err) != 0)
		fail_msg("%s", w->err.text);
	dial_close(&d);
	assert_int_equal(state_identity(w->st, &after, &w->err), 1);
	assert_memory_not_equal(before.facts.serial, after.facts.serial, CERT_SERIAL_LEN);
	assert_int_equal(dial_open(w->st, w->options.machine, NULL, &d, &w->err), 0);
	dial_close(&d);
	state_identity_free(&before);
	state_identity_free(&after);
	world_free(w);
}

/* --------------------------------------------------------- backup and restore -- */

static void
points_come_back_as_they_were(void **state)
{
	struct world *w = world_new(21);
	uint8_t *first = malloc(SIZE);
	uint64_t sequence;

	(void)state;
	enrolled(w, "back");
	back_up(w);
	sequence = w->b.point.sequence;
	assert_int_equal(w->b.attempts, 1);
	memcpy(first, w->bytes, SIZE);
	/* Change a little, also make something zero, and back up again. */
	live_noise(w->bytes + 70000, 5000, 99);
	memset(w->bytes + SPAN, 0, 300000);
	write_image(w);
	back_up(w);
	assert_int_equal(w->b.point.sequence, sequence + 1);
	assert_true(w->b.counts.new_bytes < 1500000);
	if (restore(w, sequence, 0) != 0)
		fail_msg("%s", w->err.text);
	restored_equals(w, first);

	/* An existing file is kept; --delta rewrites what differs; zeros too. */
	assert_int_equal(restore(w, 0, 0), -1);
	assert_int_equal(w->err.code, ERR_EXISTS);
	restored_equals(w, first);
	if (restore(w, 0, RESTORE_DELTA) != 0)
		fail_msg("%s", w->err.text);
	restored_equals(w, w->bytes);
	assert_true(w->r.written_bytes >= 305000 && w->r.written_bytes < 330000);
	if (restore(w, sequence, RESTORE_FORCE) != 0)
		fail_msg("%s", w->err.text);
	restored_equals(w, first);
	free(first);
	world_free(w);
}

static void
delta_rights_a_damaged_copy(void **state)
{
	struct world *w = world_new(22);
	FILE *f;

	(void)state;
	enrolled(w, "delta");
	back_up(w);
	assert_int_equal(restore(w, 0, 0), 0);
	assert_non_null(f = fopen(w->target, "r+"));
	/* Damage in data and in what is zero. */
	fseek(f, 1000000, SEEK_SET);
	fputs("damaged", f);
	fseek(f, 8 * 1024 * 1024 + 5, SEEK_SET);
	fputs("damaged", f);
	fclose(f);
	if (restore(w, 0, RESTORE_DELTA) != 0)
		fail_msg("%s", w->err.text);
	restored_equals(w, w->bytes);
	assert_int_equal(w->r.written_bytes, 2 * 4096);
	world_free(w);
}

/* A volume of scattered files, some of which have content, as a sparse image. */
static void
write_scattered(const struct world *w, const struct huge *h)
{
	uint8_t *p = malloc((size_t)h->data * h->cluster);
	int fd = open(w->image, O_RDWR | O_TRUNC | O_CLOEXEC);
	struct image_run run;

	assert_non_null(p);
	assert_true(fd >= 0 && ftruncate(fd, (off_t)h->size) == 0);
	huge_read(h, 0, p, (size_t)h->data * h->cluster);
	assert_int_equal(
	    pwrite(fd, p, (size_t)h->data * h->cluster, 0), (size_t)h->data * h->cluster);
	for (uint32_t i = 0; i < h->files * HUGE_RUNS; i += i % HUGE_RUNS == 3 ? 29 : 1) {
		run = huge_run(h, i / HUGE_RUNS, i % HUGE_RUNS);
		for (uint64_t c = 0; c < run.len; c++)
			huge_fill(p + c * h->cluster, h->cluster, (uint64_t)run.lcn + c);
		assert_int_equal(
		    pwrite(fd, p, run.len * h->cluster, run.lcn * (off_t)h->cluster),
		    run.len * h->cluster);
	}
	free(p);
	assert_int_equal(close(fd), 0);
}

/* In memory for 30 of 16,000 runs the map spills, and the tree is the same. */
static void
a_map_that_spills_makes_the_same_point(void **state)
{
	struct world *w = world_new(23);
	char cmd[300];
	struct huge h;

	(void)state;
	assert_true(huge_init(&h, 340u << 20, 4096, HUGE_GROUP_FILES));
	write_scattered(w, &h);
	enrolled(w, "scattered");
	w->options.map_memory = 2000;
	back_up(w);
	assert_string_equal(w->b.note, "");
	assert_true(
	    w->b.counts.new_bytes > 1 << 20 && w->b.counts.hole_bytes > h.size / 4);
	if (restore(w, 0, 0) != 0)
		fail_msg("%s", w->err.text);
	snprintf(cmd, sizeof(cmd), "cmp '%s' '%s'", w->image, w->target);
	assert_int_equal(system(cmd), 0);

	w->options.map_memory = 0;
	back_up(w);
	assert_string_equal(w->b.note, "");
	assert_int_equal(w->b.counts.new_bytes, 0);
	assert_int_equal(w->b.counts.sent_bytes, 0);
	world_free(w);
}

static void
what_is_not_there_is_said(void **state)
{
	struct world *w = world_new(23);

	(void)state;
	enrolled(w, "empty");
	assert_int_equal(restore(w, 0, 0), -1);
	assert_non_null(strstr(w->err.text, "no points"));
	back_up(w);
	assert_int_equal(restore(w, 99, 0), -1);
	assert_non_null(strstr(w->err.text, "point 99"));
	assert_int_not_equal(access(w->target, F_OK), 0);
	world_free(w);
}

static void
the_head_is_remembered(void **state)
{
	struct world *w = world_new(24);
	uint8_t head[STATE_HASH_LEN];
	struct dial d;

	(void)state;
	enrolled(w, "head");
	back_up(w);
	assert_int_equal(state_head(w->st, head, &w->err), 1);
	assert_memory_equal(head, w->b.point.record, STATE_HASH_LEN);
	assert_int_equal(dial_open(w->st, w->options.machine, NULL, &d, &w->err), 0);
	assert_false(d.welcome.rolled_back);
	assert_memory_equal(d.welcome.head, head, STATE_HASH_LEN);
	dial_close(&d);
	/* A server that does not know it was rolled back. */
	head[0] ^= 1;
	assert_int_equal(state_set_head(w->st, head, &w->err), 0);
	assert_int_equal(dial_open(w->st, w->options.machine, NULL, &d, &w->err), 0);
	assert_true(d.welcome.rolled_back);
	dial_close(&d);
	world_free(w);
}

static void
what_was_backed_up_is_known_as_a_source(void **state)
{
	struct world *w = world_new(25);
	char name[SETTINGS_NAME_MAX];

	(void)state;
	enrolled(w, "source");
	back_up(w);
	assert_int_equal(sources_has(w->st, &w->settings, w->image, name, &w->err), 1);
	assert_string_equal(name, "c");
	/* Also when it is in no configuration any more, and by another name of it. */
	w->settings.count = 0;
	assert_int_equal(symlink(w->image, w->target), 0);
	assert_int_equal(sources_has(w->st, &w->settings, w->target, name, &w->err), 1);
	assert_int_equal(sources_has(w->st, &w->settings, w->dir, name, &w->err), 0);
	world_free(w);
}

/* ----------------------------------------------------------- a lost server -- */

struct away {
	unsigned said;
	const char *image; /* Changed while the server is away; or NULL. */
};

/* The first complaint of the agent: the server comes back. */
static void
on_say(void *arg, const char *line)
{
	struct away *a = arg;

	FILE *f;

	(void)line;
	if (a->said++ > 0)
		return;
	if (a->image != NULL) {
		assert_non_null(f = fopen(a->image, "r+"));
		fputc('x', f);
		fclose(f);
	}
	live_run(&live);
}

/* The server goes away, to come back where it was when the agent complains. */
static void
goes_away(struct world *w, struct away *away)
{
	char address[128];

	snprintf(address, sizeof(address), "%s", server_address(live.server));
	live_halt(&live);
	snprintf(live.config.listen, sizeof(live.config.listen), "%s", address);
	w->options.say = on_say;
	w->options.say_arg = away;
}

static void
a_server_that_was_away_is_found_again(void **state)
{
	struct world *w = world_new(31);
	struct away away = { 0, NULL };

	(void)state;
	enrolled(w, "patient");
	goes_away(w, &away);
	back_up(w);
	assert_true(away.said >= 1);
	assert_true(w->b.attempts >= 2);
	assert_int_equal(restore(w, 0, 0), 0);
	restored_equals(w, w->bytes);
	world_free(w);
}

static void
a_source_that_changed_meanwhile_makes_no_point(void **state)
{
	struct world *w = world_new(36);
	struct away away = { 0, w->image };

	(void)state;
	enrolled(w, "changing");
	goes_away(w, &away);
	assert_int_equal(backup_run(w->st, &w->options, &w->b, &w->err), -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	assert_int_equal(restore(w, 0, 0), -1);
	assert_non_null(strstr(w->err.text, "no points"));
	world_free(w);
}

static void
without_patience_it_fails_at_once(void **state)
{
	struct world *w = world_new(32);

	(void)state;
	enrolled(w, "hasty");
	w->settings.retry_s = 0;
	assert_int_equal(state_override_address(w->st, "127.0.0.1:1", &w->err), 0);
	assert_int_equal(backup_run(w->st, &w->options, &w->b, &w->err), -1);
	assert_int_equal(w->err.code, ERR_IO);
	world_free(w);
}

static void *
stop_soon(void *arg)
{
	stop_request(arg);
	return NULL;
}

static void
stopping_makes_no_point(void **state)
{
	struct world *w = world_new(33);
	pthread_t thread;

	(void)state;
	enrolled(w, "stopped");
	w->options.stop = stop_new();
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, w->options.stop), 0);
	/* Asked before, during or after connecting: never a point. */
	pthread_join(thread, NULL);
	assert_int_equal(backup_run(w->st, &w->options, &w->b, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CANCELED);
	stop_free(w->options.stop);
	w->options.stop = NULL;
	assert_int_equal(restore(w, 0, 0), -1);
	assert_non_null(strstr(w->err.text, "no points"));
	world_free(w);
}

static void
one_state_one_agent(void **state)
{
	struct world *w = world_new(34);
	struct state *second;

	(void)state;
	assert_int_equal(state_lock(w->st, &w->err), 0);
	assert_int_equal(state_open(state_dir(w->st), &second, &w->err), 0);
	assert_int_equal(state_lock(second, &w->err), -1);
	assert_int_equal(w->err.code, ERR_BUSY);
	state_close(second);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_reply_is_asked_for_again),
		cmocka_unit_test(a_token_of_another_authority_is_refused),
		cmocka_unit_test(a_copied_state_on_another_machine_is_refused),
		cmocka_unit_test(certificates_are_renewed),
		cmocka_unit_test(points_come_back_as_they_were),
		cmocka_unit_test(delta_rights_a_damaged_copy),
		cmocka_unit_test(a_map_that_spills_makes_the_same_point),
		cmocka_unit_test(what_is_not_there_is_said),
		cmocka_unit_test(the_head_is_remembered),
		cmocka_unit_test(what_was_backed_up_is_known_as_a_source),
		cmocka_unit_test(a_server_that_was_away_is_found_again),
		cmocka_unit_test(a_source_that_changed_meanwhile_makes_no_point),
		cmocka_unit_test(without_patience_it_fails_at_once),
		cmocka_unit_test(stopping_makes_no_point),
		cmocka_unit_test(one_state_one_agent),
	};

	return cmocka_run_group_tests(tests, group_up, group_down);
}
