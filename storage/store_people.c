#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_state.h"

#define PAGE 64u

struct journal_event *
store_event_new(enum journal_type type, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	if (e == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a journal record");
	else
		e->type = type;
	return e;
}

static int
check_name(const char *name, struct err *err)
{
	if (name[0] == '\0' || strlen(name) >= STORE_NAME_MAX)
		return err_set(
		    err, ERR_LIMIT, "a name has 1 to %d characters", STORE_NAME_MAX - 1);
	return 0;
}

/* Free the event after recording it. */
static int
record_free(struct store *s, struct journal_event *e, struct err *err)
{
	int ret = store_record(s, e, NULL, err);

	free(e);
	return ret;
}

/* ----------------------------------------------------------------- secrets -- */

int
store_secret_put(
    struct store *s, const char *name, const uint8_t *p, size_t len, struct err *err)
{
	struct journal_event *e;

	if (check_name(name, err) != 0)
		return -1;
	if (name[0] == '.')
		return err_set(err, ERR_DENIED, "secret %s is the store's own", name);
	if ((e = store_event_new(JOURNAL_SECRET, err)) == NULL)
		return -1;
	if (store_keys_wrap(&s->of, name, p, len, &e->u.secret, err) != 0) {
		free(e);
		return -1;
	}
	return record_free(s, e, err);
}

int
store_secret_get(struct store *s, const char *name, uint8_t *p, size_t cap, size_t *len,
    struct err *err)
{
	struct journal_secret wrapped;

	if (catalog_secret(s->catalog, name, &wrapped, err) != 0)
		return -1;
	return store_keys_unwrap(&s->of, &wrapped, p, cap, len, err);
}

/* ------------------------------------------------------------------- peers -- */

int
store_peer_by_serial(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_peer *out, struct err *err)
{
	return catalog_peer_by_serial(s->catalog, serial, out, err);
}

int
store_peer_by_name(
    struct store *s, const char *name, struct store_peer *out, struct err *err)
{
	return catalog_peer_by_name(s->catalog, name, out, err);
}

int
store_peer_by_key(struct store *s, const uint8_t key_hash[STORE_HASH_LEN],
    const char *except, struct store_peer *out, struct err *err)
{
	return catalog_peer_by_key(s->catalog, key_hash, except, out, err);
}

int
store_peers(struct store *s, int (*each)(void *arg, const struct store_peer *p),
    void *arg, struct err *err)
{
	struct store_peer *page = malloc(PAGE * sizeof(*page));
	char after[STORE_NAME_MAX] = "";
	uint32_t n = PAGE;
	int ret = 0;

	if (page == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list peers");
	/* No lock is held while `each` runs. */
	while (ret == 0 && n == PAGE) {
		ret = catalog_peers(s->catalog, after, page, PAGE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++)
			ret = each(arg, &page[i]);
		if (n > 0)
			memcpy(after, page[n - 1].name, sizeof(after));
	}
	free(page);
	return ret;
}

int
store_groups(struct store *s, int (*each)(void *arg, const char *group), void *arg,
    struct err *err)
{
	char page[PAGE][STORE_NAME_MAX], after[STORE_NAME_MAX] = "";
	uint32_t n = PAGE;
	int ret = 0;

	while (ret == 0 && n == PAGE) {
		ret =
		    catalog_groups(s->catalog, after, store_now(s), page, PAGE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++)
			ret = each(arg, page[i]);
		if (n > 0)
			memcpy(after, page[n - 1], sizeof(after));
	}
	return ret;
}

/* Does the certificate that asks for another still stand for `name`?  people is held. */
static int
may_renew(struct store *s, const uint8_t serial[STORE_SERIAL_LEN], const char *name,
    struct err *err)
{
	struct store_peer known;

	if (catalog_peer_by_serial(s->catalog, serial, &known, err) != 0)
		return -1;
	if (known.revoked || strcmp(known.name, name) != 0)
		return err_set(err, ERR_DENIED,
		    "the certificate of %s does not count any more", name);
	return 0;
}

static int
peer_put(
    struct store *s, const uint8_t *serial, const struct store_peer *p, struct err *err)
{
	struct err none = ERR_INIT;
	struct journal_event *e;
	struct store_peer known;
	int ret;

	if (check_name(p->name, err) != 0 ||
	    (e = store_event_new(JOURNAL_PEER, err)) == NULL)
		return -1;
	e->u.peer = *p;
	pthread_mutex_lock(&s->people);
	ret = catalog_peer_by_name(s->catalog, p->name, &known, &none);
	if (ret != 0 && none.code != ERR_NOTFOUND)
		*err = none;
	else if (ret == 0 && known.revoked)
		(void)err_set(err, ERR_DENIED, "%s was revoked", p->name);
	if (err->code == ERR_NONE && serial != NULL)
		(void)may_renew(s, serial, p->name, err);
	ret = err->code != ERR_NONE ? -1 : store_record(s, e, NULL, err);
	pthread_mutex_unlock(&s->people);
	free(e);
	return ret;
}

int
store_peer_put(struct store *s, const struct store_peer *p, struct err *err)
{
	return peer_put(s, NULL, p, err);
}

int
store_peer_renew(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    const struct store_peer *p, struct err *err)
{
	return peer_put(s, serial, p, err);
}

int
store_peer_revoke(struct store *s, const char *name, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_REVOKE, err);
	struct store_peer known;
	int ret;

	if (e == NULL)
		return -1;
	pthread_mutex_lock(&s->people);
	ret = catalog_peer_by_name(s->catalog, name, &known, err);
	if (ret == 0 && !known.revoked) {
		memcpy(e->u.note.who, known.name, sizeof(e->u.note.who));
		ret = store_record(s, e, NULL, err);
	}
	pthread_mutex_unlock(&s->people);
	free(e);
	return ret;
}

int
store_peer_seen(struct store *s, const char *name, const char *program, struct err *err)
{
	int64_t now = store_now(s);
	struct journal_event *e;
	int due, ret;

	if (catalog_seen(s->catalog, name, program, now, &due, err) != 0)
		return -1;
	if (!due)
		return 0;
	if ((e = store_event_new(JOURNAL_SEEN, err)) == NULL)
		return -1;
	e->u.peer.seen_us = now;
	(void)snprintf(e->u.peer.name, sizeof(e->u.peer.name), "%s", name);
	(void)snprintf(e->u.peer.program, sizeof(e->u.peer.program), "%s", program);
	ret = record_free(s, e, err);
	/* A full disk keeps out nobody: among those who come is who will empty it. */
	if (ret != 0 && err->code == ERR_NOSPACE) {
		err_clear(err);
		ret = 0;
	}
	return ret;
}

static int
note(struct store *s, enum journal_type type, const char *who, const char *what,
    struct err *err)
{
	struct journal_event *e = store_event_new(type, err);

	if (e == NULL)
		return -1;
	(void)snprintf(e->u.note.who, sizeof(e->u.note.who), "%s", who);
	(void)snprintf(e->u.note.what, sizeof(e->u.note.what), "%s", what);
	return record_free(s, e, err);
}

int
store_peer_alarm(struct store *s, const char *name, const char *alarm, struct err *err)
{
	struct store_peer known;

	if (catalog_peer_by_name(s->catalog, name, &known, err) != 0)
		return -1;
	/* Raised at every session of a copied key: once is enough. */
	if (strncmp(known.alarm, alarm, sizeof(known.alarm) - 1) == 0)
		return 0;
	return note(s, JOURNAL_ALARM, name, alarm, err);
}

int
store_audit(struct store *s, const char *who, const char *what, struct err *err)
{
	return note(s, JOURNAL_AUDIT, who, what, err);
}

/* ------------------------------------------------------------------- tokens -- */

int
store_token_put(struct store *s, const struct store_token *t, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_TOKEN, err);

	if (e == NULL)
		return -1;
	e->u.token = *t;
	return record_free(s, e, err);
}

