#include "driver/nt/eventlog.h"

/* As eventlog.mc has them: severity, the customer's bit, facility 0x68, number. */
#define WARNING(n) ((NTSTATUS)(0xa0680000u | (n)))
#define INFORMATIONAL(n) ((NTSTATUS)(0x60680000u | (n)))

#ifdef EVENTLOG_NUMBERS
#include EVENTLOG_NUMBERS
NT_ASSERT_SIZE(off_is, EVENTLOG_SWITCHED_OFF == WARNING(1));
NT_ASSERT_SIZE(failed_is, EVENTLOG_FAILED_STARTS == WARNING(2));
NT_ASSERT_SIZE(safe_is, EVENTLOG_SAFE_MODE == INFORMATIONAL(3));
NT_ASSERT_SIZE(dropped_is, EVENTLOG_DROPPED == WARNING(4));
NT_ASSERT_SIZE(lost_is, EVENTLOG_TRACKING_LOST == WARNING(5));
#endif

/* Two strings, each with its end. */
#define NUMBER_MAX 11u
#define REASON_MAX 40u

static DRIVER_OBJECT *owner;

static const WCHAR *
reason(enum hotcopy_reason why)
{
	switch (why) {
	case HOTCOPY_WHY_NO_SPACE:
		return L"no room for copies";
	case HOTCOPY_WHY_READ_ERROR:
		return L"the volume could not be read";
	case HOTCOPY_WHY_DIFF_ERROR:
		return L"the diff area failed";
	case HOTCOPY_WHY_REMOVED:
		return L"the volume is gone";
	case HOTCOPY_WHY_RESIZED:
		return L"the volume has another length";
	case HOTCOPY_WHY_UNKNOWN_WRITE:
		return L"a request wrote nobody knows where";
	case HOTCOPY_WHY_WRITTEN_INTO:
		return L"others wrote into our extents";
	case HOTCOPY_WHY_POWER:
		return L"sleep or shutdown";
	case HOTCOPY_WHY_STORE_ERROR:
		return L"the tracking store failed";
	case HOTCOPY_WHY_STORE_DAMAGED:
		return L"the tracking store is damaged";
	case HOTCOPY_WHY_FOREIGN:
		return L"it was written while we were not there";
	case HOTCOPY_WHY_NO_MEMORY:
		return L"no memory";
	case HOTCOPY_WHY_ASKED:
		return L"a program asked for it";
	case HOTCOPY_WHY_NONE:
		break;
	}
	return L"no reason is known";
}

static void
digits(uint32_t number, WCHAR out[NUMBER_MAX])
{
	WCHAR turned[NUMBER_MAX];
	uint32_t n = 0, i = 0;

	do
		turned[n++] = (WCHAR)(L'0' + number % 10);
	while ((number /= 10) != 0);
	while (n != 0)
		out[i++] = turned[--n];
	out[i] = 0;
}

static uint32_t
copy(WCHAR *out, const WCHAR *from, uint32_t most)
{
	uint32_t n = 0;

	for (; from[n] != 0 && n < most - 1; n++)
		out[n] = from[n];
	out[n] = 0;
	return n + 1;
}

/*
 * "Writing to the System Event Log": strings follow the packet; the entry's whole size is
 * an UCHAR, at most ERROR_LOG_MAXIMUM_SIZE.
 */
static void
entry(NTSTATUS code, const WCHAR *number, const WCHAR *why)
{
	const uint32_t at = sizeof(IO_ERROR_LOG_PACKET);
	uint32_t size = at + (NUMBER_MAX + REASON_MAX) * (uint32_t)sizeof(WCHAR);
	IO_ERROR_LOG_PACKET *packet;
	WCHAR *strings;

	if (owner == NULL)
		return;
	packet = IoAllocateErrorLogEntry(owner, (UCHAR)size);
	if (packet == NULL)
		return;
	RtlZeroMemory(packet, size);
	packet->ErrorCode = code;
	packet->UniqueErrorValue = (ULONG)code & 0xffffu;
	if (number != NULL) {
		strings = (WCHAR *)((uint8_t *)packet + at);
		packet->NumberOfStrings = 2;
		packet->StringOffset = (USHORT)at;
		strings += copy(strings, number, NUMBER_MAX);
		copy(strings, why, REASON_MAX);
	}
	IoWriteErrorLogEntry(packet);
}
NT_ASSERT_SIZE(
    an_entry_fits, sizeof(IO_ERROR_LOG_PACKET) + (NUMBER_MAX + REASON_MAX) * 2 <=
		       ERROR_LOG_MAXIMUM_SIZE);

void
eventlog_begin(DRIVER_OBJECT *driver)
{
	owner = driver;
}

void
eventlog_passing(enum boot_mode mode)
{
	switch (mode) {
	case BOOT_SWITCHED_OFF:
		entry(WARNING(1), NULL, NULL);
		break;
	case BOOT_FAILED_STARTS:
		entry(WARNING(2), NULL, NULL);
		break;
	case BOOT_SAFE_MODE:
		entry(INFORMATIONAL(3), NULL, NULL);
		break;
	case BOOT_WORKS:
		break;
	}
}

/* The driver's numbers of volumes have 32 bits. */
static void
of_volume(NTSTATUS code, uint64_t volume, enum hotcopy_reason why)
{
	WCHAR number[NUMBER_MAX];

	digits((uint32_t)volume, number);
	entry(code, number, reason(why));
}

void
eventlog_dropped(uint64_t volume, enum hotcopy_reason why)
{
	of_volume(WARNING(4), volume, why);
}

void
eventlog_tracking_lost(uint64_t volume, enum hotcopy_reason why)
{
	of_volume(WARNING(5), volume, why);
}
