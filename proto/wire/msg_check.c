#include "proto/wire/msg_check.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/chunk/chunk_id.h"
#include "proto/chunk/tree.h"
#include "proto/wire/msg.h"

/* What proto/tls calls CERT_DER_MAX and the like; wire does not include tls. */
#define DER_MAX 4096
#define HASH_LEN 32
#define SECRET_LEN 16
#define RESTORE_SECRET_LEN 15
#define SERIAL_LEN 16
#define BACKUP_LEN 16
#define ROLE_MAX 7
#define GRADE_MAX 2
#define FEATURES_MAX 32
#define NETWORKS_MAX 64
#define REASONS_MAX (EXTENT_REASON_MAX + 1)
#define PROBLEMS_MAX 1024
#define ALARMS_MAX 16
#define JOBS_MAX 16
#define SCOPE_MAX 2
#define POLICIES_MAX 1024
#define FATES_MAX 512
#define STORE_ID_LEN 16
#define COPY_FORMAT_MAX 4096
#define COPY_HEAD_LEN 104
#define LAYOUT_MAX 15360 /* What proto/layout calls LAYOUT_LEN_MAX. */

enum what {
	BYTES,	 /* Length min..max. */
	MAYBE,	 /* Bytes: none, or exactly max. */
	IDS,	 /* Chunk ids, min..max of them. */
	MACS,	 /* MAC addresses, min..max of them. */
	ANSWERS, /* Bytes of enum msg_have, at most max. */
	COUNT,	 /* Repeated min..max times. */
	NUMBER,	 /* uint32 min..max. */
	LEVEL,	 /* uint32: a tree level or the root's. */
	SHARE,	 /* double 0..1. */
	ANY_TEXT /* A string that the reader cleans instead of refusing it. */
};

struct rule {
	const ProtobufCMessageDescriptor *of;
	const char *field;
	enum what what;
	uint32_t min, max;
};

/* Ids in a list that only its message's length bounds. */
#define IDS_ANY (MSG_LEN_MAX / CHUNK_ID_LEN)

