#include "storage/store_keys.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/journal_record.h"

#define FORMAT_NAME "format"
#define UNFINISHED_NAME "format.unfinished"
#define FORMAT_MAX 4096u
#define FEATURE_NAME_MAX 31u

static const uint8_t keys_magic[8] = { 'H', 'F', 'K', 'E', 'Y', 'S', '1', '\n' };

void
store_keys_derive(struct store_keys_of *k)
{
	blake3_derive_key(
	    "holdfast store v1: journal", k->master, sizeof(k->master), k->journal, 32);
	blake3_derive_key(
	    "holdfast store v1: wrapping", k->master, sizeof(k->master), k->wrapping, 32);
	blake3_derive_key(
	    "holdfast store v1: catalog", k->master, sizeof(k->master), k->catalog, 32);
}

/* --------------------------------------------------------------------- bytes -- */

void
store_keys_encode(const struct store_keys_of *k, uint8_t b[STORE_KEYS_LEN])
{
	memcpy(b, keys_magic, 8);
	memcpy(b + 8, k->store, 16);
	memcpy(b + 24, k->master, 32);
	blake3(b, 56, NULL, b + 56, 32);
}

int
store_keys_decode(
    const uint8_t *p, size_t len, struct store_keys_of *out, struct err *err)
{
	uint8_t hash[32];

	if (len == STORE_KEYS_LEN)
		blake3(p, 56, NULL, hash, sizeof(hash));
	if (len != STORE_KEYS_LEN || memcmp(p, keys_magic, 8) != 0 ||
	    memcmp(hash, p + 56, 32) != 0)
		return err_set(err, ERR_CORRUPT, "keys: damaged");
	memcpy(out->store, p + 8, 16);
	memcpy(out->master, p + 24, 32);
	store_keys_derive(out);
	return 0;
}

/* ------------------------------------------------------------------- making -- */

struct listing {
	int unfinished, other;
	char name[FS_NAME_MAX];
};

static int
list_one(void *arg, const char *name)
{
	/* lost+found: someone made a file system for the store. */
	static const char *const ours[] = { STORE_KEYS_NAME, STORE_KEYS_NAME ".new",
		"journal", "journal.new", "journal.head", "journal.head.new", "packs",
		"index", "lock", "lost+found" };
	struct listing *l = arg;

	if (strcmp(name, UNFINISHED_NAME) == 0) {
		l->unfinished = 1;
		return 0;
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(name, ours[i]) == 0) {
			/* Ours only beside the mark of an unfinished store. */
			if (i + 1 < sizeof(ours) / sizeof(ours[0]) && l->name[0] == '\0')
				(void)snprintf(l->name, sizeof(l->name), "%s", name);
			return 0;
		}
	l->other = 1;
	(void)snprintf(l->name, sizeof(l->name), "%.*s", FS_NAME_MAX - 1, name);
	return 1;
}

static int
write_new(struct fs *fs, const char *name, const void *p, size_t len, struct err *err)
{
	struct fs_file *f;
	int failed;

	if (fs_open(fs, name, FS_WRITE | FS_CREATE, &f, err) != 0)
		return -1;
	failed = fs_truncate(f, 0, err) != 0 || fs_pwrite(f, p, len, 0, err) != 0 ||
		 fs_sync(f, err) != 0;
	fs_close(f);
	return failed || fs_sync_dir(fs, ".", err) != 0 ? -1 : 0;
}

