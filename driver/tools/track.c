#include <windows.h>

#include <wincrypt.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/tools/call.h"
#include "driver/tools/commands.h"
#include "driver/tools/list.h"
#include "driver/tools/name.h"
#include "driver/tools/parse.h"
#include "driver/tools/pin.h"
#include "driver/tools/say.h"
#include "driver/tools/set.h"

/* What "track" was asked for. */
struct wish {
	const wchar_t *volume, *store;
	struct hotcopy_extent extent[SET_EXTENTS_MAX];
	uint32_t extents;
	BOOL create;
};

static int
read_wish(struct wish *w, int argc, wchar_t **argv)
{
	int i;

	memset(w, 0, sizeof *w);
	for (i = 0; i < argc; i++) {
		if (wcscmp(argv[i], L"--create") == 0) {
			w->create = TRUE;
		} else if (wcscmp(argv[i], L"--store") == 0 && i + 1 < argc) {
			w->store = argv[++i];
		} else if (wcscmp(argv[i], L"--extents") == 0 && i + 1 < argc) {
			if (w->extents == SET_EXTENTS_MAX)
				return say_error(
				    L"more than %u extents", SET_EXTENTS_MAX);
			if (parse_extent(argv[++i], &w->extent[w->extents++]) != 0)
				return -1;
		} else if (argv[i][0] == L'-' || w->volume != NULL) {
			return say_error(
			    L"'%ls': unknown, or without its value", argv[i]);
		} else {
			w->volume = argv[i];
		}
	}
	if (w->store != NULL && w->extents > 0)
		return say_error(L"--store or --extents, not both");
	return w->volume != NULL ? 0 : say_error(L"which volume?");
}

static int
random_bytes(uint8_t *out, DWORD n)
{
	HCRYPTPROV provider;
	BOOL ok;

	if (!CryptAcquireContextW(
		&provider, NULL, NULL, PROV_RSA_FULL, CRYPT_VERIFYCONTEXT))
		return say_os_error(GetLastError(), L"no random numbers");
	ok = CryptGenRandom(provider, n, out);
	CryptReleaseContext(provider, 0);
	return ok ? 0 : say_os_error(GetLastError(), L"no random numbers");
}

static int
send_track(HANDLE h, const struct wish *w, uint64_t volume,
    const struct hotcopy_extent *extent, uint32_t extents)
{
	size_t bytes = sizeof(struct hotcopy_track) + extents * sizeof *extent;
	struct hotcopy_track *t = calloc(1, bytes);
	int r = -1;

	if (t == NULL)
		return say_error(L"no memory");
	call_header(&t->h, bytes);
	t->volume = volume;
	t->extents = extents;
	/* In memory there is nothing to be read again. */
	t->flags = w->create || extents == 0 ? HOTCOPY_TRACK_CREATE : 0;
	if (extents > 0)
		memcpy(t->extent, extent, extents * sizeof *extent);
	if (name_guid(w->volume, t->guid) == 0 &&
	    random_bytes(t->nonce, HOTCOPY_NONCE) == 0)
		r = call_do(h, HOTCOPY_IOCTL_TRACK, t, bytes, NULL, 0, L"track");
	free(t);
	return r;
}

static int
track_by_store(HANDLE h, const struct wish *w, const struct hotcopy_volume *v)
{
	struct pin pin;
	uint64_t at;
	int r = -1;

	if (pin_open(&pin, w->store, w->create ? v->store_bytes : 0, true) == 0 &&
	    name_volume(pin.path, &at) == 0) {
		if (at != v->volume)
			say_error(
			    L"%ls lies on another volume than %ls", w->store, w->volume);
		else
			r = send_track(h, w, v->volume, pin.extent, pin.extents);
	}
	if (r == 0) {
		say_out(L"tracking; the store stays pinned until this ends (Ctrl-C)\r\n");
		Sleep(INFINITE);
	}
	pin_close(&pin);
	return r;
}

int
track_begin(int argc, wchar_t **argv)
{
	struct hotcopy_volume facts;
	struct wish w;
	uint64_t volume;
	HANDLE h;
	int r = -1;

	if (argc == 0)
		return COMMANDS_USAGE;
	if (read_wish(&w, argc, argv) != 0 || name_volume(w.volume, &volume) != 0 ||
	    (h = call_open()) == NULL)
		return 1;
	if (list_find(h, volume, &facts) == 0)
		r = w.store != NULL ? track_by_store(h, &w, &facts)
				    : send_track(h, &w, volume, w.extent, w.extents);
	CloseHandle(h);
	return r == 0 ? 0 : 1;
}

int
track_end(int argc, wchar_t **argv)
{
	struct hotcopy_untrack u = { 0 };
	HANDLE h;
	int r;

	if (argc == 2 && wcscmp(argv[0], L"--invalidate") == 0) {
		u.flags = HOTCOPY_UNTRACK_INVALIDATE;
		argv++;
		argc--;
	}
	if (argc != 1)
		return COMMANDS_USAGE;
	if (name_volume(argv[0], &u.volume) != 0 || (h = call_open()) == NULL)
		return 1;
	call_header(&u.h, sizeof u);
	r = call_do(h, HOTCOPY_IOCTL_UNTRACK, &u, sizeof u, NULL, 0, L"untrack");
	CloseHandle(h);
	return r == 0 ? 0 : 1;
}

/* A set that is prepared and never frozen, for the question alone. */
int
track_changed(int argc, wchar_t **argv)
{
	struct hotcopy_volume facts;
	struct set s;
	int r = -1;

	if (set_options(&s, &argc, argv) != 0)
		return 1;
	if (argc != 1)
		return COMMANDS_USAGE;
	if (set_prepare(&s, 1, argv) == 0 &&
	    list_find(s.owner, s.ask.volume[0], &facts) == 0)
		r = set_changed(s.owner, s.number, 0, facts.length, true);
	set_close(&s);
	return r == 0 ? 0 : 1;
}

static int
generation(int argc, wchar_t **argv, uint32_t code, const wchar_t *what)
{
	struct hotcopy_generation g = { 0 };
	uint32_t number;
	HANDLE h;
	int r;

	if (argc != 3)
		return COMMANDS_USAGE;
	if (name_volume(argv[0], &g.volume) != 0 ||
	    parse_number(argv[1], UINT32_MAX, &number) != 0 ||
	    parse_nonce(argv[2], g.nonce) != 0 || (h = call_open()) == NULL)
		return 1;
	g.generation = number;
	call_header(&g.h, sizeof g);
	r = call_do(h, code, &g, sizeof g, NULL, 0, what);
	CloseHandle(h);
	return r == 0 ? 0 : 1;
}

int
track_commit(int argc, wchar_t **argv)
{
	return generation(argc, argv, HOTCOPY_IOCTL_COMMIT, L"commit");
}

int
track_abort(int argc, wchar_t **argv)
{
	return generation(argc, argv, HOTCOPY_IOCTL_ABORT, L"abort");
}
