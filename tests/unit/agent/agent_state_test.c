/*
 * What the agent remembers: files are replaced as a whole, the key is made once
 * and for the owner only, one program at a time.  And agent.conf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/host/settings.h"
#include "agent/host/state.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/scratch.h"

struct world {
	char dir[SCRATCH_MAX];
	struct state *st;
	struct settings s;
	struct err err;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	scratch_make(w->dir);
	assert_int_equal(state_open(w->dir, &w->st, &w->err), 0);
	settings_init(&w->s);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	state_close(w->st);
	scratch_drop(w->dir);
	free(w);
	return 0;
}

static void
files_are_replaced_and_removed(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT(STATE_FILE_MAX);

	assert_int_equal(state_read(w->st, "x", &b, &w->err), 0);
	assert_int_equal(state_write(w->st, "x", "one", 3, 0600, &w->err), 0);
	assert_int_equal(state_write(w->st, "x", "three", 5, 0600, &w->err), 0);
	assert_int_equal(state_read(w->st, "x", &b, &w->err), 1);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.p, "three", 5);
	assert_int_equal(state_remove(w->st, "x", &w->err), 0);
	assert_int_equal(state_remove(w->st, "x", &w->err), 0);
	assert_int_equal(state_read(w->st, "x", &b, &w->err), 0);
	buf_free(&b);
}

static void
a_temporary_that_a_crash_left_is_in_nobodys_way(void **state)
{
	struct world *w = *state;
	char path[SCRATCH_MAX];
	FILE *f;

	scratch_path(w->dir, "x.tmp", path);
	assert_non_null(f = fopen(path, "w"));
	fclose(f);
	assert_int_equal(state_write(w->st, "x", "one", 3, 0600, &w->err), 0);
	assert_int_equal(file_remove(path, &w->err), 0);
}

static void
the_key_is_made_once(void **state)
{
	struct world *w = *state;
	uint8_t a[CERT_FINGERPRINT_LEN], b[CERT_FINGERPRINT_LEN];
	struct cert_key *key;

	assert_int_equal(state_key(w->st, &key, &w->err), 0);
	assert_int_equal(cert_key_hash(key, a, &w->err), 0);
	cert_key_free(key);
	assert_int_equal(state_key(w->st, &key, &w->err), 0);
	assert_int_equal(cert_key_hash(key, b, &w->err), 0);
	cert_key_free(key);
	assert_memory_equal(a, b, sizeof(a));
}

static void
the_next_key_waits_until_it_is_taken(void **state)
{
	struct world *w = *state;
	uint8_t a[CERT_FINGERPRINT_LEN], b[CERT_FINGERPRINT_LEN], c[CERT_FINGERPRINT_LEN];
	struct cert_key *key;

	assert_int_equal(state_take_next_key(w->st, &w->err), -1);
	err_clear(&w->err);
	assert_int_equal(state_key(w->st, &key, &w->err), 0);
	assert_int_equal(cert_key_hash(key, a, &w->err), 0);
	cert_key_free(key);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(state_next_key(w->st, &key, &w->err), 0);
		assert_int_equal(cert_key_hash(key, i == 0 ? b : c, &w->err), 0);
		cert_key_free(key);
	}
	assert_memory_equal(b, c, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(state_key(w->st, &key, &w->err), 0);
	assert_int_equal(cert_key_hash(key, c, &w->err), 0);
	cert_key_free(key);
	assert_memory_equal(a, c, sizeof(a));
	assert_int_equal(state_take_next_key(w->st, &w->err), 0);
	assert_int_equal(state_key(w->st, &key, &w->err), 0);
	assert_int_equal(cert_key_hash(key, c, &w->err), 0);
	cert_key_free(key);
	assert_memory_equal(b, c, sizeof(b));
}

static void
a_damaged_key_is_said_not_replaced(void **state)
{
	struct world *w = *state;
	struct cert_key *key;

	assert_int_equal(state_write(w->st, "key", "junk", 4, 0600, &w->err), 0);
	assert_int_equal(state_key(w->st, &key, &w->err), -1);
	assert_non_null(strstr(w->err.text, "/key"));
}

static void
the_head_is_kept(void **state)
{
	struct world *w = *state;
	uint8_t in[STATE_HASH_LEN], out[STATE_HASH_LEN];

	memset(in, 7, sizeof(in));
	assert_int_equal(state_head(w->st, out, &w->err), 0);
	assert_int_equal(state_set_head(w->st, in, &w->err), 0);
	assert_int_equal(state_head(w->st, out, &w->err), 1);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(state_write(w->st, "head", "short", 5, 0600, &w->err), 0);
	assert_int_equal(state_head(w->st, out, &w->err), 0);
}

/* What one server acknowledged says nothing of another. */
static void
another_authority_has_acknowledged_nothing(void **state)
{
	struct world *w = *state;
	uint8_t head[STATE_HASH_LEN] = { 1 }, journal[STATE_JOURNAL_LEN] = { 2 };
	struct cert cert = { .der = { 1 }, .len = 1 }, ca = { .der = { 2 }, .len = 1 };

	assert_int_equal(state_enrolled(w->st, &cert, &ca, "a:1", &w->err), 0);
	assert_int_equal(state_set_head(w->st, head, &w->err), 0);
	assert_int_equal(state_set_journal(w->st, journal, &w->err), 0);
	/* Renewed, or enrolled anew with the same. */
	assert_int_equal(state_enrolled(w->st, &cert, &ca, "b:1", &w->err), 0);
	assert_int_equal(state_head(w->st, head, &w->err), 1);
	assert_int_equal(state_journal(w->st, journal, &w->err), 1);
	assert_int_equal(journal[0], 2);
	ca.der[0]++;
	assert_int_equal(state_enrolled(w->st, &cert, &ca, "b:1", &w->err), 0);
	assert_int_equal(state_head(w->st, head, &w->err), 0);
	assert_int_equal(state_journal(w->st, journal, &w->err), 0);
}

