/*
 * golden - makes the golden files of version 1: one of each structure of
 * storage/FORMAT.md and each frame of proto/WIRE.md.
 *
 *	golden --before-the-freeze	from the top of the tree
 *
 * Only for as long as version 1 is not frozen.  After that it must never be run
 * on tests/golden/v1: the files there are what programs of then wrote, and that
 * today's read them is what they are for.  A structure that a later version
 * adds gets a file of its own, beside them.
 */
#include "tests/golden/golden_wire.h"

static void
put(const char *name, const struct buf *b)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
	if ((f = fopen(path, "wb")) == NULL || fwrite(b->p, 1, b->len, f) != b->len ||
	    fclose(f) != 0) {
		(void)fprintf(stderr, "golden: cannot write %s\n", path);
		exit(1);
	}
}

/* The names of all fields of `of` and what it holds, a line each. */
static void
list_fields(const ProtobufCMessageDescriptor *of, struct buf *out)
{
	char name[80];

	for (unsigned i = 0; i < of->n_fields; i++) {
		(void)golden_of_name(of, of->fields[i].name, name);
		GOLDEN_MUST(buf_add(out, name, strlen(name), &err));
		GOLDEN_MUST(buf_add_u8(out, '\n', &err));
		if (of->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			list_fields(of->fields[i].descriptor, out);
	}
}

static void
put_raw(uint16_t kind, const char *from, struct buf *b, struct buf *frame)
{
	char name[64];

	golden_read(from, b);
	golden_frame(kind, b->p, b->len, frame);
	golden_frame_name(kind, name);
	put(name, frame);
}

int
main(int argc, char **argv)
{
	struct buf b = BUF_INIT(GOLDEN_MAX), frame = BUF_INIT(GOLDEN_MAX);
	char name[64];

	if (argc != 2 || strcmp(argv[1], "--before-the-freeze") != 0) {
		(void)fprintf(stderr,
		    "usage: golden --before-the-freeze\n"
		    "Writes tests/golden/v1 anew; never once version 1 is frozen.\n");
		return 2;
	}
	for (size_t i = 0; i < GOLDEN_ITEMS; i++) {
		golden_items[i].make(&b);
		put(golden_items[i].name, &b);
	}
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++) {
		ProtobufCMessage *m = calloc(1, golden_messages[i]->sizeof_message);

		golden_messages[i]->message_init(m);
		(void)golden_message(m, 0);
		GOLDEN_MUST(msg_pack(m, &b, &err));
		golden_frame(msg_kind_of(m), b.p, b.len, &frame);
		golden_frame_name(msg_kind_of(m), name);
		put(name, &frame);
	}
	buf_clear(&b);
	GOLDEN_MUST(buf_add_u8(&b, '\n', &err));
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++)
		list_fields(golden_messages[i], &b);
	put("fields", &b);
	put_raw(MSG_PUT, "group-zstd", &b, &frame);
	put_raw(MSG_GROUP, "group-raw", &b, &frame);
	put_raw(MSG_NODE, "inner", &b, &frame);
	buf_free(&b);
	buf_free(&frame);
	return 0;
}
