/*
 * pass.h - requests that only pass: reads, flushes, power-neutral PnP, WMI, everything
 * that this driver does not know.
 */
#ifndef DRIVER_NT_PASS_H
#define DRIVER_NT_PASS_H

#include "driver/nt/nt.h"

/* Sends an entered request down as it is and leaves the filter. */
NTSTATUS pass_request(struct filter *f, IRP *irp);

/*
 * Passive.  Sends it down and waits until the drivers below are done with it; the caller
 * ends it then with IoCompleteRequest, and still has it entered.  Gives what it came to.
 */
NTSTATUS pass_and_wait(struct filter *f, IRP *irp);

#endif /* DRIVER_NT_PASS_H */