static const struct rule rules[] = {
	{ &wire__hello__descriptor, "machine", MAYBE, 0, HASH_LEN },
	{ &wire__hello__descriptor, "features", COUNT, 0, FEATURES_MAX },
	{ &wire__hello__descriptor, "head", MAYBE, 0, HASH_LEN },
	{ &wire__hello__descriptor, "offers", COUNT, 0, FEATURES_MAX },
	{ &wire__hello__descriptor, "journal", MAYBE, 0, MSG_JOURNAL_LEN },
	{ &wire__welcome__descriptor, "role", NUMBER, 0, ROLE_MAX },
	{ &wire__welcome__descriptor, "domain_key", MAYBE, 0, CHUNK_KEY_LEN },
	{ &wire__welcome__descriptor, "head", MAYBE, 0, HASH_LEN },
	{ &wire__welcome__descriptor, "features", COUNT, 0, FEATURES_MAX },
	{ &wire__welcome__descriptor, "journal", MAYBE, 0, MSG_JOURNAL_LEN },
	{ &wire__failed__descriptor, "text", ANY_TEXT, 0, 0 },

	{ &wire__enroll__descriptor, "secret", BYTES, SECRET_LEN, SECRET_LEN },
	{ &wire__enroll__descriptor, "csr", BYTES, 1, DER_MAX },
	{ &wire__enroll__descriptor, "machine", MAYBE, 0, HASH_LEN },
	{ &wire__renew__descriptor, "csr", BYTES, 1, DER_MAX },
	{ &wire__enrolled__descriptor, "cert", BYTES, 1, DER_MAX },
	{ &wire__enrolled__descriptor, "ca", BYTES, 0, DER_MAX },

	{ &wire__begin__descriptor, "volumes", COUNT, 1, MSG_VOLUMES_MAX },
	{ &wire__base__descriptor, "root_id", MAYBE, 0, CHUNK_ID_LEN },
	{ &wire__base__descriptor, "bad_ids", IDS, 0, IDS_ANY },
	{ &wire__begun__descriptor, "bases", COUNT, 1, MSG_VOLUMES_MAX },
	{ &wire__have__descriptor, "ids", IDS, 0, MSG_IDS_MAX },
	{ &wire__have__descriptor, "kind", NUMBER, CHUNK_DATA, CHUNK_META },
	{ &wire__have_reply__descriptor, "answers", ANSWERS, 0, MSG_IDS_MAX },
	{ &wire__commit__descriptor, "volumes", COUNT, 1, MSG_VOLUMES_MAX },
	{ &wire__commit_volume__descriptor, "root_id", BYTES, CHUNK_ID_LEN,
	    CHUNK_ID_LEN },
	{ &wire__commit__descriptor, "backup", MAYBE, 0, BACKUP_LEN },
	{ &wire__commit__descriptor, "layout", BYTES, 0, LAYOUT_MAX },
	{ &wire__commit__descriptor, "changes", COUNT, 0, MSG_VOLUMES_MAX },
	{ &wire__changes__descriptor, "volume", NUMBER, 0, MSG_VOLUMES_MAX - 1 },
	{ &wire__excluded__descriptor, "reason", NUMBER, 0, EXTENT_REASON_MAX },
	{ &wire__counts__descriptor, "excluded", COUNT, 0, REASONS_MAX },
	{ &wire__missing__descriptor, "data_ids", IDS, 0, MSG_IDS_MAX },
	{ &wire__missing__descriptor, "meta_ids", IDS, 0, MSG_IDS_MAX },

	{ &wire__volume_info__descriptor, "grade", NUMBER, 0, GRADE_MAX },
	{ &wire__volume_info__descriptor, "root_id", MAYBE, 0, CHUNK_ID_LEN },
	{ &wire__point__descriptor, "volumes", COUNT, 0, MSG_VOLUMES_MAX },
	{ &wire__point__descriptor, "record", MAYBE, 0, HASH_LEN },
	{ &wire__point__descriptor, "previous", MAYBE, 0, HASH_LEN },
	{ &wire__point__descriptor, "layout", BYTES, 0, LAYOUT_MAX },
	{ &wire__point__descriptor, "changes", COUNT, 0, MSG_VOLUMES_MAX },
	{ &wire__get_nodes__descriptor, "volume", NUMBER, 0, MSG_VOLUMES_MAX - 1 },
	{ &wire__get_nodes__descriptor, "level", LEVEL, 0, 0 },
	{ &wire__get_nodes__descriptor, "count", NUMBER, 1, MSG_NODES_MAX },
	{ &wire__get_groups__descriptor, "volume", NUMBER, 0, MSG_VOLUMES_MAX - 1 },
	{ &wire__get_groups__descriptor, "spans", NUMBER, 1, MSG_SPANS_MAX },
	{ &wire__get_groups__descriptor, "ids", IDS, 0, MSG_IDS_MAX },
	{ &wire__groups_end__descriptor, "missing_ids", IDS, 0, IDS_ANY },

	{ &wire__new_token__descriptor, "networks", COUNT, 0, NETWORKS_MAX },
	{ &wire__new_operator__descriptor, "role", NUMBER, 1, ROLE_MAX },
	{ &wire__new_operator__descriptor, "csr", BYTES, 1, DER_MAX },
	{ &wire__host__descriptor, "serial", MAYBE, 0, SERIAL_LEN },
	{ &wire__hosts__descriptor, "alarms", COUNT, 0, ALARMS_MAX },
	{ &wire__stats__descriptor, "alarms", COUNT, 0, ALARMS_MAX },
	{ &wire__stats__descriptor, "domain_id", MAYBE, 0, HASH_LEN },
	{ &wire__policy__descriptor, "scope", NUMBER, 0, SCOPE_MAX },
	{ &wire__policies__descriptor, "policies", COUNT, 0, POLICIES_MAX },
	{ &wire__pruned__descriptor, "fates", COUNT, 0, FATES_MAX },
	{ &wire__audit__descriptor, "head", MAYBE, 0, HASH_LEN },
	{ &wire__collect_report__descriptor, "state", NUMBER, 0, 5 },
	{ &wire__jobs__descriptor, "jobs", COUNT, 0, JOBS_MAX },
	{ &wire__verify__descriptor, "sample", SHARE, 0, 1 },
	{ &wire__verify_report__descriptor, "problems", COUNT, 0, PROBLEMS_MAX },
	{ &wire__note_escrow__descriptor, "check", BYTES, HASH_LEN, HASH_LEN },
	{ &wire__note_escrow__descriptor, "kind", NUMBER, 1, 2 },
	{ &wire__copy_report__descriptor, "problems", COUNT, 0, PROBLEMS_MAX },
	{ &wire__copy_plan__descriptor, "packs", BYTES, 0, 4 * MSG_COPY_PACKS_MAX },
	{ &wire__copy_plan__descriptor, "store", MAYBE, 0, STORE_ID_LEN },
	{ &wire__copy_plan__descriptor, "format", BYTES, 0, COPY_FORMAT_MAX },
	{ &wire__copy_plan__descriptor, "journal_hash", MAYBE, 0, HASH_LEN },
	{ &wire__copy_plan__descriptor, "journal_head", MAYBE, 0, COPY_HEAD_LEN },
	{ &wire__copy_plan__descriptor, "past_hash", MAYBE, 0, HASH_LEN },
	{ &wire__copy_bytes__descriptor, "data", BYTES, 0, MSG_COPY_DATA_MAX },

	{ &wire__redeem__descriptor, "secret", BYTES, RESTORE_SECRET_LEN,
	    RESTORE_SECRET_LEN },
	{ &wire__redeem__descriptor, "csr", BYTES, 1, DER_MAX },
	{ &wire__redeem__descriptor, "machine", BYTES, HASH_LEN, HASH_LEN },
	{ &wire__redeemed__descriptor, "cert", BYTES, 1, DER_MAX },
	{ &wire__announce__descriptor, "macs", MACS, 1, MSG_MACS_MAX },
	{ &wire__announce__descriptor, "machine", BYTES, HASH_LEN, HASH_LEN },
	{ &wire__announce__descriptor, "csr", BYTES, 1, DER_MAX },
	{ &wire__report_restore__descriptor, "state", NUMBER, 1, 4 },
	{ &wire__new_restore_token__descriptor, "mac", MAYBE, 0, MSG_MAC_LEN },
	{ &wire__restore__descriptor, "mac", MAYBE, 0, MSG_MAC_LEN },
	{ &wire__restore__descriptor, "state", NUMBER, 0, 4 },
	{ &wire__restore__descriptor, "machine", MAYBE, 0, HASH_LEN },
	{ &wire__restore__descriptor, "reported", NUMBER, 0, 4 },
	{ &wire__waiting_rescue__descriptor, "macs", MACS, 1, MSG_MACS_MAX },
	{ &wire__waiting_rescue__descriptor, "machine", MAYBE, 0, HASH_LEN },
	{ &wire__rescue_device__descriptor, "kind", NUMBER, 0, 2 },
	{ &wire__rescue_device__descriptor, "verdict", NUMBER, 0, 2 },
	{ &wire__rescue_verdict__descriptor, "firmware", NUMBER, 0, 2 },
	{ &wire__rescue_verdict__descriptor, "devices", COUNT, 0, 64 },
	{ &wire__rescue_verdict__descriptor, "problems", COUNT, 0, 16 },
	{ &wire__rescue_verdict__descriptor, "notes", COUNT, 0, 16 },
};

