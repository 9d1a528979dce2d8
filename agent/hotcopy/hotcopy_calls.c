#include "agent/hotcopy/hotcopy_calls.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_answer.h"
#include "proto/base/err.h"

/* ------------------------------------------------------------------- statuses -- */

/* [MS-ERREF] 2.3.1; hotcopy.h says which the driver gives. */
#define NOT_IN_THIS_STATE 0xC0000184u

static const struct {
	uint32_t status;
	enum err_code code;
	const char *words;
} meanings[] = {
	{ 0xC000000D, ERR_IO, "the driver refuses a field of the call" },
	{ 0xC0000004, ERR_IO, "the driver expects another size" },
	{ 0xC0000059, ERR_UNSUPPORTED,
	    "the driver speaks another version of its interface" },
	{ NOT_IN_THIS_STATE, ERR_UNSUPPORTED, "not possible in the state it is in" },
	{ 0xC0000225, ERR_NOTFOUND, "the driver knows no such volume or set" },
	{ 0x80000011, ERR_BUSY, "another snapshot set is open" },
	{ 0xC00000B5, ERR_TIMEOUT,
	    "the volumes did not come to rest in time; nothing was frozen" },
	{ 0xC000009A, ERR_NOSPACE, "not enough memory for it" },
	{ 0xC0000010, ERR_UNSUPPORTED, "the driver has no such call" },
	{ 0xC0000022, ERR_DENIED, "access is denied" },
	{ 0xC0000120, ERR_CANCELED, "cancelled" },
	{ 0xC0000185, ERR_IO, "the disk could not be read" },
	{ HOTCOPY_STATUS_LOST, ERR_SNAPSHOT_LOST, "the frozen view is lost" },
	{ HOTCOPY_STATUS_NOT_KEPT, ERR_SNAPSHOT_LOST,
	    "these bytes of the frozen view were given up" },
	{ HOTCOPY_GONE, ERR_SNAPSHOT_LOST,
	    "the driver is gone, and with it what was frozen" },
	{ HOTCOPY_ANSWER_WRONG, ERR_IO, "the driver's answer is not as it must be" },
};

int
hotcopy_error(uint32_t status, const char *what, struct err *err)
{
	size_t i = 0;

	if (status == HOTCOPY_OK)
		return 0;
	while (i < sizeof(meanings) / sizeof(meanings[0]) && meanings[i].status != status)
		i++;
	if (i == sizeof(meanings) / sizeof(meanings[0]))
		return err_set(err, ERR_IO, "%s: the driver refuses it (status 0x%08lx)",
		    what, (unsigned long)status);
	return err_set(err, meanings[i].code, "%s: %s", what, meanings[i].words);
}

/* ---------------------------------------------------------- requests and answers -- */

void
hotcopy_ask(struct hotcopy_header *h, size_t size)
{
	h->size = (uint32_t)size;
	h->abi = HOTCOPY_ABI;
}

uint32_t
hotcopy_answer(struct hotcopy_link *l, uint32_t code, const void *in, size_t len,
    void *out, size_t room)
{
	struct hotcopy_header h;
	size_t given;
	uint32_t status = hotcopy_link_call(l, code, in, len, out, room, &given);

	if (status != HOTCOPY_OK)
		return status;
	if (given != room)
		return HOTCOPY_ANSWER_WRONG;
	if (room == 0)
		return HOTCOPY_OK;
	memcpy(&h, out, sizeof(h));
	return h.size == room && h.abi == HOTCOPY_ABI ? HOTCOPY_OK : HOTCOPY_ANSWER_WRONG;
}

/* A call without an answer's bytes. */
static int
say(struct hotcopy_link *l, uint32_t code, const void *in, size_t len, const char *what,
    struct err *err)
{
	return hotcopy_error(hotcopy_answer(l, code, in, len, NULL, 0), what, err);
}

int
hotcopy_is_disabled(struct hotcopy_link *l, uint32_t *build, struct err *err)
{
	struct hotcopy_version v;
	uint32_t status =
	    hotcopy_answer(l, HOTCOPY_IOCTL_VERSION, NULL, 0, &v, sizeof(v));

	if (hotcopy_error(status, "asking for the driver's version", err) != 0)
		return -1;
	if (build != NULL)
		*build = v.build;
	return (v.flags & HOTCOPY_VERSION_DISABLED) != 0;
}

/* -------------------------------------------------------------------- volumes -- */

static int
list_is_sound(const struct hotcopy_volumes *v, size_t given)
{
	if (given < sizeof(*v) || v->h.size != given || v->h.abi != HOTCOPY_ABI ||
	    v->given > HOTCOPY_ENUM_MAX || v->count < v->given ||
	    given != sizeof(*v) + v->given * sizeof(v->volume[0]))
		return 0;
	for (uint32_t i = 0; i < v->given; i++) {
		const struct hotcopy_volume *w = &v->volume[i];

		if (w->state > HOTCOPY_PASSING || w->tracking > HOTCOPY_TRACK_INVALID ||
		    w->sector == 0 || (w->sector & (w->sector - 1)) != 0)
			return 0;
	}
	return 1;
}

