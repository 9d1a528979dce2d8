#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"

static const uint16_t kinds[] = { MSG_HELLO, MSG_WELCOME, MSG_FAILED, MSG_DONE,
	MSG_ENROLL, MSG_RENEW, MSG_ENROLLED, MSG_BEGIN, MSG_BEGUN, MSG_HAVE_ASK,
	MSG_HAVE_REPLY, MSG_STORED, MSG_COMMIT, MSG_COMMITTED, MSG_MISSING,
	MSG_LIST_POINTS, MSG_POINTS, MSG_GET_NODES, MSG_GET_GROUPS, MSG_GROUPS_END,
	MSG_NEW_TOKEN, MSG_TOKEN_TEXT, MSG_NEW_OPERATOR, MSG_LIST_HOSTS, MSG_HOSTS,
	MSG_REVOKE, MSG_GET_STATS, MSG_STATS, MSG_VERIFY, MSG_VERIFY_REPORT,
	MSG_SET_POLICY, MSG_LIST_POLICIES, MSG_POLICIES, MSG_PRUNE, MSG_PRUNED, MSG_HOLD,
	MSG_LOCK, MSG_FORGET, MSG_CLEAR_BRAKE, MSG_LIST_AUDIT, MSG_AUDIT,
	MSG_ACCEPT_CLOCK, MSG_GET_USAGE, MSG_USAGE, MSG_COLLECT, MSG_COLLECT_REPORT,
	MSG_LIST_JOBS, MSG_JOBS, MSG_NOTE_ESCROW, MSG_CLEAR_ALARM, MSG_COPY_STORE,
	MSG_COPY_REPORT, MSG_COPY_OPEN, MSG_COPY_PLAN, MSG_COPY_READ, MSG_COPY_BYTES };

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint8_t wire[MSG_LEN_MAX + 64];

static int
unpack(uint16_t kind, const void *p, size_t len, ProtobufCMessage **m, struct err *err)
{
	struct frame f = { kind, 0, 1, len > 0 ? p : NULL, len };

	return msg_unpack(&f, m, err);
}

/* ------------------------------------------------- every field, once -- */

static uint8_t ones[128];
static char word[] = "w\xc3\xb6rd";

static void fill_value(const ProtobufCFieldDescriptor *f, void *p);

/* Give every field a value that the limits allow, two where it repeats. */
static void
fill(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		uint8_t *p = (uint8_t *)m + f->offset;
		size_t size = f->type == PROTOBUF_C_TYPE_BYTES
				  ? sizeof(ProtobufCBinaryData)
				  : sizeof(void *);

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			fill_value(f, p);
			continue;
		}
		*(size_t *)((uint8_t *)m + f->quantifier_offset) = 2;
		*(uint8_t **)p = calloc(2, size);
		fill_value(f, *(uint8_t **)p);
		fill_value(f, *(uint8_t **)p + size);
	}
}

static void
fill_value(const ProtobufCFieldDescriptor *f, void *p)
{
	const ProtobufCMessageDescriptor *of = f->descriptor;
	ProtobufCBinaryData *b = p;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)p = word;
		break;
	case PROTOBUF_C_TYPE_BYTES:
		b->data = ones;
		b->len = strcmp(f->name, "journal") == 0	? 48
			 : strcmp(f->name, "journal_head") == 0 ? 104
			 : strcmp(f->name, "secret") == 0 ||
				 strcmp(f->name, "serial") == 0 ||
				 strcmp(f->name, "backup") == 0 ||
				 strcmp(f->name, "store") == 0
			     ? 16
			     : 32;
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)p = calloc(1, of->sizeof_message);
		of->message_init(*(ProtobufCMessage **)p);
		fill(*(ProtobufCMessage **)p);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)p = 1;
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)p = 1;
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)p = 0.5;
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		*(uint64_t *)p = 0x0102030405060708;
		break;
	default:
		fail_msg("field %s has a type that no message has used", f->name);
	}
}

/* Free what fill() made; msg_free() would free the borrowed values too. */
static void
unfill(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		void **p = (void **)((uint8_t *)m + f->offset), **values = p;
		size_t n = f->label == PROTOBUF_C_LABEL_REPEATED ? 2 : 1;

		if (n == 2)
			values = *p;
		for (size_t k = 0; f->type == PROTOBUF_C_TYPE_MESSAGE && k < n; k++)
			unfill(values[k]);
		if (n == 2)
			free(*p);
	}
	free(m);
}

