/*
 * ntddk.h - the part of the NT kernel's interface that driver/nt uses, for this system.
 * Declarations follow wdm.h as Microsoft documents it (learn.microsoft.com, Windows
 * drivers); the routines are in shim_*.c, and what a test says to them is in shim.h.
 *
 * The routines are stricter than Windows: what Driver Verifier or the documentation calls
 * a mistake ends the program with one line "BUGCHECK: ...".
 */
#ifndef TESTS_DRIVER_SHIM_NTDDK_H
#define TESTS_DRIVER_SHIM_NTDDK_H

#include <pthread.h>
#include "tests/driver/shim/ntdef.h"

struct _DEVICE_OBJECT;
struct _DRIVER_OBJECT;
struct _FILE_OBJECT;
struct _IRP;
struct shim_call;

/* ---- IRQL, time, threads ---- */
#define PASSIVE_LEVEL 0
#define APC_LEVEL 1
#define DISPATCH_LEVEL 2
#define HIGH_LEVEL 15
enum { KernelMode, UserMode, MaximumMode };
typedef enum { Executive, FreePage, PageIn, PoolAllocation, DelayExecution } KWAIT_REASON;
typedef enum { NotificationEvent, SynchronizationEvent } EVENT_TYPE;
typedef enum { NotificationTimer, SynchronizationTimer } TIMER_TYPE;
typedef enum { WaitAll, WaitAny } WAIT_TYPE;
#define IO_NO_INCREMENT 0
#define IO_DISK_INCREMENT 1
#define LOW_PRIORITY 0
#define LOW_REALTIME_PRIORITY 16
#define HIGH_PRIORITY 31
#define MAXIMUM_WAIT_OBJECTS 64

/* What can be waited for.  "sort" is one of enum shim_object_sort. */
typedef struct _KOBJECT {
	ULONG magic, sort;
	LONG signalled;
	ULONG depth;
	pthread_t owner;
	pthread_mutex_t lock;
	pthread_cond_t changed;
} KEVENT, *PKEVENT, *PRKEVENT, KMUTEX, *PKMUTEX, *PRKMUTEX, KMUTANT, KSEMAPHORE,
    *PKSEMAPHORE;

typedef struct _KTHREAD {
	KEVENT ended; /* first: a thread is waited for as it stands */
	LONG references;
	void (*run)(PVOID);
	PVOID context;
	pthread_t thread;
} KTHREAD, *PKTHREAD, *PETHREAD, ETHREAD, *PRKTHREAD;

typedef struct _KSPIN_LOCK {
	pthread_mutex_t lock;
	ULONG_PTR owner;
} KSPIN_LOCK, *PKSPIN_LOCK;
typedef struct _FAST_MUTEX {
	KEVENT mutex;
	KIRQL old;
} FAST_MUTEX, *PFAST_MUTEX;

KIRQL KeGetCurrentIrql(VOID);
VOID KeRaiseIrql(KIRQL irql, PKIRQL old);
VOID KeLowerIrql(KIRQL irql);
VOID KeInitializeSpinLock(PKSPIN_LOCK lock);
KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock);
#define KeAcquireSpinLock(lock, old) (*(old) = KeAcquireSpinLockRaiseToDpc(lock))
VOID KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL old);
VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK lock);
VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK lock);

VOID KeInitializeEvent(PKEVENT event, EVENT_TYPE type, BOOLEAN signalled);
LONG KeSetEvent(PKEVENT event, KPRIORITY boost, BOOLEAN wait);
VOID KeClearEvent(PKEVENT event);
LONG KeResetEvent(PKEVENT event);
LONG KeReadStateEvent(PKEVENT event);
VOID KeInitializeMutex(PKMUTEX mutex, ULONG level);
LONG KeReleaseMutex(PKMUTEX mutex, BOOLEAN wait);
VOID KeInitializeSemaphore(PKSEMAPHORE semaphore, LONG count, LONG limit);
LONG KeReleaseSemaphore(PKSEMAPHORE s, KPRIORITY boost, LONG by, BOOLEAN wait);
VOID ExInitializeFastMutex(PFAST_MUTEX mutex);
VOID ExAcquireFastMutex(PFAST_MUTEX mutex);
VOID ExReleaseFastMutex(PFAST_MUTEX mutex);
VOID KeEnterCriticalRegion(VOID);
VOID KeLeaveCriticalRegion(VOID);
/* A negative timeout is relative, in 100 ns; a positive one is against NT's rules here.
 */
NTSTATUS KeWaitForSingleObject(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode,
    BOOLEAN alertable, PLARGE_INTEGER timeout);
NTSTATUS KeWaitForMultipleObjects(ULONG count, PVOID objects[], WAIT_TYPE type,
    KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER timeout,
    PVOID blocks);
