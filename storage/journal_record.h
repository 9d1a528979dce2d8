/*
 * journal_record.h - the bytes of the journal: records and what is in them.
 *
 * No I/O here: the writer frames events into a buffer, readers parse bytes
 * they are given.  Every record carries the hash of the one before and a MAC,
 * so nothing can be changed, dropped or put elsewhere without being noticed.
 * Bytes: storage/FORMAT.md, "Journal".
 *
 *	+0	4	length of the payload, n
 *	+4	2	type (enum journal_type); bit 15: optional
 *	+6	2	required features of this record
 *	+8	8	sequence, from 1
 *	+16	8	time, microseconds since 1970
 *	+24	8	highest sequence known durable when this was written
 *	+32	32	hash of the record before (of the file header for the first)
 *	+64	n	payload
 *	...	32	MAC: keyed BLAKE3 of all before
 */
#ifndef STORAGE_JOURNAL_RECORD_H
#define STORAGE_JOURNAL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "storage/store.h"
#include "storage/store_restores.h"
#include "storage/store_retention.h"

struct buf;
struct err;

#define JOURNAL_HASH_LEN 32u
#define JOURNAL_STORE_LEN 16u
#define JOURNAL_FILE_HEADER_LEN 64u
#define JOURNAL_HEADER_LEN 64u
#define JOURNAL_MAC_LEN 32u
#define JOURNAL_PAYLOAD_MAX 65536u
#define JOURNAL_RECORD_MAX (JOURNAL_HEADER_LEN + JOURNAL_PAYLOAD_MAX + JOURNAL_MAC_LEN)

/* Required features, of the file and of records, that this program knows. */
#define JOURNAL_FEATURES 0u

/* A reader that does not know a type skips it if it has this bit, else refuses. */
#define JOURNAL_OPTIONAL 0x8000u

/* The numbers are stored and never reused. */
enum journal_type {
	JOURNAL_MADE = 1,	 /* The store was made; always the first. */
	JOURNAL_SECRET = 2,	 /* A secret, wrapped. */
	JOURNAL_PEER = 3,	 /* A peer has a new certificate. */
	JOURNAL_REVOKE = 4,	 /* No certificate of a name counts any more. */
	JOURNAL_TOKEN = 5,	 /* An enrolment token was made. */
	JOURNAL_TOKEN_USE = 6,	 /* A host was enrolled by one. */
	JOURNAL_POINT = 7,	 /* A recovery point. */
	JOURNAL_STUB = 8,	 /* Points were pruned; their records stay as stubs. */
	JOURNAL_AUDIT = 9,	 /* Who did what. */
	JOURNAL_ALARM = 10,	 /* A peer's alarm was raised or cleared. */
	JOURNAL_LEASE_OPEN = 11, /* A backup began. */
	JOURNAL_LEASE_CLOSE = 12,
	JOURNAL_SEEN = 13,	 /* When a peer was here; once a day at most. */
	JOURNAL_PACK = 14,	 /* A pack was sealed. */
	JOURNAL_QUARANTINE = 15, /* A group was found bad. */
	JOURNAL_RELEASE = 16,	 /* ... and good again. */
	JOURNAL_POLICY = 17,	 /* A retention policy was set or removed. */
	JOURNAL_HOLD = 18,	 /* A point is held. */
	JOURNAL_UNHOLD = 19,	 /* ... and not any more. */
	JOURNAL_LOCK = 20,	 /* A point is locked until a date. */
	JOURNAL_FORGET = 21,	 /* One point was forgotten by somebody. */
	JOURNAL_REMOVED = 22,	 /* A pack nobody needs: its file may be gone. */
	JOURNAL_LEASE_REVOKED = 24,
	JOURNAL_VERIFIED = 25, /* A point was found whole. */
	JOURNAL_BRAKE = 26,    /* A host is not to be pruned; or again. */
	JOURNAL_RESTORE = 33,  /* A restore was allowed. */
	JOURNAL_REDEEMED = 34, /* ... a machine may do it now. */
	JOURNAL_RESTORED = 35, /* ... it ended. */
	/* What the store itself has to say, or its end; optional. */
	JOURNAL_STORE_ALARM = 28 | 0x8000,
	JOURNAL_CHECKED = 27 | 0x8000, /* Packs were read whole; optional. */
	JOURNAL_HURT = 29 | 0x8000,    /* Something of a point is lost; optional. */
	JOURNAL_SUSPECT = 36 | 0x8000, /* Points may be wrong; optional. */
	JOURNAL_KEY = 23 | 0x8000      /* The master key was exported; optional. */
};