int
store_keys_begin(struct fs *fs, struct store_keys_of *out, struct err *err)
{
	char text[128], hex[2 * sizeof(out->store) + 1];
	struct listing l = { 0 };
	uint8_t b[STORE_KEYS_LEN];
	int failed;

	if (fs_list(fs, ".", list_one, &l, err) < 0)
		return -1;
	if (l.other || (!l.unfinished && l.name[0] != '\0'))
		return err_set(
		    err, ERR_EXISTS, "the directory is not empty: it has %s", l.name);
	if (sodium_init() < 0)
		return err_set(err, ERR_IO, "no random numbers");
	randombytes_buf(out->store, sizeof(out->store));
	randombytes_buf(out->master, sizeof(out->master));
	store_keys_derive(out);

	(void)sodium_bin2hex(hex, sizeof(hex), out->store, sizeof(out->store));
	(void)snprintf(text, sizeof(text), "holdfast store\nversion %u\nid %s\nend\n",
	    STORE_FORMAT_VERSION, hex);
	/* The mark must be durable before anything that it explains. */
	if (write_new(fs, UNFINISHED_NAME, text, strlen(text), err) != 0)
		return -1;

	store_keys_encode(out, b);
	failed = fs_replace(fs, ".", STORE_KEYS_NAME, b, sizeof(b), err) != 0;
	sodium_memzero(b, sizeof(b));
	return failed ? -1 : 0;
}

int
store_keys_finish(struct fs *fs, struct err *err)
{
	if (fs_rename(fs, UNFINISHED_NAME, FORMAT_NAME, err) != 0)
		return -1;
	return fs_sync_dir(fs, ".", err);
}

/* ------------------------------------------------------------------- reading -- */

/*
 * The lines behind the id: "required NAME" or "optional NAME" each, then "end", lest
 * a file cut short hides what is required.
 */