static void
every_field_of_every_message_goes_round(void **state)
{
	struct buf once = BUF_INIT(MSG_LEN_MAX), twice = BUF_INIT(MSG_LEN_MAX);

	(void)state;
	memset(ones, 1, sizeof(ones));
	for (size_t i = 0; i < KINDS; i++) {
		ProtobufCMessage *in, *out = NULL;
		struct err err = ERR_INIT;

		/* An empty payload tells the descriptor, even where it is refused. */
		const ProtobufCMessageDescriptor *of = NULL;
		for (size_t k = 0; of == NULL && k < KINDS; k++) {
			static const ProtobufCMessageDescriptor *const all[] = {
				&wire__hello__descriptor, &wire__welcome__descriptor,
				&wire__failed__descriptor, &wire__done__descriptor,
				&wire__enroll__descriptor, &wire__renew__descriptor,
				&wire__enrolled__descriptor, &wire__begin__descriptor,
				&wire__begun__descriptor, &wire__have__descriptor,
				&wire__have_reply__descriptor, &wire__stored__descriptor,
				&wire__commit__descriptor, &wire__committed__descriptor,
				&wire__missing__descriptor,
				&wire__list_points__descriptor, &wire__points__descriptor,
				&wire__get_nodes__descriptor,
				&wire__get_groups__descriptor,
				&wire__groups_end__descriptor,
				&wire__new_token__descriptor,
				&wire__token_text__descriptor,
				&wire__new_operator__descriptor,
				&wire__list_hosts__descriptor, &wire__hosts__descriptor,
				&wire__revoke__descriptor, &wire__get_stats__descriptor,
				&wire__set_policy__descriptor,
				&wire__list_policies__descriptor,
				&wire__policies__descriptor, &wire__prune__descriptor,
				&wire__pruned__descriptor, &wire__hold__descriptor,
				&wire__lock__descriptor, &wire__forget__descriptor,
				&wire__clear_brake__descriptor,
				&wire__list_audit__descriptor, &wire__audit__descriptor,
				&wire__accept_clock__descriptor,
				&wire__get_usage__descriptor, &wire__usage__descriptor,
				&wire__collect__descriptor,
				&wire__collect_report__descriptor,
				&wire__list_jobs__descriptor, &wire__jobs__descriptor,
				&wire__note_escrow__descriptor,
				&wire__clear_alarm__descriptor,
				&wire__copy_store__descriptor,
				&wire__copy_report__descriptor,
				&wire__copy_open__descriptor,
				&wire__copy_plan__descriptor,
				&wire__copy_read__descriptor,
				&wire__copy_bytes__descriptor, &wire__stats__descriptor,
				&wire__verify__descriptor,
				&wire__verify_report__descriptor
			};

			if (strcmp(all[k]->short_name, msg_name(kinds[i])) == 0)
				of = all[k];
		}
		assert_non_null(of);
		in = calloc(1, of->sizeof_message);
		of->message_init(in);
		fill(in);
		assert_int_equal(msg_kind_of(in), kinds[i]);
		assert_false(msg_is_raw(kinds[i]));
		if (msg_pack(in, &once, &err) < 0)
			fail_msg("pack: %s", err.text);
		if (unpack(kinds[i], once.p, once.len, &out, &err) < 0)
			fail_msg("unpack: %s", err.text);
		assert_int_equal(msg_pack(out, &twice, &err), 0);
		assert_int_equal(once.len, twice.len);
		if (once.len > 0)
			assert_memory_equal(once.p, twice.p, once.len);
		msg_free(out);
		unfill(in);
	}
	buf_free(&once);
	buf_free(&twice);
}

/* ------------------------------------------------------------ breaches -- */

enum shape { VARINT = 0, DOUBLE = 1, BLOCK = 2, TIMES = 3 };

