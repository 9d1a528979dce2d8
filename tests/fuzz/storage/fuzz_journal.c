/*
 * Journals: a run of records from anywhere.  The mutator puts right what binds
 * them (lengths, sequence, time, hash of the one before, MAC), so that what is
 * in them is reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/journal_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static const uint8_t store[JOURNAL_STORE_LEN] = "fuzz";
static const uint8_t key[32] = "fuzz";

static void
must(int holds)
{
	if (!holds)
		abort();
}

/*
 * What was accepted is what the writer writes: one encoding per record, but for
 * features and for fields of later programs, which are kept as they are.
 */
static void
same_again(const uint8_t *p, const struct journal_place *before,
    const struct journal_record *r, const struct journal_event *e)
{
	struct buf payload = BUF_INIT(JOURNAL_PAYLOAD_MAX),
		   frame = BUF_INIT(JOURNAL_RECORD_MAX);
	struct journal_place at = *before;
	struct err err = ERR_INIT;

	must(journal_encode(e, &payload, &err) == 0);
	must(payload.len <= r->len && memcmp(payload.p, r->payload, payload.len) == 0);
	if (payload.len < r->len || r->required != 0) {
		must(r->required != 0 || e->type != JOURNAL_POINT);
		buf_free(&payload);
		return;
	}
	must(journal_frame(r->type, payload.p, payload.len, r->end.time_us, r->durable,
		 key, &at, &frame, &err) == 0);
	must(frame.len == r->end.offset - before->offset);
	must(memcmp(frame.p, p, frame.len) == 0);
	must(memcmp(&at, &r->end, sizeof(at)) == 0);
	buf_free(&payload);
	buf_free(&frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct journal_event *e = malloc(sizeof(*e));
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	struct journal_place at;
	struct journal_record r;
	size_t done = 0, need;

	must(e != NULL);
	journal_file_header(store, 0, header, &at);
	for (;;) {
		struct err err = ERR_INIT;
		enum journal_parse what =
		    journal_parse(p + done, len - done, key, &at, &r, &need);

		if (what == JOURNAL_SHORT) {
			must(need > len - done && need <= JOURNAL_RECORD_MAX);
			break;
		}
		if (what == JOURNAL_BAD) {
			/* Authentic, or not at all: where it stands does not matter. */
			(void)journal_parse(p + done, len - done, key, NULL, &r, &need);
			break;
		}
		must(r.end.sequence == at.sequence + 1 && r.end.time_us > at.time_us);
		must(need <= len - done);
		switch (journal_decode(r.type, r.payload, r.len, e, &err)) {
		case 0:
			same_again(p + done, &at, &r, e);
			break;
		case 1:
			must((r.type & JOURNAL_OPTIONAL) != 0);
			break;
		default:
			must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		}
		err_clear(&err);
		must(journal_check(&r, e, &err) == 0 || err.code == ERR_UNSUPPORTED);
		done += need;
		at = r.end;
	}
	free(e);
	return 0;
}

/* Bind one record of `n` bytes to what is before it. */
static void
bind(uint8_t *p, size_t n, struct journal_place *at)
{
	size_t payload = n - JOURNAL_HEADER_LEN - JOURNAL_MAC_LEN;
	struct journal_record r;
	size_t need;

	store_le32(p, (uint32_t)payload);
	store_le16(p + 6, load_le16(p + 6) & 1);
	store_le64(p + 8, at->sequence + 1);
	if ((int64_t)load_le64(p + 16) <= at->time_us)
		store_le64(p + 16, (uint64_t)at->time_us + 1);
	memcpy(p + 32, at->hash, sizeof(at->hash));
	blake3(p, n - JOURNAL_MAC_LEN, key, p + n - JOURNAL_MAC_LEN, JOURNAL_MAC_LEN);
	if (journal_parse(p, n, key, at, &r, &need) == JOURNAL_WHOLE)
		*at = r.end;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	const size_t least = JOURNAL_HEADER_LEN + JOURNAL_MAC_LEN;
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	struct journal_place at;
	size_t done = 0;

	len = LLVMFuzzerMutate(p, len, max);
	/* Now and then what does not hold together is what is wanted. */
	if (seed % 16 == 0)
		return len;
	journal_file_header(store, 0, header, &at);
	while (len - done >= least) {
		size_t n = load_le32(p + done) + least;

		/* Types beyond the known ones are all alike: mostly stay within. */
		if (seed % 4 != 0)
			store_le16(p + done + 4, load_le16(p + done + 4) % 18);
		if (n > len - done || n > JOURNAL_RECORD_MAX)
			n = len - done < JOURNAL_RECORD_MAX ? len - done
							    : JOURNAL_RECORD_MAX;
		bind(p + done, n, &at);
		done += n;
	}
	return len;
}
