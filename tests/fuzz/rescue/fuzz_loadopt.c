/*
 * Boot entries: whatever is read as one with a partition can be moved, and says
 * the new place then and nothing else.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "rescue/loadopt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
must(int holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	const struct loadopt_drive to = { 7, 11, 13, { 17 } };
	struct buf b = BUF_INIT(2 * LOADOPT_LEN_MAX);
	struct err err = ERR_INIT;
	struct loadopt o, moved;

	if (loadopt_parse(p, len, &o, &err) != 0) {
		must(err.code == ERR_CORRUPT);
		return 0;
	}
	must(memchr(o.path, 0, sizeof(o.path)) != NULL);
	must(memchr(o.description, 0, sizeof(o.description)) != NULL);
	if (!o.has_drive)
		return 0;
	must(loadopt_moved(p, len, &to, &b, &err) == 0 && b.len == len);
	must(loadopt_parse(b.p, b.len, &moved, &err) == 0);
	must(moved.number == 7 && moved.start == 11 && moved.length == 13);
	must(memcmp(moved.id, to.id, sizeof(to.id)) == 0);
	must(strcmp(moved.path, o.path) == 0 && moved.attributes == o.attributes);
	buf_clear(&b);
	must(loadopt_make("x", &to, "\\y", &b, &err) == 0);
	must(loadopt_parse(b.p, b.len, &moved, &err) == 0 && moved.has_drive);
	must(loadopt_same(&o, &o) && !loadopt_same(&o, &moved));
	buf_free(&b);
	return 0;
}