/* One field of one message, and what must be said of it (NULL: accepted). */
static const struct {
	uint16_t kind;
	unsigned field;
	enum shape shape;
	uint64_t n; /* Its value, length, or how many times an empty one. */
	char fill;
	const char *wrong;
} cases[] = {
	{ MSG_HELLO, 3, BLOCK, 0, 0, NULL },
	{ MSG_HELLO, 3, BLOCK, 32, 0, NULL },
	{ MSG_HELLO, 3, BLOCK, 31, 0, "Hello: machine has a wrong length" },
	{ MSG_HELLO, 3, BLOCK, 33, 0, "Hello: machine has a wrong length" },
	{ MSG_HELLO, 2, BLOCK, MSG_TEXT_MAX, 'x', NULL },
	{ MSG_HELLO, 2, BLOCK, MSG_TEXT_MAX + 1, 'x', "Hello: program is too long" },
	{ MSG_HELLO, 2, BLOCK, 3, '\n', "Hello: program is not a line of UTF-8" },
	{ MSG_HELLO, 2, BLOCK, 3, '\x7f', "Hello: program is not a line of UTF-8" },
	{ MSG_HELLO, 2, BLOCK, 3, '\x80', "Hello: program is not a line of UTF-8" },
	{ MSG_HELLO, 2, BLOCK, 3, '\xff', "Hello: program is not a line of UTF-8" },
	{ MSG_HELLO, 2, BLOCK, 3, '\xe2', "Hello: program is not a line of UTF-8" },
	{ MSG_HELLO, 4, TIMES, 32, 0, NULL },
	{ MSG_HELLO, 4, TIMES, 33, 0, "Hello: features has a wrong count" },
	{ MSG_HELLO, 99, BLOCK, 5, 'x', NULL }, /* A newer peer's field. */
	{ MSG_SET_POLICY, 2, VARINT, 1, 0, "SetPolicy: policy is missing" },
	{ MSG_SET_POLICY, 1, BLOCK, 0, 0, "Policy: rules is missing" },
	{ MSG_POLICIES, 1, TIMES, 1, 0, "Policy: rules is missing" },
	{ MSG_PRUNED, 7, TIMES, 512, 0, NULL },
	{ MSG_PRUNED, 7, TIMES, 513, 0, "Pruned: fates has a wrong count" },
	{ MSG_HOLD, 3, BLOCK, 3, '\n', "Hold: reason is not a line of UTF-8" },
	{ MSG_WELCOME, 4, VARINT, 7, 0, NULL },
	{ MSG_WELCOME, 4, VARINT, 8, 0, "Welcome: role is out of range" },
	{ MSG_WELCOME, 6, BLOCK, 16, 0, "Welcome: domain_key has a wrong length" },
	{ MSG_ENROLL, 1, BLOCK, 15, 0, "Enroll: secret has a wrong length" },
	{ MSG_ENROLL, 1, BLOCK, 0, 0, "Enroll: secret has a wrong length" },
	{ MSG_RENEW, 1, BLOCK, 4096, 0, NULL },
	{ MSG_RENEW, 1, BLOCK, 4097, 0, "Renew: csr has a wrong length" },
	{ MSG_RENEW, 1, BLOCK, 0, 0, "Renew: csr has a wrong length" },
	{ MSG_BEGIN, 1, TIMES, 0, 0, "Begin: volumes has a wrong count" },
	{ MSG_BEGIN, 1, TIMES, 64, 0, NULL },
	{ MSG_BEGIN, 1, TIMES, 129, 0, "Begin: volumes has a wrong count" },
	{ MSG_HAVE_ASK, 1, BLOCK, 64, 0, "Have: kind is out of range" },
	{ MSG_HAVE_ASK, 2, VARINT, 1, 0, NULL },
	{ MSG_HAVE_ASK, 2, VARINT, 3, 0, "Have: kind is out of range" },
	{ MSG_HAVE_ASK, 1, BLOCK, 63, 0, "Have: ids is cut inside an id" },
	{ MSG_HAVE_ASK, 1, BLOCK, 32 * 4097, 0, "Have: ids holds too many ids" },
	{ MSG_HAVE_REPLY, 1, BLOCK, 4096, 2, NULL },
	{ MSG_HAVE_REPLY, 1, BLOCK, 4096, 3,
	    "HaveReply: answers holds an unknown answer" },
	{ MSG_HAVE_REPLY, 1, BLOCK, 4097, 1,
	    "HaveReply: answers holds too many answers" },
	{ MSG_COMMITTED, 9, VARINT, 1, 0, "Committed: point is missing" },
	{ MSG_MISSING, 2, BLOCK, 32 * 4096, 0, NULL },
	{ MSG_MISSING, 2, BLOCK, 32 * 4097, 0, "Missing: meta_ids holds too many ids" },
	{ MSG_GET_NODES, 4, VARINT, 3, 0, "GetNodes: count is out of range" },
	{ MSG_GET_NODES, 6, VARINT, 1, 0, NULL },
	{ MSG_GET_NODES, 6, VARINT, 1025, 0, "GetNodes: count is out of range" },
	{ MSG_GET_NODES, 4, VARINT, 4, 0, "GetNodes: level is no level" },
	{ MSG_GET_NODES, 3, VARINT, 128, 0, "GetNodes: volume is out of range" },
	{ MSG_GET_GROUPS, 5, VARINT, 64, 0, NULL },
	{ MSG_GET_GROUPS, 5, VARINT, 65, 0, "GetGroups: spans is out of range" },
	{ MSG_GROUPS_END, 1, BLOCK, 32 * 5000, 0, NULL },
	{ MSG_NEW_OPERATOR, 2, VARINT, 8, 0, "NewOperator: role is out of range" },
	{ MSG_HOSTS, 1, TIMES, 200, 0, NULL },
	{ MSG_POINTS, 1, TIMES, 1, 0, "Point: counts is missing" },
	{ MSG_POINTS, 1, TIMES, 400000, 0, "Points: malformed" }, /* Over the budget. */
	{ MSG_HOSTS, 1, TIMES, 400000, 0, "Hosts: malformed" },
	{ MSG_DONE, 1, TIMES, 400000, 0, "Done: malformed" },	/* Unknown fields. */
	{ MSG_VERIFY, 1, DOUBLE, 0x3ff0000000000000, 0, NULL }, /* 1 */
	{ MSG_VERIFY, 1, DOUBLE, 0x3ff0000000000001, 0, "Verify: sample is not a share" },
	{ MSG_VERIFY, 1, DOUBLE, 0x7ff8000000000000, 0, "Verify: sample is not a share" },
	{ MSG_VERIFY, 1, DOUBLE, 0xbff0000000000000, 0, "Verify: sample is not a share" },
	{ MSG_VERIFY_REPORT, 5, TIMES, 1025, 0,
	    "VerifyReport: problems has a wrong count" },
	{ MSG_AUDIT, 3, BLOCK, 32, 1, NULL },
	{ MSG_AUDIT, 3, BLOCK, 31, 1, "Audit: head has a wrong length" },
	{ MSG_COLLECT_REPORT, 1, VARINT, 6, 0, "CollectReport: state is out of range" },
	{ MSG_JOBS, 1, TIMES, 17, 0, "Jobs: jobs has a wrong count" },
	{ MSG_STATS, 12, TIMES, 17, 0, "Stats: alarms has a wrong count" },
	{ MSG_HOSTS, 2, TIMES, 17, 0, "Hosts: alarms has a wrong count" },
	{ MSG_REDEEM, 1, BLOCK, 16, 1, "Redeem: secret has a wrong length" },
	{ MSG_REDEEM, 1, BLOCK, 15, 1, "Redeem: csr has a wrong length" },
	{ MSG_ANNOUNCE, 1, BLOCK, 0, 1,
	    "Announce: macs has a wrong number of addresses" },
	{ MSG_ANNOUNCE, 1, BLOCK, 7, 1, "Announce: macs holds half an address" },
	{ MSG_ANNOUNCE, 1, BLOCK, 6 * 17, 1,
	    "Announce: macs has a wrong number of addresses" },
	{ MSG_ANNOUNCE, 1, BLOCK, 6 * 16, 1, "Announce: machine has a wrong length" },
	{ MSG_REPORT_RESTORE, 1, VARINT, 4, 0, NULL },
	{ MSG_REPORT_RESTORE, 1, VARINT, 5, 0, "ReportRestore: state is out of range" },
	{ MSG_REPORT_RESTORE, 1, VARINT, 0, 0, "ReportRestore: state is out of range" },
	{ MSG_NEW_RESTORE_TOKEN, 5, BLOCK, 6, 1, NULL },
	{ MSG_NEW_RESTORE_TOKEN, 5, BLOCK, 5, 1,
	    "NewRestoreToken: mac has a wrong length" },
	{ MSG_PUT, 1, VARINT, 1, 0, "Put carries no message" },
	{ MSG_GROUP, 1, VARINT, 1, 0, "Group carries no message" },
	{ MSG_NODE, 1, VARINT, 1, 0, "Node carries no message" },
	{ 0, 1, VARINT, 1, 0, "unknown message kind 0" },
	{ 5, 1, VARINT, 1, 0, "unknown message kind 5" },
	{ 65535, 1, VARINT, 1, 0, "unknown message kind 65535" },
};

