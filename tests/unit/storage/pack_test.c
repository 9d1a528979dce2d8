/*
 * Packs: what was appended comes back; what was synced survives a crash at any
 * call, in the pack's life and in its recovery; what was changed is refused.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/fs_fault.h"
#include "tests/unit/storage/made_groups.h"

#define OPEN_NAME "packs/00000005.open"
#define PACK_NAME "packs/00000005.pack"
#define ASIDE_NAME "packs/00000005.damaged"

struct world {
	struct fs_fault *ff;
	struct fs *fs;
	struct buf buf;
	struct buf back;
	struct err err;
};

static void
begin(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	assert_non_null(w->ff = fs_fault_new(seed));
	w->fs = fs_fault_fs(w->ff);
	w->buf.max = w->back.max = GROUP_LEN_MAX;
	made_dirs(w->fs);
}

static void
end(struct world *w)
{
	buf_free(&w->buf);
	buf_free(&w->back);
	fs_fault_free(w->ff);
}

/* Append chunks first .. first + count - 1 as a group; where it starts. */
static uint32_t
append(struct world *w, struct pack_writer *pw, uint64_t first, uint32_t count)
{
	struct group g;
	uint32_t offset;
	uint64_t to;

	made_group(first, count, &w->buf, &g);
	assert_int_equal(
	    pack_writer_append(pw, &g, &offset, &to, &w->err), PACK_APPENDED);
	assert_int_equal(pack_writer_sync(pw, to, &w->err), 0);
	return offset;
}

/* A pack of `groups` groups, group i holding chunks 10 i .. 10 i + 1 + i % 3. */
static void
fill(struct world *w, uint32_t no, uint32_t groups, int seal)
{
	struct pack_writer *pw;

	assert_int_equal(
	    pack_writer_open(w->fs, no, CHUNK_DATA, made_store, &pw, &w->err), 0);
	for (uint32_t i = 0; i < groups; i++)
		(void)append(w, pw, UINT64_C(10) * i, 2 + i % 3);
	if (seal)
		assert_int_equal(pack_writer_seal(pw, &w->err), 0);
	pack_writer_free(pw);
}

struct seen {
	struct world *w;
	struct pack *p;
	struct chunk_id ids[4096];
	uint32_t n;
};

/* Each entry of a footer can be read, and is a chunk that was made. */
static int
see(void *arg, const struct pack_entry *e)
{
	struct seen *s = arg;
	struct group g;
	struct group_entry ge;

	assert_int_equal(
	    pack_read_group(s->p, &e->loc, &e->id, 1, &s->w->back, &g, &s->w->err), 0);
	group_entry(&g, e->loc.place, &ge);
	assert_int_equal(ge.len, e->len);
	assert_int_equal(e->kind, CHUNK_DATA);
	assert_true(s->n == 0 || memcmp(&s->ids[s->n - 1], &e->id, sizeof(e->id)) < 0);
	s->ids[s->n++] = e->id;
	return 0;
}

static void
see_all(struct world *w, uint32_t no, struct seen *s)
{
	s->w = w;
	s->n = 0;
	assert_int_equal(pack_open(w->fs, no, made_store, &s->p, &w->err), 0);
	assert_int_equal(pack_each_entry(s->p, see, s, NULL, &w->err), 0);
	pack_close(s->p);
}

static int
saw(const struct seen *s, uint64_t chunk)
{
	struct chunk_id id = made_id(chunk);

	for (uint32_t i = 0; i < s->n; i++)
		if (memcmp(&s->ids[i], &id, sizeof(id)) == 0)
			return 1;
	return 0;
}

static int
count_bad(void *arg, uint32_t offset, const struct err *why)
{
	(void)offset;
	assert_true(why->code == ERR_CORRUPT || why->code == ERR_UNSUPPORTED);
	++*(int *)arg;
	return 0;
}

static int
count_packs(void *arg, uint32_t no, int sealed)
{
	*(uint32_t *)arg += no * 10 + (uint32_t)sealed;
	return 0;
}

/* A file that is none of ours. */
static void
put_stray(struct world *w)
{
	struct fs_file *f;

	assert_int_equal(
	    fs_open(w->fs, "packs/lost+found", FS_WRITE | FS_CREATE, &f, &w->err), 0);
	fs_close(f);
}

static struct seen seen;

