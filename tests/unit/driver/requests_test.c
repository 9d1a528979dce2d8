/*
 * requests_test.c - a device control that changes bytes is known for what it is: by its
 * ranges, as a write that nobody knows where, as a change of the length; and none is
 * believed beyond its own bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "driver/nt/requests.h"

#define SIZE ((uint64_t)1 << 30)
#define DSM 0x2d9404u
#define SCSI 0x4d004u

static void
put(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* A data set request of exactly its bytes, so that a sanitizer sees one too many. */
static uint8_t *
data_set(
    uint32_t action, uint32_t flags, uint32_t offset, uint32_t length, uint32_t bytes)
{
	uint8_t *p = calloc(1, bytes);

	assert_non_null(p);
	put(p, 28, 4);
	put(p + 4, action, 4);
	put(p + 8, flags, 4);
	put(p + 20, offset, 4);
	put(p + 24, length, 4);
	return p;
}

static enum requests_effect
judge(uint32_t code, uint8_t *p, uint32_t bytes)
{
	struct requests_ranges r;
	enum requests_effect effect = requests_judge(code, p, bytes, &r);

	free(p);
	return effect;
}

static void
test_ranges_of_a_trim_are_cut_to_the_volume(void **state)
{
	static const uint32_t actions[] = { 1, 4, 23, 25, 0x80000006u };
	uint64_t offset, length;
	struct requests_ranges r;

	(void)state;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		uint8_t *p = data_set(actions[i], 0, 32, 4 * 16, 96);

		put(p + 32, 4096, 8);
		put(p + 40, 8192, 8);
		put(p + 48, SIZE - 512, 8);
		put(p + 56, UINT64_MAX, 8);
		put(p + 64, SIZE, 8);
		put(p + 72, 512, 8);
		put(p + 80, UINT64_MAX - 511, 8); /* -512 */
		put(p + 88, 1024, 8);
		assert_int_equal(requests_judge(DSM, p, 96, &r), REQUESTS_RANGES);
		assert_int_equal(r.count, 4);
		assert_true(requests_range(&r, 0, SIZE, &offset, &length));
		assert_int_equal(offset, 4096);
		assert_int_equal(length, 8192);
		assert_true(requests_range(&r, 1, SIZE, &offset, &length));
		assert_int_equal(offset, SIZE - 512);
		assert_int_equal(length, 512);
		assert_false(requests_range(&r, 2, SIZE, &offset, &length));
		assert_false(requests_range(&r, 3, SIZE, &offset, &length));
		assert_false(requests_range(&r, 4, SIZE, &offset, &length));
		free(p);
	}
}

static void
test_the_entire_data_set_is_the_whole_volume(void **state)
{
	uint8_t *p = data_set(1, 1, 0, 0, 28);
	uint64_t offset, length;
	struct requests_ranges r;

	(void)state;
	assert_int_equal(requests_judge(DSM, p, 28, &r), REQUESTS_RANGES);
	assert_true(requests_range(&r, 0, SIZE, &offset, &length));
	assert_int_equal(offset, 0);
	assert_int_equal(length, SIZE);
	assert_false(requests_range(&r, 0, 0, &offset, &length));
	free(p);
}

