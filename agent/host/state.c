#include "agent/host/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/host/seal.h"
#include "agent/host/state_machine.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"

#define MACHINE_CONTEXT "holdfast 2026-11 machine id"
#define KEY_DER_MAX 1024

struct state {
	char *dir;
	struct file *lock;		 /* NULL: not locked. */
	char address[STATE_ADDRESS_MAX]; /* "": the one in the file. */
	int socket_buffer;
	uint32_t silence_ms;
};

int
state_open(const char *dir, struct state **out, struct err *err)
{
	enum file_kind kind;
	struct state *st;

	if (file_make_dir(dir, err) != 0 || file_kind(dir, &kind, err) != 0)
		return err_context(err, "state directory");
	if (kind != FILE_IS_DIR)
		return err_set(err, ERR_IO, "state directory %s: not a directory", dir);
	if ((st = calloc(1, sizeof(*st))) == NULL || (st->dir = strdup(dir)) == NULL) {
		free(st);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = st;
	return 0;
}

void
state_close(struct state *st)
{
	if (st == NULL)
		return;
	file_close(st->lock);
	free(st->dir);
	free(st);
}

const char *
state_dir(const struct state *st)
{
	return st->dir;
}

int
state_lock(struct state *st, struct err *err)
{
	char path[STATE_PATH_MAX];
	struct file *f;

	if (st->lock != NULL)
		return 0;
	if (state_path(st, "lock", path, err) != 0 ||
	    file_open(path, FILE_TO_WRITE | FILE_TO_MAKE, &f, err) != 0)
		return -1;
	if (file_lock(f, err) == 0) {
		st->lock = f;
		return 0;
	}
	file_close(f);
	if (err->code != ERR_BUSY)
		return -1;
	err_clear(err);
	return err_set(err, ERR_BUSY,
	    "%s: busy: another holdfast-agent is already at work with it", st->dir);
}

int
state_path(const struct state *st, const char *name, char *out, struct err *err)
{
	if (snprintf(out, STATE_PATH_MAX, "%s/%s", st->dir, name) >= STATE_PATH_MAX)
		return err_set(err, ERR_LIMIT, "%s: path too long", st->dir);
	return 0;
}

int
state_read(const struct state *st, const char *name, struct buf *out, struct err *err)
{
	char path[STATE_PATH_MAX];

	if (state_path(st, name, path, err) != 0)
		return -1;
	return file_load(path, out, err);
}

int
state_write(const struct state *st, const char *name, const void *p, size_t len,
    unsigned mode, struct err *err)
{
	char path[STATE_PATH_MAX];

	if (state_path(st, name, path, err) != 0)
		return -1;
	return file_store(path, p, len, mode, err);
}

int
state_remove(const struct state *st, const char *name, struct err *err)
{
	char path[STATE_PATH_MAX];

	if (state_path(st, name, path, err) != 0)
		return -1;
	return file_remove(path, err) < 0 ? -1 : 0;
}

static void
wipe(struct buf *b)
{
	if (b->p != NULL)
		sodium_memzero(b->p, b->len);
	buf_free(b);
}

/* Keep the key's bytes, sealed where that can be; `must`: also where it cannot. */
static int
write_key(const struct state *st, const char *name, const void *der, size_t len, int must,
    struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	enum seal_kind kind;
	int rc;

	rc = seal_protect(der, len, &file, &kind, NULL, err);
	if (rc == 0 && (must || kind != SEAL_NONE))
		rc = state_write(st, name, file.p, file.len, 0600, err);
	wipe(&file);
	return rc;
}

/* The key's bytes out of its file: 1, or 0 if there is none, or -1. */
static int
read_key(const struct state *st, const char *name, struct buf *der, enum seal_kind *kind,
    struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, name, &file, err);
	if (found == 1 && seal_open(file.p, file.len, der, kind, err) != 0)
		found = err_context(err, "%s/%s", st->dir, name);
	wipe(&file);
	return found;
}

/* One that was kept when nothing could seal it is sealed as soon as something can. */
static void
seal_late(const struct state *st, const char *name, const struct buf *der)
{
	struct err ignored = ERR_INIT;

	if (st->lock != NULL && seal_available())
		(void)write_key(st, name, der->p, der->len, 0, &ignored);
}

/* The key in file `name`; made and kept first if there is none. */
static int
key_in(const struct state *st, const char *name, struct cert_key **out, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	uint8_t der[KEY_DER_MAX];
	struct cert_key *key = NULL;
	enum seal_kind kind;
	size_t len;
	int rc = -1, found;

	if ((found = read_key(st, name, &file, &kind, err)) < 0)
		goto out;
	if (found) {
		rc = cert_key_load(file.p, file.len, out, err);
		if (rc != 0)
			err_context(err, "%s/%s", st->dir, name);
		else if (kind == SEAL_NONE)
			seal_late(st, name, &file);
		goto out;
	}
	if (cert_key_new(&key, err) != 0 ||
	    cert_key_save(key, der, sizeof(der), &len, err) != 0)
		goto out;
	rc = write_key(st, name, der, len, 1, err);
	sodium_memzero(der, sizeof(der));
	if (rc == 0) {
		*out = key;
		key = NULL;
	}
out:
	wipe(&file);
	cert_key_free(key);
	return rc;
}

int
state_key_kind(const struct state *st, enum seal_kind *out, struct err *err)
{
	struct buf der = BUF_INIT(STATE_FILE_MAX);
	int found = read_key(st, "key", &der, out, err);

	wipe(&der);
	return found;
}

int
state_key(const struct state *st, struct cert_key **out, struct err *err)
{
	return key_in(st, "key", out, err);
}

