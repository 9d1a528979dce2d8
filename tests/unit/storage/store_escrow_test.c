/* The master key elsewhere: sealed, read again, put back, and nothing else taken for it.
 */
#include "proto/base/bytes.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"
#include "storage/escrow.h"
#include "storage/store_escrow.h"
#include "tests/unit/storage/store_rig.h"

static const char pass[] = "correct horse battery";
#define PASS_LEN (sizeof(pass) - 1)
static const struct escrow_cost cheap = { 1, ESCROW_MEMORY_MIN };

static struct store_keys_of
some_keys(uint8_t seed)
{
	struct store_keys_of k;

	memset(k.store, seed, sizeof(k.store));
	memset(k.master, seed + 1, sizeof(k.master));
	store_keys_derive(&k);
	return k;
}

static void
seal(const struct store_keys_of *k, struct buf *out)
{
	struct err err = ERR_INIT;

	buf_clear(out);
	rig_ok(escrow_seal(k, pass, PASS_LEN, &cheap, out, &err), &err);
}

/* Make the hash at the end right again after bytes were changed. */
static void
hash_again(struct buf *b)
{
	blake3(b->p, b->len - 32, NULL, b->p + b->len - 32, 32);
}

static void
refused(const struct buf *b, const char *passphrase, enum err_code code)
{
	struct store_keys_of got = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(
	    escrow_unseal(b->p, b->len, passphrase, strlen(passphrase), &got, &err), -1);
	if (code != ERR_NONE && err.code != code)
		fail_msg("%s: %s", err_name(err.code), err.text);
}

static void
test_what_was_sealed_comes_back_by_its_passphrase_alone(void **state)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX), other = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of k = some_keys(7), got;
	struct err err = ERR_INIT;

	(void)state;
	seal(&k, &b);
	assert_true(escrow_is_sealed(b.p, b.len));
	rig_ok(escrow_unseal(b.p, b.len, pass, PASS_LEN, &got, &err), &err);
	assert_memory_equal(&got, &k, sizeof(k));
	refused(&b, "correct horse batterz", ERR_DENIED);
	refused(&b, "short", ERR_LIMIT);
	/* The key itself is nowhere in it, and no two files are alike. */
	for (size_t i = 0; i + 32 <= b.len; i++)
		assert_memory_not_equal(b.p + i, k.master, 32);
	seal(&k, &other);
	assert_memory_not_equal(b.p + 40, other.p + 40, 40);
	buf_free(&b);
	buf_free(&other);
}

static void
test_every_flipped_byte_and_every_cut_is_noticed(void **state)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of k = some_keys(9), got;
	struct err err = ERR_INIT;
	size_t len;

	(void)state;
	seal(&k, &b);
	len = b.len;
	for (size_t i = 0; i < len; i++) {
		b.p[i] ^= 0x41;
		refused(&b, pass, ERR_NONE);
		/* Someone who can make the hash right gets no further; 36: the memory. */
		if (i < len - 32 && (i < 36 || i >= 40)) {
			hash_again(&b);
			refused(&b, pass, ERR_NONE);
		}
		b.p[i] ^= 0x41;
		hash_again(&b);
	}
	for (b.len = 0; b.len < len; b.len++)
		refused(&b, pass, ERR_CORRUPT);
	rig_ok(escrow_unseal(b.p, b.len, pass, PASS_LEN, &got, &err), &err);
	buf_free(&b);
}

static void
test_a_file_cannot_ask_for_all_memory_and_later_ones_are_named(void **state)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of k = some_keys(3);

	(void)state;
	seal(&k, &b);
	store_le32(b.p + 36, ESCROW_MEMORY_MAX + 1);
	hash_again(&b);
	refused(&b, pass, ERR_LIMIT);
	store_le32(b.p + 36, ESCROW_MEMORY_MIN);
	store_le32(b.p + 32, ESCROW_PASSES_MAX + 1);
	hash_again(&b);
	refused(&b, pass, ERR_LIMIT);
	store_le32(b.p + 32, 1);
	store_le32(b.p + 24, 4);
	hash_again(&b);
	refused(&b, pass, ERR_UNSUPPORTED);
	seal(&k, &b);
	b.p[6] = '2';
	refused(&b, pass, ERR_UNSUPPORTED);
	buf_free(&b);
}

