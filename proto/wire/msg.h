/*
 * msg.h - the messages inside frames: kinds, packing and checked unpacking.
 *
 * A frame's kind says which protobuf-c message its payload is; Put, Node and
 * Group carry raw bytes instead.  The messages themselves are in
 * holdfast.proto, their rules in proto/WIRE.md.
 */
#ifndef PROTO_WIRE_MSG_H
#define PROTO_WIRE_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/holdfast.pb-c.h"

struct buf;
struct err;
struct frame;

#define MSG_VERSION 1u
#define MSG_NODE_LEVEL_ROOT 255u

/* Limits both sides hold to. */
#define MSG_LEN_MAX (1024u * 1024) /* Bytes of a protobuf message. */
#define MSG_IDS_MAX 4096u	   /* Ids in one Have, GetGroups, Missing. */
#define MSG_SPANS_MAX 64u	   /* Spans in one GetGroups. */
#define MSG_NODES_MAX 1024u	   /* Nodes in one GetNodes. */
#define MSG_VOLUMES_MAX 128u	   /* Volumes in one point. */
#define MSG_TEXT_MAX 1024u	   /* Bytes of any string. */
#define MSG_JOURNAL_LEN 48u	   /* A place in the store's journal. */
#define MSG_COPY_PACKS_MAX 65536u  /* Packs in one CopyPlan. */
#define MSG_MACS_MAX 16u	   /* MAC addresses in one Announce. */
#define MSG_MAC_LEN 6u
#define MSG_COPY_DATA_MAX (512u * 1024) /* Bytes in one CopyBytes. */

/* Answers in HaveReply. */
enum msg_have { MSG_NEED = 0, MSG_HAVE = 1, MSG_PENDING = 2 };

/* Never reused.  Requests are odd, answers even. */
enum msg_kind {
	MSG_HELLO = 1,
	MSG_WELCOME = 2,
	MSG_FAILED = 4, /* Answers anything. */
	MSG_DONE = 6,

	MSG_ENROLL = 11,
	MSG_RENEW = 13,
	MSG_ENROLLED = 14,

	MSG_BEGIN = 21,
	MSG_BEGUN = 22,
	MSG_HAVE_ASK = 23, /* message Have */
	MSG_HAVE_REPLY = 24,
	MSG_PUT = 25, /* raw: a group */
	MSG_STORED = 26,
	MSG_COMMIT = 27,
	MSG_COMMITTED = 28,
	MSG_MISSING = 30,

	MSG_LIST_POINTS = 41,
	MSG_POINTS = 42,
	MSG_GET_NODES = 43,
	MSG_NODE = 44, /* raw: a node */
	MSG_GET_GROUPS = 45,
	MSG_GROUP = 46, /* raw: a group */
	MSG_GROUPS_END = 48,

	MSG_NEW_TOKEN = 61,
	MSG_TOKEN_TEXT = 62,
	MSG_NEW_OPERATOR = 63, /* answered by Enrolled */
	MSG_LIST_HOSTS = 65,
	MSG_HOSTS = 66,
	MSG_REVOKE = 67, /* answered by Done */
	MSG_GET_STATS = 69,
	MSG_STATS = 70,
	MSG_VERIFY = 71,
	MSG_VERIFY_REPORT = 72,

	MSG_SET_POLICY = 81, /* answered by Done */
	MSG_LIST_POLICIES = 83,
	MSG_POLICIES = 84,
	MSG_PRUNE = 85,
	MSG_PRUNED = 86,
	MSG_HOLD = 87,	      /* answered by Done */
	MSG_LOCK = 89,	      /* answered by Done */
	MSG_FORGET = 91,      /* answered by Done */
	MSG_CLEAR_BRAKE = 93, /* answered by Done */

	MSG_LIST_AUDIT = 101,
	MSG_AUDIT = 102,
	MSG_ACCEPT_CLOCK = 103, /* answered by Done */
	MSG_GET_USAGE = 105,
	MSG_USAGE = 106,
	MSG_COLLECT = 107,
	MSG_COLLECT_REPORT = 108,
	MSG_LIST_JOBS = 109,
	MSG_JOBS = 110,

	MSG_NOTE_ESCROW = 131, /* answered by Done */
	MSG_CLEAR_ALARM = 133, /* answered by Done */
	MSG_COPY_STORE = 135,
	MSG_COPY_REPORT = 136,
	MSG_COPY_OPEN = 137,
	MSG_COPY_PLAN = 138,
	MSG_COPY_READ = 139,
	MSG_COPY_BYTES = 140,

	MSG_REDEEM = 141,
	MSG_REDEEMED = 142,
	MSG_ANNOUNCE = 143, /* answered by Redeemed, too */
	MSG_WAITING = 144,
	MSG_REPORT_RESTORE = 145,    /* answered by Done */
	MSG_NEW_RESTORE_TOKEN = 147, /* answered by TokenText */
	MSG_LIST_RESTORES = 149,
	MSG_RESTORES = 150,
	MSG_CONFIRM_RESCUE = 151, /* answered by Done */
	MSG_END_RESTORE = 153,	  /* answered by Done */
	MSG_CHECK_RESCUE = 155,
	MSG_RESCUE_REPORT = 156,

	MSG_MARK_SUSPECT = 157, /* answered by Done */
};

/*
 * Features that this program knows (WIRE.md, "Versions and features"), for offers
 * and for msg_welcome_ok(); and the one that a kind came with, or NULL: such a kind
 * is sent only where its feature is in force.
 */
#define MSG_FEATURES 8u
extern const char *const msg_features[MSG_FEATURES];
const char *msg_feature_of(uint16_t kind);

/* The kind's name as in holdfast.proto ("Hello", "Put"), static; "unknown". */
const char *msg_name(uint16_t kind);

/* Non-zero if payloads of this kind are raw bytes, not a message. */
int msg_is_raw(uint16_t kind);

/*
 * Parse a frame's payload as the message its kind names: unknown kinds, bad
 * protobuf, and breaches of the limits above or of WIRE.md's (lengths of ids,
 * strings that are not UTF-8 or hold control characters) fail with
 * ERR_PROTOCOL.  `*out` is freed with msg_free().  Not for raw kinds.
 */
int msg_unpack(const struct frame *f, ProtobufCMessage **out, struct err *err);
void msg_free(ProtobufCMessage *m);

/* Pack `m` into `out` (cleared first). */
int msg_pack(const ProtobufCMessage *m, struct buf *out, struct err *err);

/* The kind that carries messages of this type; 0 if none does. */
uint16_t msg_kind_of(const ProtobufCMessage *m);

/*
 * Can we talk to a server that says this?  ERR_UNSUPPORTED for another version,
 * or for a feature in force that is not among the `n` in `known`, by its name.
 */
int msg_welcome_ok(
    const Wire__Welcome *m, const char *const *known, size_t n, struct err *err);

/* Turn an err into a Failed (borrows err's text) and back. */
void msg_from_err(const struct err *err, Wire__Failed *out);
int msg_to_err(const Wire__Failed *m, struct err *err);

#endif /* PROTO_WIRE_MSG_H */