static const struct rule *
rule_of(const ProtobufCMessageDescriptor *of, const char *field)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].of == of && strcmp(rules[i].field, field) == 0)
			return &rules[i];
	}
	return NULL;
}

/*
 * Length in bytes of the character at `p` if a line of text may hold it: well
 * formed UTF-8 (RFC 3629) and no control character; else 0.
 */
static size_t
printable(const uint8_t *p)
{
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
		c = p[0] & 0x1fu;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		n = 3;
		c = p[0] & 0x0fu;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		c = p[0] & 0x07u;
	} else {
		return 0;
	}
	/* The NUL at the end is no continuation, so this stays inside. */
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0u) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < 0xa0 || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000))
		return 0;
	return n;
}

void
msg_check_clean(char *text)
{
	uint8_t *p = (uint8_t *)text, *end = p + MSG_TEXT_MAX;
	size_t n;

	while (*p != '\0') {
		if ((n = printable(p)) == 0) {
			*p = '?';
			n = 1;
		}
		if (n > (size_t)(end - p)) {
			*p = '\0';
			return;
		}
		p += n;
	}
}

static const char *
check_string(const char *s)
{
	const uint8_t *p = (const uint8_t *)s, *start = p;
	size_t n;

	if (p == NULL)
		return NULL;
	for (; *p != '\0'; p += n) {
		if ((n = printable(p)) == 0)
			return "is not a line of UTF-8";
		if ((size_t)(p - start) + n > MSG_TEXT_MAX)
			return "is too long";
	}
	return NULL;
}