static void
what_went_in_comes_out(void **state)
{
	struct world w;
	struct pack *p;
	struct pack_stats stats;
	struct pack_writer *pw;
	uint32_t sum = 0;
	int bad = 0;

	(void)state;
	begin(&w, 1);
	fill(&w, 5, 30, 1);
	see_all(&w, 5, &seen);
	assert_int_equal(seen.n, 90);
	assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
	assert_int_equal(pack_no(p), 5);
	assert_int_equal(pack_kind(p), CHUNK_DATA);
	assert_int_equal(pack_each_entry(p, NULL, NULL, &stats, &w.err), 0);
	assert_int_equal(stats.chunks, 90);
	assert_int_equal(stats.groups, 30);
	assert_int_equal(pack_scrub(p, count_bad, &bad, &w.err), 0);
	assert_int_equal(bad, 0);
	pack_close(p);

	/* A number is used once; another store's pack is not ours. */
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), -1);
	assert_int_equal(w.err.code, ERR_EXISTS);
	err_clear(&w.err);
	assert_int_equal(
	    pack_open(w.fs, 5, (const uint8_t *)"another store's.", &p, &w.err), -1);
	assert_int_equal(w.err.code, ERR_CORRUPT);
	err_clear(&w.err);

	fill(&w, 6, 3, 0);
	put_stray(&w);
	assert_int_equal(pack_list(w.fs, count_packs, &sum, &w.err), 0);
	assert_int_equal(sum, 51 + 60);
	assert_int_equal(pack_remove(w.fs, 5, &w.err), 0);
	assert_int_equal(pack_remove(w.fs, 5, &w.err), 0);
	assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), -1);
	assert_int_equal(w.err.code, ERR_NOTFOUND);
	end(&w);
}

/* An open pack can be read; what is asked for wrongly is refused. */
static void
open_pack_is_readable(void **state)
{
	struct world w;
	struct pack_writer *pw;
	struct pack *p;
	struct group g;
	struct pack_loc loc = { 5, 0, 0 };
	struct chunk_id id = made_id(1);

	(void)state;
	begin(&w, 1);
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
	loc.offset = append(&w, pw, 0, 3);
	assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
	loc.place = 1;
	assert_int_equal(pack_read_group(p, &loc, &id, 1, &w.back, &g, &w.err), 0);
	assert_int_equal(g.count, 3);
	assert_int_equal(pack_each_entry(p, NULL, NULL, NULL, &w.err), -1);
	assert_int_equal(w.err.code, ERR_BUSY);
	err_clear(&w.err);
	for (int i = 0; i < 4; i++) {
		struct pack_loc off = loc;

		if (i == 0)
			off.place = 2;
		else if (i == 1)
			off.place = 3;
		else
			off.offset += i == 2 ? 4 : 8;
		assert_int_equal(
		    pack_read_group(p, &off, &id, 1, &w.back, &g, &w.err), -1);
		assert_int_equal(w.err.code, ERR_CORRUPT);
		err_clear(&w.err);
	}
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	assert_int_equal(pack_read_group(p, &loc, &id, 1, &w.back, &g, &w.err), 0);
	pack_close(p);
	pack_writer_free(pw);
	end(&w);
}

static void
full_and_empty(void **state)
{
	struct world w;
	struct pack_writer *pw;
	struct group g;
	uint32_t offset, groups = 0;
	uint64_t to;
	enum pack_append is;
	struct pack *p;

	(void)state;
	begin(&w, 1);
	/* By the number of chunks here, long before 64 MiB. */
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
	made_group(0, 4096, &w.buf, &g);
	while ((is = pack_writer_append(pw, &g, &offset, &to, &w.err)) == PACK_APPENDED)
		groups++;
	assert_int_equal(is, PACK_FULL);
	assert_int_equal(groups, PACK_TARGET_CHUNKS / 4096);
	assert_true(pack_writer_full(pw));
	assert_int_equal(pack_writer_groups(pw), groups);
	assert_int_equal(pack_writer_len(pw), to);
	assert_int_equal(pack_writer_no(pw), 5);
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	pack_writer_free(pw);
	assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
	assert_int_equal(pack_each_entry(p, NULL, NULL, NULL, &w.err), 0);
	pack_close(p);

	assert_int_equal(
	    pack_writer_open(w.fs, 6, CHUNK_META, made_store, &pw, &w.err), 0);
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	pack_writer_free(pw);
	assert_int_equal(pack_open(w.fs, 6, made_store, &p, &w.err), -1);
	assert_int_equal(w.err.code, ERR_NOTFOUND);
	pack_writer_free(NULL);
	end(&w);
}

