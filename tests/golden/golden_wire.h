/*
 * golden_wire.h - every message of the wire with every field set, each to a value
 * that follows from its name: if a field changes its number, its type or its
 * meaning's place, the golden message says so.
 */
#ifndef TESTS_GOLDEN_GOLDEN_WIRE_H
#define TESTS_GOLDEN_GOLDEN_WIRE_H

#include "proto/wire/frame.h"
#include "proto/wire/msg.h"
#include "tests/golden/golden.h"

/* The type of each kind that has a message. */
static const ProtobufCMessageDescriptor *const golden_messages[] = {
	&wire__hello__descriptor, &wire__welcome__descriptor, &wire__failed__descriptor,
	&wire__done__descriptor, &wire__enroll__descriptor, &wire__renew__descriptor,
	&wire__enrolled__descriptor, &wire__begin__descriptor, &wire__begun__descriptor,
	&wire__have__descriptor, &wire__have_reply__descriptor, &wire__stored__descriptor,
	&wire__commit__descriptor, &wire__committed__descriptor,
	&wire__missing__descriptor, &wire__list_points__descriptor,
	&wire__points__descriptor, &wire__get_nodes__descriptor,
	&wire__get_groups__descriptor, &wire__groups_end__descriptor,
	&wire__new_token__descriptor, &wire__token_text__descriptor,
	&wire__new_operator__descriptor, &wire__list_hosts__descriptor,
	&wire__hosts__descriptor, &wire__revoke__descriptor, &wire__get_stats__descriptor,
	&wire__stats__descriptor, &wire__verify__descriptor,
	&wire__verify_report__descriptor,
	/* Later ones; their fields are in fields-FEATURE. */
	&wire__list_audit__descriptor, &wire__audit__descriptor,
	&wire__accept_clock__descriptor, &wire__get_usage__descriptor,
	&wire__usage__descriptor, &wire__collect__descriptor,
	&wire__collect_report__descriptor, &wire__list_jobs__descriptor,
	&wire__jobs__descriptor, &wire__set_policy__descriptor,
	&wire__list_policies__descriptor, &wire__policies__descriptor,
	&wire__prune__descriptor, &wire__pruned__descriptor, &wire__hold__descriptor,
	&wire__lock__descriptor, &wire__forget__descriptor,
	&wire__clear_brake__descriptor, &wire__note_escrow__descriptor,
	&wire__clear_alarm__descriptor, &wire__copy_store__descriptor,
	&wire__copy_report__descriptor, &wire__copy_open__descriptor,
	&wire__copy_plan__descriptor, &wire__copy_read__descriptor,
	&wire__copy_bytes__descriptor, &wire__redeem__descriptor,
	&wire__redeemed__descriptor, &wire__announce__descriptor,
	&wire__waiting__descriptor, &wire__report_restore__descriptor,
	&wire__new_restore_token__descriptor, &wire__list_restores__descriptor,
	&wire__restores__descriptor, &wire__confirm_rescue__descriptor,
	&wire__end_restore__descriptor, &wire__check_rescue__descriptor,
	&wire__rescue_report__descriptor, &wire__mark_suspect__descriptor
};

#define GOLDEN_MESSAGES (sizeof(golden_messages) / sizeof(golden_messages[0]))

/*
 * Those that had fewer fields when their golden frames were made: a second frame has all,
 * and fields-2 the names of what came since.
 */
static const ProtobufCMessageDescriptor *const golden_grown[] = {
	&wire__hello__descriptor, &wire__welcome__descriptor, &wire__points__descriptor,
	&wire__hosts__descriptor, &wire__stats__descriptor, &wire__verify__descriptor,
	&wire__verify_report__descriptor
};

#define GOLDEN_GROWN (sizeof(golden_grown) / sizeof(golden_grown[0]))

/* Those that grew after that: a third frame, and fields-3. */
static const ProtobufCMessageDescriptor *const golden_grown_again[] = {
	&wire__commit__descriptor, &wire__list_points__descriptor,
	&wire__points__descriptor, &wire__hosts__descriptor
};

#define GOLDEN_GROWN_AGAIN (sizeof(golden_grown_again) / sizeof(golden_grown_again[0]))

/* And after that: a fourth frame, and fields-4. */
static const ProtobufCMessageDescriptor *const golden_grown_more[] = {
	&wire__commit__descriptor, &wire__points__descriptor
};