NTSTATUS
KeDelayExecutionThread(KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER interval);
ULONGLONG KeQueryInterruptTime(VOID);
VOID KeQueryTickCount(PLARGE_INTEGER count);
ULONG KeQueryTimeIncrement(VOID);
VOID KeQuerySystemTime(PLARGE_INTEGER time);
LARGE_INTEGER KeQueryPerformanceCounter(PLARGE_INTEGER frequency);
PKTHREAD KeGetCurrentThread(VOID);
#define PsGetCurrentThread() KeGetCurrentThread()
KPRIORITY KeSetPriorityThread(PKTHREAD thread, KPRIORITY priority);
VOID KeStallExecutionProcessor(ULONG microseconds);
#define KeMemoryBarrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
VOID KeBugCheckEx(ULONG code, ULONG_PTR a, ULONG_PTR b, ULONG_PTR c, ULONG_PTR d)
    __attribute__((noreturn));

#ifndef SHIM_FAST
void shim_chaos(void);
#endif
#define InterlockedIncrement(p) \
	(shim_chaos(), __atomic_add_fetch((p), 1, __ATOMIC_SEQ_CST))
#define InterlockedDecrement(p) \
	(shim_chaos(), __atomic_sub_fetch((p), 1, __ATOMIC_SEQ_CST))
#define InterlockedExchange(p, v) \
	(shim_chaos(), __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#define InterlockedExchangeAdd(p, v) \
	(shim_chaos(), __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define InterlockedOr(p, v) (shim_chaos(), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define InterlockedAnd(p, v) \
	(shim_chaos(), __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
#define InterlockedExchangePointer(p, v) InterlockedExchange(p, v)
#define InterlockedCompareExchange(p, v, old) __sync_val_compare_and_swap((p), (old), (v))
#define InterlockedCompareExchangePointer(p, v, old) InterlockedCompareExchange(p, v, old)

/* ---- Pool, strings ---- */
typedef enum { NonPagedPool, PagedPool, NonPagedPoolNx = 512 } POOL_TYPE;
PVOID ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag);
VOID ExFreePoolWithTag(PVOID p, ULONG tag);
VOID ExFreePool(PVOID p);
#define RtlZeroMemory(p, n) memset((p), 0, (n))
#define RtlFillMemory(p, n, c) memset((p), (c), (n))
#define RtlCopyMemory(to, from, n) memcpy((to), (from), (n))
#define RtlMoveMemory(to, from, n) memmove((to), (from), (n))
#define RtlEqualMemory(a, b, n) (memcmp((a), (b), (n)) == 0)
SIZE_T RtlCompareMemory(const VOID *a, const VOID *b, SIZE_T n);
VOID RtlInitUnicodeString(PUNICODE_STRING out, PCWSTR s);
VOID RtlCopyUnicodeString(PUNICODE_STRING to, PCUNICODE_STRING from);
BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING a, PCUNICODE_STRING b, BOOLEAN no_case);
NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING to, PCWSTR s);
NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING to, PCUNICODE_STRING s);
typedef struct _OSVERSIONINFOW {
	ULONG dwOSVersionInfoSize, dwMajorVersion, dwMinorVersion, dwBuildNumber,
	    dwPlatformId;
	WCHAR szCSDVersion[128];
} RTL_OSVERSIONINFOW, *PRTL_OSVERSIONINFOW;
NTSTATUS RtlGetVersion(PRTL_OSVERSIONINFOW version);
ULONG DbgPrint(PCSTR format, ...);
#define KdPrint(x) ((void)0)
#define ASSERT(x) ((x) ? (void)0 : shim_assert(#x, __FILE__, __LINE__))
#define NT_ASSERT(x) ASSERT(x)
void shim_assert(const char *what, const char *file, int line) __attribute__((noreturn));

/* ---- Objects, handles, security, registry ---- */
typedef struct _OBJECT_ATTRIBUTES {
	ULONG Length;
	HANDLE RootDirectory;
	PUNICODE_STRING ObjectName;
	ULONG Attributes;
	PVOID SecurityDescriptor, SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
#define OBJ_CASE_INSENSITIVE 0x40u
#define OBJ_KERNEL_HANDLE 0x200u
static inline void
shim_attributes(
    POBJECT_ATTRIBUTES o, PUNICODE_STRING name, ULONG flags, HANDLE root, PVOID sd)
{
	o->Length = sizeof(*o);
	o->RootDirectory = root;
	o->ObjectName = name;
	o->Attributes = flags;
	o->SecurityDescriptor = sd;
	o->SecurityQualityOfService = NULL;
}
#define InitializeObjectAttributes(o, name, flags, root, sd) \
	shim_attributes((o), (name), (flags), (root), (sd))
#define DELETE 0x10000u
#define READ_CONTROL 0x20000u
#define WRITE_DAC 0x40000u
#define WRITE_OWNER 0x80000u
#define SYNCHRONIZE 0x100000u
#define GENERIC_ALL 0x10000000u
#define GENERIC_READ 0x80000000u
#define GENERIC_WRITE 0x40000000u
#define THREAD_ALL_ACCESS 0x1fffffu
#define FILE_ALL_ACCESS 0x1f01ffu
#define FILE_READ_DATA 1u
#define FILE_WRITE_DATA 2u
#define FILE_ANY_ACCESS 0u
#define FILE_READ_ACCESS 1u
#define FILE_WRITE_ACCESS 2u

typedef struct _OBJECT_TYPE *POBJECT_TYPE;
extern POBJECT_TYPE *PsThreadType, *IoFileObjectType, *IoDeviceObjectType;
NTSTATUS PsCreateSystemThread(PHANDLE thread, ULONG access, POBJECT_ATTRIBUTES attributes,
    HANDLE process, PVOID client, void (*run)(PVOID context), PVOID context);
NTSTATUS PsTerminateSystemThread(NTSTATUS status) __attribute__((noreturn));
NTSTATUS ObReferenceObjectByHandle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type,
    KPROCESSOR_MODE mode, PVOID *object, PVOID information);
