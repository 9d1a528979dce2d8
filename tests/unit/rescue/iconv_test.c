/* Our iconv against the C library's: the same bytes, the same refusals. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef iconv_t (*open_fn)(const char *to, const char *from);
typedef size_t (*convert_fn)(
    iconv_t cd, char **in, size_t *in_left, char **out, size_t *out_left);

struct conversion {
	char out[64];
	size_t out_left, in_left, rc;
	int os;
};

static void
convert(struct conversion *c, convert_fn f, iconv_t cd, const char *in, size_t len,
    size_t room)
{
	char copy[64], *from = copy, *to = c->out;

	memset(c, 0, sizeof(*c));
	memcpy(copy, in, len);
	c->in_left = len;
	c->out_left = room;
	errno = 0;
	c->rc = f(cd, &from, &c->in_left, &to, &c->out_left);
	c->os = errno;
}

static void *
theirs(const char *name)
{
	void *p, *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	assert_non_null(libc);
	assert_non_null(p = dlsym(libc, name));
	return p;
}

static void
random_bytes_come_out_as_the_system_has_them(void **state)
{
	static const char *const ways[][2] = { { "UTF-8", "LATIN1" },
		{ "LATIN1", "UTF-8" }, { "UTF-8", "UTF-16LE" }, { "UTF-16LE", "UTF-8" } };
	/* Bytes that matter in one or the other. */
	static const char some[] =
	    "a\x7f\x80\xbf\xc2\xc3\xdf\xe0\xa0\xed\x9f\xef\xf0\x90\xf4"
	    "\x8f\xd8\xdb\xdc\xff\0z\1";
	union {
		void *p;
		open_fn open;
		convert_fn convert;
		int (*close)(iconv_t cd);
	} o = { .p = theirs("iconv_open") }, f = { .p = theirs("iconv") },
	  c = { .p = theirs("iconv_close") };
	struct conversion a, b;
	uint32_t seed = 1;
	char in[24];

	(void)state;
	assert_ptr_not_equal(o.open, iconv_open);
	for (unsigned w = 0; w < 4; w++) {
		iconv_t us = iconv_open(ways[w][0], ways[w][1]);
		iconv_t them = o.open(ways[w][0], ways[w][1]);

		for (unsigned i = 0; i < 20000; i++) {
			size_t len = i % sizeof(in), room = i % 37;

			for (size_t k = 0; k < len; k++) {
				seed = seed * 1664525u + 1013904223u;
				in[k] = some[(seed >> 8) % sizeof(some)];
			}
			convert(&a, iconv, us, in, len, room);
			convert(&b, f.convert, them, in, len, room);
			assert_int_equal(a.rc, b.rc);
			assert_memory_equal(a.out, b.out, sizeof(a.out));
			assert_int_equal(a.out_left, b.out_left);
			/* Where both stand in front of a fault, either may say it. */
			if (a.rc == (size_t)-1 && (a.os == E2BIG) == (b.os == E2BIG)) {
				assert_int_equal(a.in_left, b.in_left);
			}
		}
		iconv_close(us);
		c.close(them);
	}
	assert_ptr_equal(iconv_open("KOI8-R", "UTF-8"), (iconv_t)-1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes_come_out_as_the_system_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
