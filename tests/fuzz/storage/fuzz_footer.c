/*
 * Footers and headers of packs.  Bit 0 of the first byte chooses; a footer that
 * is accepted must be the one that sealing would write.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/pack.h"
#include "storage/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static void
must(int holds)
{
	if (!holds)
		abort();
}

static void
take_header(const uint8_t *p)
{
	struct err err = ERR_INIT;
	struct pack_header h;
	uint8_t again[PACK_HEADER_LEN];

	if (pack_parse_header(p, &h, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return;
	}
	pack_format_header(&h, again);
	must(memcmp(p, again, sizeof(again)) == 0);
}

static void
take_footer(const uint8_t *p, size_t len, uint64_t file_len)
{
	struct err err = ERR_INIT;
	struct pack_trailer t;
	struct pack_toc toc = { .entries = NULL };
	uint8_t *again;
	size_t n;

	if (pack_parse_footer(p, len, file_len, &t, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return;
	}
	must((toc.entries = calloc(t.stats.chunks, sizeof(*toc.entries))) != NULL);
	/* Backwards, so that sorting has something to do. */
	for (toc.count = 0; toc.count < t.stats.chunks; toc.count++)
		pack_footer_entry(
		    p, &t, t.stats.chunks - 1 - toc.count, &toc.entries[toc.count]);
	toc.groups = t.stats.groups;
	toc.plain = t.stats.plain;
	toc.stored = t.stats.stored;
	must((again = pack_format_footer(&t.of, t.data_end, t.parity_len, &toc, &n)) !=
	     NULL);
	must(n == len && memcmp(p, again, n) == 0);
	free(again);
	free(toc.entries);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint64_t file_len;
	uint8_t *exact;

	if (len < 1)
		return 0;
	/* Of exact size, so that a read past the end is seen. */
	must((exact = malloc(len)) != NULL);
	memcpy(exact, p + 1, len - 1);
	if ((p[0] & 1) != 0) {
		if (len - 1 >= PACK_HEADER_LEN)
			take_header(exact);
	} else {
		file_len = len - 1;
		if (len - 1 >= PACK_TRAILER_LEN && (p[0] & 2) == 0)
			file_len = load_le64(exact + len - 1 - PACK_TRAILER_LEN + 40);
		take_footer(exact, len - 1, file_len);
	}
	free(exact);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	uint8_t *t;
	size_t n;

	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 16 == 0 || len < 1 + PACK_HEADER_LEN)
		return len;
	if ((p[0] & 1) != 0) {
		blake3(p + 1, PACK_HEADER_LEN - BLAKE3_OUT_LEN, NULL,
		    p + 1 + PACK_HEADER_LEN - BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
		return len;
	}
	if (len < 1 + PACK_TRAILER_LEN)
		return len;
	n = (len - 1 - PACK_TRAILER_LEN) / PACK_FOOTER_ENTRY_LEN;
	t = p + len - PACK_TRAILER_LEN;
	if (seed % 4 != 1) {
		uint64_t plain = 0;

		store_le32(t + 12, (uint32_t)n);
		store_le64(
		    t + 40, (uint64_t)load_le32(t + 20) + load_le32(t + 76) + len - 1);
		for (size_t i = 0; i < n; i++)
			plain += load_le32(p + 1 + i * PACK_FOOTER_ENTRY_LEN + 40);
		store_le64(t + 24, plain);
	}
	blake3(p + 1, len - 1 - BLAKE3_OUT_LEN, NULL, p + len - BLAKE3_OUT_LEN,
	    BLAKE3_OUT_LEN);
	return len;
}