NTSTATUS ObOpenObjectByPointer(PVOID object, ULONG attributes, PVOID state,
    ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode, PHANDLE handle);
VOID ObDereferenceObject(PVOID object);
VOID ObReferenceObject(PVOID object);
NTSTATUS ZwClose(HANDLE handle);

typedef struct _SID {
	UCHAR Revision, SubAuthorityCount;
	UCHAR IdentifierAuthority[6];
	ULONG SubAuthority[8];
} SID, *PISID;
typedef PVOID PSID, PSECURITY_DESCRIPTOR;
typedef struct _SID_IDENTIFIER_AUTHORITY {
	UCHAR Value[6];
} SID_IDENTIFIER_AUTHORITY, *PSID_IDENTIFIER_AUTHORITY;
typedef struct _ACL {
	UCHAR AclRevision, Sbz1;
	USHORT AclSize, AceCount, Sbz2;
} ACL, *PACL;
typedef struct _ACE_HEADER {
	UCHAR AceType, AceFlags;
	USHORT AceSize;
} ACE_HEADER;
typedef struct _ACCESS_ALLOWED_ACE {
	ACE_HEADER Header;
	ACCESS_MASK Mask;
	ULONG SidStart;
} ACCESS_ALLOWED_ACE;
typedef struct _SECURITY_DESCRIPTOR {
	UCHAR Revision, Sbz1;
	USHORT Control;
	PSID Owner, Group;
	PACL Sacl, Dacl;
} SECURITY_DESCRIPTOR;
#define SECURITY_DESCRIPTOR_REVISION 1
#define ACL_REVISION 2
#define SECURITY_NT_AUTHORITY            \
	{                                \
		{                        \
			0, 0, 0, 0, 0, 5 \
		}                        \
	}
#define SECURITY_BUILTIN_DOMAIN_RID 0x20
#define SECURITY_LOCAL_SYSTEM_RID 0x12
#define DOMAIN_ALIAS_RID_ADMINS 0x220
typedef ULONG SECURITY_INFORMATION;
#define DACL_SECURITY_INFORMATION 4u
typedef struct _SE_EXPORTS {
	PSID SeLocalSystemSid, SeAliasAdminsSid, SeWorldSid;
} SE_EXPORTS, *PSE_EXPORTS;
extern PSE_EXPORTS SeExports;
typedef struct _LUID {
	ULONG LowPart;
	LONG HighPart;
} LUID;
ULONG RtlLengthSid(PSID sid);
ULONG RtlLengthRequiredSid(ULONG count);
NTSTATUS RtlInitializeSid(PSID sid, PSID_IDENTIFIER_AUTHORITY authority, UCHAR count);
PULONG RtlSubAuthoritySid(PSID sid, ULONG i);
NTSTATUS RtlCreateAcl(PACL acl, ULONG bytes, ULONG revision);
NTSTATUS RtlAddAccessAllowedAce(PACL acl, ULONG revision, ACCESS_MASK access, PSID sid);
NTSTATUS RtlCreateSecurityDescriptor(PSECURITY_DESCRIPTOR sd, ULONG revision);
NTSTATUS RtlSetDaclSecurityDescriptor(
    PSECURITY_DESCRIPTOR sd, BOOLEAN present, PACL acl, BOOLEAN defaulted);
NTSTATUS
ZwSetSecurityObject(HANDLE h, SECURITY_INFORMATION what, PSECURITY_DESCRIPTOR sd);
BOOLEAN SeSinglePrivilegeCheck(LUID privilege, KPROCESSOR_MODE mode);