static size_t
put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		p[n++] = (uint8_t)(v | 128);
	p[n++] = (uint8_t)v;
	return n;
}

/* Other fields of this kind that must be there for the case to be about its own. */
static size_t
put_rest(uint8_t *p, uint16_t kind, unsigned field)
{
	uint8_t *start = p;

	if (kind == MSG_HAVE_ASK && field == 1)
		return 0; /* The case about `kind` itself, and shorter ones. */
	if (kind == MSG_GET_NODES && field < 4)
		p += put_varint(p, 6 << 3), p += put_varint(p, 1);
	if (kind == MSG_GET_GROUPS && field != 5)
		p += put_varint(p, 5 << 3), p += put_varint(p, 1);
	return (size_t)(p - start);
}

static void
each_limit_is_held_to_the_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *p = wire + put_rest(wire, cases[i].kind, cases[i].field);
		unsigned tag = cases[i].field << 3;
		struct err err = ERR_INIT;
		ProtobufCMessage *m;
		int r;

		switch (cases[i].shape) {
		case VARINT:
			p += put_varint(p, tag);
			p += put_varint(p, cases[i].n);
			break;
		case DOUBLE:
			p += put_varint(p, tag | 1);
			for (int k = 0; k < 8; k++)
				*p++ = (uint8_t)(cases[i].n >> 8 * k);
			break;
		case BLOCK:
			p += put_varint(p, tag | 2);
			p += put_varint(p, cases[i].n);
			memset(p, cases[i].fill, cases[i].n);
			p += cases[i].n;
			break;
		case TIMES:
			for (uint64_t k = 0; k < cases[i].n; k++) {
				p += put_varint(p, tag | 2);
				*p++ = 0;
			}
			break;
		}
		r = unpack(cases[i].kind, wire, (size_t)(p - wire), &m, &err);
		if (cases[i].wrong == NULL) {
			if (r < 0)
				fail_msg("case %zu: %s", i, err.text);
			msg_free(m);
			continue;
		}
		if (r == 0)
			fail_msg("case %zu was accepted: %s", i, cases[i].wrong);
		assert_null(m);
		assert_int_equal(err.code, ERR_PROTOCOL);
		if (strncmp(err.text, cases[i].wrong, strlen(cases[i].wrong)) != 0)
			fail_msg("case %zu: '%s', not '%s'", i, err.text, cases[i].wrong);
	}
}