static int
check_features(const char *p, struct err *err)
{
	static const char name_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	static const char *const known[] = { "collect", "restore", "retention" };
	const char *name;
	int required;
	size_t n, k;

	while (strcmp(p, "end\n") != 0) {
		required = strncmp(p, "required ", 9) == 0;
		name = p + 9;
		if (!required && strncmp(p, "optional ", 9) != 0)
			return err_set(err, ERR_CORRUPT, "format: damaged");
		n = strspn(name, name_chars);
		if (n == 0 || n > FEATURE_NAME_MAX || name[n] != '\n')
			return err_set(err, ERR_CORRUPT, "format: damaged");
		for (k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (strlen(known[k]) == n && strncmp(known[k], name, n) == 0)
				break;
		if (required && k == sizeof(known) / sizeof(known[0]))
			return err_set(err, ERR_UNSUPPORTED,
			    "the store needs feature '%.*s', which this program does not "
			    "know",
			    (int)n, name);
		p = name + n + 1;
	}
	return 0;
}

/* The text of a `format` file, NUL-terminated. */
static int
parse_format(const char *text, uint8_t store[16], struct err *err)
{
	char hex[33] = "", again[128];
	unsigned version;

	if (sscanf(text, "holdfast store\nversion %9u\nid %32[0-9a-f]\n", &version, hex) <
	    1)
		return err_set(err, ERR_CORRUPT, "format: not a Holdfast store's");
	if (version != STORE_FORMAT_VERSION)
		return err_set(err, ERR_UNSUPPORTED,
		    "the store has format version %u, this program knows only %u",
		    version, STORE_FORMAT_VERSION);
	(void)snprintf(
	    again, sizeof(again), "holdfast store\nversion %u\nid %.32s\n", version, hex);
	if (strncmp(again, text, strlen(again)) != 0 ||
	    sodium_hex2bin(store, 16, hex, strlen(hex), NULL, NULL, NULL) != 0)
		return err_set(err, ERR_CORRUPT, "format: damaged");
	return check_features(text + strlen(again), err);
}

static int
load_format(struct fs *fs, const char *name, uint8_t store[16],
    char text[FORMAT_MAX + 1], struct err *err)
{
	struct buf b = BUF_INIT(FORMAT_MAX);
	int failed;

	if (fs_slurp(fs, name, &b, err) != 0) {
		buf_free(&b);
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
		return err_set(err, ERR_NOTFOUND,
		    "there is no store in this directory: it has no file 'format'");
	}
	if (b.len > 0)
		memcpy(text, b.p, b.len);
	text[b.len] = '\0';
	failed = strlen(text) != b.len;
	buf_free(&b);
	if (failed)
		return err_set(err, ERR_CORRUPT, "format: damaged");
	return parse_format(text, store, err);
}

int
store_keys_format_of(struct fs *fs, const char *name, uint8_t store[16], struct err *err)
{
	char text[FORMAT_MAX + 1];

	return load_format(fs, name, store, text, err);
}

int
store_keys_format(struct fs *fs, uint8_t store[16], struct err *err)
{
	char text[FORMAT_MAX + 1];

	return load_format(fs, FORMAT_NAME, store, text, err);
}

int
store_keys_load(struct fs *fs, struct store_keys_of *out, struct err *err)
{
	struct buf b = BUF_INIT(STORE_KEYS_LEN);
	uint8_t store[16];
	int failed = 0;

	if (sodium_init() < 0)
		return err_set(err, ERR_IO, "no random numbers");
	if (store_keys_format(fs, store, err) != 0)
		return -1;
	if (fs_slurp(fs, STORE_KEYS_NAME, &b, err) != 0)
		failed = err_context(err, "without its keys the store cannot be opened");
	failed = failed || store_keys_decode(b.p, b.len, out, err) != 0;
	if (!failed && memcmp(out->store, store, 16) != 0)
		failed = err_set(err, ERR_CORRUPT, "keys: of another store");
	if (failed)
		sodium_memzero(out, sizeof(*out));
	if (b.p != NULL)
		sodium_memzero(b.p, b.len);
	buf_free(&b);
	return failed ? -1 : 0;
}

int
store_keys_require(struct fs *fs, const char *name, struct err *err)
{
	char text[FORMAT_MAX + 1], line[FEATURE_NAME_MAX + 16];
	uint8_t store[16];
	size_t len, n;
	char *end;

	if (load_format(fs, FORMAT_NAME, store, text, err) != 0)
		return -1;
	n = (size_t)snprintf(line, sizeof(line), "\nrequired %s\n", name);
	if (strstr(text, line) != NULL)
		return 0;
	len = strlen(text);
	if (n >= sizeof(line) || len + n > FORMAT_MAX)
		return err_set(err, ERR_LIMIT, "format: no room for feature %s", name);
	/* Every good file ends in this line. */
	end = text + len - strlen("end\n");
	(void)snprintf(
	    end, sizeof(text) - (size_t)(end - text), "required %s\nend\n", name);
	return fs_replace(fs, ".", FORMAT_NAME, text, strlen(text), err);
}

/* ------------------------------------------------------------------- secrets -- */

#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES

int
store_keys_wrap(const struct store_keys_of *k, const char *name, const uint8_t *p,
    size_t len, struct journal_secret *out, struct err *err)
{
	unsigned long long n = 0;

	if (len > STORE_BLOB_MAX || strlen(name) >= sizeof(out->name))
		return err_set(
		    err, ERR_LIMIT, "secret %.40s of %zu bytes is too long", name, len);
	memset(out, 0, sizeof(*out));
	(void)snprintf(out->name, sizeof(out->name), "%s", name);
	randombytes_buf(out->wrapped, NONCE_LEN);
	/* The name is authenticated with it: secrets cannot be swapped. */
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(out->wrapped + NONCE_LEN, &n, p,
	    len, (const unsigned char *)name, strlen(name), NULL, out->wrapped,
	    k->wrapping);
	out->len = (uint32_t)(NONCE_LEN + n);
	return 0;
}

int
store_keys_unwrap(const struct store_keys_of *k, const struct journal_secret *w,
    uint8_t *p, size_t cap, size_t *len, struct err *err)
{
	unsigned long long n = 0;

	if (w->len < NONCE_LEN + TAG_LEN)
		return err_set(err, ERR_CORRUPT, "secret %s is damaged", w->name);
	if (w->len - NONCE_LEN - TAG_LEN > cap)
		return err_set(err, ERR_LIMIT, "secret %s has %zu bytes", w->name,
		    (size_t)(w->len - NONCE_LEN - TAG_LEN));
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(p, &n, NULL,
		w->wrapped + NONCE_LEN, w->len - NONCE_LEN,
		(const unsigned char *)w->name, strlen(w->name), w->wrapped,
		k->wrapping) != 0)
		return err_set(
		    err, ERR_CORRUPT, "secret %s cannot be unwrapped", w->name);
	*len = (size_t)n;
	return 0;
}