struct journal_secret {
	char name[STORE_NAME_MAX];
	uint32_t len;
	uint8_t wrapped[STORE_BLOB_MAX + 64];
};

struct journal_use {
	uint8_t token[STORE_HASH_LEN];
	struct store_peer peer;
	uint32_t cert_len;
	uint8_t cert[STORE_BLOB_MAX];
	uint8_t replaces; /* Certificates with another key ended with this. */
};

struct journal_note {
	char who[STORE_NAME_MAX];
	char what[STORE_TEXT_MAX];
};

struct journal_lease {
	uint64_t id; /* In LEASE_OPEN zero: it is that record's sequence. */
	char host[STORE_NAME_MAX];
};

struct journal_pack {
	uint32_t no;
	uint8_t kind; /* enum chunk_kind */
	uint32_t chunks, groups;
	uint64_t plain, stored;
};

struct journal_group {
	uint32_t pack, offset;
};

/* An alarm of the store's own; an empty text ends it. */
struct journal_notice {
	uint8_t kind;	    /* enum store_notice */
	int64_t trusted_us; /* The time that was believed then. */
	char text[STORE_TEXT_MAX];
};

/* Points that policy let go, of one host; they leave together or not at all. */
#define JOURNAL_STUBS_MAX 512u
struct journal_stubs {
	char host[STORE_NAME_MAX];
	char who[STORE_NAME_MAX];
	uint32_t n;
	uint64_t sequences[JOURNAL_STUBS_MAX];
};

/* What happened to one point; HOLD, UNHOLD, LOCK, FORGET, VERIFIED, HURT, BRAKE. */
struct journal_mark {
	char host[STORE_NAME_MAX];
	uint64_t sequence;
	char who[STORE_NAME_MAX];
	int64_t when_us;	   /* LOCK: until; VERIFIED. */
	char text[STORE_TEXT_MAX]; /* Why. */
};

/* Points of a volume, after one and up to another, may not be what it was. */
struct journal_suspect {
	char host[STORE_NAME_MAX];
	char volume[STORE_NAME_MAX];
	uint64_t after, last;
	char text[STORE_TEXT_MAX]; /* Why; "": they are not. */
};

/* Packs all of whose groups were read. */
#define JOURNAL_CHECKED_MAX 1024u
struct journal_checked {
	int64_t when_us; /* Not later than the first was begun. */
	uint32_t n;
	uint32_t packs[JOURNAL_CHECKED_MAX];
};

struct journal_key {
	uint8_t what;		       /* enum store_escrow_kind */
	uint8_t check[STORE_HASH_LEN]; /* Stands for the key; does not give it away. */
	char who[STORE_NAME_MAX];
};

/* REDEEMED: what the machine is and may read; without a certificate a zero serial. */
struct journal_redeemed {
	uint64_t id; /* The sequence of the restore's record 33. */
	char host[STORE_NAME_MAX];
	char who[STORE_NAME_MAX]; /* The operator who confirmed it; "": by token. */
	uint64_t sequence;
	uint8_t machine[STORE_HASH_LEN];
	uint8_t key_hash[STORE_HASH_LEN];
	uint8_t serial[STORE_SERIAL_LEN];
	int64_t cert_ends_us;
};

struct journal_restored {
	uint64_t id;
	char host[STORE_NAME_MAX];
	char who[STORE_NAME_MAX]; /* Ended it; "": the machine, which is done. */
	uint8_t how;		  /* enum store_restore_state: done or ended. */
	char text[STORE_TEXT_MAX];
};

