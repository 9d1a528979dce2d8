#include "driver/tools/set.h"

#include <wincrypt.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/tools/call.h"
#include "driver/tools/name.h"
#include "driver/tools/parse.h"
#include "driver/tools/say.h"

#define DEFAULT_MEMORY (64u << 20)

const wchar_t *const set_help =
    L"Options of a set:\r\n"
    L"  --memory SIZE          memory for copies of the whole set (64M, at most 4G)\r\n"
    L"  --diff FILE            a file for copies, too; it stays pinned\r\n"
    L"  --diff-size SIZE       make that file, so large; it goes with the set\r\n"
    L"  --diff-extents [VOLUME=]OFFSET+LENGTH   the same by place, nothing is pinned\r\n"
    L"  --exclude [VOLUME=]OFFSET+LENGTH        never needed: a page file\r\n"
    L"  --throttle MS          with no room left a write waits so long before the image "
    L"is lost\r\n"
    L"  --chunk-shift N        copies of 2^N bytes, 14 to 18\r\n"
    L"  --only-changed         needed is what changed since the last committed "
    L"generation\r\n"
    L"  --generation           tracked volumes begin a new generation at the cut\r\n"
    L"  --cut-only             only that, no image\r\n"
    L"  --at-hold              cut when the file systems were flushed and held (VSS)\r\n"
    L"  --hold MS              ... and how long to wait for it\r\n"
    L"  --timeout MS           how long the gates may be closed (2000)\r\n";

static int
random_nonce(uint8_t nonce[HOTCOPY_NONCE])
{
	HCRYPTPROV provider;
	BOOL ok;

	if (!CryptAcquireContextW(
		&provider, NULL, NULL, PROV_RSA_FULL, CRYPT_VERIFYCONTEXT))
		return say_os_error(GetLastError(), L"no random numbers");
	ok = CryptGenRandom(provider, HOTCOPY_NONCE, nonce);
	CryptReleaseContext(provider, 0);
	return ok ? 0 : say_os_error(GetLastError(), L"no random numbers");
}

static int
add_volume(struct set *s, const wchar_t *word)
{
	uint32_t n = s->ask.volumes;

	if (n == HOTCOPY_VOLUMES_MAX)
		return say_error(L"more than %u volumes", HOTCOPY_VOLUMES_MAX);
	if (name_volume(word, &s->ask.volume[n]) != 0)
		return -1;
	s->name[n] = word;
	s->ask.volumes++;
	return 0;
}

/* [VOLUME=]OFFSET+LENGTH; "at" stays 0 for the set's first volume. */
static int
add_extent(struct set_extent *list, uint32_t *count, const wchar_t *word)
{
	const wchar_t *place = wcsrchr(word, L'=');
	wchar_t volume[NAME_MAX];
	struct set_extent *e = &list[*count];

	if (*count == SET_EXTENTS_MAX)
		return say_error(L"more than %u extents", SET_EXTENTS_MAX);
	e->at = 0;
	if (place != NULL) {
		if (place - word >= NAME_MAX)
			return say_error(L"'%ls' is no volume", word);
		memcpy(volume, word, (size_t)(place - word) * sizeof *volume);
		volume[place - word] = 0;
		if (name_volume(volume, &e->at) != 0)
			return -1;
	}
	if (parse_extent(place != NULL ? place + 1 : word, &e->extent) != 0)
		return -1;
	(*count)++;
	return 0;
}

/* An option without a value: whether it was one. */
static bool
take_flag(struct set *s, const wchar_t *word)
{
	if (wcscmp(word, L"--only-changed") == 0)
		s->ask.only_changed = UINT64_MAX;
	else if (wcscmp(word, L"--generation") == 0)
		s->freeze.flags |= HOTCOPY_FREEZE_GENERATION;
	else if (wcscmp(word, L"--cut-only") == 0)
		s->freeze.flags |= HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION;
	else if (wcscmp(word, L"--at-hold") == 0)
		s->freeze.flags |= HOTCOPY_FREEZE_AT_HOLD;
	else
		return false;
	return true;
}