int
store_token_get(struct store *s, const uint8_t hash[STORE_HASH_LEN],
    struct store_token *out, struct err *err)
{
	return catalog_token(s->catalog, hash, out, err);
}

/* A machine that was told and is not this one.  One that was not told may still be. */
static int
other_machine(const struct store_peer *known, const struct store_peer *p)
{
	static const uint8_t untold[STORE_HASH_LEN];

	return memcmp(known->machine, untold, sizeof(untold)) != 0 &&
	       memcmp(known->machine, p->machine, sizeof(untold)) != 0;
}

static int
copied(const char *name, struct err *err)
{
	return err_set(err, ERR_DENIED,
	    "the key of %s was enrolled by another machine: an operator must make a "
	    "token that replaces it",
	    name);
}

/*
 * One key, one name: whoever holds the key of two could be either.  0, or -1.
 * people is held.
 */
static int
key_is_free(struct store *s, const struct store_peer *p, struct err *err)
{
	struct store_peer holder;
	int found = catalog_peer_by_key(s->catalog, p->key_hash, p->name, &holder, err);

	if (found > 0)
		return err_set(err, ERR_DENIED,
		    "this key was enrolled as %s: another name needs a key of its own",
		    holder.name);
	return found;
}

/* May a token that is known enrol `p` now?  `*replaces` if other keys end with it. */
static int
may_enrol(struct store *s, const struct store_token *t, const struct store_peer *p,
    uint8_t *replaces, struct err *err)
{
	int takes_over =
	    t->replace_host[0] != '\0' && strcmp(t->replace_host, p->name) == 0;
	struct store_peer known;
	struct err none = ERR_INIT;

	*replaces = 0;
	if (t->ends_us <= store_now(s))
		return err_set(err, ERR_DENIED, "the enrolment token has expired");
	if (t->uses_left == 0)
		return err_set(err, ERR_DENIED, "the enrolment token is used up");
	if (key_is_free(s, p, err) != 0)
		return -1;
	if (catalog_peer_by_name(s->catalog, p->name, &known, &none) != 0) {
		if (none.code == ERR_NOTFOUND)
			return 0;
		*err = none;
		return -1;
	}
	if (memcmp(known.key_hash, p->key_hash, sizeof(known.key_hash)) == 0) {
		if (known.revoked && !takes_over)
			return err_set(err, ERR_DENIED, "%s was revoked", p->name);
		if (other_machine(&known, p) && !takes_over)
			return copied(p->name, err);
		return 0;
	}
	if (!takes_over)
		return err_set(err, ERR_EXISTS,
		    "the name %s belongs to another key: an operator must make a token "
		    "that "
		    "replaces it",
		    p->name);
	*replaces = 1;
	return 0;
}

