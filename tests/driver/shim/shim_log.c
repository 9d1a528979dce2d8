/* shim_log.c - the event log, newer routines, security. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

#define LOG_MAX 256
#define ROUTINES_MAX 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static NTSTATUS written[LOG_MAX];
static unsigned number;
static ULONG os_major = 10, os_minor;
static struct {
	const char *name;
	PVOID address;
} routines[ROUTINES_MAX];

/* ---- The event log.  An entry has its length before it. ---- */
PVOID
IoAllocateErrorLogEntry(PVOID object, UCHAR bytes)
{
	uint64_t *entry;

	(void)object;
	shim_irql_at_most(DISPATCH_LEVEL, "IoAllocateErrorLogEntry");
	if (bytes < sizeof(IO_ERROR_LOG_PACKET) - sizeof(ULONG) ||
	    bytes > ERROR_LOG_MAXIMUM_SIZE)
		shim_bugcheck("an entry of %u bytes for the event log", bytes);
	if (shim_fail_now())
		return NULL;
	entry = malloc(sizeof(uint64_t) + bytes);
	if (entry == NULL)
		abort();
	entry[0] = bytes;
	memset(entry + 1, 0, bytes);
	shim_took(SHIM_LOG_ENTRY, 1);
	return entry + 1;
}

VOID
IoFreeErrorLogEntry(PVOID entry)
{
	shim_took(SHIM_LOG_ENTRY, -1);
	free((uint64_t *)entry - 1);
}

VOID
IoWriteErrorLogEntry(PVOID entry)
{
	PIO_ERROR_LOG_PACKET p = entry;
	uint64_t bytes = ((uint64_t *)entry)[-1];

	shim_irql_at_most(DISPATCH_LEVEL, "IoWriteErrorLogEntry");
	if (p->DumpDataSize % sizeof(ULONG) != 0)
		shim_bugcheck("dump data of %u bytes, no multiple of 4", p->DumpDataSize);
	if (offsetof(IO_ERROR_LOG_PACKET, DumpData) + p->DumpDataSize > bytes ||
	    (p->NumberOfStrings > 0 && p->StringOffset >= bytes))
		shim_bugcheck("an entry of the event log says more than it has");
	pthread_mutex_lock(&lock);
	written[number++ % LOG_MAX] = p->ErrorCode;
	pthread_mutex_unlock(&lock);
	IoFreeErrorLogEntry(entry);
}

void
shim_log_clear(void)
{
	pthread_mutex_lock(&lock);
	number = 0;
	pthread_mutex_unlock(&lock);
}

unsigned
shim_log_count(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = number;
	pthread_mutex_unlock(&lock);
	return n;
}

unsigned
shim_log_count_of(NTSTATUS code)
{
	unsigned n = 0;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < number && i < LOG_MAX; i++)
		n += written[i] == code;
	pthread_mutex_unlock(&lock);
	return n;
}

NTSTATUS
shim_log_last(void)
{
	NTSTATUS last;

	pthread_mutex_lock(&lock);
	last = number == 0 ? 0 : written[(number - 1) % LOG_MAX];
	pthread_mutex_unlock(&lock);
	return last;
}

/* ---- Which Windows this is, newer routines ---- */
void
shim_os(ULONG major, ULONG minor)
{
	os_major = major;
	os_minor = minor;
}

bool
shim_os_old(void)
{
	return os_major < 6;
}

NTSTATUS
RtlGetVersion(PRTL_OSVERSIONINFOW version)
{
	shim_irql_at_most(PASSIVE_LEVEL, "RtlGetVersion");
	if (version->dwOSVersionInfoSize < sizeof(*version))
		shim_bugcheck("RtlGetVersion without the structure's size");
	version->dwMajorVersion = os_major;
	version->dwMinorVersion = os_minor;
	version->dwBuildNumber = 0;
	version->dwPlatformId = 2;
	return STATUS_SUCCESS;
}

void
shim_routine(const char *name, PVOID address)
{
	for (int i = 0; i < ROUTINES_MAX; i++) {
		if (routines[i].name != NULL)
			continue;
		routines[i].name = name;
		routines[i].address = address;
		return;
	}
	shim_bugcheck("more than %d newer routines", ROUTINES_MAX);
}

void
shim_routines_clear(void)
{
	memset(routines, 0, sizeof(routines));
}

PVOID
MmGetSystemRoutineAddress(PUNICODE_STRING name)
{
	shim_irql_at_most(PASSIVE_LEVEL, "MmGetSystemRoutineAddress");
	for (int i = 0; i < ROUTINES_MAX && routines[i].name != NULL; i++) {
		const char *n = routines[i].name;
		size_t at = 0;

		while (n[at] != 0 && at < name->Length / sizeof(WCHAR) &&
		       name->Buffer[at] == (WCHAR)n[at])
			at++;
		if (n[at] == 0 && at == name->Length / sizeof(WCHAR))
			return routines[i].address;
	}
	return NULL;
}