#define GOLDEN_GROWN_MORE (sizeof(golden_grown_more) / sizeof(golden_grown_more[0]))

/* Once more: a fifth frame, and fields-5. */
static const ProtobufCMessageDescriptor *const golden_grown_further[] = {
	&wire__commit__descriptor, &wire__points__descriptor
};

#define GOLDEN_GROWN_FURTHER \
	(sizeof(golden_grown_further) / sizeof(golden_grown_further[0]))

/* And once more: a sixth frame, and fields-6. */
static const ProtobufCMessageDescriptor *const golden_grown_beyond[] = {
	&wire__commit__descriptor, &wire__points__descriptor,
	&wire__list_hosts__descriptor, &wire__hosts__descriptor,
	&wire__verify_report__descriptor, &wire__set_policy__descriptor,
	&wire__pruned__descriptor
};

#define GOLDEN_GROWN_BEYOND (sizeof(golden_grown_beyond) / sizeof(golden_grown_beyond[0]))

/* What a message is held against: which of its frames. */
enum golden_age {
	GOLDEN_MAKE,
	GOLDEN_FIRST_FRAME,
	GOLDEN_SECOND_FRAME,
	GOLDEN_THIRD_FRAME,
	GOLDEN_FOURTH_FRAME,
	GOLDEN_FIFTH_FRAME,
	GOLDEN_SIXTH_FRAME
};

/* "Hello.version", and a number that follows from it. */
static inline uint32_t
golden_of_name(const ProtobufCMessageDescriptor *of, const char *field, char name[80])
{
	uint32_t h = 2166136261u;

	(void)snprintf(name, 80, "%s.%s", of->short_name, field);
	for (const char *c = name; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * 16777619u;
	return h;
}

/* The kind of a message by its descriptor. */
static inline uint16_t
golden_kind(const ProtobufCMessageDescriptor *of)
{
	ProtobufCMessage m = { .descriptor = of };

	return msg_kind_of(&m);
}

/* Is it in the lists of those fields that the golden frames of this age were made with?
 */
static inline int
golden_has_field(const char *name, enum golden_age age)
{
	static const char *const lists[] = { "fields", "fields-collect",
		"fields-retention", "fields-copy", "fields-copy-net", "fields-rescue",
		"fields-rescue-check", "fields-changes", "fields-2", "fields-3",
		"fields-4", "fields-5", "fields-6" };
	const size_t n =
	    sizeof(lists) / sizeof(lists[0]) - (size_t)(GOLDEN_SIXTH_FRAME - age);
	struct buf list = BUF_INIT(GOLDEN_MAX);
	char line[90];
	int found = 0;

	(void)snprintf(line, sizeof(line), "\n%s\n", name);
	for (size_t i = 0; i < n && !found; i++) {
		golden_read(lists[i], &list);
		GOLDEN_MUST(buf_add_u8(&list, 0, &err));
		found = strstr((const char *)list.p, line) != NULL;
	}
	buf_free(&list);
	return found;
}

/* What a uint32 field is set to: some have to be small. */
static inline uint32_t
golden_number(const char *field, uint32_t h)
{
	static const char *const small[] = { "role", "kind", "grade", "level", "volume",
		"reason", "state", "scope", "reported", "verdict", "firmware" };

	for (unsigned i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (strcmp(field, small[i]) == 0)
			return 1 + h % 2;
	if (strcmp(field, "spans") == 0 || strcmp(field, "count") == 0)
		return 1 + h % 60;
	return h;
}

static inline size_t
golden_bytes_len(const ProtobufCMessageDescriptor *of, const char *field)
{
	if (strcmp(field, "mac") == 0)
		return MSG_MAC_LEN;
	if (strcmp(field, "macs") == 0)
		return 2 * MSG_MAC_LEN;
	if (of == &wire__redeem__descriptor && strcmp(field, "secret") == 0)
		return 15;
	return strcmp(field, "journal") == 0	    ? 48
	       : strcmp(field, "journal_head") == 0 ? JOURNAL_HEAD_LEN
	       : strcmp(field, "secret") == 0 || strcmp(field, "serial") == 0 ||
		       strcmp(field, "backup") == 0 || strcmp(field, "store") == 0
		   ? 16
		   : 32;
}

/*
 * Set the field at `p`, or (`check`) see whether it is set so; returns how many
 * differ.  What it sets is never freed: the generator ends soon.
 */
static inline unsigned golden_message(ProtobufCMessage *m, enum golden_age check);

static inline unsigned
golden_value(const ProtobufCMessageDescriptor *of, const ProtobufCFieldDescriptor *f,
    void *p, enum golden_age check)
{
	char name[80];
	uint32_t h = golden_of_name(of, f->name, name);
	uint32_t n = golden_number(f->name, h);
	uint64_t wide = (uint64_t)h << 16 | 0x1234;
	ProtobufCBinaryData *b = p;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (check)
			return strcmp(*(char **)p, name) != 0;
		*(char **)p = strdup(name);
		return 0;
	case PROTOBUF_C_TYPE_BYTES:
		if (!check) {
			b->len = golden_bytes_len(of, f->name);
			b->data = malloc(b->len);
			memset(b->data,
			    strcmp(f->name, "answers") == 0 ? 2 : (int)(h & 0xff),
			    b->len);
			return 0;
		}
		return b->len != golden_bytes_len(of, f->name) ||
		       (b->data[5] != (h & 0xff) && strcmp(f->name, "answers") != 0);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!check) {
			*(ProtobufCMessage **)p =
			    calloc(1, ((const ProtobufCMessageDescriptor *)f->descriptor)
					  ->sizeof_message);
			((const ProtobufCMessageDescriptor *)f->descriptor)
			    ->message_init(*(ProtobufCMessage **)p);
		}
		return golden_message(*(ProtobufCMessage **)p, check);
	case PROTOBUF_C_TYPE_UINT32:
		return check ? *(uint32_t *)p != n : (*(uint32_t *)p = n, 0);
	case PROTOBUF_C_TYPE_BOOL:
		return check ? !*(protobuf_c_boolean *)p
			     : (*(protobuf_c_boolean *)p = 1, 0);
	case PROTOBUF_C_TYPE_DOUBLE:
		return check ? *(double *)p != 0.25 : (*(double *)p = 0.25, 0);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		return check ? *(uint64_t *)p != wide : (*(uint64_t *)p = wide, 0);
	default:
		abort();
	}
}