/* Replace a file's bytes. */
static void
put_file(struct world *w, const char *name, const uint8_t *p, size_t len)
{
	struct fs_file *f;

	assert_int_equal(fs_open(w->fs, name, FS_WRITE | FS_CREATE, &f, &w->err), 0);
	assert_int_equal(fs_truncate(f, 0, &w->err), 0);
	assert_int_equal(fs_pwrite(f, p, len, 0, &w->err), 0);
	fs_close(f);
}

/* An open file cut at every byte, and with every tail of zeros. */
static void
torn_tail_is_cut(void **state)
{
	struct world w;
	struct pack_recovery r;
	uint8_t *copy, *p;
	size_t len, last;

	(void)state;
	begin(&w, 1);
	fill(&w, 5, 3, 0);
	assert_non_null(p = fs_fault_bytes(w.ff, OPEN_NAME, &last));
	assert_int_equal(fs_unlink(w.fs, OPEN_NAME, &w.err), 0);
	fill(&w, 5, 4, 0);
	assert_non_null(p = fs_fault_bytes(w.ff, OPEN_NAME, &len));
	assert_non_null(copy = malloc(len));
	memcpy(copy, p, len);
	for (int zeros = 0; zeros < 2; zeros++)
		for (size_t cut = 0; cut <= len; cut++) {
			uint8_t *torn = calloc(1, len);

			assert_non_null(torn);
			memcpy(torn, copy, cut);
			(void)fs_unlink(w.fs, PACK_NAME, &w.err);
			err_clear(&w.err);
			put_file(&w, OPEN_NAME, torn, zeros ? len : cut);
			free(torn);
			if (zeros && cut < PACK_HEADER_LEN)
				continue;
			assert_int_equal(
			    pack_recover(w.fs, 5, made_store, NULL, &r, &w.err), 0);
			assert_int_equal(r.damaged, 0);
			if (cut < last && r.groups == 0)
				continue;
			/* The last bytes may be zeros anyway. */
			assert_true(r.groups <= 4 && (cut < last || r.groups >= 3) &&
				    (cut < len || r.groups == 4));
			see_all(&w, 5, &seen);
			assert_int_equal(seen.n, r.groups == 4	 ? 11
						 : r.groups == 3 ? 9
						 : r.groups == 2 ? 5
								 : 2);
		}
	free(copy);
	end(&w);
}

/* Flip each byte of a sealed pack: never an undetected change. */
static void
flips_are_refused(void **state)
{
	struct world w;
	struct pack *p;
	struct pack_trailer t;
	uint8_t *bytes;
	size_t len;
	int bad, group;

	(void)state;
	begin(&w, 1);
	fill(&w, 5, 3, 1);
	assert_non_null(bytes = fs_fault_bytes(w.ff, PACK_NAME, &len));
	assert_int_equal(
	    pack_parse_trailer(bytes + len - PACK_TRAILER_LEN, len, &t, &w.err), 0);
	for (size_t i = 0; i < len; i++) {
		assert_non_null(bytes = fs_fault_bytes(w.ff, PACK_NAME, &len));
		bytes[i] ^= (uint8_t)(1u << i % 8);
		bad = 0;
		if (i < PACK_HEADER_LEN) {
			assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), -1);
		} else {
			assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
			group = pack_scrub(p, count_bad, &bad, &w.err) == 0;
			assert_int_equal(group, i < t.data_end);
			pack_close(p);
		}
		/* Between groups are at most 7 bytes of padding, which mean nothing. */
		if (i >= PACK_HEADER_LEN && i < t.data_end)
			assert_true(bad == 1 ||
				    (bytes[i] == 1u << i % 8 && w.err.code == ERR_NONE));
		else
			assert_int_equal(w.err.code, ERR_CORRUPT);
		err_clear(&w.err);
		assert_non_null(bytes = fs_fault_bytes(w.ff, PACK_NAME, &len));
		bytes[i] ^= (uint8_t)(1u << i % 8);
	}
	assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
	bad = 0;
	assert_int_equal(pack_scrub(p, count_bad, &bad, &w.err), 0);
	assert_int_equal(bad, 0);
	pack_close(p);
	end(&w);
}