static void
machines_are_told_apart_by_a_hash(void **state)
{
	struct world *w = *state;
	uint8_t a[STATE_HASH_LEN], b[STATE_HASH_LEN];
	char path[SCRATCH_MAX];

	scratch_path(w->dir, "id", path);
	assert_int_equal(state_machine(path, a, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOTFOUND);
	err_clear(&w->err);
	assert_int_equal(state_write(w->st, "id", "\n", 1, 0600, &w->err), 0);
	assert_int_equal(state_machine(path, a, &w->err), -1);
	assert_non_null(strstr(w->err.text, "empty"));
	err_clear(&w->err);
	assert_int_equal(state_write(w->st, "id", "0123", 4, 0600, &w->err), 0);
	assert_int_equal(state_machine(path, a, &w->err), 0);
	assert_int_equal(state_write(w->st, "id", "0123\n", 5, 0600, &w->err), 0);
	assert_int_equal(state_machine(path, b, &w->err), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(state_write(w->st, "id", "0124", 4, 0600, &w->err), 0);
	assert_int_equal(state_machine(path, b, &w->err), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

/* --------------------------------------------------------------- agent.conf -- */

static int
load(struct world *w, const char *text)
{
	char path[SCRATCH_MAX];

	scratch_path(w->dir, "agent.conf", path);
	assert_int_equal(
	    state_write(w->st, "agent.conf", text, strlen(text), 0600, &w->err), 0);
	settings_init(&w->s);
	err_clear(&w->err);
	return settings_load(&w->s, path, &w->err);
}

static void
settings_are_read(void **state)
{
	struct world *w = *state;

	assert_int_equal(settings_load(&w->s, "/nowhere/agent.conf", &w->err), 0);
	assert_int_equal(w->s.level, SETTINGS_LEVEL);
	assert_int_equal(
	    load(w, "[agent]\nlevel = 5\ninterval = 6h\nretry-for = 90\n"
		    "[volume C]\npath = /dev/sda2\n[volume data]\npath=/x y\n"),
	    0);
	assert_int_equal(w->s.level, 5);
	assert_int_equal(w->s.interval_s, 6 * 3600);
	assert_int_equal(w->s.retry_s, 90);
	assert_int_equal(w->s.count, 2);
	assert_string_equal(w->s.volumes[0].name, "C");
	assert_string_equal(w->s.volumes[1].path, "/x y");
	assert_int_equal(
	    load(w, "[disk disk0]\npath = /dev/sda\n[volume C]\npath = /dev/sdb2\n"), 0);
	assert_int_equal(w->s.disks_count, 1);
	assert_string_equal(w->s.disks[0].name, "disk0");
	assert_string_equal(settings_source(&w->s, 0)->path, "/dev/sdb2");
	assert_string_equal(settings_source(&w->s, 1)->path, "/dev/sda");
	assert_null(settings_source(&w->s, 2));
	assert_int_equal(
	    load(w, "[volumes]\ninclude = C:, label:my data\nexclude = D:\n"), 0);
	assert_string_equal(w->s.include, "C:, label:my data");
	assert_string_equal(w->s.exclude, "D:");
}

static void
settings_of_the_driver_are_read(void **state)
{
	struct world *w = *state;
	const struct settings_hotcopy *h = &w->s.hotcopy;

	assert_int_equal(load(w, "[agent]\nlevel = 3\n"), 0);
	assert_true(h->tracking && !h->after_crash && !h->fail_if_lost && !h->forced);
	assert_int_equal(h->percent, 1);
	assert_int_equal(h->throttle_ms, 20000);
	assert_string_equal(h->room, SETTINGS_AUTO);
	assert_int_equal(
	    load(w, "[agent]\ntracking = off\ntrack-proof = 100\ntrack-after-crash = on\n"
		    "hotcopy-memory = 7\nhotcopy-room = E:\nhotcopy-room-size = 25\n"
		    "hotcopy-throttle = 60s\nhotcopy-lost = fail\nhotcopy-force = on\n"
		    "hotcopy-flush = on\n"),
	    0);
	assert_true(
	    !h->tracking && h->after_crash && h->fail_if_lost && h->forced && h->flush);
	assert_int_equal(h->percent, 100);
	assert_int_equal(h->memory_mib, 7);
	assert_string_equal(h->room, "E:");
	assert_int_equal(h->room_percent, 25);
	assert_int_equal(h->throttle_ms, 60000);
}

static void
what_is_no_setting_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = { { "[agent]\nlevle = 5\n", "levle" },
		{ "[agent]\nlevel = 20\n", ":2" }, { "[agent]\nlevel = x\n", "level" },
		{ "[agent]\ninterval = 5 weeks\n", "duration" },
		{ "[agent]\ninterval = 0s\n", "at least" },
		{ "[other]\na = b\n", "other" },
		{ "[volume a b]\npath = /x\n", "letters" },
		{ "[volume a]\npaht = /x\n", "paht" },
		{ "[disk a]\npaht = /x\n", "paht" },
		{ "[volumes]\ninclude =\n", "which" },
		{ "[volumes]\npath = C:\n", "path" },
		{ "[volumes]\nexclude = C:\nexclude = D:\n", "twice" },
		{ "[disk a]\npath = /x\n[volume a]\npath = /y\n", "twice" },
		{ "[volume a]\npath = /x\npath = /y\n", "twice" },
		{ "[agent]\nwhat is this\n", ":2" },
		{ "[agent]\ntracking = yes\n", "on or off" },
		{ "[agent]\ntracks = on\n", "unknown key 'tracks'" },
		{ "[agent]\ntrack-proof = 0\n", "from 1 to 100" },
		{ "[agent]\nhotcopy-memory = 4097\n", "from 1 to 4096" },
		{ "[agent]\nhotcopy-throttle = 61s\n", "from 0s to 60s" },
		{ "[agent]\nhotcopy-lost = maybe\n", "restart or fail" },
		{ "[agent]\nhotcopy-room =\n", "none or a volume" },
		{ "[agent]\nhotcopy-rooms = auto\n", "hotcopy-rooms" } };
	struct world *w = *state;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (load(w, bad[i].text) == 0 ||
		    strstr(w->err.text, bad[i].words) == NULL)
			fail_msg("%s: '%s'", bad[i].text, w->err.text);
}

/* `len` bytes of `c` behind `head`; the caller frees. */
static char *
long_line(const char *head, char c, size_t len, const char *tail)
{
	size_t n = strlen(head);
	char *text = malloc(n + len + strlen(tail) + 1);

	strcpy(text, head);
	memset(text + n, c, len);
	strcpy(text + n + len, tail);
	return text;
}

/* libinih's own limit, of 200 bytes, would cut a line and read its rest as another one. */
static void
long_lines_are_read_whole_or_named(void **state)
{
	static const size_t lens[] = { 180, 190, 191, 195, 200, 399, 400, 1023 };
	const char *head = "[volume C]\n# first\npath = /";
	struct world *w = *state;
	char *text;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (unsigned crlf = 0; crlf < 2; crlf++) {
			text = long_line(head, 'x', lens[i] - 1,
			    crlf ? "\r\n[agent]\r\nlevel = 7\r\n"
				 : "\n[agent]\nlevel = 7");
			if (load(w, text) != 0)
				fail_msg("%zu: %s", lens[i], w->err.text);
			assert_int_equal(strlen(w->s.volumes[0].path), lens[i]);
			assert_int_equal(w->s.level, 7);
			free(text);
		}
	text = long_line(head, 'x', 1024, "\n");
	assert_int_equal(load(w, text), -1);
	assert_non_null(strstr(w->err.text, "agent.conf:3: volume C: path too long"));
	free(text);
	text = long_line("[volume C]\npath = /a\n;", 'x', SETTINGS_LINE_MAX - 1, "\n");
	assert_int_equal(load(w, text), 0);
	free(text);
	text = long_line("[volume C]\npath = /a\n;", 'x', SETTINGS_LINE_MAX, "\n");
	assert_int_equal(load(w, text), -1);
	assert_non_null(
	    strstr(w->err.text, "agent.conf:3: a line of 4097 bytes, at most 4096"));
	free(text);
	text = long_line("\n[volume ", 'x', 42, "]\npath = /a\n");
	assert_int_equal(load(w, text), 0);
	assert_int_equal(strlen(w->s.volumes[0].name), 42);
	free(text);
	text = long_line("\n [volume ", 'x', 43, "]\npath = /a\n");
	assert_int_equal(load(w, text), -1);
	assert_non_null(
	    strstr(w->err.text, "agent.conf:2: a section's name of 50 bytes"));
	free(text);
	/* UTF-16, as an editor may store it. */
	err_clear(&w->err);
	assert_int_equal(state_write(w->st, "agent.conf", "[\0a\0", 4, 0600, &w->err), 0);
	scratch_path(w->dir, "agent.conf", (text = malloc(SCRATCH_MAX)));
	assert_int_equal(settings_load(&w->s, text, &w->err), -1);
	assert_non_null(strstr(w->err.text, "holds a NUL byte"));
	free(text);
}

static void
volumes_are_named_on_the_command_line(void **state)
{
	struct world *w = *state;

	assert_int_equal(settings_add(&w->s, "c=/dev/x=y", &w->err), 0);
	assert_string_equal(w->s.volumes[0].name, "c");
	assert_string_equal(w->s.volumes[0].path, "/dev/x=y");
	assert_int_equal(settings_add(&w->s, "/a=b/disk.img", &w->err), 0);
	assert_string_equal(w->s.volumes[1].name, "disk");
	assert_string_equal(w->s.volumes[1].path, "/a=b/disk.img");
	assert_int_equal(settings_add(&w->s, "/dev/sdb1", &w->err), 0);
	assert_string_equal(w->s.volumes[2].name, "sdb1");
	assert_int_equal(settings_add(&w->s, "D:\\images\\e.img", &w->err), 0);
	assert_string_equal(w->s.volumes[3].name, "e");
	assert_int_equal(settings_add(&w->s, "\\\\.\\T:", &w->err), 0);
	assert_string_equal(w->s.volumes[4].name, "T");
	assert_string_equal(w->s.volumes[4].path, "\\\\.\\T:");
	assert_int_equal(settings_add(&w->s, "f=\\\\?\\Volume{1=2}\\", &w->err), 0);
	assert_string_equal(w->s.volumes[5].path, "\\\\?\\Volume{1=2}\\");
	assert_int_equal(settings_add(&w->s, "c=/other", &w->err), -1);
	assert_int_equal(w->err.code, ERR_EXISTS);
	err_clear(&w->err);
	assert_int_equal(settings_add(&w->s, "d=", &w->err), -1);
	err_clear(&w->err);
	assert_int_equal(settings_add(&w->s, "/with space", &w->err), -1);
	err_clear(&w->err);
	/* A disk's volumes need room behind its name. */
	assert_int_equal(
	    settings_add_disk(&w->s,
		"a234567890123456789012345678901234567890123456789012345678=/x", &w->err),
	    -1);
	assert_non_null(strstr(w->err.text, "at most 57"));
	err_clear(&w->err);
	assert_int_equal(settings_add_disk(&w->s, "c=/dev/sda", &w->err), -1);
	err_clear(&w->err);
	assert_int_equal(settings_add_disk(&w->s, "/dev/sda", &w->err), 0);
	assert_string_equal(w->s.disks[0].name, "sda");
}

static void
volumes_of_windows_have_names_of_their_own(void **state)
{
	static const char *const specs[][2] = { { "C:", "C" }, { "D:\\", "D" },
		{ "\\\\.\\E:", "E" }, { "label:DATA", "DATA" },
		{ "F:\\disks\\web.img", "web" }, { "G:\\mnt", "mnt" } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		if (settings_add(&w->s, specs[i][0], &w->err) != 0)
			fail_msg("%s", w->err.text);
		assert_string_equal(w->s.volumes[i].name, specs[i][1]);
		assert_string_equal(w->s.volumes[i].path, specs[i][0]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_are_replaced_and_removed),
		TEST(a_temporary_that_a_crash_left_is_in_nobodys_way),
		TEST(the_key_is_made_once),
		TEST(the_next_key_waits_until_it_is_taken),
		TEST(a_damaged_key_is_said_not_replaced),
		TEST(the_head_is_kept),
		TEST(another_authority_has_acknowledged_nothing),
		TEST(machines_are_told_apart_by_a_hash),
		TEST(settings_are_read),
		TEST(settings_of_the_driver_are_read),
		TEST(what_is_no_setting_is_named_with_its_line),
		TEST(long_lines_are_read_whole_or_named),
		TEST(volumes_are_named_on_the_command_line),
		TEST(volumes_of_windows_have_names_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