/* What happened; `type` says which member counts. */
struct journal_event {
	enum journal_type type;
	union {
		uint8_t made[JOURNAL_STORE_LEN]; /* The store's id. */
		struct journal_secret secret;
		struct store_peer peer; /* PEER, and SEEN (name, seen_us, program). */
		struct store_token token;
		struct journal_use use;
		struct store_point point; /* All but time_us and record. */
		struct journal_note note; /* AUDIT, ALARM; REVOKE has who. */
		struct journal_lease lease;
		struct journal_pack pack;
		struct journal_group group; /* QUARANTINE, RELEASE */
		struct journal_notice notice;
		struct journal_stubs stubs;
		struct store_policy policy; /* All but since_us. */
		struct journal_mark mark;
		struct journal_checked checked;
		struct journal_suspect suspect;
		struct journal_key key;
		struct store_restore restore; /* RESTORE: what was allowed. */
		struct journal_redeemed redeemed;
		struct journal_restored restored;
		uint32_t removed; /* The pack's number. */
	} u;
};

/* Append the payload of `e` to `out`; ERR_LIMIT, ERR_NOMEM. */
int journal_encode(const struct journal_event *e, struct buf *out, struct err *err);

/*
 * Read a payload: what journal_encode() makes, and typed fields behind it.  0; 1
 * for an optional type that this program does not know, which is to be skipped;
 * ERR_CORRUPT; ERR_UNSUPPORTED for a required type or field that it does not know.
 */
int journal_decode(uint16_t type, const uint8_t *p, size_t len, struct journal_event *out,
    struct err *err);

/*
 * Who did what by an event of retention or of a restore, in words; 0 if it is none of
 * these or nobody's act.  Cut between characters where it does not fit.
 */
#define JOURNAL_WHAT_MAX (STORE_TEXT_MAX + 128)
int journal_say(
    const struct journal_event *e, char who[STORE_NAME_MAX], char what[JOURNAL_WHAT_MAX]);

/* Where a record ends, and the chain there: what the next one continues. */
struct journal_place {
	uint64_t offset; /* Bytes from the start of the file. */
	uint64_t sequence;
	int64_t time_us;
	uint8_t hash[JOURNAL_HASH_LEN];
};

/* A parsed record; borrows the bytes. */
struct journal_record {
	uint16_t type;
	uint16_t required; /* Features. */
	uint64_t durable;
	const uint8_t *payload;
	size_t len;
	struct journal_place end; /* The place behind it; its own sequence, time, hash. */
};

enum journal_parse {
	JOURNAL_WHOLE,
	JOURNAL_SHORT, /* The bytes end inside it. */
	JOURNAL_BAD    /* Not a record, or not the one that belongs here. */
};

/*
 * Look for the record that follows `before` at the start of `p`.  With `before`
 * NULL any authentic record will do (for looking behind damage).  On
 * JOURNAL_SHORT `need` says how many bytes would do.
 */
enum journal_parse journal_parse(const uint8_t *p, size_t len, const uint8_t key[32],
    const struct journal_place *before, struct journal_record *out, size_t *need);

/*
 * Append the record for a payload to `out`, as the one that follows `at`, which
 * moves behind it; `time_us` must be later than at->time_us.
 */
int journal_frame(uint16_t type, const uint8_t *payload, size_t len, int64_t time_us,
    uint64_t durable, const uint8_t key[32], struct journal_place *at, struct buf *out,
    struct err *err);

/*
 * Has this program any business with a store that holds this record?  0, or
 * ERR_UNSUPPORTED with the number that it does not know.  `room` is for its use.
 */
int journal_check(
    const struct journal_record *r, struct journal_event *room, struct err *err);

/* The file's header with these optional features, and the place behind it. */
void journal_file_header(const uint8_t store[JOURNAL_STORE_LEN], uint32_t optional,
    uint8_t out[JOURNAL_FILE_HEADER_LEN], struct journal_place *at);

/* Read a header.  ERR_CORRUPT (of another store, too), ERR_UNSUPPORTED. */
int journal_parse_header(const uint8_t p[JOURNAL_FILE_HEADER_LEN],
    const uint8_t store[JOURNAL_STORE_LEN], uint32_t *optional, struct err *err);

#endif /* STORAGE_JOURNAL_RECORD_H */
