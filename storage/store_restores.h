/*
 * store_restores.h - which machines may restore which host, and until when.
 *
 * An operator allows *one restore* of one host: by a token, of which the store
 * keeps a hash, or by arming a MAC address.  The first machine that redeems the
 * token, or whose code an operator confirms, is the one: from then on no other is
 * let in, and this one again and again (power cuts, days), until it is done or an
 * operator ends it.  Until when it may *begin* is told when it is allowed; nothing
 * but its end ends what has begun.
 *
 * Which point "latest" is is fixed when it begins: the newest that has the host's
 * disks, since a machine is made of no other; if none has, the newest.  A point of a
 * restore that is open is kept by every prune and cannot be forgotten
 * (store_retention.h).
 *
 *	store_restore_allow -> store_restore_redeem, again ... -> store_restore_end
 *	store_restore_allow (MAC) -> store_restore_confirm -> store_restore_redeem ...
 *
 * All of it is durable, with who did it.  Any thread may call.
 */
#ifndef STORAGE_STORE_RESTORES_H
#define STORAGE_STORE_RESTORES_H

#include <stdint.h>

#include "storage/store.h"

struct err;

#define STORE_MAC_LEN 6
/* Open ones, of a host and of all. */
#define STORE_RESTORES_HOST_MAX 16u
#define STORE_RESTORES_MAX 4096u

/* The numbers are stored. */
enum store_restore_state {
	STORE_RESTORE_NEW = 0,	/* No machine yet. */
	STORE_RESTORE_OPEN = 1, /* A machine is at it. */
	STORE_RESTORE_DONE = 2,
	STORE_RESTORE_ENDED = 3 /* By an operator. */
};

struct store_restore {
	uint64_t id; /* Never used again. */
	char host[STORE_NAME_MAX];
	char who[STORE_NAME_MAX]; /* Allowed it. */
	int by_mac;
	uint8_t mac[STORE_MAC_LEN];
	uint8_t token[STORE_HASH_LEN]; /* Hash of its secret; zeros if by_mac. */
	int only;		       /* `sequence` and no other point. */
	uint64_t sequence;	       /* 0: the latest, not fixed yet. */
	int64_t ends_us;	       /* It may begin until then. */
	int64_t made_us;

	int state; /* enum store_restore_state */
	uint8_t machine[STORE_HASH_LEN], key_hash[STORE_HASH_LEN];
	uint8_t serial[STORE_SERIAL_LEN]; /* Of the one certificate that counts. */
	int64_t cert_ends_us;
	uint64_t redeems; /* How often it was let in. */
	int64_t begun_us, ended_us;
	char text[STORE_TEXT_MAX]; /* How it ended. */
};

/*
 * Allow one: `r` has host, who, by_mac with mac or token, only, sequence, ends_us;
 * it gets id and made_us.  ERR_NOTFOUND (no such host or point), ERR_EXISTS (the
 * MAC is armed already), ERR_LIMIT (too many are open), ERR_DENIED (`who` was revoked).
 */
int store_restore_allow(struct store *s, struct store_restore *r, struct err *err);

/* ERR_NOTFOUND, in words for who shows a token or certificate. */
int store_restore_by_token(struct store *s, const uint8_t token[STORE_HASH_LEN],
    struct store_restore *out, struct err *err);
int store_restore_by_serial(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_restore *out, struct err *err);
int store_restore_by_id(
    struct store *s, uint64_t id, struct store_restore *out, struct err *err);

/* The open one by MAC whose machine shows this key: 1, 0 for none, -1. */
int store_restore_by_key(struct store *s, const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err);

/* The one that armed this MAC and is not over: 1, 0, -1. */
int store_restore_by_mac(struct store *s, const uint8_t mac[STORE_MAC_LEN],
    struct store_restore *out, struct err *err);

/* Call for each behind number `after`, rising, as store_peers(). */
int store_restores(struct store *s, uint64_t after,
    int (*each)(void *arg, const struct store_restore *r), void *arg, struct err *err);

/* Not over: begun and not ended, or it may still begin. */
int store_restore_is_open(struct store *s, const struct store_restore *r);

/* A machine that asks to be let in, with the certificate it would get. */
struct store_redeem {
	uint8_t machine[STORE_HASH_LEN], key_hash[STORE_HASH_LEN];
	uint8_t serial[STORE_SERIAL_LEN];
	int64_t cert_ends_us;
};

/*
 * Let it in to restore `id`, in one step: whoever comes first is the one.  `out`
 * is the restore then, its point fixed; `*resumed` if this machine had begun it
 * before.  Certificates of before do not count any more.  By MAC the key must have
 * been confirmed.  ERR_DENIED (over, expired, another machine's), ERR_NOTFOUND (no
 * point), each in a line for people.
 */
int store_restore_redeem(struct store *s, uint64_t id, const struct store_redeem *by,
    struct store_restore *out, int *resumed, struct err *err);

/*
 * `who` says that the machine with this key is the one that was armed.  A machine
 * that had begun may come back with another key.  ERR_DENIED as above.
 */
int store_restore_confirm(struct store *s, uint64_t id, const char *who,
    const uint8_t machine[STORE_HASH_LEN], const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err);

/*
 * The machine whose certificate this is restores point `sequence`: it is the one
 * that restarts go on with, and that is kept.  ERR_DENIED, ERR_NOTFOUND.
 */
int store_restore_point(struct store *s, uint64_t id,
    const uint8_t serial[STORE_SERIAL_LEN], uint64_t sequence, struct err *err);

/*
 * The end: done (`who` "") or ended by `who`.  ERR_NOTFOUND; ERR_DENIED if it is
 * over.  With a serial only if that is still the certificate that counts; else NULL.
 */
int store_restore_end(struct store *s, uint64_t id, enum store_restore_state how,
    const uint8_t *serial, const char *who, const char *text, struct err *err);

/*
 * Many wrong tokens were tried, the last from `address`: raise the store's own alarm,
 * unless it stands.  Ended by store_alarm_clear() (store_rollback.h).
 */
int store_restores_alarm(struct store *s, const char *address, struct err *err);

/* Does that alarm stand?  Then `text` says so in a line. */
int store_restores_alarmed(struct store *s, char text[STORE_TEXT_MAX]);

/* It is over: record that. */
int store_restores_calm(struct store *s, struct err *err);

#endif /* STORAGE_STORE_RESTORES_H */