/* Damage in the middle of an open pack costs that group only. */
static void
damage_keeps_what_is_behind(void **state)
{
	struct world w;
	struct pack_writer *pw;
	struct pack_recovery r;
	uint8_t *bytes;
	uint32_t second;
	size_t len;

	(void)state;
	begin(&w, 1);
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
	(void)append(&w, pw, 0, 2);
	second = append(&w, pw, 10, 2);
	(void)append(&w, pw, 20, 2);
	pack_writer_free(pw);
	assert_non_null(bytes = fs_fault_bytes(w.ff, OPEN_NAME, &len));
	bytes[second + GROUP_HEADER_LEN + 3] ^= 1;
	assert_int_equal(pack_recover(w.fs, 5, made_store, NULL, &r, &w.err), 0);
	assert_int_equal(r.groups, 2);
	assert_int_equal(r.damaged, 1);
	see_all(&w, 5, &seen);
	assert_true(saw(&seen, 0) && !saw(&seen, 10) && saw(&seen, 20));
	end(&w);
}

/* The file, whole or from `from` on, is what `name` has now. */
static void
kept_aside(struct world *w, const char *name, const uint8_t *was, size_t len)
{
	const uint8_t *now;
	size_t n;

	assert_non_null(now = fs_fault_bytes(w->ff, name, &n));
	assert_int_equal(n, len);
	assert_memory_equal(now, was, n);
}

/* An open pack of three groups, the header of the second ruined; its old bytes. */
static uint8_t *
ruin_the_second(struct world *w, uint32_t *second, size_t *len)
{
	struct pack_writer *pw;
	uint8_t *bytes, *was;

	assert_int_equal(
	    pack_writer_open(w->fs, 5, CHUNK_DATA, made_store, &pw, &w->err), 0);
	(void)append(w, pw, 0, 2);
	*second = append(w, pw, 10, 2);
	(void)append(w, pw, 20, 2);
	assert_int_equal(pack_writer_sync(pw, pack_writer_len(pw), &w->err), 0);
	pack_writer_free(pw);
	assert_non_null(bytes = fs_fault_bytes(w->ff, OPEN_NAME, len));
	bytes[*second] ^= 1;
	assert_non_null(was = malloc(*len));
	memcpy(was, bytes, *len);
	return was;
}

/*
 * A ruined header hides all that is behind it, which was acknowledged: that is no
 * torn tail.  It is told, and its bytes are kept, whatever comes between.
 */
static void
a_tail_that_holds_groups_is_set_aside(void **state)
{
	struct pack_recovery r;
	const char *name;
	uint32_t second;
	uint8_t *was;
	size_t len, left, n_aside, r_aside = 0;
	int fired = 1;

	(void)state;
	for (uint64_t n = 0; n == 0 || fired; n++) {
		struct world w;

		begin(&w, n + 1);
		was = ruin_the_second(&w, &second, &len);
		/* Crash in every call of the recovery first; 0: in none. */
		if (n > 0) {
			fs_fault_arm(w.ff, n, FS_FAULT_DIE);
			(void)pack_recover(w.fs, 5, made_store, NULL, &r, &w.err);
			err_clear(&w.err);
			fired = fs_fault_fired(w.ff);
			fs_fault_restart(w.ff, 1);
		}
		if (n == 0 || fs_fault_bytes(w.ff, OPEN_NAME, &left) != NULL)
			assert_int_equal(
			    pack_recover(w.fs, 5, made_store, NULL, &r, &w.err), 0);
		if (n == 0) {
			assert_int_equal(r.groups, 1);
			assert_int_equal(r.damaged, 1);
			assert_int_equal(r.aside, r.cut);
			/* With the zeros before it that align it. */
			assert_in_range(len - r.aside, second - 7, second);
			r_aside = r.aside;
		}
		see_all(&w, 5, &seen);
		assert_true(saw(&seen, 0) && !saw(&seen, 10) && !saw(&seen, 20));
		/* A copy that a crash left unfinished is not written over. */
		name = fs_fault_bytes(w.ff, ASIDE_NAME ".1", &n_aside) != NULL
			   ? ASIDE_NAME ".1"
			   : ASIDE_NAME;
		kept_aside(&w, name, was + (len - r_aside), r_aside);
		end(&w);
		free(was);
	}
}

