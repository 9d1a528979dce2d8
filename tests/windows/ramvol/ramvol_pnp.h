/*
 * ramvol_pnp.h - what a PnP manager does for a volume: a filter added, started, removed.
 * For ramvol.c; all passive.
 */
#ifndef TESTS_WINDOWS_RAMVOL_RAMVOL_PNP_H
#define TESTS_WINDOWS_RAMVOL_RAMVOL_PNP_H

#include <ntddk.h>

/* AddDevice of \Driver\hotcopy above "pdo", and its start. */
NTSTATUS ramvol_pnp_attach(PDEVICE_OBJECT pdo);
/* Sends one PnP request to the top of the stack and waits for its end. */
NTSTATUS ramvol_pnp_send(PDEVICE_OBJECT pdo, UCHAR minor);

#endif /* TESTS_WINDOWS_RAMVOL_RAMVOL_PNP_H */
