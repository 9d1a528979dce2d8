/*
 * golden - makes golden files: one of each structure of storage/FORMAT.md and each
 * frame of proto/WIRE.md, as today's programs write them.
 *
 *	golden DIR	from the top of the tree
 *
 * Those in tests/golden/v1 are frozen and never made anew: they are what programs of
 * then wrote, and that today's read them is what they are for.  So nothing that is
 * there is written over.  A structure that a later program adds gets a file of its
 * own beside them: made here in an empty directory and carried over.
 */
#include <errno.h>

#include "tests/golden/golden_wire.h"

static const char *folder;

static void
put(const char *name, const struct buf *b)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	if ((f = fopen(path, "wbx")) == NULL || fwrite(b->p, 1, b->len, f) != b->len ||
	    fclose(f) != 0) {
		(void)fprintf(
		    stderr, "golden: cannot write %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* The names of the fields of `of` and what it holds that came after `age`; 0: of all. */
static void
list_fields(const ProtobufCMessageDescriptor *of, enum golden_age age, struct buf *out)
{
	char name[80];

	for (unsigned i = 0; i < of->n_fields; i++) {
		(void)golden_of_name(of, of->fields[i].name, name);
		if (age == GOLDEN_MAKE || !golden_has_field(name, age)) {
			GOLDEN_MUST(buf_add(out, name, strlen(name), &err));
			GOLDEN_MUST(buf_add_u8(out, '\n', &err));
		}
		if (of->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			list_fields(of->fields[i].descriptor, age, out);
	}
}

static void
put_raw(uint16_t kind, const char *from, struct buf *b, struct buf *frame)
{
	char name[64];

	golden_read(from, b);
	golden_frame(kind, b->p, b->len, frame);
	golden_frame_name(kind, GOLDEN_FIRST_FRAME, name);
	put(name, frame);
}

static void
put_message(const ProtobufCMessageDescriptor *of, enum golden_age age)
{
	struct buf b = BUF_INIT(GOLDEN_MAX), frame = BUF_INIT(GOLDEN_MAX);
	ProtobufCMessage *m = calloc(1, of->sizeof_message);
	char name[64];

	of->message_init(m);
	(void)golden_message(m, GOLDEN_MAKE);
	GOLDEN_MUST(msg_pack(m, &b, &err));
	golden_frame(msg_kind_of(m), b.p, b.len, &frame);
	golden_frame_name(msg_kind_of(m), age, name);
	put(name, &frame);
	buf_free(&b);
	buf_free(&frame);
}

int
main(int argc, char **argv)
{
	struct buf b = BUF_INIT(GOLDEN_MAX), frame = BUF_INIT(GOLDEN_MAX);
	char name[64];

	if (argc != 2) {
		(void)fprintf(stderr,
		    "usage: golden DIR\n"
		    "Writes golden files of today's programs; none that is there.\n");
		return 2;
	}
	folder = argv[1];
	for (size_t i = 0; i < GOLDEN_ITEMS; i++) {
		golden_items[i].make(&b);
		put(golden_items[i].name, &b);
	}
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++)
		put_message(golden_messages[i], GOLDEN_FIRST_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN; i++)
		put_message(golden_grown[i], GOLDEN_SECOND_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_AGAIN; i++)
		put_message(golden_grown_again[i], GOLDEN_THIRD_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_MORE; i++)
		put_message(golden_grown_more[i], GOLDEN_FOURTH_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_FURTHER; i++)
		put_message(golden_grown_further[i], GOLDEN_FIFTH_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_BEYOND; i++)
		put_message(golden_grown_beyond[i], GOLDEN_SIXTH_FRAME);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++)
		if (msg_feature_of(golden_kind(golden_messages[i])) == NULL)
			list_fields(golden_messages[i], GOLDEN_MAKE, &b);
	put("fields", &b);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_GROWN; i++)
		list_fields(golden_grown[i], GOLDEN_FIRST_FRAME, &b);
	put("fields-2", &b);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_GROWN_AGAIN; i++)
		list_fields(golden_grown_again[i], GOLDEN_SECOND_FRAME, &b);
	put("fields-3", &b);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_GROWN_MORE; i++)
		list_fields(golden_grown_more[i], GOLDEN_THIRD_FRAME, &b);
	put("fields-4", &b);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_GROWN_FURTHER; i++)
		list_fields(golden_grown_further[i], GOLDEN_FOURTH_FRAME, &b);
	put("fields-5", &b);
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_GROWN_BEYOND; i++)
		list_fields(golden_grown_beyond[i], GOLDEN_FIFTH_FRAME, &b);
	put("fields-6", &b);
	for (size_t k = 0; k < MSG_FEATURES; k++) {
		buf_clear(&b);
		GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
		for (size_t i = 0; i < GOLDEN_MESSAGES; i++) {
			const char *of = msg_feature_of(golden_kind(golden_messages[i]));

			if (of != NULL && strcmp(of, msg_features[k]) == 0)
				list_fields(golden_messages[i], GOLDEN_MAKE, &b);
		}
		(void)snprintf(name, sizeof(name), "fields-%s", msg_features[k]);
		put(name, &b);
	}
	put_raw(MSG_PUT, "group-zstd", &b, &frame);
	put_raw(MSG_GROUP, "group-raw", &b, &frame);
	put_raw(MSG_NODE, "inner", &b, &frame);
	buf_free(&b);
	buf_free(&frame);
	return 0;
}
