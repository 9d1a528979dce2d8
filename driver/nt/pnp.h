/*
 * pnp.h - IRP_MJ_PNP: a volume starts, holds special files, is removed.  None of it waits
 * for our threads to do something for a host's write.
 */
#ifndef DRIVER_NT_PNP_H
#define DRIVER_NT_PNP_H

#include "driver/nt/nt.h"

/* Passive, entered. */
NTSTATUS pnp_request(struct filter *f, IRP *irp);

#endif /* DRIVER_NT_PNP_H */