/* A store in `dir`, and its keys. */
static void
make_store(char dir[64], struct fs **fs, struct store_keys_of *k)
{
	struct err err = ERR_INIT;

	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(fs_open_dir(dir, fs, &err), &err);
	rig_ok(store_keys_load(*fs, k, &err), &err);
}

static void
test_only_its_own_keys_are_put_back_into_a_store(void **state)
{
	struct store_keys_of own, other, forged;
	struct err err = ERR_INIT;
	char a[64], b[64];
	struct fs *fa, *fb;
	struct store *s;

	(void)state;
	make_store(a, &fa, &own);
	make_store(b, &fb, &other);
	rig_ok(fs_unlink(fa, STORE_KEYS_NAME, &err), &err);
	assert_int_equal(store_open(a, &s, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(store_escrow_import(fa, &other, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	/* The right store by its id, another key: the journal shows it. */
	forged = other;
	memcpy(forged.store, own.store, sizeof(own.store));
	assert_int_equal(store_escrow_import(fa, &forged, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	rig_ok(store_escrow_import(fa, &own, &err), &err);
	rig_ok(store_open(a, &s, &err), &err);
	store_close(s);
	fs_free(fa);
	fs_free(fb);
	rig_remove(a);
	rig_remove(b);
}

static void
test_the_store_remembers_when_its_keys_were_exported(void **state)
{
	uint8_t check[STORE_HASH_LEN];
	struct store_escrow last;
	struct store_keys_of own;
	struct err err = ERR_INIT;
	char dir[64], path[96];
	struct store *s;
	struct fs *fs;

	(void)state;
	make_store(dir, &fs, &own);
	rig_ok(store_open(dir, &s, &err), &err);
	rig_ok(store_escrow_last(s, &last, &err), &err);
	assert_int_equal(last.time_us, 0);
	/* Whoever has the store open is who must be told. */
	assert_int_equal(
	    store_escrow_note_fs(fs, STORE_ESCROW_PLAIN, "local", NULL, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	err_clear(&err);
	memset(check, 1, sizeof(check));
	assert_int_equal(
	    store_escrow_note(s, STORE_ESCROW_SEALED, check, "admin", &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	escrow_check_of(&own, check);
	rig_ok(store_escrow_note(s, STORE_ESCROW_SEALED, check, "admin", &err), &err);
	rig_ok(store_escrow_last(s, &last, &err), &err);
	assert_true(last.time_us > 0);
	assert_int_equal(last.kind, STORE_ESCROW_SEALED);
	assert_string_equal(last.who, "admin");
	store_close(s);
	rig_ok(store_escrow_note_fs(fs, STORE_ESCROW_PLAIN, "local", NULL, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/catalog.db", dir);
	assert_int_equal(unlink(path), 0);
	rig_ok(store_open(dir, &s, &err), &err);
	rig_ok(store_escrow_last(s, &last, &err), &err);
	assert_int_equal(last.kind, STORE_ESCROW_PLAIN);
	assert_string_equal(last.who, "local");
	store_close(s);
	fs_free(fs);
	rig_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_sealed_comes_back_by_its_passphrase_alone),
		cmocka_unit_test(test_every_flipped_byte_and_every_cut_is_noticed),
		cmocka_unit_test(
		    test_a_file_cannot_ask_for_all_memory_and_later_ones_are_named),
		cmocka_unit_test(test_only_its_own_keys_are_put_back_into_a_store),
		cmocka_unit_test(test_the_store_remembers_when_its_keys_were_exported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