/* The certificate of an enrolment that was recorded before: 1, 0, -1. */
static int
enrolled_before(struct store *s, const uint8_t token_hash[STORE_HASH_LEN],
    const struct store_peer *p, uint8_t cert[STORE_BLOB_MAX], size_t *cert_len,
    struct err *err)
{
	struct store_peer known;
	int found;

	found = catalog_enrolment(s->catalog, token_hash, p, cert, cert_len, err);
	if (found <= 0)
		return found;
	if (catalog_peer_by_name(s->catalog, p->name, &known, err) != 0)
		return -1;
	if (known.revoked)
		return err_set(err, ERR_DENIED, "%s was revoked", p->name);
	/* Told again it would do no good, and end the sessions of who has it now. */
	if (memcmp(known.key_hash, p->key_hash, sizeof(known.key_hash)) != 0)
		return err_set(
		    err, ERR_DENIED, "the name %s went to another key since", p->name);
	if (other_machine(&known, p))
		return copied(p->name, err);
	return 1;
}

/*
 * The group that the token names; if it names none, the one the host is in, so that
 * who comes back is kept by the same policy.  people is held.
 */
static int
take_group(
    struct store *s, const struct store_token *t, struct store_peer *p, struct err *err)
{
	struct store_peer known;
	struct err none = ERR_INIT;

	memcpy(p->group, t->group, sizeof(p->group));
	if (p->group[0] != '\0')
		return 0;
	if (catalog_peer_by_name(s->catalog, p->name, &known, &none) == 0) {
		memcpy(p->group, known.group, sizeof(p->group));
	} else if (none.code != ERR_NOTFOUND) {
		*err = none;
		return -1;
	}
	return 0;
}

int
store_enrol(struct store *s, const uint8_t token_hash[STORE_HASH_LEN],
    const struct store_peer *p, uint8_t cert[STORE_BLOB_MAX], size_t *cert_len,
    struct err *err)
{
	struct journal_event *e;
	struct store_token t;
	int ret, before = 0;

	if (check_name(p->name, err) != 0)
		return -1;
	if (*cert_len > STORE_BLOB_MAX)
		return err_set(err, ERR_LIMIT, "a certificate of %zu bytes", *cert_len);
	if ((e = store_event_new(JOURNAL_TOKEN_USE, err)) == NULL)
		return -1;
	pthread_mutex_lock(&s->people);
	ret = catalog_token(s->catalog, token_hash, &t, err);
	if (ret == 0)
		before = enrolled_before(s, token_hash, p, cert, cert_len, err);
	if (ret == 0 && before == 0)
		ret = may_enrol(s, &t, p, &e->u.use.replaces, err);
	if (ret == 0 && before == 0) {
		memcpy(e->u.use.token, token_hash, STORE_HASH_LEN);
		e->u.use.peer = *p;
		e->u.use.cert_len = (uint32_t)*cert_len;
		memcpy(e->u.use.cert, cert, *cert_len);
		ret = take_group(s, &t, &e->u.use.peer, err);
		if (ret == 0)
			ret = store_record(s, e, NULL, err);
	}
	pthread_mutex_unlock(&s->people);
	free(e);
	return ret != 0 || before < 0 ? -1 : 0;
}