/* ---- Security: enough to see that a descriptor is well made ---- */
#define ACCESS_ALLOWED 0
static SID local_system = { 1, 1, { 0, 0, 0, 0, 0, 5 }, { SECURITY_LOCAL_SYSTEM_RID } };
static SID administrators = { 1, 2, { 0, 0, 0, 0, 0, 5 },
	{ SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS } };
static SID everyone = { 1, 1, { 0, 0, 0, 0, 0, 1 }, { 0 } };
static SE_EXPORTS exports = { &local_system, &administrators, &everyone };
PSE_EXPORTS SeExports = &exports;

ULONG
RtlLengthRequiredSid(ULONG count)
{
	return offsetof(SID, SubAuthority) + count * sizeof(ULONG);
}

ULONG
RtlLengthSid(PSID sid)
{
	return RtlLengthRequiredSid(((PISID)sid)->SubAuthorityCount);
}

NTSTATUS
RtlInitializeSid(PSID sid, PSID_IDENTIFIER_AUTHORITY authority, UCHAR count)
{
	((PISID)sid)->Revision = 1;
	((PISID)sid)->SubAuthorityCount = count;
	memcpy(((PISID)sid)->IdentifierAuthority, authority->Value, 6);
	return STATUS_SUCCESS;
}

PULONG
RtlSubAuthoritySid(PSID sid, ULONG i)
{
	return &((PISID)sid)->SubAuthority[i];
}

NTSTATUS
RtlCreateAcl(PACL acl, ULONG bytes, ULONG revision)
{
	if (bytes < sizeof(*acl) || bytes > MAXUSHORT)
		return STATUS_INVALID_PARAMETER;
	memset(acl, 0, sizeof(*acl));
	acl->AclRevision = (UCHAR)revision;
	acl->AclSize = (USHORT)bytes;
	return STATUS_SUCCESS;
}

NTSTATUS
RtlAddAccessAllowedAce(PACL acl, ULONG revision, ACCESS_MASK access, PSID sid)
{
	ULONG used = sizeof(*acl),
	      bytes = offsetof(ACCESS_ALLOWED_ACE, SidStart) + RtlLengthSid(sid);
	ACCESS_ALLOWED_ACE *ace;

	(void)revision;
	for (USHORT i = 0; i < acl->AceCount; i++)
		used += ((ACE_HEADER *)((char *)acl + used))->AceSize;
	if (used + bytes > acl->AclSize)
		return STATUS_BUFFER_TOO_SMALL;
	ace = (ACCESS_ALLOWED_ACE *)((char *)acl + used);
	ace->Header.AceType = ACCESS_ALLOWED;
	ace->Header.AceFlags = 0;
	ace->Header.AceSize = (USHORT)bytes;
	ace->Mask = access;
	memcpy(&ace->SidStart, sid, RtlLengthSid(sid));
	acl->AceCount++;
	return STATUS_SUCCESS;
}

NTSTATUS
RtlCreateSecurityDescriptor(PSECURITY_DESCRIPTOR sd, ULONG revision)
{
	memset(sd, 0, sizeof(SECURITY_DESCRIPTOR));
	((SECURITY_DESCRIPTOR *)sd)->Revision = (UCHAR)revision;
	return STATUS_SUCCESS;
}

NTSTATUS
RtlSetDaclSecurityDescriptor(
    PSECURITY_DESCRIPTOR sd, BOOLEAN present, PACL acl, BOOLEAN defaulted)
{
	(void)defaulted;
	((SECURITY_DESCRIPTOR *)sd)->Dacl = present ? acl : NULL;
	return STATUS_SUCCESS;
}

/* A DACL that would let everyone in, or is not there at all, is refused loudly. */
NTSTATUS
ZwSetSecurityObject(HANDLE h, SECURITY_INFORMATION what, PSECURITY_DESCRIPTOR sd)
{
	PACL acl = ((SECURITY_DESCRIPTOR *)sd)->Dacl;
	ULONG at = sizeof(*acl);

	shim_irql_at_most(PASSIVE_LEVEL, "ZwSetSecurityObject");
	shim_handle_object(h);
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	if ((what & DACL_SECURITY_INFORMATION) == 0 || acl == NULL)
		shim_bugcheck("a device is protected by no DACL");
	for (USHORT i = 0; i < acl->AceCount; i++) {
		ACCESS_ALLOWED_ACE *ace = (ACCESS_ALLOWED_ACE *)((char *)acl + at);

		if (memcmp(&ace->SidStart, &everyone, RtlLengthSid(&everyone)) == 0)
			shim_bugcheck("everyone is let in");
		at += ace->Header.AceSize;
	}
	return STATUS_SUCCESS;
}

BOOLEAN
SeSinglePrivilegeCheck(LUID privilege, KPROCESSOR_MODE mode)
{
	(void)privilege;
	(void)mode;
	return TRUE;
}