/* 1: taken with its value, 0: none of a set's. */
static int
take_value(struct set *s, const wchar_t *word, const wchar_t *value)
{
	int r;

	if (wcscmp(word, L"--memory") == 0) {
		r = parse_size(value, &s->ask.memory);
	} else if (wcscmp(word, L"--throttle") == 0) {
		s->ask.full = HOTCOPY_FULL_THROTTLE;
		r = parse_number(value, HOTCOPY_THROTTLE_MS_MAX, &s->ask.throttle_ms);
	} else if (wcscmp(word, L"--chunk-shift") == 0) {
		r = parse_number(value, HOTCOPY_CHUNK_SHIFT_MAX, &s->ask.chunk_shift);
	} else if (wcscmp(word, L"--timeout") == 0) {
		r = parse_number(value, HOTCOPY_HOLD_MS_MAX, &s->freeze.timeout_ms);
	} else if (wcscmp(word, L"--hold") == 0) {
		r = parse_number(value, 3600000, &s->freeze.hold_ms);
	} else if (wcscmp(word, L"--exclude") == 0) {
		r = add_extent(s->exclude, &s->excludes, value);
	} else if (wcscmp(word, L"--diff-extents") == 0) {
		r = add_extent(s->diff, &s->diffs, value);
	} else if (wcscmp(word, L"--diff-size") == 0) {
		r = parse_size(value, &s->file_bytes);
	} else if (wcscmp(word, L"--diff") == 0) {
		if (s->files == SET_FILES_MAX)
			return say_error(L"more than %u diff files", SET_FILES_MAX);
		s->file[s->files++] = value;
		r = 0;
	} else {
		return 0;
	}
	return r == 0 ? 1 : -1;
}

int
set_options(struct set *s, int *argc, wchar_t **argv)
{
	int i, taken, left = 0;

	memset(s, 0, sizeof *s);
	s->ask.memory = DEFAULT_MEMORY;
	for (i = 0; i < *argc; i++) {
		if (argv[i][0] != L'-') {
			argv[left++] = argv[i];
			continue;
		}
		if (take_flag(s, argv[i]))
			continue;
		taken = i + 1 < *argc ? take_value(s, argv[i], argv[i + 1]) : 0;
		if (taken < 0)
			return -1;
		if (taken == 0)
			return say_error(
			    L"option '%ls': unknown, or without its value", argv[i]);
		i++;
	}
	*argc = left;
	return 0;
}

static int
send_extents(struct set *s, uint32_t code, uint64_t at,
    const struct hotcopy_extent *extent, uint32_t count, const wchar_t *what)
{
	size_t bytes = sizeof(struct hotcopy_extents) + count * sizeof *extent;
	struct hotcopy_extents *e = calloc(1, bytes);
	int r;

	if (e == NULL)
		return say_error(L"no memory");
	call_header(&e->h, bytes);
	e->set = s->number;
	e->at = at != 0 ? at : s->ask.volume[0];
	e->extents = count;
	memcpy(e->extent, extent, count * sizeof *extent);
	r = call_do(s->owner, code, e, bytes, NULL, 0, what);
	free(e);
	return r;
}

static int
add_files(struct set *s)
{
	uint64_t at;
	uint32_t i, from, n;

	for (i = 0; i < s->files; i++) {
		if (pin_open(&s->pin[i], s->file[i], s->file_bytes, false) != 0 ||
		    name_volume(s->pin[i].path, &at) != 0)
			return -1;
		for (from = 0; from < s->pin[i].extents; from += n) {
			n = s->pin[i].extents - from;
			if (n > HOTCOPY_EXTENTS_MAX)
				n = HOTCOPY_EXTENTS_MAX;
			if (send_extents(s, HOTCOPY_IOCTL_DIFF_ADD, at,
				s->pin[i].extent + from, n, L"the diff file") != 0)
				return -1;
		}
	}
	return 0;
}

/* The volumes are argv's words. */
static int
prepare(struct set *s)
{
	struct hotcopy_prepared prepared;

	if (s->ask.volumes == 0)
		return say_error(L"which volume?");
	if (s->ask.only_changed != 0 && s->ask.volumes < 64)
		s->ask.only_changed = ((uint64_t)1 << s->ask.volumes) - 1;
	call_header(&s->ask.h, sizeof s->ask);
	if (call_do(s->owner, HOTCOPY_IOCTL_PREPARE, &s->ask, sizeof s->ask, &prepared,
		sizeof prepared, L"prepare") != 0)
		return -1;
	s->number = prepared.set;
	s->chunk_shift = prepared.chunk_shift;
	return 0;
}