static void
long_and_broken_messages_are_refused(void **state)
{
	struct err err = ERR_INIT;
	ProtobufCMessage *m;

	(void)state;
	memset(wire, 0, sizeof(wire));
	assert_int_equal(unpack(MSG_MISSING, wire, MSG_LEN_MAX + 1, &m, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	err_clear(&err);
	assert_int_equal(unpack(MSG_HELLO, "\x0a\x7f", 2, &m, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	err_clear(&err);
	assert_int_equal(unpack(MSG_STATS, "\x80\x00\x58", 3, &m, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
}

static void
nothing_is_packed_that_would_be_refused(void **state)
{
	Wire__Begin begin = WIRE__BEGIN__INIT;
	Wire__Revoke revoke = WIRE__REVOKE__INIT;
	Wire__Begun begun = WIRE__BEGUN__INIT;
	Wire__Base base = WIRE__BASE__INIT, *bases[2] = { &base, &base };
	struct buf out = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;
	char odd[] = "a\tb";

	(void)state;
	assert_int_equal(msg_pack(&begin.base, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	revoke.host = odd;
	assert_int_equal(msg_pack(&revoke.base, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);

	/* Each field within its limit, the whole too long. */
	begun.n_bases = 2;
	begun.bases = bases;
	base.bad_ids.data = wire;
	base.bad_ids.len = MSG_LEN_MAX - 1024;
	assert_int_equal(msg_pack(&begun.base, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);

	begun.n_bases = 1;
	out.max = 1000;
	assert_int_equal(msg_pack(&begun.base, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&out);
}

/* ---------------------------------------------------------------- texts -- */

static const struct {
	const char *in, *out;
} texts[] = {
	{ "disk full", "disk full" },
	{ "two\nlines\x1b[31m", "two?lines?[31m" },
	{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
	    "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "cut \xe2\x82", "cut ??" },
	{ "overlong \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "overlong ?? ??? ????" },
	{ "surrogate \xed\xa0\x80", "surrogate ???" },
	{ "past the end \xf4\x90\x80\x80 \xf5\x80\x80\x80", "past the end ???? ????" },
	{ "c1 \xc2\x85", "c1 ??" },
	{ "", "the peer gave no reason" },
};

static void
reasons_arrive_whatever_is_in_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf out = BUF_INIT(MSG_LEN_MAX);
		struct err in = ERR_INIT, back = ERR_INIT, err = ERR_INIT;
		Wire__Failed failed;
		ProtobufCMessage *m;

		(void)err_set(&in, ERR_NOSPACE, "%s", texts[i].in);
		msg_from_err(&in, &failed);
		failed.closing = 1;
		assert_int_equal(msg_pack(&failed.base, &out, &err), 0);
		assert_int_equal(unpack(MSG_FAILED, out.p, out.len, &m, &err), 0);
		assert_int_equal(msg_to_err((Wire__Failed *)m, &back), -1);
		assert_int_equal(back.code, ERR_NOSPACE);
		assert_string_equal(back.text, texts[i].out);
		assert_true(((Wire__Failed *)m)->closing);
		msg_free(m);
		buf_free(&out);
	}
}

static void
long_reasons_are_cut_at_a_letter(void **state)
{
	static char text[2 * MSG_TEXT_MAX];
	struct buf out = BUF_INIT(MSG_LEN_MAX);
	Wire__Failed failed = WIRE__FAILED__INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *m;

	(void)state;
	text[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	failed.text = text;
	failed.code = ERR_BUSY;
	assert_int_equal(msg_pack(&failed.base, &out, &err), 0);
	assert_int_equal(unpack(MSG_FAILED, out.p, out.len, &m, &err), 0);
	assert_int_equal(strlen(((Wire__Failed *)m)->text), MSG_TEXT_MAX - 1);
	msg_free(m);
	buf_free(&out);
}

static void
unknown_codes_become_protocol(void **state)
{
	static const uint32_t codes[] = { 0, 29, 4000000000u };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		Wire__Failed failed = WIRE__FAILED__INIT;
		struct err err = ERR_INIT;

		failed.code = codes[i];
		assert_int_equal(msg_to_err(&failed, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
}

/* A server uses only what we offered; one that does not is refused by name. */
static void
a_welcome_is_refused_for_a_feature_by_its_name(void **state)
{
	static const char *const known[] = { "levitation" };
	char *both[] = { (char *)"levitation", (char *)"telepathy" };
	Wire__Welcome m = WIRE__WELCOME__INIT;
	struct err err = ERR_INIT;

	(void)state;
	m.version = MSG_VERSION;
	assert_int_equal(msg_welcome_ok(&m, NULL, 0, &err), 0);
	m.features = both;
	m.n_features = 1;
	assert_int_equal(msg_welcome_ok(&m, known, 1, &err), 0);
	m.n_features = 2;
	assert_int_equal(msg_welcome_ok(&m, known, 1, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "'telepathy'"));
	err_clear(&err);
	m.n_features = 0;
	m.version = MSG_VERSION + 1;
	assert_int_equal(msg_welcome_ok(&m, known, 1, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
}

static void
names_and_raw_kinds(void **state)
{
	(void)state;
	assert_string_equal(msg_name(MSG_HAVE_ASK), "Have");
	assert_string_equal(msg_name(MSG_PUT), "Put");
	assert_string_equal(msg_name(3), "unknown");
	assert_true(msg_is_raw(MSG_PUT) && msg_is_raw(MSG_NODE) && msg_is_raw(MSG_GROUP));
	assert_false(msg_is_raw(3));
	msg_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_of_every_message_goes_round),
		cmocka_unit_test(each_limit_is_held_to_the_byte),
		cmocka_unit_test(long_and_broken_messages_are_refused),
		cmocka_unit_test(nothing_is_packed_that_would_be_refused),
		cmocka_unit_test(reasons_arrive_whatever_is_in_them),
		cmocka_unit_test(long_reasons_are_cut_at_a_letter),
		cmocka_unit_test(unknown_codes_become_protocol),
		cmocka_unit_test(names_and_raw_kinds),
		cmocka_unit_test(a_welcome_is_refused_for_a_feature_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
