/*
 * The frame decoder: whatever comes, cut anywhere, it must give the frames that
 * a reading of the whole gives, keep to its limit and stay broken once broken.
 * Input: payload limit (2 bytes), size of the pieces (1), the stream.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
must(int holds)
{
	if (!holds)
		abort();
}

/* `f` must be what the bytes at `p` say; returns its length there. */
static size_t
must_match(const struct frame *f, const uint8_t *p, size_t len)
{
	uint8_t header[FRAME_HEADER_LEN];

	must(len >= FRAME_HEADER_LEN + f->len);
	frame_encode_header(f, header);
	must(memcmp(header, p, FRAME_HEADER_LEN) == 0);
	must((f->payload == NULL) == (f->len == 0));
	if (f->len > 0)
		must(memcmp(f->payload, p + FRAME_HEADER_LEN, f->len) == 0);
	return FRAME_HEADER_LEN + f->len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct frame_decoder *d;
	struct err err = ERR_INIT;
	size_t max, piece, fed = 0, matched = 0;
	struct frame f;

	if (len < 3)
		return 0;
	max = load_le16(p);
	piece = (size_t)p[2] + 1;
	p += 3;
	len -= 3;
	must((d = frame_decoder_new(max / 2)) != NULL);
	frame_decoder_limit(d, max);
	for (;;) {
		size_t n = piece < len - fed ? piece : len - fed;

		n = frame_decoder_feed(d, p + fed, n);
		fed += n;
		switch (frame_decoder_next(d, &f, &err)) {
		case FRAME_NEXT_READY:
			must(f.len <= max);
			matched += must_match(&f, p + matched, len - matched);
			must(matched == fed);
			break;
		case FRAME_NEXT_BROKEN:
			must(err.code == ERR_PROTOCOL || err.code == ERR_LIMIT);
			must(fed - matched == FRAME_HEADER_LEN);
			must(load_le32(p + matched) > max || p[matched + 6] > 1 ||
			     p[matched + 7] != 0);
			must(frame_decoder_feed(d, p, len) == 0);
			frame_decoder_free(d);
			return 0;
		case FRAME_NEXT_WANT:
			must(frame_decoder_inside(d) == (fed > matched));
			break;
		}
		if (fed == len)
			break;
	}
	frame_decoder_free(d);
	return 0;
}