static void
a_file_without_its_header_is_set_aside(void **state)
{
	static const uint8_t older[] = "what was set aside before";
	struct pack_recovery r;
	struct world w;
	uint32_t second;
	uint8_t *was;
	size_t len, n;

	(void)state;
	begin(&w, 1);
	was = ruin_the_second(&w, &second, &len);
	fs_fault_bytes(w.ff, OPEN_NAME, &n)[0] ^= 1;
	was[0] ^= 1;
	put_file(&w, ASIDE_NAME, older, sizeof(older));
	assert_int_equal(pack_recover(w.fs, 5, made_store, NULL, &r, &w.err), 0);
	assert_int_equal(r.groups, 0);
	assert_int_equal(r.damaged, 1);
	assert_int_equal(r.aside, len);
	kept_aside(&w, ASIDE_NAME, older, sizeof(older));
	kept_aside(&w, ASIDE_NAME ".1", was, len);
	assert_null(fs_fault_bytes(w.ff, OPEN_NAME, &n));
	end(&w);
	free(was);
}

/* Every group a writer may have acknowledged, in order. */
struct acks {
	uint32_t n; /* Groups synced: group i holds chunk i alone. */
	uint32_t tried;
};

/* A pack's life: 6 groups, sealed.  Stops at the first failure. */
static void
live(struct world *w, struct acks *a)
{
	struct pack_writer *pw = NULL;
	struct group g;
	uint32_t offset;
	uint64_t to;

	memset(a, 0, sizeof(*a));
	if (pack_writer_open(w->fs, 5, CHUNK_DATA, made_store, &pw, &w->err) == 0) {
		for (uint32_t i = 0; i < 6; i++) {
			made_group(i, 1, &w->buf, &g);
			a->tried++;
			if (pack_writer_append(pw, &g, &offset, &to, &w->err) !=
			    PACK_APPENDED)
				break;
			/* Twice at once, as many small groups are. */
			if (i % 2 == 0)
				continue;
			if (pack_writer_sync(pw, to, &w->err) != 0)
				break;
			a->n = i + 1;
		}
		if (w->err.code == ERR_NONE && pack_writer_seal(pw, &w->err) == 0)
			a->n = 6;
		pack_writer_free(pw);
	}
	err_clear(&w->err);
}

static int
find_state(void *arg, uint32_t no, int sealed)
{
	assert_int_equal(no, 5);
	assert_int_equal(*(int *)arg, -1);
	*(int *)arg = sealed;
	return 0;
}

/* After a crash: recover, then all that was acknowledged is there, nothing is odd. */
static void
check_life(struct world *w, const struct acks *a)
{
	struct pack_recovery r;
	struct pack *p;
	int is = -1, bad = 0;

	assert_int_equal(pack_list(w->fs, find_state, &is, &w->err), 0);
	if (is == 0)
		assert_int_equal(
		    pack_recover(w->fs, 5, made_store, NULL, &r, &w->err), 0);
	is = -1;
	assert_int_equal(pack_list(w->fs, find_state, &is, &w->err), 0);
	assert_int_not_equal(is, 0);
	if (is == -1) {
		assert_int_equal(a->n, 0);
		return;
	}
	see_all(w, 5, &seen);
	for (uint32_t i = 0; i < a->n; i++)
		assert_true(saw(&seen, i));
	for (uint32_t i = a->tried; i < 8; i++)
		assert_false(saw(&seen, i));
	assert_int_equal(pack_open(w->fs, 5, made_store, &p, &w->err), 0);
	assert_int_equal(pack_scrub(p, count_bad, &bad, &w->err), 0);
	assert_int_equal(bad, 0);
	pack_close(p);
}

/* Die at every call of a pack's life, then at every call of its recovery. */
static void
no_crash_loses_a_synced_group(void **state)
{
	uint64_t n, m, lives = 0;
	int fired, refired;

	(void)state;
	for (int cut = 0; cut < 2; cut++)
		for (uint64_t seed = 1; seed <= (cut ? 12 : 1); seed++)
			for (n = 1, fired = 1; fired; n++) {
				for (m = 1, refired = 1; refired; m++) {
					struct world w;
					struct acks a;
					struct pack_recovery r;

					begin(&w, seed * 1000 + n);
					fs_fault_arm(w.ff, n, FS_FAULT_DIE);
					live(&w, &a);
					fired = fs_fault_fired(w.ff);
					fs_fault_restart(w.ff, cut);
					fs_fault_arm(w.ff, m, FS_FAULT_DIE);
					(void)pack_recover(
					    w.fs, 5, made_store, NULL, &r, &w.err);
					err_clear(&w.err);
					refired = fs_fault_fired(w.ff);
					fs_fault_restart(w.ff, cut);
					check_life(&w, &a);
					end(&w);
					lives++;
				}
			}
	/* If this falls, the sweep no longer reaches what it did. */
	assert_true(lives > 500);
	print_message("%llu lives\n", (unsigned long long)lives);
}