#define REG_NONE 0u
#define REG_SZ 1u
#define REG_EXPAND_SZ 2u
#define REG_BINARY 3u
#define REG_DWORD 4u
#define REG_MULTI_SZ 7u
#define REG_QWORD 11u
#define REG_OPTION_NON_VOLATILE 0u
#define REG_OPTION_VOLATILE 1u
#define KEY_QUERY_VALUE 1u
#define KEY_SET_VALUE 2u
#define KEY_CREATE_SUB_KEY 4u
#define KEY_ENUMERATE_SUB_KEYS 8u
#define KEY_READ 0x20019u
#define KEY_WRITE 0x20006u
#define KEY_ALL_ACCESS 0xf003fu
typedef enum {
	KeyValueBasicInformation,
	KeyValueFullInformation,
	KeyValuePartialInformation
} KEY_VALUE_INFORMATION_CLASS;
typedef enum {
	KeyBasicInformation,
	KeyNodeInformation,
	KeyFullInformation
} KEY_INFORMATION_CLASS;
typedef struct _KEY_VALUE_PARTIAL_INFORMATION {
	ULONG TitleIndex, Type, DataLength;
	UCHAR Data[1];
} KEY_VALUE_PARTIAL_INFORMATION, *PKEY_VALUE_PARTIAL_INFORMATION;
typedef struct _KEY_BASIC_INFORMATION {
	LARGE_INTEGER LastWriteTime;
	ULONG TitleIndex, NameLength;
	WCHAR Name[1];
} KEY_BASIC_INFORMATION, *PKEY_BASIC_INFORMATION;
NTSTATUS ZwCreateKey(PHANDLE key, ACCESS_MASK access, POBJECT_ATTRIBUTES o, ULONG title,
    PUNICODE_STRING class, ULONG options, PULONG disposition);
NTSTATUS ZwOpenKey(PHANDLE key, ACCESS_MASK access, POBJECT_ATTRIBUTES o);
NTSTATUS ZwQueryValueKey(HANDLE key, PUNICODE_STRING name,
    KEY_VALUE_INFORMATION_CLASS class, PVOID out, ULONG room, PULONG length);
NTSTATUS ZwSetValueKey(
    HANDLE key, PUNICODE_STRING name, ULONG title, ULONG type, PVOID data, ULONG bytes);
NTSTATUS ZwDeleteValueKey(HANDLE key, PUNICODE_STRING name);
NTSTATUS ZwDeleteKey(HANDLE key);
NTSTATUS ZwFlushKey(HANDLE key);
NTSTATUS ZwEnumerateKey(HANDLE key, ULONG index, KEY_INFORMATION_CLASS class, PVOID out,
    ULONG room, PULONG length);

/* ---- Devices, drivers, files ---- */
typedef struct _KDPC *PKDPC;
typedef struct _VPB *PVPB;
typedef NTSTATUS DRIVER_INITIALIZE(struct _DRIVER_OBJECT *driver, PUNICODE_STRING path);
typedef NTSTATUS
DRIVER_ADD_DEVICE(struct _DRIVER_OBJECT *driver, struct _DEVICE_OBJECT *pdo);
typedef VOID DRIVER_UNLOAD(struct _DRIVER_OBJECT *driver);
typedef NTSTATUS DRIVER_DISPATCH(struct _DEVICE_OBJECT *device, struct _IRP *irp);
typedef VOID DRIVER_CANCEL(struct _DEVICE_OBJECT *device, struct _IRP *irp);
typedef VOID
DRIVER_REINITIALIZE(struct _DRIVER_OBJECT *driver, PVOID context, ULONG count);
typedef NTSTATUS
IO_COMPLETION_ROUTINE(struct _DEVICE_OBJECT *device, struct _IRP *irp, PVOID context);
typedef VOID IO_WORKITEM_ROUTINE(struct _DEVICE_OBJECT *device, PVOID context);
typedef VOID KSTART_ROUTINE(PVOID context);
typedef DRIVER_DISPATCH *PDRIVER_DISPATCH;
typedef DRIVER_CANCEL *PDRIVER_CANCEL;
typedef DRIVER_UNLOAD *PDRIVER_UNLOAD;
typedef DRIVER_ADD_DEVICE *PDRIVER_ADD_DEVICE;
typedef DRIVER_REINITIALIZE *PDRIVER_REINITIALIZE;
typedef IO_COMPLETION_ROUTINE *PIO_COMPLETION_ROUTINE;
typedef IO_WORKITEM_ROUTINE *PIO_WORKITEM_ROUTINE;
typedef KSTART_ROUTINE *PKSTART_ROUTINE;