int
state_next_key(const struct state *st, struct cert_key **out, struct err *err)
{
	if (key_in(st, "key.next", out, err) == 0)
		return 0;
	if (err->code != ERR_DENIED)
		return -1;
	/* Of an attempt on another machine, which nobody will repeat. */
	err_clear(err);
	if (state_remove(st, "key.next", err) != 0)
		return -1;
	return key_in(st, "key.next", out, err);
}

int
state_take_next_key(const struct state *st, struct err *err)
{
	char next[STATE_PATH_MAX], key[STATE_PATH_MAX];

	if (state_path(st, "key.next", next, err) != 0 ||
	    state_path(st, "key", key, err) != 0)
		return -1;
	return file_replace(next, key, err);
}

/* A certificate file: 1, 0 if there is none, -1. */
static int
read_cert(const struct state *st, const char *name, struct cert *out, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, name, &file, err);
	if (found == 1 && file.len > sizeof(out->der))
		found = err_set(err, ERR_CORRUPT, "%s/%s: too long", st->dir, name);
	if (found == 1) {
		memcpy(out->der, file.p, file.len);
		out->len = file.len;
	}
	buf_free(&file);
	return found;
}

static int
read_address(const struct state *st, char out[STATE_ADDRESS_MAX], struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, "server", &file, err);
	if (found == 1 && file.len >= STATE_ADDRESS_MAX)
		found = err_set(err, ERR_CORRUPT, "%s/server: too long", st->dir);
	if (found == 1) {
		memcpy(out, file.p, file.len);
		out[file.len] = '\0';
		out[strcspn(out, "\r\n")] = '\0';
	}
	buf_free(&file);
	return found;
}

int
state_identity(const struct state *st, struct state_identity *out, struct err *err)
{
	struct cert_key *key = NULL;
	int found;

	memset(out, 0, sizeof(*out));
	if ((found = read_cert(st, "cert", &out->me.cert, err)) != 1 ||
	    (found = read_cert(st, "ca", &out->ca, err)) != 1 ||
	    (found = read_address(st, out->address, err)) != 1)
		return found;
	if (cert_facts_of(&out->me.cert, &out->facts, err) != 0)
		return err_context(err, "%s/cert", st->dir);
	if (state_key(st, &key, err) != 0)
		return -1;
	out->me.key = key;
	if (st->address[0] != '\0')
		strcpy(out->address, st->address);
	return 1;
}

int
state_override_address(struct state *st, const char *address, struct err *err)
{
	if (strlen(address) >= sizeof(st->address))
		return err_set(err, ERR_LIMIT, "address %.40s...: too long", address);
	strcpy(st->address, address);
	return 0;
}

void
state_set_socket_buffer(struct state *st, int bytes)
{
	st->socket_buffer = bytes;
}

int
state_socket_buffer(const struct state *st)
{
	return st->socket_buffer;
}

void
state_set_silence(struct state *st, uint32_t ms)
{
	st->silence_ms = ms;
}

uint32_t
state_silence(const struct state *st)
{
	return st->silence_ms;
}

void
state_identity_free(struct state_identity *id)
{
	cert_key_free((struct cert_key *)id->me.key);
	id->me.key = NULL;
}

int
state_enrolled(const struct state *st, const struct cert *cert, const struct cert *ca,
    const char *address, struct err *err)
{
	struct cert *before = calloc(1, sizeof(*before));
	int found;

	if (before == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	found = read_cert(st, "ca", before, err);
	if (found == 1 && before->len == ca->len &&
	    memcmp(before->der, ca->der, ca->len) == 0)
		found = 2;
	free(before);
	if (found < 0 || (found == 1 && (state_remove(st, "head", err) != 0 ||
					    state_remove(st, "journal", err) != 0)))
		return -1;
	/* The certificate comes last: with it the agent counts as enrolled. */
	if (state_write(st, "ca", ca->der, ca->len, 0644, err) != 0 ||
	    state_write(st, "server", address, strlen(address), 0644, err) != 0 ||
	    state_write(st, "cert", cert->der, cert->len, 0644, err) != 0)
		return -1;
	return 0;
}

/* A file of exactly `len` bytes: 1, or 0 if there is none such, or -1. */
static int
read_exactly(
    const struct state *st, const char *name, uint8_t *out, size_t len, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = state_read(st, name, &file, err);
	if (found == 1 && file.len != len)
		found = 0;
	if (found == 1)
		memcpy(out, file.p, len);
	buf_free(&file);
	return found;
}

int
state_head(const struct state *st, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	return read_exactly(st, "head", out, STATE_HASH_LEN, err);
}

int
state_set_head(
    const struct state *st, const uint8_t head[STATE_HASH_LEN], struct err *err)
{
	return state_write(st, "head", head, STATE_HASH_LEN, 0600, err);
}

int
state_journal(const struct state *st, uint8_t out[STATE_JOURNAL_LEN], struct err *err)
{
	return read_exactly(st, "journal", out, STATE_JOURNAL_LEN, err);
}

int
state_set_journal(
    const struct state *st, const uint8_t journal[STATE_JOURNAL_LEN], struct err *err)
{
	return state_write(st, "journal", journal, STATE_JOURNAL_LEN, 0600, err);
}

int
state_machine(const char *path, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	struct buf id = BUF_INIT(STATE_FILE_MAX);
	int found;

	found = path != NULL ? state_machine_file(path, &id, err)
			     : state_machine_system(&id, err);
	if (found == 1)
		blake3_derive_key(MACHINE_CONTEXT, id.p, id.len, out, STATE_HASH_LEN);
	else if (found == 0)
		(void)err_set(err, ERR_NOTFOUND,
		    "machine id %s: missing or empty; name another file by --machine-id",
		    path != NULL ? path : state_machine_place);
	buf_free(&id);
	return found == 1 ? 0 : -1;
}
