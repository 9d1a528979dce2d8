#include "agent/host/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "agent/host/settings.h"
#include "agent/host/state.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

#define AT_DONE 8u
#define AT_BEGAN 16u
#define AT_WHAT 24u
#define AT_SUM 56u
#define LEN 88u

static const uint8_t magic[8] = { 'H', 'F', 'S', 'C', 'H', 'E', 'D', '1' };

/* With its end, so that no two lists read alike. */
static void
add_text(struct blake3 *h, const char *text)
{
	blake3_update(h, text, strlen(text) + 1);
}

static void
add_identity(struct blake3 *h, const struct state *st)
{
	struct state_identity *id = calloc(1, sizeof(*id));
	struct err ignored = ERR_INIT;

	if (id != NULL && state_identity(st, id, &ignored) == 1) {
		blake3_update(h, id->ca.der, id->ca.len);
		add_text(h, id->facts.name);
		state_identity_free(id);
	}
	free(id);
}

void
schedule_what(
    const struct state *st, const struct settings *s, uint8_t out[SCHEDULE_WHAT])
{
	const struct settings_volume *v;
	struct blake3 h;

	blake3_init(&h, NULL);
	add_text(&h, s->include);
	add_text(&h, s->exclude);
	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++) {
		add_text(&h, i < s->count ? "volume" : "disk");
		add_text(&h, v->name);
		add_text(&h, v->path);
	}
	add_identity(&h, st);
	blake3_final(&h, out, SCHEDULE_WHAT);
}

/* ----------------------------------------------------------------------- the file -- */

void
schedule_load(const struct state *st, struct schedule *out)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	struct err ignored = ERR_INIT;
	uint8_t sum[LEN - AT_SUM];

	memset(out, 0, sizeof(*out));
	if (state_read(st, SCHEDULE_NAME, &file, &ignored) == 1 && file.len == LEN) {
		blake3(file.p, AT_SUM, NULL, sum, sizeof(sum));
		if (memcmp(file.p, magic, sizeof(magic)) == 0 &&
		    memcmp(file.p + AT_SUM, sum, sizeof(sum)) == 0) {
			out->done_us = (int64_t)load_le64(file.p + AT_DONE);
			out->began_us = (int64_t)load_le64(file.p + AT_BEGAN);
			memcpy(out->what, file.p + AT_WHAT, SCHEDULE_WHAT);
		}
	}
	buf_free(&file);
}

static int
store(const struct state *st, const struct schedule *s, struct err *err)
{
	uint8_t p[LEN];

	memcpy(p, magic, sizeof(magic));
	store_le64(p + AT_DONE, (uint64_t)s->done_us);
	store_le64(p + AT_BEGAN, (uint64_t)s->began_us);
	memcpy(p + AT_WHAT, s->what, SCHEDULE_WHAT);
	blake3(p, AT_SUM, NULL, p + AT_SUM, LEN - AT_SUM);
	return state_write(st, SCHEDULE_NAME, p, LEN, 0600, err);
}

int
schedule_begin(const struct state *st, struct schedule *s,
    const uint8_t what[SCHEDULE_WHAT], int64_t now_us, struct err *err)
{
	if (memcmp(s->what, what, SCHEDULE_WHAT) != 0)
		s->done_us = 0;
	memcpy(s->what, what, SCHEDULE_WHAT);
	s->began_us = now_us;
	return store(st, s, err);
}

int
schedule_end(
    const struct state *st, struct schedule *s, int good, int64_t now_us, struct err *err)
{
	if (good)
		s->done_us = now_us;
	s->began_us = 0;
	return store(st, s, err);
}

/* ------------------------------------------------------------------------ the time -- */

/* What is left of `span_s` since `then`, which may be no time at all (0, the future). */
static uint32_t
left(int64_t then_us, int64_t now_us, uint32_t span_s)
{
	const int64_t skew_us = (int64_t)SCHEDULE_SKEW_S * 1000000;
	int64_t gone_s;

	if (then_us <= 0 || now_us <= 0 || then_us - skew_us > now_us)
		return 0;
	gone_s = then_us > now_us ? 0 : (now_us - then_us) / 1000000;
	return gone_s < span_s ? span_s - (uint32_t)gone_s : 0;
}

uint32_t
schedule_wait_s(const struct schedule *s, const uint8_t what[SCHEDULE_WHAT],
    int64_t now_us, uint32_t interval_s, uint32_t again_s)
{
	uint32_t next, again;

	if (memcmp(s->what, what, SCHEDULE_WHAT) != 0)
		return 0;
	next = left(s->done_us, now_us, interval_s);
	again = left(s->began_us, now_us, again_s);
	return next > again ? next : again;
}