#define IRP_MJ_CREATE 0x00
#define IRP_MJ_CLOSE 0x02
#define IRP_MJ_READ 0x03
#define IRP_MJ_WRITE 0x04
#define IRP_MJ_QUERY_INFORMATION 0x05
#define IRP_MJ_FLUSH_BUFFERS 0x09
#define IRP_MJ_FILE_SYSTEM_CONTROL 0x0d
#define IRP_MJ_DEVICE_CONTROL 0x0e
#define IRP_MJ_INTERNAL_DEVICE_CONTROL 0x0f
#define IRP_MJ_SCSI IRP_MJ_INTERNAL_DEVICE_CONTROL
#define IRP_MJ_SHUTDOWN 0x10
#define IRP_MJ_CLEANUP 0x12
#define IRP_MJ_POWER 0x16
#define IRP_MJ_SYSTEM_CONTROL 0x17
#define IRP_MJ_PNP 0x1b
#define IRP_MJ_MAXIMUM_FUNCTION 0x1b
#define IRP_MN_START_DEVICE 0x00
#define IRP_MN_QUERY_REMOVE_DEVICE 0x01
#define IRP_MN_REMOVE_DEVICE 0x02
#define IRP_MN_CANCEL_REMOVE_DEVICE 0x03
#define IRP_MN_STOP_DEVICE 0x04
#define IRP_MN_QUERY_STOP_DEVICE 0x05
#define IRP_MN_CANCEL_STOP_DEVICE 0x06
#define IRP_MN_QUERY_DEVICE_RELATIONS 0x07
#define IRP_MN_QUERY_INTERFACE 0x08
#define IRP_MN_QUERY_CAPABILITIES 0x09
#define IRP_MN_QUERY_PNP_DEVICE_STATE 0x14
#define IRP_MN_DEVICE_USAGE_NOTIFICATION 0x16
#define IRP_MN_SURPRISE_REMOVAL 0x17
#define IRP_MN_DEVICE_ENUMERATED 0x19
#define IRP_MN_WAIT_WAKE 0x00
#define IRP_MN_POWER_SEQUENCE 0x01
#define IRP_MN_SET_POWER 0x02
#define IRP_MN_QUERY_POWER 0x03
#define SL_PENDING_RETURNED 0x01
#define SL_ERROR_RETURNED 0x02
#define SL_INVOKE_ON_CANCEL 0x20
#define SL_INVOKE_ON_SUCCESS 0x40
#define SL_INVOKE_ON_ERROR 0x80
#define SL_FORCE_DIRECT_WRITE 0x10
#define SL_WRITE_THROUGH 0x04
#define SL_OVERRIDE_VERIFY_VOLUME 0x02
#define IRP_NOCACHE 0x00000001u
#define IRP_PAGING_IO 0x00000002u
#define IRP_SYNCHRONOUS_API 0x00000004u
#define IRP_SYNCHRONOUS_PAGING_IO 0x00000040u
#define IRP_WRITE_OPERATION 0x00000200u

#define DO_BUFFERED_IO 0x4u
#define DO_EXCLUSIVE 0x8u
#define DO_DIRECT_IO 0x10u
#define DO_DEVICE_INITIALIZING 0x80u
#define DO_SHUTDOWN_REGISTERED 0x800u
#define DO_BUS_ENUMERATED_DEVICE 0x1000u
#define DO_POWER_PAGABLE 0x2000u
#define DO_POWER_INRUSH 0x4000u
#define FILE_DEVICE_DISK 0x7u
#define FILE_DEVICE_UNKNOWN 0x22u
#define FILE_DEVICE_MASS_STORAGE 0x2du
#define FILE_REMOVABLE_MEDIA 0x1u
#define FILE_READ_ONLY_DEVICE 0x2u
#define FILE_DEVICE_SECURE_OPEN 0x100u
#define METHOD_BUFFERED 0u
#define METHOD_IN_DIRECT 1u
#define METHOD_OUT_DIRECT 2u
#define METHOD_NEITHER 3u
#define CTL_CODE(type, function, method, access)                                \
	((ULONG)(type) << 16 | (ULONG)(access) << 14 | (ULONG)(function) << 2 | \
	    (ULONG)(method))
#define DEVICE_TYPE_FROM_CTL_CODE(c) ((ULONG)(c) >> 16)
#define METHOD_FROM_CTL_CODE(c) ((ULONG)(c)&3)

typedef struct _DRIVER_EXTENSION {
	struct _DRIVER_OBJECT *DriverObject;
	PDRIVER_ADD_DEVICE AddDevice;
	ULONG Count;
	UNICODE_STRING ServiceKeyName;
} DRIVER_EXTENSION, *PDRIVER_EXTENSION;

typedef struct _DRIVER_OBJECT {
	CSHORT Type, Size;
	struct _DEVICE_OBJECT *DeviceObject; /* the first of its devices */
	ULONG Flags;
	PDRIVER_EXTENSION DriverExtension;
	UNICODE_STRING DriverName;
	DRIVER_INITIALIZE *DriverInit;
	PDRIVER_UNLOAD DriverUnload;
	PDRIVER_DISPATCH MajorFunction[IRP_MJ_MAXIMUM_FUNCTION + 1];
	DRIVER_EXTENSION shim_extension;
} DRIVER_OBJECT, *PDRIVER_OBJECT;

