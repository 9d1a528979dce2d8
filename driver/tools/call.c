#include "driver/tools/call.h"

#include "driver/abi/names.h"
#include "driver/tools/say.h"

/* A read or an answer that is shorter than it must be: not a status of the driver's. */
#define CALL_SHORT 0xe06863ffu

static const struct {
	uint32_t status;
	const wchar_t *words;
} meanings[] = {
	{ 0xc000000d, L"the driver refuses a field of the call" },
	{ 0xc0000004, L"the driver expects another size" },
	{ 0xc0000059, L"the driver speaks another version of its interface" },
	{ 0xc0000184, L"not possible in the state it is in" },
	{ 0xc0000225, L"the driver knows no such volume or set" },
	{ 0x80000011, L"another set is open" },
	{ 0xc00000b5, L"the volumes did not come to rest in time; nothing was frozen" },
	{ 0xc000009a, L"not enough memory for it" },
	{ 0xc0000010, L"the driver has no such call" },
	{ 0xc0000022, L"access is denied" },
	{ 0xc0000120, L"cancelled" },
	{ 0xc0000185, L"the disk could not be read" },
	{ HOTCOPY_STATUS_LOST, L"the image is lost" },
	{ HOTCOPY_STATUS_NOT_KEPT, L"said to be unneeded, and not kept" },
	{ CALL_SHORT, L"the answer is too short" },
};

const wchar_t *
call_words(uint32_t status)
{
	size_t i;

	for (i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].status == status)
			return meanings[i].words;
	return L"refused";
}

/* Win32 codes have no word for our own; ntdll remembers what it was made from. */
static uint32_t
last_status(void)
{
	typedef LONG(WINAPI * last)(void);
	union {
		FARPROC any;
		last f;
	} u;
	uint32_t status = 0;

	u.any = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetLastNtStatus");
	if (u.any != NULL)
		status = (uint32_t)u.f();
	return status != 0 ? status : 0xc0000001u;
}

/* The end of an overlapped request that was begun with this result. */
static uint32_t
wait_end(HANDLE h, BOOL begun, OVERLAPPED *o, uint32_t *given)
{
	DWORD n = 0;
	uint32_t status = CALL_OK;

	if (!begun && GetLastError() != ERROR_IO_PENDING)
		status = last_status();
	else if (!GetOverlappedResult(h, o, &n, TRUE))
		status =
		    (uint32_t)o->Internal != 0 ? (uint32_t)o->Internal : last_status();
	*given = n;
	return status;
}

HANDLE
call_open(void)
{
	HANDLE h = CreateFileW(HOTCOPY_PATH, GENERIC_READ | GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED,
	    NULL);
	uint32_t error = GetLastError();

	if (h != INVALID_HANDLE_VALUE)
		return h;
	if (error == ERROR_FILE_NOT_FOUND)
		say_error(L"the driver is not running: hotcopyctl install, and restart");
	else if (error == ERROR_ACCESS_DENIED)
		say_error(L"the driver answers administrators only: run this elevated");
	else
		say_os_error(error, L"%ls", HOTCOPY_PATH);
	return NULL;
}

void
call_header(struct hotcopy_header *h, size_t size)
{
	h->size = (uint32_t)size;
	h->abi = HOTCOPY_ABI;
}

uint32_t
call_device(HANDLE h, uint32_t code, void *in, size_t bytes, void *out, size_t room,
    uint32_t *given)
{
	OVERLAPPED o = { 0 };
	uint32_t status, n = 0;
	BOOL begun;

	o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (o.hEvent == NULL)
		return 0xc000009a;
	begun = DeviceIoControl(h, code, in, (DWORD)bytes, out, (DWORD)room, NULL, &o);
	status = wait_end(h, begun, &o, &n);
	CloseHandle(o.hEvent);
	if (given != NULL)
		*given = n;
	return status;
}

int
call_do(HANDLE h, uint32_t code, void *in, size_t bytes, void *out, size_t room,
    const wchar_t *what)
{
	uint32_t given;
	uint32_t status = call_device(h, code, in, bytes, out, room, &given);

	if (status == CALL_OK && given < room)
		status = CALL_SHORT;
	if (status != CALL_OK)
		return say_error(
		    L"%ls: %ls (status 0x%08x)", what, call_words(status), status);
	return 0;
}

uint32_t
call_read(HANDLE h, uint64_t offset, void *out, uint32_t length)
{
	OVERLAPPED o = { 0 };
	uint32_t status, n = 0;
	BOOL begun;

	o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (o.hEvent == NULL)
		return 0xc000009a;
	o.Offset = (DWORD)offset;
	o.OffsetHigh = (DWORD)(offset >> 32);
	begun = ReadFile(h, out, length, NULL, &o);
	status = wait_end(h, begun, &o, &n);
	CloseHandle(o.hEvent);
	return status == CALL_OK && n != length ? CALL_SHORT : status;
}