/* A failing call is reported; what was acknowledged before or after it holds. */
static void
no_failure_loses_a_synced_group(void **state)
{
	static const enum fs_fault_kind kinds[] = { FS_FAULT_EIO, FS_FAULT_ENOSPC,
		FS_FAULT_SHORT };
	int fired;

	(void)state;
	for (size_t k = 0; k < 3; k++)
		for (int cut = 0; cut < 2; cut++) {
			fired = 1;
			for (uint64_t n = 1; fired; n++) {
				struct world w;
				struct acks a;

				begin(&w, n * 7 + k);
				fs_fault_arm(w.ff, n, kinds[k]);
				live(&w, &a);
				fired = fs_fault_fired(w.ff);
				fs_fault_restart(w.ff, cut);
				check_life(&w, &a);
				end(&w);
			}
		}
}

/* A disk that was full and no longer is: the writer goes on, nothing is mixed up. */
static void
full_disk_passes(void **state)
{
	struct world w;
	struct pack_writer *pw;
	struct group g;
	uint32_t offset;
	uint64_t to;

	(void)state;
	begin(&w, 1);
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
	(void)append(&w, pw, 0, 2);
	made_group(100, 40, &w.buf, &g);
	fs_fault_arm(w.ff, 2, FS_FAULT_SHORT);
	assert_int_equal(pack_writer_append(pw, &g, &offset, &to, &w.err), PACK_FAILED);
	assert_int_equal(w.err.code, ERR_NOSPACE);
	err_clear(&w.err);
	(void)append(&w, pw, 10, 2);
	fs_fault_arm(w.ff, 2, FS_FAULT_ENOSPC);
	assert_int_equal(pack_writer_seal(pw, &w.err), -1);
	assert_int_equal(w.err.code, ERR_NOSPACE);
	err_clear(&w.err);
	assert_int_equal(pack_writer_append(pw, &g, &offset, &to, &w.err), PACK_FULL);
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	pack_writer_free(pw);
	fs_fault_restart(w.ff, 1);
	see_all(&w, 5, &seen);
	assert_int_equal(seen.n, 4);
	assert_true(saw(&seen, 0) && saw(&seen, 10) && !saw(&seen, 100));
	end(&w);
}

struct worker {
	struct pack_writer *pw;
	pthread_t thread;
	uint32_t number;
};

static void *
work(void *arg)
{
	struct worker *me = arg;
	struct buf b = BUF_INIT(GROUP_LEN_MAX);
	struct err err = ERR_INIT;
	struct group g;
	uint32_t offset;
	uint64_t to;

	for (uint32_t i = 0; i < 50; i++) {
		made_group(me->number * 1000 + i * 3, 3, &b, &g);
		if (pack_writer_append(me->pw, &g, &offset, &to, &err) != PACK_APPENDED ||
		    pack_writer_sync(me->pw, to, &err) != 0)
			abort();
	}
	buf_free(&b);
	return NULL;
}

static void
threads_share_a_writer(void **state)
{
	struct worker workers[4];
	struct pack_writer *pw;
	struct world w;

	(void)state;
	begin(&w, 1);
	assert_int_equal(
	    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
	for (uint32_t i = 0; i < 4; i++) {
		workers[i].pw = pw;
		workers[i].number = i;
		assert_int_equal(
		    pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	assert_int_equal(pack_writer_seal(pw, &w.err), 0);
	pack_writer_free(pw);
	fs_fault_restart(w.ff, 1);
	see_all(&w, 5, &seen);
	assert_int_equal(seen.n, 600);
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_in_comes_out),
		cmocka_unit_test(open_pack_is_readable),
		cmocka_unit_test(full_and_empty),
		cmocka_unit_test(torn_tail_is_cut),
		cmocka_unit_test(flips_are_refused),
		cmocka_unit_test(damage_keeps_what_is_behind),
		cmocka_unit_test(a_tail_that_holds_groups_is_set_aside),
		cmocka_unit_test(a_file_without_its_header_is_set_aside),
		cmocka_unit_test(no_crash_loses_a_synced_group),
		cmocka_unit_test(no_failure_loses_a_synced_group),
		cmocka_unit_test(full_disk_passes),
		cmocka_unit_test(threads_share_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