typedef struct _DEVICE_OBJECT {
	CSHORT Type;
	USHORT Size;
	LONG ReferenceCount;
	struct _DRIVER_OBJECT *DriverObject;
	struct _DEVICE_OBJECT *NextDevice, *AttachedDevice;
	ULONG Flags, Characteristics;
	PVOID DeviceExtension;
	DEVICE_TYPE DeviceType;
	CCHAR StackSize;
	ULONG AlignmentRequirement;
	USHORT SectorSize;
	struct { /* the shim's own */
		ULONG magic;
		LONG references;
		LONG deleted;
		struct _DEVICE_OBJECT *below;
		LONG shutdowns;
		UNICODE_STRING name;
	} shim;
} DEVICE_OBJECT, *PDEVICE_OBJECT;

#define FO_SYNCHRONOUS_IO 0x2u
typedef struct _FILE_OBJECT {
	CSHORT Type, Size;
	PDEVICE_OBJECT DeviceObject;
	PVPB Vpb;
	PVOID FsContext, FsContext2;
	UNICODE_STRING FileName;
	ULONG Flags;
	LARGE_INTEGER CurrentByteOffset;
} FILE_OBJECT, *PFILE_OBJECT;

NTSTATUS IoCreateDevice(PDRIVER_OBJECT driver, ULONG extension, PUNICODE_STRING name,
    DEVICE_TYPE type, ULONG characteristics, BOOLEAN exclusive, PDEVICE_OBJECT *out);
VOID IoDeleteDevice(PDEVICE_OBJECT device);
PDEVICE_OBJECT IoAttachDeviceToDeviceStack(PDEVICE_OBJECT source, PDEVICE_OBJECT target);
NTSTATUS IoAttachDeviceToDeviceStackSafe(
    PDEVICE_OBJECT source, PDEVICE_OBJECT target, PDEVICE_OBJECT *below);
VOID IoDetachDevice(PDEVICE_OBJECT below);
PDEVICE_OBJECT IoGetAttachedDeviceReference(PDEVICE_OBJECT device);
NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING link, PUNICODE_STRING name);
NTSTATUS IoDeleteSymbolicLink(PUNICODE_STRING link);
NTSTATUS IoRegisterShutdownNotification(PDEVICE_OBJECT device);
NTSTATUS IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT device);
VOID IoUnregisterShutdownNotification(PDEVICE_OBJECT device);
VOID IoRegisterBootDriverReinitialization(
    PDRIVER_OBJECT driver, PDRIVER_REINITIALIZE routine, PVOID context);
VOID IoRegisterDriverReinitialization(
    PDRIVER_OBJECT driver, PDRIVER_REINITIALIZE routine, PVOID context);
VOID IoInvalidateDeviceState(PDEVICE_OBJECT pdo);
PVOID MmGetSystemRoutineAddress(PUNICODE_STRING name);

/* ---- IRPs ---- */
typedef enum {
	PowerSystemUnspecified,
	PowerSystemWorking,
	PowerSystemSleeping1,
	PowerSystemSleeping2,
	PowerSystemSleeping3,
	PowerSystemHibernate,
	PowerSystemShutdown,
	PowerSystemMaximum
} SYSTEM_POWER_STATE;
typedef enum {
	PowerDeviceUnspecified,
	PowerDeviceD0,
	PowerDeviceD1,
	PowerDeviceD2,
	PowerDeviceD3,
	PowerDeviceMaximum
} DEVICE_POWER_STATE;
typedef enum { SystemPowerState, DevicePowerState } POWER_STATE_TYPE;
typedef enum {
	PowerActionNone,
	PowerActionReserved,
	PowerActionSleep,
	PowerActionHibernate,
	PowerActionShutdown,
	PowerActionShutdownReset,
	PowerActionShutdownOff
} POWER_ACTION;
typedef union _POWER_STATE {
	SYSTEM_POWER_STATE SystemState;
	DEVICE_POWER_STATE DeviceState;
} POWER_STATE;
typedef enum {
	DeviceUsageTypeUndefined,
	DeviceUsageTypePaging,
	DeviceUsageTypeHibernation,
	DeviceUsageTypeDumpFile,
	DeviceUsageTypeBoot,
	DeviceUsageTypePostDisplay
} DEVICE_USAGE_NOTIFICATION_TYPE;
typedef enum {
	BusRelations,
	EjectionRelations,
	PowerRelations,
	RemovalRelations,
	TargetDeviceRelation
} DEVICE_RELATION_TYPE;

