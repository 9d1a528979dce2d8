/*
 * What the driver answers, of any bytes: the calls see a link whose answers are the
 * input.  An answer is a byte (how much of the room it fills, whether it has a right
 * header, whether it failed) and what it is made of.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

#define LENGTH ((9u << 20) + 512)

#define FAILS 0x80u
#define HEADED 0x40u   /* Its header is right. */
#define ECHOES 0x20u   /* What was asked lies at its front. */
#define NOT_FULL 0x1fu /* So many times eight bytes less than there is room for. */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* The link: the rest of the input. */
struct hotcopy_link {
	const uint8_t *p;
	size_t left;
};

uint32_t
hotcopy_link_call(struct hotcopy_link *l, uint32_t code, const void *in, size_t len,
    void *out, size_t room, size_t *given)
{
	uint32_t head[2] = { 0, HOTCOPY_ABI };
	size_t n, less;
	unsigned how;

	(void)code;
	*given = 0;
	if (l->left == 0)
		return HOTCOPY_GONE;
	how = *l->p++;
	l->left--;
	if ((how & FAILS) != 0) {
		static const uint32_t status[] = { 0xC000000D, 0xC0000184, 0x80000011,
			0x12345678, HOTCOPY_STATUS_LOST, HOTCOPY_STATUS_NOT_KEPT };

		return status[how % 6];
	}
	less = (how & NOT_FULL) * 8;
	*given = room > less ? room - less : 0;
	if (*given == 0)
		return HOTCOPY_OK;
	memset(out, 0, *given);
	n = l->left < *given ? l->left : *given;
	memcpy(out, l->p, n);
	l->p += n;
	l->left -= n;
	if ((how & ECHOES) != 0 && len > 0 && len <= *given)
		memcpy(out, in, len);
	head[0] = (uint32_t)*given;
	if ((how & HEADED) != 0 && *given >= sizeof(head))
		memcpy(out, head, sizeof(head));
	return HOTCOPY_OK;
}

/* Calls that are answered by a status alone. */
static void
say(struct hotcopy_link *l)
{
	static const struct hotcopy_extent extent[2] = { { 0, 512 }, { 4096, 512 } };
	static const uint8_t zeros[HOTCOPY_NONCE];
	struct err err[9];
	int rc[9];

	for (unsigned i = 0; i < 9; i++)
		err_clear(&err[i]);
	rc[0] = hotcopy_track(l, 1, zeros, zeros, extent, 2, &err[0]);
	rc[1] = hotcopy_untrack(l, 1, &err[1]);
	rc[2] = hotcopy_invalidate(l, 1, &err[2]);
	rc[3] = hotcopy_add_room(l, 1, 1, extent, 2, &err[3]);
	rc[4] = hotcopy_exclude(l, 1, 1, extent, 2, &err[4]);
	rc[5] = hotcopy_bind(l, 1, 0, &err[5]);
	rc[6] = hotcopy_done_read(l, 1, 0, 0, 512, &err[6]);
	rc[7] = hotcopy_release(l, 1, &err[7]);
	rc[8] = hotcopy_abort(l, 1, 1, zeros, &err[8]);
	for (unsigned i = 0; i < 9; i++)
		if ((rc[i] == 0) != (err[i].code == ERR_NONE))
			abort();
}

static uint64_t after; /* Where the last range ended. */

static int
rising(void *arg, uint64_t offset, uint64_t len)
{
	(void)arg;
	if (len == 0 || offset < after || offset >= LENGTH || len > LENGTH - offset)
		abort();
	after = offset + len + 1; /* Those that touch are one. */
	return 0;
}

static void
sets(struct hotcopy_link *l)
{
	struct hotcopy_wishes w = { .memory = 1 << 20 };
	struct hotcopy_prepared prepared;
	struct hotcopy_frozen f;
	struct hotcopy_stats s;
	uint8_t nonce[HOTCOPY_NONCE] = { 0 };
	struct err err = ERR_INIT;
	uint64_t volume = 1;

	if (hotcopy_prepare(l, &volume, 1, &w, &prepared, &err) == 0 &&
	    (prepared.set == 0 || prepared.chunk_shift < HOTCOPY_CHUNK_SHIFT_MIN ||
		prepared.chunk_shift > HOTCOPY_CHUNK_SHIFT_MAX))
		abort();
	err_clear(&err);
	if (hotcopy_freeze(l, 1, 0, 0, 0, nonce, &f, &err) == 0 &&
	    f.volumes > HOTCOPY_VOLUMES_MAX)
		abort();
	err_clear(&err);
	(void)hotcopy_stats(l, 1, 0, &s, &err);
	err_clear(&err);
	(void)hotcopy_unneeded(l, 1, 0, 0, 100, nonce, &err);
	err_clear(&err);
	(void)hotcopy_commit(l, 1, 1, nonce, &err);
	for (int now = 0; now < 2; now++) {
		after = 0;
		err_clear(&err);
		(void)hotcopy_changed(l, 1, 0, LENGTH, now, rising, NULL, &err);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct hotcopy_link l = { p, len };
	struct hotcopy_volumes *v = NULL;
	struct hotcopy_volume one;
	struct err err = ERR_INIT;
	uint32_t build;

	(void)hotcopy_is_disabled(&l, &build, &err);
	err_clear(&err);
	if (hotcopy_list(&l, &v, &err) == 0)
		for (uint32_t i = 0; i < v->given; i++)
			if (v->volume[i].sector == 0 ||
			    v->volume[i].state > HOTCOPY_PASSING)
				abort();
	free(v);
	err_clear(&err);
	(void)hotcopy_find(&l, 5, &one, &err);
	sets(&l);
	say(&l);
	return 0;
}
