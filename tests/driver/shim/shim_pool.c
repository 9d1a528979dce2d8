/* shim_pool.c - pool with a tag, and the strings of ntoskrnl. */
#include "tests/driver/shim/shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL_MAGIC 0x4c4f4f50u
#define POOL_GONE 0x454e4f47u
/* What is written over memory that comes and goes: nothing may rest on zeros, or on what
   was. */
#define FRESH 0xa5
#define FREED 0xdd

struct pool {
	ULONG magic, tag;
	SIZE_T bytes;
	uint64_t align[2];
};

PVOID
ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag)
{
	struct pool *p;

	shim_irql_at_most(
	    type == PagedPool ? APC_LEVEL : DISPATCH_LEVEL, "ExAllocatePoolWithTag");
	if (bytes == 0)
		shim_bugcheck("no bytes of pool are asked for");
	if (tag == 0)
		shim_bugcheck("pool without a tag");
	if (shim_fail_now())
		return NULL;
	p = malloc(sizeof(*p) + bytes);
	if (p == NULL)
		return NULL;
	p->magic = POOL_MAGIC;
	p->tag = tag;
	p->bytes = bytes;
	memset(p + 1, FRESH, bytes < 4096 ? bytes : 4096);
	shim_took(SHIM_POOL, 1);
	return p + 1;
}

VOID
ExFreePoolWithTag(PVOID address, ULONG tag)
{
	struct pool *p = (struct pool *)address - 1;

	shim_irql_at_most(DISPATCH_LEVEL, "ExFreePoolWithTag");
	if (address == NULL)
		shim_bugcheck("ExFreePoolWithTag of NULL");
	if (p->magic != POOL_MAGIC)
		shim_bugcheck("ExFreePoolWithTag of what is no pool%s",
		    p->magic == POOL_GONE ? " any more" : "");
	if (tag != 0 && tag != p->tag)
		shim_bugcheck("pool is freed by another tag than it has");
	p->magic = POOL_GONE;
	memset(p + 1, FREED, p->bytes < 4096 ? p->bytes : 4096);
	shim_took(SHIM_POOL, -1);
	free(p);
}

VOID
ExFreePool(PVOID address)
{
	ExFreePoolWithTag(address, 0);
}

/* ---- Strings ---- */
static size_t
length(PCWSTR s)
{
	size_t n = 0;

	while (s[n] != 0)
		n++;
	return n;
}

VOID
RtlInitUnicodeString(PUNICODE_STRING out, PCWSTR s)
{
	size_t n = s == NULL ? 0 : length(s);

	if (n > 32766)
		shim_bugcheck("RtlInitUnicodeString of %zu characters", n);
	out->Buffer = (PWSTR)s;
	out->Length = (USHORT)(n * sizeof(WCHAR));
	out->MaximumLength = s == NULL ? 0 : (USHORT)((n + 1) * sizeof(WCHAR));
}

VOID
RtlCopyUnicodeString(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	USHORT n = from == NULL ? 0 : from->Length;

	if (n > to->MaximumLength)
		n = to->MaximumLength;
	if (n > 0)
		memcpy(to->Buffer, from->Buffer, n);
	to->Length = n;
	if ((USHORT)(n + sizeof(WCHAR)) <= to->MaximumLength)
		to->Buffer[n / sizeof(WCHAR)] = 0;
}

static WCHAR
upper(WCHAR c)
{
	return c >= 'a' && c <= 'z' ? (WCHAR)(c - 'a' + 'A') : c;
}

BOOLEAN
RtlEqualUnicodeString(PCUNICODE_STRING a, PCUNICODE_STRING b, BOOLEAN no_case)
{
	shim_irql_at_most(PASSIVE_LEVEL, "RtlEqualUnicodeString");
	if (a->Length != b->Length)
		return FALSE;
	for (USHORT i = 0; i < a->Length / sizeof(WCHAR); i++) {
		WCHAR x = a->Buffer[i], y = b->Buffer[i];

		if (no_case ? upper(x) != upper(y) : x != y)
			return FALSE;
	}
	return TRUE;
}

NTSTATUS
RtlAppendUnicodeStringToString(PUNICODE_STRING to, PCUNICODE_STRING s)
{
	if (s->Length > to->MaximumLength - to->Length)
		return STATUS_BUFFER_TOO_SMALL;
	if (s->Length > 0)
		memcpy((char *)to->Buffer + to->Length, s->Buffer, s->Length);
	to->Length = (USHORT)(to->Length + s->Length);
	if (to->Length + sizeof(WCHAR) <= to->MaximumLength)
		to->Buffer[to->Length / sizeof(WCHAR)] = 0;
	return STATUS_SUCCESS;
}

NTSTATUS
RtlAppendUnicodeToString(PUNICODE_STRING to, PCWSTR s)
{
	UNICODE_STRING u;

	if (s == NULL)
		return STATUS_SUCCESS;
	RtlInitUnicodeString(&u, s);
	return RtlAppendUnicodeStringToString(to, &u);
}

SIZE_T
RtlCompareMemory(const VOID *a, const VOID *b, SIZE_T n)
{
	const UCHAR *x = a, *y = b;
	SIZE_T i = 0;

	while (i < n && x[i] == y[i])
		i++;
	return i;
}

ULONG
DbgPrint(PCSTR format, ...)
{
	(void)format;
	return 0;
}