typedef struct _MDL {
	struct _MDL *Next;
	CSHORT Size, MdlFlags;
	PVOID Process;
	PVOID MappedSystemVa, StartVa;
	ULONG ByteCount, ByteOffset;
	struct _MDL *shim_parent; /* of a partial one */
	LONG shim_parts;	  /* partial ones that lean on it */
} MDL, *PMDL;
#define MDL_MAPPED_TO_SYSTEM_VA 0x1
#define MDL_PAGES_LOCKED 0x2
#define MDL_SOURCE_IS_NONPAGED_POOL 0x4
#define MDL_PARTIAL 0x10
#define LowPagePriority 0
#define NormalPagePriority 16
#define HighPagePriority 32
#define MdlMappingNoExecute 0x40000000u

typedef struct _IO_SECURITY_CONTEXT {
	PVOID SecurityQos, AccessState;
	ACCESS_MASK DesiredAccess;
	ULONG FullCreateOptions;
} IO_SECURITY_CONTEXT, *PIO_SECURITY_CONTEXT;

typedef struct _IO_STACK_LOCATION {
	UCHAR MajorFunction, MinorFunction, Flags, Control;
	union {
		struct {
			PIO_SECURITY_CONTEXT SecurityContext;
			ULONG Options;
			USHORT FileAttributes, ShareAccess;
			ULONG EaLength;
		} Create;
		struct {
			ULONG Length, Key;
			LARGE_INTEGER ByteOffset;
		} Read, Write;
		struct {
			ULONG OutputBufferLength, InputBufferLength, IoControlCode;
			PVOID Type3InputBuffer;
		} DeviceIoControl;
		struct {
			ULONG SystemContext;
			POWER_STATE_TYPE Type;
			POWER_STATE State;
			POWER_ACTION ShutdownType;
		} Power;
		struct {
			BOOLEAN InPath, Reserved[3];
			DEVICE_USAGE_NOTIFICATION_TYPE Type;
		} UsageNotification;
		struct {
			DEVICE_RELATION_TYPE Type;
		} QueryDeviceRelations;
		struct {
			PVOID Argument1, Argument2, Argument3, Argument4;
		} Others;
	} Parameters;
	PDEVICE_OBJECT DeviceObject;
	PFILE_OBJECT FileObject;
	PIO_COMPLETION_ROUTINE CompletionRoutine;
	PVOID Context;
	struct shim_call *shim_calls; /* of IoCallDriver that are not answered yet */
} IO_STACK_LOCATION, *PIO_STACK_LOCATION;

typedef struct _IRP {
	CSHORT Type;
	USHORT Size;
	PMDL MdlAddress;
	ULONG Flags;
	union {
		struct _IRP *MasterIrp;
		LONG IrpCount;
		PVOID SystemBuffer;
	} AssociatedIrp;
	LIST_ENTRY ThreadListEntry;
	IO_STATUS_BLOCK IoStatus;
	KPROCESSOR_MODE RequestorMode;
	BOOLEAN PendingReturned;
	CHAR StackCount, CurrentLocation;
	BOOLEAN Cancel;
	KIRQL CancelIrql;
	CCHAR ApcEnvironment;
	UCHAR AllocationFlags;
	PIO_STATUS_BLOCK UserIosb;
	PKEVENT UserEvent;
	PDRIVER_CANCEL CancelRoutine;
	PVOID UserBuffer;
	union {
		struct {
			PVOID DriverContext[4];
			PETHREAD Thread;
			PCHAR AuxiliaryBuffer;
			LIST_ENTRY ListEntry;
			PIO_STACK_LOCATION CurrentStackLocation;
			PFILE_OBJECT OriginalFileObject;
		} Overlay;
		PVOID CompletionKey;
	} Tail;
	struct { /* the shim's own */
		ULONG magic;
		LONG state;
		BOOLEAN threaded; /* completed and freed by the I/O manager */
		BOOLEAN pool;	  /* made by IoInitializeIrp in memory of the caller's */
	} shim;
} IRP, *PIRP;

#define IoSizeOfIrp(n) \
	((USHORT)(sizeof(IRP) + (size_t)(CCHAR)(n) * sizeof(IO_STACK_LOCATION)))
PIRP IoAllocateIrp(CCHAR stack, BOOLEAN quota);
VOID IoInitializeIrp(PIRP irp, USHORT bytes, CCHAR stack);
VOID IoReuseIrp(PIRP irp, NTSTATUS status);
VOID IoFreeIrp(PIRP irp);
PIO_STACK_LOCATION IoGetCurrentIrpStackLocation(PIRP irp);
PIO_STACK_LOCATION IoGetNextIrpStackLocation(PIRP irp);
VOID IoSkipCurrentIrpStackLocation(PIRP irp);
VOID IoCopyCurrentIrpStackLocationToNext(PIRP irp);
VOID IoSetNextIrpStackLocation(PIRP irp);
VOID IoMarkIrpPending(PIRP irp);
VOID IoSetCompletionRoutine(PIRP irp, PIO_COMPLETION_ROUTINE routine, PVOID context,
    BOOLEAN success, BOOLEAN error, BOOLEAN cancel);