static void
test_what_a_data_set_request_does_not_say_is_not_guessed(void **state)
{
	(void)state;
	assert_int_equal(judge(DSM, NULL, 0), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(judge(DSM, NULL, 64), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(
	    judge(DSM, data_set(1, 0, 28, 16, 28), 27), REQUESTS_UNKNOWN_WRITE);
	/* Ranges beyond the buffer, by a byte, by an overflow, or not whole. */
	assert_int_equal(
	    judge(DSM, data_set(1, 0, 28, 16, 43), 43), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(
	    judge(DSM, data_set(1, 0, 45, 16, 44), 44), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(judge(DSM, data_set(1, 0, 0xfffffff0u, 0x20, 64), 64),
	    REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(
	    judge(DSM, data_set(1, 0, 32, 0xfffffff0u, 64), 64), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(
	    judge(DSM, data_set(1, 0, 28, 17, 64), 64), REQUESTS_UNKNOWN_WRITE);
	/* Actions that nobody knows; those that say that they alter nothing. */
	assert_int_equal(
	    judge(DSM, data_set(29, 0, 28, 16, 44), 44), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(
	    judge(DSM, data_set(0x80000005u, 0, 28, 16, 44), 44), REQUESTS_PASS);
	assert_int_equal(judge(DSM, data_set(0, 0, 28, 16, 44), 44), REQUESTS_PASS);
	assert_int_equal(judge(DSM, data_set(1, 0, 0, 0, 28), 28), REQUESTS_PASS);
}

static void
test_a_copy_on_the_disk_changes_its_destination(void **state)
{
	uint8_t p[32] = { 0 };
	uint64_t offset, length;
	struct requests_ranges r;

	(void)state;
	put(p, 1 << 20, 8);
	put(p + 8, SIZE - 4096, 8);
	put(p + 16, 65536, 8);
	assert_int_equal(requests_judge(0x7c064u, p, sizeof(p), &r), REQUESTS_RANGES);
	assert_true(requests_range(&r, 0, SIZE, &offset, &length));
	assert_int_equal(offset, SIZE - 4096);
	assert_int_equal(length, 4096);
	assert_int_equal(requests_judge(0x7c064u, p, 23, &r), REQUESTS_UNKNOWN_WRITE);
}

static enum requests_effect
scsi(unsigned length, uint8_t operation)
{
	uint8_t p[56] = { 0 };
	struct requests_ranges r;

	put(p, length, 2);
	p[6] = 6;
	p[length == 44 ? 28 : 36] = operation;
	return requests_judge(SCSI, p, length, &r);
}

static void
test_of_raw_commands_only_known_questions_pass(void **state)
{
	uint8_t none[56] = { 56 };
	struct requests_ranges r;

	(void)state;
	for (unsigned length = 44; length <= 56; length += 12) {
		assert_int_equal(scsi(length, 0x12), REQUESTS_PASS);
		assert_int_equal(scsi(length, 0x28), REQUESTS_PASS);
		assert_int_equal(
		    scsi(length, 0x2a), REQUESTS_UNKNOWN_WRITE); /* WRITE (10) */
		assert_int_equal(
		    scsi(length, 0x04), REQUESTS_UNKNOWN_WRITE); /* FORMAT UNIT */
		assert_int_equal(scsi(length, 0x42), REQUESTS_UNKNOWN_WRITE); /* UNMAP */
		assert_int_equal(scsi(length, 0xee), REQUESTS_UNKNOWN_WRITE);
	}
	assert_int_equal(scsi(48, 0x12), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(requests_judge(SCSI, none, 56, &r), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(requests_judge(SCSI, none, 55, &r), REQUESTS_UNKNOWN_WRITE);
	assert_int_equal(requests_judge(SCSI, NULL, 0, &r), REQUESTS_UNKNOWN_WRITE);
}

/* All other effects come by the number alone. */
static void
test_numbers_have_their_effects(void **state)
{
	static const struct {
		uint32_t code;
		enum requests_effect effect;
	} known[] = {
		{ 0x53c000u, REQUESTS_HOLD },
		{ 0x53c004u, REQUESTS_PASS },
		{ 0x53c010u, REQUESTS_PASS },
		{ 0x53c044u, REQUESTS_UNKNOWN_WRITE }, /* a revert */
		{ 0x53c0fcu,
		    REQUESTS_UNKNOWN_WRITE }, /* nobody knows it, and it may write */
		{ 0x53003cu, REQUESTS_PASS },
		{ 0x7c0d0u, REQUESTS_RESIZE },
		{ 0x7c0c8u, REQUESTS_RESIZE },
		{ 0x70140u, REQUESTS_RESIZE },
		{ 0x7c018u, REQUESTS_UNKNOWN_WRITE }, /* IOCTL_DISK_FORMAT_TRACKS */
		{ 0x7c02cu, REQUESTS_UNKNOWN_WRITE }, /* ..._EX */
		{ 0x7c01cu, REQUESTS_UNKNOWN_WRITE }, /* IOCTL_DISK_REASSIGN_BLOCKS */
		{ 0x7c0a4u, REQUESTS_UNKNOWN_WRITE }, /* ..._EX */
		{ 0x7c054u, REQUESTS_UNKNOWN_WRITE }, /* IOCTL_DISK_SET_DRIVE_LAYOUT_EX */
		{ 0x98268u, REQUESTS_UNKNOWN_WRITE }, /* FSCTL_OFFLOAD_WRITE */
		{ 0x4d02cu, REQUESTS_UNKNOWN_WRITE }, /* IOCTL_ATA_PASS_THROUGH */
		{ 0x2dd3c0u,
		    REQUESTS_UNKNOWN_WRITE }, /* IOCTL_STORAGE_PROTOCOL_COMMAND */
		{ 0x2d9640u,
		    REQUESTS_UNKNOWN_WRITE }, /* IOCTL_STORAGE_REINITIALIZE_MEDIA */
		{ 0x2d1cc0u, REQUESTS_UNKNOWN_WRITE },
		{ 0x56c00cu, REQUESTS_UNKNOWN_WRITE }, /* IOCTL_VOLUME_OFFLINE */
		{ 0x56c008u, REQUESTS_PASS },	       /* IOCTL_VOLUME_ONLINE */
		{ 0x70000u, REQUESTS_PASS },	       /* IOCTL_DISK_GET_DRIVE_GEOMETRY */
		{ 0x7405cu, REQUESTS_PASS },	       /* IOCTL_DISK_GET_LENGTH_INFO */
		{ 0x2d1400u, REQUESTS_PASS },	       /* IOCTL_STORAGE_QUERY_PROPERTY */
		{ 0x4d0000u, REQUESTS_PASS }, /* IOCTL_MOUNTDEV_QUERY_UNIQUE_ID */
		{ 0x4dc004u, REQUESTS_PASS }, /* ..._UNIQUE_ID_CHANGE_NOTIFY */
		{ 0x4dc010u, REQUESTS_PASS }, /* IOCTL_MOUNTDEV_LINK_CREATED */
		{ 0x4dc014u, REQUESTS_PASS }, /* ..._DELETED */
		{ 0x4dc018u, REQUESTS_UNKNOWN_WRITE },
		{ 0x56c064u, REQUESTS_PASS }, /* IOCTL_VOLUME_POST_ONLINE */
		{ 0x7c084u, REQUESTS_PASS },  /* SMART_SEND_DRIVE_COMMAND */
		{ 0x7c088u, REQUESTS_PASS },  /* SMART_RCV_DRIVE_DATA */
		{ 0x560000u, REQUESTS_PASS },
	};
	struct requests_ranges r;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (requests_judge(known[i].code, NULL, 0, &r) != known[i].effect)
			fail_msg("code %x", (unsigned)known[i].code);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_of_a_trim_are_cut_to_the_volume),
		cmocka_unit_test(test_the_entire_data_set_is_the_whole_volume),
		cmocka_unit_test(
		    test_what_a_data_set_request_does_not_say_is_not_guessed),
		cmocka_unit_test(test_a_copy_on_the_disk_changes_its_destination),
		cmocka_unit_test(test_of_raw_commands_only_known_questions_pass),
		cmocka_unit_test(test_numbers_have_their_effects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
