#include "driver/tools/dump.h"

#include <winioctl.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/tools/call.h"
#include "driver/tools/commands.h"
#include "driver/tools/list.h"
#include "driver/tools/name.h"
#include "driver/tools/parse.h"
#include "driver/tools/say.h"
#include "driver/tools/set.h"

#define PIECE (256u << 10)
#define SMALL 4096u /* where only a part of a piece is kept */

static bool
all_zero(const uint8_t *b, uint32_t n)
{
	return b[0] == 0 && memcmp(b, b + 1, n - 1) == 0;
}

/* A piece that is not kept whole: by small reads, zeros for what is missing. */
static uint32_t
read_parts(
    HANDLE image, uint64_t offset, uint8_t *out, uint32_t length, uint64_t *missing)
{
	uint32_t done, n, status;

	for (done = 0; done < length; done += n) {
		n = length - done < SMALL ? length - done : SMALL;
		status = call_read(image, offset + done, out + done, n);
		if (status == CALL_NOT_KEPT) {
			memset(out + done, 0, n);
			*missing += n;
		} else if (status != CALL_OK) {
			return status;
		}
	}
	return CALL_OK;
}

static int
write_at(HANDLE to, uint64_t offset, const void *bytes, uint32_t length)
{
	LARGE_INTEGER place;
	DWORD done;

	place.QuadPart = (LONGLONG)offset;
	return SetFilePointerEx(to, place, NULL, FILE_BEGIN) &&
		       WriteFile(to, bytes, length, &done, NULL) && done == length
		   ? 0
		   : -1;
}

static int
copy_all(HANDLE image, HANDLE to, uint64_t length, const wchar_t *file)
{
	uint8_t *piece = malloc(PIECE);
	uint64_t at, missing = 0;
	uint32_t n, status;
	LARGE_INTEGER end;
	int r = 0;

	if (piece == NULL)
		return say_error(L"no memory");
	for (at = 0; at < length && r == 0; at += n) {
		n = length - at < PIECE ? (uint32_t)(length - at) : PIECE;
		status = call_read(image, at, piece, n);
		if (status == CALL_NOT_KEPT)
			status = read_parts(image, at, piece, n, &missing);
		if (status != CALL_OK)
			r = say_error(L"the image at %I64u: %ls (status 0x%08x)", at,
			    call_words(status), status);
		else if (!all_zero(piece, n) && write_at(to, at, piece, n) != 0)
			r = say_os_error(GetLastError(), L"%ls", file);
		if (at % (64u << 20) == 0)
			say_progress(L"%I64u of %I64u MiB ", at >> 20, length >> 20);
	}
	free(piece);
	say_progress(L"                                        \r");
	end.QuadPart = (LONGLONG)length;
	if (r == 0 && (!SetFilePointerEx(to, end, NULL, FILE_BEGIN) || !SetEndOfFile(to)))
		r = say_os_error(GetLastError(), L"%ls", file);
	if (r == 0)
		say_out(L"dumped %I64u bytes, %I64u not kept\r\n", length, missing);
	return r;
}

int
dump_image(HANDLE image, uint64_t length, const wchar_t *file)
{
	HANDLE to = CreateFileW(file, GENERIC_WRITE | DELETE, FILE_SHARE_READ, NULL,
	    CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
	DWORD n;
	int r;

	if (to == INVALID_HANDLE_VALUE)
		return say_os_error(GetLastError(), L"%ls", file);
	/* Where that is not possible the holes are zeros. */
	DeviceIoControl(to, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &n, NULL);
	r = copy_all(image, to, length, file);
	if (!CloseHandle(to) && r == 0)
		r = say_os_error(GetLastError(), L"%ls", file);
	if (r != 0)
		DeleteFileW(file);
	return r;
}

/* Of a set that another hotcopyctl holds. */
static int
dump_held(uint64_t set, uint32_t index, const wchar_t *volume, const wchar_t *file)
{
	struct hotcopy_volume facts;
	uint64_t number;
	HANDLE image = set_bind(set, index);
	int r = -1;

	if (image != NULL && name_volume(volume, &number) == 0 &&
	    list_find(image, number, &facts) == 0)
		r = dump_image(image, facts.length, file);
	if (image != NULL)
		CloseHandle(image);
	return r;
}

int
dump_run(int argc, wchar_t **argv)
{
	struct hotcopy_volume facts;
	uint32_t set, index;
	HANDLE image = NULL;
	struct set s;
	int r = -1;

	if (argc == 6 && wcscmp(argv[0], L"--set") == 0 &&
	    wcscmp(argv[2], L"--index") == 0) {
		if (parse_number(argv[1], UINT32_MAX, &set) != 0 ||
		    parse_number(argv[3], HOTCOPY_VOLUMES_MAX - 1, &index) != 0)
			return 1;
		return dump_held(set, index, argv[4], argv[5]) == 0 ? 0 : 1;
	}
	if (set_options(&s, &argc, argv) != 0)
		return 1;
	if (argc != 2)
		return COMMANDS_USAGE;
	if (set_prepare(&s, 1, argv) == 0 && set_freeze(&s) == 0 &&
	    list_find(s.owner, s.ask.volume[0], &facts) == 0 &&
	    (image = set_bind(s.number, 0)) != NULL)
		r = dump_image(image, facts.length, argv[1]);
	if (image != NULL)
		CloseHandle(image);
	set_close(&s);
	return r == 0 ? 0 : 1;
}