NTSTATUS IoCallDriver(PDEVICE_OBJECT device, PIRP irp);
#define IofCallDriver IoCallDriver
VOID IoCompleteRequest(PIRP irp, CCHAR boost);
#define IofCompleteRequest IoCompleteRequest
PDRIVER_CANCEL IoSetCancelRoutine(PIRP irp, PDRIVER_CANCEL routine);
VOID IoAcquireCancelSpinLock(PKIRQL old);
VOID IoReleaseCancelSpinLock(KIRQL old);
BOOLEAN IoCancelIrp(PIRP irp);
PIRP IoBuildAsynchronousFsdRequest(ULONG major, PDEVICE_OBJECT device, PVOID buffer,
    ULONG length, PLARGE_INTEGER offset, PIO_STATUS_BLOCK status);
PIRP IoBuildSynchronousFsdRequest(ULONG major, PDEVICE_OBJECT device, PVOID buffer,
    ULONG length, PLARGE_INTEGER offset, PKEVENT event, PIO_STATUS_BLOCK status);
PIRP
IoBuildDeviceIoControlRequest(ULONG code, PDEVICE_OBJECT device, PVOID in, ULONG in_bytes,
    PVOID out, ULONG out_bytes, BOOLEAN internal, PKEVENT event, PIO_STATUS_BLOCK status);
VOID PoStartNextPowerIrp(PIRP irp);
NTSTATUS PoCallDriver(PDEVICE_OBJECT device, PIRP irp);

PMDL IoAllocateMdl(PVOID va, ULONG bytes, BOOLEAN secondary, BOOLEAN quota, PIRP irp);
VOID IoFreeMdl(PMDL mdl);
VOID MmBuildMdlForNonPagedPool(PMDL mdl);
VOID IoBuildPartialMdl(PMDL source, PMDL target, PVOID va, ULONG bytes);
VOID MmUnlockPages(PMDL mdl);
PVOID MmGetSystemAddressForMdlSafe(PMDL mdl, ULONG priority);
VOID MmPrepareMdlForReuse(PMDL mdl);
#define MmGetMdlVirtualAddress(m) ((PVOID)((PUCHAR)(m)->StartVa + (m)->ByteOffset))
#define MmGetMdlByteCount(m) ((m)->ByteCount)
#define MmGetMdlByteOffset(m) ((m)->ByteOffset)
#define MmInitializeMdl(m, va, n) shim_mdl_set((m), (va), (n))
void shim_mdl_set(PMDL mdl, PVOID va, ULONG bytes);

/* ---- Remove locks, work items, the event log ---- */
typedef struct _IO_REMOVE_LOCK {
	ULONG magic;
	LONG count; /* with 1 for "not removed" */
	LONG removed;
	KEVENT empty;
} IO_REMOVE_LOCK, *PIO_REMOVE_LOCK;
VOID IoInitializeRemoveLock(PIO_REMOVE_LOCK lock, ULONG tag, ULONG minutes, ULONG high);
NTSTATUS IoAcquireRemoveLock(PIO_REMOVE_LOCK lock, PVOID tag);
VOID IoReleaseRemoveLock(PIO_REMOVE_LOCK lock, PVOID tag);
VOID IoReleaseRemoveLockAndWait(PIO_REMOVE_LOCK lock, PVOID tag);

typedef enum {
	CriticalWorkQueue,
	DelayedWorkQueue,
	HyperCriticalWorkQueue
} WORK_QUEUE_TYPE;
typedef struct _IO_WORKITEM *PIO_WORKITEM;
PIO_WORKITEM IoAllocateWorkItem(PDEVICE_OBJECT device);
VOID IoQueueWorkItem(PIO_WORKITEM item, PIO_WORKITEM_ROUTINE routine,
    WORK_QUEUE_TYPE queue, PVOID context);
VOID IoFreeWorkItem(PIO_WORKITEM item);

#define ERROR_LOG_MAXIMUM_SIZE 240 /* of an entry with all it carries: ntddk.h */
typedef struct _IO_ERROR_LOG_PACKET {
	UCHAR MajorFunctionCode, RetryCount;
	USHORT DumpDataSize, NumberOfStrings, StringOffset, EventCategory;
	NTSTATUS ErrorCode;
	ULONG UniqueErrorValue;
	NTSTATUS FinalStatus;
	ULONG SequenceNumber, IoControlCode;
	LARGE_INTEGER DeviceOffset;
	ULONG DumpData[1];
} IO_ERROR_LOG_PACKET, *PIO_ERROR_LOG_PACKET;
PVOID IoAllocateErrorLogEntry(PVOID object, UCHAR bytes);
VOID IoWriteErrorLogEntry(PVOID entry);
VOID IoFreeErrorLogEntry(PVOID entry);

#include "tests/driver/shim/ntioctl.h"

#endif /* TESTS_DRIVER_SHIM_NTDDK_H */