static inline size_t
golden_value_size(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData)
						: sizeof(void *);
}

/* Set every field, one value where it repeats; or count those that differ. */
static inline unsigned
golden_message(ProtobufCMessage *m, enum golden_age check)
{
	unsigned bad = check ? m->n_unknown_fields : 0;

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		uint8_t *p = (uint8_t *)m + f->offset;
		size_t *count = (size_t *)((uint8_t *)m + f->quantifier_offset);
		char name[80];

		/* A field that is younger than the files. */
		(void)golden_of_name(m->descriptor, f->name, name);
		if (check && !golden_has_field(name, check))
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			if (!check) {
				*count = 1;
				*(void **)p = calloc(1, golden_value_size(f));
			}
			if (*count != 1) {
				bad++;
				continue;
			}
			p = *(uint8_t **)p;
		}
		bad += golden_value(m->descriptor, f, p, check);
	}
	return bad;
}

/* A frame of `kind` with this payload. */
static inline void
golden_frame(uint16_t kind, const uint8_t *p, size_t len, struct buf *out)
{
	struct frame f = { kind, kind % 2 == 0 ? FRAME_MORE : 0,
		0x0102030405060700u + kind, len > 0 ? p : NULL, len };
	uint8_t header[FRAME_HEADER_LEN];

	frame_encode_header(&f, header);
	buf_clear(out);
	GOLDEN_MUST(buf_add(out, header, sizeof(header), &err));
	if (len > 0)
		GOLDEN_MUST(buf_add(out, p, len, &err));
}

/* "frame-01-Hello", "frame-01-Hello-2", "frame-66-Hosts-3" */
static inline void
golden_frame_name(uint16_t kind, enum golden_age age, char name[64])
{
	(void)snprintf(name, 64, "frame-%02u-%s%s", kind, msg_name(kind),
	    age == GOLDEN_SECOND_FRAME	 ? "-2"
	    : age == GOLDEN_THIRD_FRAME	 ? "-3"
	    : age == GOLDEN_FOURTH_FRAME ? "-4"
	    : age == GOLDEN_FIFTH_FRAME	 ? "-5"
	    : age == GOLDEN_SIXTH_FRAME	 ? "-6"
					 : "");
}

#endif /* TESTS_GOLDEN_GOLDEN_WIRE_H */
