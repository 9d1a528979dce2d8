/*
 * Names of chunks: bound to domain, kind and content.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"

static const uint8_t domain[CHUNK_KEY_LEN] = { 1, 2, 3 };

static void
name_changes_with_domain_kind_and_content(void **state)
{
	uint8_t other[CHUNK_KEY_LEN] = { 1, 2, 4 };
	struct chunk_keys a, b;
	struct chunk_id id[5];
	size_t i, j;

	(void)state;
	chunk_keys_init(&a, domain);
	chunk_keys_init(&b, other);
	chunk_id_of(&a, CHUNK_DATA, "abc", 3, &id[0]);
	chunk_id_of(&a, CHUNK_META, "abc", 3, &id[1]);
	chunk_id_of(&b, CHUNK_DATA, "abc", 3, &id[2]);
	chunk_id_of(&a, CHUNK_DATA, "abd", 3, &id[3]);
	blake3("abc", 3, NULL, id[4].b, CHUNK_ID_LEN);
	for (i = 0; i < 5; i++)
		for (j = 0; j < 5; j++)
			assert_int_equal(chunk_id_cmp(&id[i], &id[j]) == 0, i == j);
}

/*
 * The contexts of the two subkeys are part of the format: this name may only
 * change with the format's version.
 */
static void
name_is_stable(void **state)
{
	char hex[2 * CHUNK_ID_LEN + 1];
	struct chunk_keys keys;
	struct chunk_id id;

	(void)state;
	chunk_keys_init(&keys, domain);
	chunk_id_of(&keys, CHUNK_DATA, "abc", 3, &id);
	chunk_id_hex(&id, hex);
	assert_string_equal(
	    hex, "9028f2b2b4f36b7629fa7a960b5e73649fc17de5d65728259bf265c33fe1c95c");
	chunk_id_of(&keys, CHUNK_META, "abc", 3, &id);
	chunk_id_hex(&id, hex);
	assert_string_equal(
	    hex, "54e4b0fa1fff51d7c1ba4c82a949813e6fe4a192318876c07c4522c712451bad");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_changes_with_domain_kind_and_content),
		cmocka_unit_test(name_is_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
