/*
 * compat.h - the kernel's headers for driver/nt, and what MinGW's lack or say
 * differently.
 *
 * Nothing here is newer than NT 5.2; what is newer is looked up by
 * MmGetSystemRoutineAddress where it is used.  Tests on other systems put a shim's
 * ntddk.h before the compiler's.
 */
#ifndef DRIVER_NT_COMPAT_H
#define DRIVER_NT_COMPAT_H

#ifdef __MINGW32__
/* The headers' own reads the processor's block; the exported one is right under Wine,
   too. */
#define _PSGETCURRENTTHREAD_
#include <ntifs.h>
#include <ntddk.h>
#include <ntdddisk.h>
#include <ntddstor.h>
#include <ntddvol.h>
NTKERNELAPI PETHREAD NTAPI PsGetCurrentThread(VOID);
#else
#include <ntddk.h>
#endif

/* A size that must hold, wherever it is said. */
#define NT_ASSERT_SIZE(name, condition) typedef char name[(condition) ? 1 : -1]

/* Since Windows 8: pool that is not executable.  Older kernels refuse the number. */
#define COMPAT_POOL_NX ((POOL_TYPE)512)

/* IOCTL_DISK_GET_LENGTH_INFO is there since NT 5.1. */
#ifndef IOCTL_DISK_GET_LENGTH_INFO
#define IOCTL_DISK_GET_LENGTH_INFO \
	CTL_CODE(FILE_DEVICE_DISK, 0x17, METHOD_BUFFERED, FILE_READ_ACCESS)
#endif

#ifndef DEVICE_DSM_FLAG_ENTIRE_DATA_SET_RANGE
#define DEVICE_DSM_FLAG_ENTIRE_DATA_SET_RANGE 0x00000001u
#endif

#endif /* DRIVER_NT_COMPAT_H */