int
set_prepare(struct set *s, int argc, wchar_t **argv)
{
	uint32_t i;

	s->owner = call_open();
	if (s->owner == NULL)
		return -1;
	for (i = 0; i < (uint32_t)argc; i++)
		if (add_volume(s, argv[i]) != 0)
			return -1;
	if (prepare(s) != 0)
		return -1;
	for (i = 0; i < s->diffs; i++)
		if (send_extents(s, HOTCOPY_IOCTL_DIFF_ADD, s->diff[i].at,
			&s->diff[i].extent, 1, L"the diff area") != 0)
			return -1;
	for (i = 0; i < s->excludes; i++)
		if (send_extents(s, HOTCOPY_IOCTL_EXCLUDE, s->exclude[i].at,
			&s->exclude[i].extent, 1, L"what is to be excluded") != 0)
			return -1;
	return add_files(s);
}

int
set_freeze(struct set *s)
{
	if (random_nonce(s->freeze.nonce) != 0)
		return -1;
	call_header(&s->freeze.h, sizeof s->freeze);
	s->freeze.set = s->number;
	return call_do(s->owner, HOTCOPY_IOCTL_FREEZE, &s->freeze, sizeof s->freeze,
	    &s->frozen, sizeof s->frozen, L"freeze");
}

HANDLE
set_bind(uint64_t number, uint32_t index)
{
	struct hotcopy_bind bind = { .set = number, .index = index };
	HANDLE h = call_open();

	call_header(&bind.h, sizeof bind);
	if (h != NULL && call_do(h, HOTCOPY_IOCTL_BIND, &bind, sizeof bind, NULL, 0,
			     L"the image") != 0) {
		CloseHandle(h);
		h = NULL;
	}
	return h;
}

int
set_stats(HANDLE h, uint64_t number, uint32_t index)
{
	struct hotcopy_bind of = { .set = number, .index = index };
	struct hotcopy_stats s;

	call_header(&of.h, sizeof of);
	if (call_do(h, HOTCOPY_IOCTL_STATS, &of, sizeof of, &s, sizeof s, L"stats") != 0)
		return -1;
	say_out(L"stats %u writes %I64u held %I64u throttled %I64u longest-ms %I64u "
		L"copied %I64u "
		L"needed %I64u diff %I64u/%I64u memory %I64u/%I64u reads %I64u kept "
		L"%I64u\r\n",
	    index, s.writes, s.held, s.throttled, s.longest_hold / 10000, s.copied,
	    s.needed, s.diff_used, s.diff_size, s.memory_used, s.memory_size, s.reads,
	    s.reads_kept);
	return 0;
}

int
set_changed(HANDLE h, uint64_t number, uint32_t index, uint64_t length, bool now)
{
	struct {
		struct hotcopy_bits b;
		uint8_t bit[8192];
	} m;
	const uint64_t block = 1u << HOTCOPY_TRACK_SHIFT;
	uint64_t i, blocks = (length + block - 1) / block, start = UINT64_MAX;
	struct hotcopy_bits ask;
	uint32_t per = sizeof m.bit * 8, k;

	for (i = 0; i < blocks; i += k) {
		memset(&m, 0, sizeof m);
		m.b.set = number;
		m.b.index = index;
		m.b.flags = now ? HOTCOPY_BITS_NOW : 0;
		m.b.first = i;
		m.b.bits = blocks - i < per ? (uint32_t)(blocks - i) : per;
		call_header(&m.b.h, sizeof m.b);
		ask = m.b;
		if (call_do(h, HOTCOPY_IOCTL_CHANGED, &ask, sizeof ask, &m,
			sizeof m.b + (m.b.bits + 7) / 8, L"what changed") != 0)
			return -1;
		for (k = 0; k < ask.bits; k++) {
			bool on = m.bit[k / 8] >> k % 8 & 1;

			if (on && start == UINT64_MAX)
				start = i + k;
			if (!on && start != UINT64_MAX) {
				say_out(L"changed %u %I64u+%I64u\r\n", index,
				    start * block, (i + k - start) * block);
				start = UINT64_MAX;
			}
		}
	}
	if (start != UINT64_MAX)
		say_out(L"changed %u %I64u+%I64u\r\n", index, start * block,
		    length - start * block);
	return 0;
}

void
set_close(struct set *s)
{
	struct hotcopy_release release = { .set = s->number };
	uint32_t i;

	if (s->owner != NULL) {
		call_header(&release.h, sizeof release);
		if (s->number != 0)
			call_device(s->owner, HOTCOPY_IOCTL_RELEASE, &release,
			    sizeof release, NULL, 0, NULL);
		CloseHandle(s->owner);
	}
	/* The driver has let go of them now. */
	for (i = 0; i < s->files; i++)
		pin_close(&s->pin[i]);
	memset(s, 0, sizeof *s);
}
