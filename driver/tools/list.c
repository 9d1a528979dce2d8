#include "driver/tools/list.h"

#include <stdlib.h>

#include "driver/tools/call.h"
#include "driver/tools/commands.h"
#include "driver/tools/name.h"
#include "driver/tools/parse.h"
#include "driver/tools/say.h"

static const wchar_t *
word(const wchar_t *const *words, size_t count, uint32_t n)
{
	return n < count ? words[n] : L"?";
}
#define WORD(words, n) word(words, sizeof(words) / sizeof((words)[0]), n)

static const wchar_t *const states[] = { L"idle", L"prepared", L"gated", L"active",
	L"dropped", L"removed", L"passing" };
static const wchar_t *const trackings[] = { L"off", L"new", L"valid", L"recovered",
	L"invalid" };
static const wchar_t *const whys[] = { L"-", L"no-space", L"read-error", L"diff-error",
	L"removed", L"resized", L"unknown-write", L"written-into", L"power",
	L"store-error", L"store-damaged", L"foreign", L"no-memory", L"asked" };

struct hotcopy_volumes *
list_read(HANDLE h)
{
	size_t room = sizeof(struct hotcopy_volumes) +
		      HOTCOPY_ENUM_MAX * sizeof(struct hotcopy_volume);
	struct hotcopy_volumes *v = calloc(1, room);
	uint32_t given, status;

	if (v == NULL) {
		say_error(L"no memory");
		return NULL;
	}
	status = call_device(h, HOTCOPY_IOCTL_ENUM, NULL, 0, v, room, &given);
	if (status == CALL_OK &&
	    (given < sizeof *v || v->h.abi != HOTCOPY_ABI || v->given > HOTCOPY_ENUM_MAX))
		status = 0xc0000059;
	if (status == CALL_OK)
		return v;
	say_error(L"list: %ls (status 0x%08x)", call_words(status), status);
	free(v);
	return NULL;
}

int
list_find(HANDLE h, uint64_t volume, struct hotcopy_volume *out)
{
	struct hotcopy_volumes *v = list_read(h);
	uint32_t i;
	int r = 1;

	if (v == NULL)
		return -1;
	for (i = 0; i < v->given; i++) {
		if (v->volume[i].volume != volume)
			continue;
		*out = v->volume[i];
		r = 0;
	}
	free(v);
	return r == 0 ? 0 : say_error(L"the driver knows no volume #%I64u", volume);
}

static void
print_volume(const struct hotcopy_volume *v)
{
	wchar_t nonce[33];

	parse_nonce_text(v->nonce, nonce);
	say_out(L"#%I64u %I64u bytes, sectors of %u, %ls, tracking %ls, why %ls, "
		L"generation %I64u %ls, "
		L"%I64u changed blocks, store %I64u bytes, paging %u\r\n",
	    v->volume, v->length, v->sector, WORD(states, v->state),
	    WORD(trackings, v->tracking), WORD(whys, v->why), v->generation, nonce,
	    v->changed, v->store_bytes, v->paging);
}

static void
print_name(void *arg, const wchar_t *path, const wchar_t *mounted, uint64_t volume)
{
	(void)arg;
	if (volume != 0)
		say_out(L"#%I64u is %ls %ls\r\n", volume, path, mounted);
	else
		say_out(L"without the filter: %ls %ls\r\n", path, mounted);
}

int
list_volumes(int argc, wchar_t **argv)
{
	struct hotcopy_version version;
	struct hotcopy_volumes *v;
	HANDLE h;
	uint32_t i;
	int r;

	(void)argv;
	if (argc != 0)
		return COMMANDS_USAGE;
	h = call_open();
	if (h == NULL)
		return 1;
	r = call_do(
	    h, HOTCOPY_IOCTL_VERSION, NULL, 0, &version, sizeof version, L"version");
	v = r == 0 ? list_read(h) : NULL;
	CloseHandle(h);
	if (v == NULL)
		return 1;
	say_out(L"driver build %u%ls, %u volumes\r\n", version.build,
	    (version.flags & HOTCOPY_VERSION_DISABLED) != 0 ? L", disabled" : L"",
	    v->count);
	for (i = 0; i < v->given; i++)
		print_volume(&v->volume[i]);
	free(v);
	return name_each(print_name, NULL) == 0 ? 0 : 1;
}

int
list_attached(int argc, wchar_t **argv)
{
	uint64_t volume;

	if (argc != 1)
		return COMMANDS_USAGE;
	if (name_volume(argv[0], &volume) != 0)
		return 1;
	say_out(L"#%I64u\r\n", volume);
	return 0;
}
