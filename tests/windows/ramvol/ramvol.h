/*
 * ramvol.h - two volumes in memory, \\.\RamVol0 and \\.\RamVol1, for the tests of
 * hotcopy.sys under Wine, and \\.\RamVolCtl, whose calls play the PnP manager: Wine
 * itself puts no class filter into a stack.  The driver under test has no code for tests.
 *
 * ATTACH first; then REMOVE or SURPRISE of either volume, at any time.
 */
#ifndef TESTS_WINDOWS_RAMVOL_RAMVOL_H
#define TESTS_WINDOWS_RAMVOL_RAMVOL_H

#define RAMVOL_COUNT 2u
#define RAMVOL_BYTES (8u << 20)
#define RAMVOL_SECTOR 512u

/* FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_READ_ACCESS | FILE_WRITE_ACCESS. */
#define RAMVOL_CODE(n) (0x22u << 16 | 3u << 14 | (0x900u + (n)) << 2)
/* AddDevice of \Driver\hotcopy for both, and IRP_MN_START_DEVICE. */
#define RAMVOL_ATTACH RAMVOL_CODE(0)
/* In: the volume's number, 32 bits.  IRP_MN_REMOVE_DEVICE; SURPRISE: with
   IRP_MN_SURPRISE_REMOVAL before it.  The volume itself stays, without the filter. */
#define RAMVOL_REMOVE RAMVOL_CODE(1)
#define RAMVOL_SURPRISE RAMVOL_CODE(2)

#endif /* TESTS_WINDOWS_RAMVOL_RAMVOL_H */