int
hotcopy_list(struct hotcopy_link *l, struct hotcopy_volumes **out, struct err *err)
{
	size_t room = sizeof(struct hotcopy_volumes) +
		      HOTCOPY_ENUM_MAX * sizeof(struct hotcopy_volume);
	struct hotcopy_volumes *v = calloc(1, room);
	uint32_t status;
	size_t given;

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the driver's volumes");
	status = hotcopy_link_call(l, HOTCOPY_IOCTL_ENUM, NULL, 0, v, room, &given);
	if (status == HOTCOPY_OK && !list_is_sound(v, given))
		status = HOTCOPY_ANSWER_WRONG;
	if (hotcopy_error(status, "asking for the driver's volumes", err) != 0) {
		free(v);
		return -1;
	}
	*out = v;
	return 0;
}

int
hotcopy_find(
    struct hotcopy_link *l, uint64_t volume, struct hotcopy_volume *out, struct err *err)
{
	struct hotcopy_volumes *v;
	uint32_t i = 0;

	if (hotcopy_list(l, &v, err) != 0)
		return -1;
	while (i < v->given && v->volume[i].volume != volume)
		i++;
	if (i < v->given)
		*out = v->volume[i];
	else
		(void)err_set(err, ERR_NOTFOUND, "the driver has no volume %llu any more",
		    (unsigned long long)volume);
	i = i < v->given;
	free(v);
	return i ? 0 : -1;
}

/* ------------------------------------------------------------------- tracking -- */

int
hotcopy_track(struct hotcopy_link *l, uint64_t volume, const uint8_t guid[16],
    const uint8_t nonce[HOTCOPY_NONCE], const struct hotcopy_extent *extent,
    unsigned extents, struct err *err)
{
	size_t len = sizeof(struct hotcopy_track) + extents * sizeof(*extent);
	struct hotcopy_track *t;
	int rc;

	if (extents > HOTCOPY_EXTENTS_MAX)
		return err_set(err, ERR_UNSUPPORTED,
		    "a tracking store of %u pieces: the driver takes %u", extents,
		    HOTCOPY_EXTENTS_MAX);
	if ((t = calloc(1, len)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to begin tracking");
	hotcopy_ask(&t->h, len);
	t->volume = volume;
	t->flags = HOTCOPY_TRACK_CREATE;
	t->extents = extents;
	memcpy(t->guid, guid, sizeof(t->guid));
	memcpy(t->nonce, nonce, sizeof(t->nonce));
	if (extents > 0)
		memcpy(t->extent, extent, extents * sizeof(*extent));
	rc = say(l, HOTCOPY_IOCTL_TRACK, t, len, "beginning to track", err);
	free(t);
	return rc;
}

static int
untrack(struct hotcopy_link *l, uint64_t volume, uint32_t flags, const char *what,
    struct err *err)
{
	struct hotcopy_untrack u = { .volume = volume, .flags = flags };

	hotcopy_ask(&u.h, sizeof(u));
	return say(l, HOTCOPY_IOCTL_UNTRACK, &u, sizeof(u), what, err);
}

int
hotcopy_untrack(struct hotcopy_link *l, uint64_t volume, struct err *err)
{
	return untrack(l, volume, 0, "ending the tracking", err);
}

int
hotcopy_invalidate(struct hotcopy_link *l, uint64_t volume, struct err *err)
{
	return untrack(l, volume, HOTCOPY_UNTRACK_INVALIDATE,
	    "telling that the tracking is wrong", err);
}

/* The driver says "not in this state" of a generation that it does not know. */
static int
end_generation(struct hotcopy_link *l, uint32_t code, uint64_t volume,
    uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE], const char *what,
    struct err *err)
{
	struct hotcopy_generation g = { .volume = volume, .generation = generation };
	uint32_t status;

	hotcopy_ask(&g.h, sizeof(g));
	memcpy(g.nonce, nonce, sizeof(g.nonce));
	status = hotcopy_answer(l, code, &g, sizeof(g), NULL, 0);
	if (status == NOT_IN_THIS_STATE)
		return err_set(
		    err, ERR_NOTFOUND, "%s: the driver does not know it", what);
	return hotcopy_error(status, what, err);
}

int
hotcopy_commit(struct hotcopy_link *l, uint64_t volume, uint64_t generation,
    const uint8_t nonce[HOTCOPY_NONCE], struct err *err)
{
	return end_generation(l, HOTCOPY_IOCTL_COMMIT, volume, generation, nonce,
	    "committing a tracking generation", err);
}

int
hotcopy_abort(struct hotcopy_link *l, uint64_t volume, uint64_t generation,
    const uint8_t nonce[HOTCOPY_NONCE], struct err *err)
{
	return end_generation(l, HOTCOPY_IOCTL_ABORT, volume, generation, nonce,
	    "giving a tracking generation up", err);
}
