/*
 * ntdef.h - NT's types, statuses and lists as a 64-bit Linux needs them: LONG stays 32
 * bits wide, which no header made for Windows would give here.  Names, values and layouts
 * are those of Microsoft's public documentation (learn.microsoft.com: Windows Data Types,
 * MS-ERREF 2.3.1 NTSTATUS Values, wdm.h).
 */
#ifndef TESTS_DRIVER_SHIM_NTDEF_H
#define TESTS_DRIVER_SHIM_NTDEF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void VOID, *PVOID, *LPVOID;
typedef const void *LPCVOID;
typedef void *HANDLE, **PHANDLE;
typedef char CHAR, *PCHAR, *PSTR;
typedef const char *PCSTR;
typedef signed char CCHAR, SCHAR, KPROCESSOR_MODE, INT8;
typedef uint8_t UCHAR, *PUCHAR, BOOLEAN, *PBOOLEAN, KIRQL, *PKIRQL, BYTE, UINT8;
typedef int16_t SHORT, *PSHORT, CSHORT, INT16;
typedef uint16_t USHORT, *PUSHORT, WORD, UINT16;
typedef int32_t LONG, *PLONG, NTSTATUS, *PNTSTATUS, KPRIORITY, INT32, INT, LONG32;
typedef uint32_t ULONG, *PULONG, ACCESS_MASK, DEVICE_TYPE, DWORD, UINT32, ULONG32, UINT;
typedef int64_t LONGLONG, *PLONGLONG, LONG64, *PLONG64, INT64;
typedef uint64_t ULONGLONG, *PULONGLONG, ULONG64, *PULONG64, UINT64;
typedef intptr_t LONG_PTR, INT_PTR;
typedef uintptr_t ULONG_PTR, *PULONG_PTR, KAFFINITY, UINT_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef __WCHAR_TYPE__ WCHAR, *PWCHAR, *PWSTR, *LPWSTR; /* 16 bits: -fshort-wchar */
typedef const WCHAR *PCWSTR, *PCWCH, *LPCWSTR;
typedef char shim_wchar_is_16_bits[sizeof(WCHAR) == 2 ? 1 : -1];

#define CONST const
#define TRUE 1
#define FALSE 0
#define NTAPI
#define NTKERNELAPI
#define NTSYSAPI
#define NTHALAPI
#define FASTCALL
#define IN
#define OUT
#define OPTIONAL
#define FORCEINLINE static inline
#define DECLSPEC_IMPORT
#define __declspec(x)
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define PAGED_CODE() ((void)0)
#define ARRAYSIZE(a) (sizeof(a) / sizeof((a)[0]))
#define RTL_NUMBER_OF(a) ARRAYSIZE(a)
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) \
	((type *)((char *)(address)-offsetof(type, field)))
#define ROUND_TO_PAGES(n) (((ULONG_PTR)(n) + PAGE_SIZE - 1) & ~(ULONG_PTR)(PAGE_SIZE - 1))
#define PAGE_SIZE 0x1000u
#define PAGE_SHIFT 12
#define MAXULONG 0xffffffffu
#define MAXLONG 0x7fffffff
#define MAXUSHORT 0xffff
#define MAXLONGLONG 0x7fffffffffffffffLL
#define ANYSIZE_ARRAY 1
#define UNICODE_NULL ((WCHAR)0)