static const char *
check_bytes(const ProtobufCBinaryData *b, const struct rule *r)
{
	if (r == NULL)
		return "has no rule";
	switch (r->what) {
	case BYTES:
		return b->len < r->min || b->len > r->max ? "has a wrong length" : NULL;
	case MAYBE:
		return b->len != 0 && b->len != r->max ? "has a wrong length" : NULL;
	case IDS:
		if (b->len % CHUNK_ID_LEN != 0)
			return "is cut inside an id";
		return b->len / CHUNK_ID_LEN > r->max ? "holds too many ids" : NULL;
	case MACS:
		if (b->len % MSG_MAC_LEN != 0)
			return "holds half an address";
		if (b->len / MSG_MAC_LEN < r->min || b->len / MSG_MAC_LEN > r->max)
			return "has a wrong number of addresses";
		return NULL;
	case ANSWERS:
		if (b->len > r->max)
			return "holds too many answers";
		for (size_t i = 0; i < b->len; i++) {
			if (b->data[i] > MSG_PENDING)
				return "holds an unknown answer";
		}
		return NULL;
	case COUNT:
	case NUMBER:
	case LEVEL:
	case SHARE:
	case ANY_TEXT:
		break;
	}
	return "has no rule";
}

static const char *
check_number(uint32_t v, const struct rule *r)
{
	if (r == NULL)
		return NULL;
	if (r->what == LEVEL)
		return v >= TREE_LEVELS_MAX && v != MSG_NODE_LEVEL_ROOT ? "is no level"
									: NULL;
	return v < r->min || v > r->max ? "is out of range" : NULL;
}

/* One value of field `f`, at `p`; returns what is wrong with it, or NULL. */
static const char *
check_value(const ProtobufCFieldDescriptor *f, const struct rule *r, const void *p,
    const ProtobufCMessage **deeper)
{
	double d;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (r != NULL && r->what == ANY_TEXT)
			return NULL;
		return check_string(*(char *const *)p);
	case PROTOBUF_C_TYPE_BYTES:
		return check_bytes(p, r);
	case PROTOBUF_C_TYPE_MESSAGE:
		/* Whoever reads it may follow the pointer. */
		*deeper = *(ProtobufCMessage *const *)p;
		return *deeper == NULL ? "is missing" : NULL;
	case PROTOBUF_C_TYPE_UINT32:
		return check_number(*(const uint32_t *)p, r);
	case PROTOBUF_C_TYPE_DOUBLE:
		d = *(const double *)p;
		return d >= 0 && d <= 1 ? NULL : "is not a share";
	default:
		return NULL;
	}
}

static size_t
value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	default:
		return 0; /* No message has repeated numbers. */
	}
}

int
msg_check(const ProtobufCMessage *m, enum err_code code, struct err *err)
{
	const ProtobufCMessageDescriptor *of = m->descriptor;

	/* No field has the number 0; protobuf-c sees only its shortest form. */
	for (unsigned i = 0; i < m->n_unknown_fields; i++) {
		if (m->unknown_fields[i].tag == 0)
			return err_set(
			    err, code, "%s: a field without a number", of->short_name);
	}
	for (unsigned i = 0; i < of->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &of->fields[i];
		const struct rule *r = rule_of(of, f->name);
		const uint8_t *p = (const uint8_t *)m + f->offset;
		const char *wrong = NULL;
		size_t n = 1;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			n = *(const size_t *)((const uint8_t *)m + f->quantifier_offset);
			p = *(const uint8_t *const *)p;
			if (r != NULL && r->what == COUNT && (n < r->min || n > r->max))
				wrong = "has a wrong count";
			else if (n > 0 && value_size(f->type) == 0)
				wrong = "has no rule";
		}
		for (size_t k = 0; k < n && wrong == NULL; k++) {
			const ProtobufCMessage *deeper = NULL;

			wrong = check_value(f, r, p + k * value_size(f->type), &deeper);
			/* The messages nest without cycles: two or three deep. */
			if (wrong == NULL && deeper != NULL &&
			    msg_check(deeper, code, err) < 0)
				return -1;
		}
		if (wrong != NULL)
			return err_set(
			    err, code, "%s: %s %s", of->short_name, f->name, wrong);
	}
	return 0;
}