typedef union _LARGE_INTEGER {
	__extension__ struct {
		ULONG LowPart;
		LONG HighPart;
	};
	struct {
		ULONG LowPart;
		LONG HighPart;
	} u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
	struct {
		ULONG LowPart;
		ULONG HighPart;
	} u;
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

typedef LARGE_INTEGER PHYSICAL_ADDRESS;

typedef struct _UNICODE_STRING {
	USHORT Length, MaximumLength; /* bytes */
	PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;
#define RTL_CONSTANT_STRING(s)                                    \
	{                                                         \
		sizeof(s) - sizeof((s)[0]), sizeof(s), (PWSTR)(s) \
	}

typedef struct _GUID {
	ULONG Data1;
	USHORT Data2, Data3;
	UCHAR Data4[8];
} GUID, *PGUID, *LPGUID;
typedef const GUID *LPCGUID;

/* Lists. */
typedef struct _LIST_ENTRY {
	struct _LIST_ENTRY *Flink, *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

static inline void
InitializeListHead(PLIST_ENTRY head)
{
	head->Flink = head->Blink = head;
}

static inline BOOLEAN
IsListEmpty(const LIST_ENTRY *head)
{
	return head->Flink == head;
}

static inline BOOLEAN
RemoveEntryList(PLIST_ENTRY entry)
{
	entry->Blink->Flink = entry->Flink;
	entry->Flink->Blink = entry->Blink;
	return entry->Flink == entry->Blink;
}

static inline PLIST_ENTRY
RemoveHeadList(PLIST_ENTRY head)
{
	PLIST_ENTRY entry = head->Flink;

	RemoveEntryList(entry);
	return entry;
}

static inline PLIST_ENTRY
RemoveTailList(PLIST_ENTRY head)
{
	PLIST_ENTRY entry = head->Blink;

	RemoveEntryList(entry);
	return entry;
}

static inline void
InsertTailList(PLIST_ENTRY head, PLIST_ENTRY entry)
{
	entry->Flink = head;
	entry->Blink = head->Blink;
	head->Blink->Flink = entry;
	head->Blink = entry;
}

static inline void
InsertHeadList(PLIST_ENTRY head, PLIST_ENTRY entry)
{
	entry->Flink = head->Flink;
	entry->Blink = head;
	head->Flink->Blink = entry;
	head->Flink = entry;
}

/* Statuses. */
#define NT_SUCCESS(s) ((NTSTATUS)(s) >= 0)
#define NT_INFORMATION(s) ((ULONG)(s) >> 30 == 1)
#define NT_WARNING(s) ((ULONG)(s) >> 30 == 2)
#define NT_ERROR(s) ((ULONG)(s) >> 30 == 3)
#define SHIM_STATUS(n) ((NTSTATUS)(n))
#define STATUS_SUCCESS SHIM_STATUS(0)
#define STATUS_WAIT_0 SHIM_STATUS(0)
#define STATUS_ALERTED SHIM_STATUS(0x101)
#define STATUS_TIMEOUT SHIM_STATUS(0x102)
#define STATUS_PENDING SHIM_STATUS(0x103)
#define STATUS_REPARSE SHIM_STATUS(0x104)
#define STATUS_OBJECT_NAME_EXISTS SHIM_STATUS(0x40000000)
#define STATUS_BUFFER_OVERFLOW SHIM_STATUS(0x80000005)
#define STATUS_DEVICE_BUSY SHIM_STATUS(0x80000011)
#define STATUS_NO_MORE_ENTRIES SHIM_STATUS(0x8000001A)
#define STATUS_UNSUCCESSFUL SHIM_STATUS(0xC0000001)
#define STATUS_NOT_IMPLEMENTED SHIM_STATUS(0xC0000002)
#define STATUS_INFO_LENGTH_MISMATCH SHIM_STATUS(0xC0000004)
#define STATUS_INVALID_HANDLE SHIM_STATUS(0xC0000008)
#define STATUS_INVALID_PARAMETER SHIM_STATUS(0xC000000D)
#define STATUS_NO_SUCH_DEVICE SHIM_STATUS(0xC000000E)
#define STATUS_NO_SUCH_FILE SHIM_STATUS(0xC000000F)
#define STATUS_INVALID_DEVICE_REQUEST SHIM_STATUS(0xC0000010)
#define STATUS_END_OF_FILE SHIM_STATUS(0xC0000011)
#define STATUS_MORE_PROCESSING_REQUIRED SHIM_STATUS(0xC0000016)
#define STATUS_NO_MEMORY SHIM_STATUS(0xC0000017)
#define STATUS_ACCESS_DENIED SHIM_STATUS(0xC0000022)
#define STATUS_BUFFER_TOO_SMALL SHIM_STATUS(0xC0000023)
#define STATUS_OBJECT_TYPE_MISMATCH SHIM_STATUS(0xC0000024)
#define STATUS_OBJECT_NAME_INVALID SHIM_STATUS(0xC0000033)
#define STATUS_OBJECT_NAME_NOT_FOUND SHIM_STATUS(0xC0000034)
#define STATUS_OBJECT_NAME_COLLISION SHIM_STATUS(0xC0000035)
#define STATUS_OBJECT_PATH_NOT_FOUND SHIM_STATUS(0xC000003A)
#define STATUS_CRC_ERROR SHIM_STATUS(0xC000003F)
#define STATUS_REVISION_MISMATCH SHIM_STATUS(0xC0000059)
#define STATUS_DELETE_PENDING SHIM_STATUS(0xC0000056)
#define STATUS_PRIVILEGE_NOT_HELD SHIM_STATUS(0xC0000061)
#define STATUS_INVALID_PARAMETER_MIX SHIM_STATUS(0xC0000030)
#define STATUS_DISK_FULL SHIM_STATUS(0xC000007F)
#define STATUS_INSUFFICIENT_RESOURCES SHIM_STATUS(0xC000009A)
#define STATUS_DEVICE_DATA_ERROR SHIM_STATUS(0xC000009C)
#define STATUS_DEVICE_NOT_CONNECTED SHIM_STATUS(0xC000009D)
#define STATUS_DEVICE_POWER_FAILURE SHIM_STATUS(0xC000009E)
#define STATUS_DEVICE_NOT_READY SHIM_STATUS(0xC00000A3)
#define STATUS_IO_TIMEOUT SHIM_STATUS(0xC00000B5)
#define STATUS_NOT_SUPPORTED SHIM_STATUS(0xC00000BB)
#define STATUS_DEVICE_DOES_NOT_EXIST SHIM_STATUS(0xC00000C0)
#define STATUS_INTERNAL_ERROR SHIM_STATUS(0xC00000E5)
#define STATUS_CANCELLED SHIM_STATUS(0xC0000120)
#define STATUS_DEVICE_REMOVED SHIM_STATUS(0xC00002B6)
#define STATUS_INVALID_DEVICE_STATE SHIM_STATUS(0xC0000184)
#define STATUS_IO_DEVICE_ERROR SHIM_STATUS(0xC0000185)
#define STATUS_INVALID_BUFFER_SIZE SHIM_STATUS(0xC0000206)
#define STATUS_NOT_FOUND SHIM_STATUS(0xC0000225)
#define STATUS_TOO_LATE SHIM_STATUS(0xC0000189)
#define STATUS_VOLUME_DISMOUNTED SHIM_STATUS(0xC000026E)
#define STATUS_CONTINUE_COMPLETION STATUS_SUCCESS

typedef struct _IO_STATUS_BLOCK {
	union {
		NTSTATUS Status;
		PVOID Pointer;
	};
	ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;

#endif /* TESTS_DRIVER_SHIM_NTDEF_H */
