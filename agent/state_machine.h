/*
 * state_machine.h - what a machine is known by; for state.c alone.
 *
 * A machine that gets new hardware (a restore to another one, too) must stay the host
 * that it is, and a second one that runs with a copied key must be noticed.  So it is
 * the id of the installed system: /etc/machine-id, on Windows MachineGuid, which Sysprep
 * makes anew for a clone as systemd does for an empty machine-id.  A clone that was made
 * without either has the same, and is noticed by nobody (docs/security.md).  The
 * mainboard's UUID comes last: there it is better than nothing.
 */
#ifndef AGENT_STATE_MACHINE_H
#define AGENT_STATE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Where a system without any id should have one, for messages. */
extern const char state_machine_place[];

/* The id in a file into `id` (replaced): 1, or 0 if there is none in it, or -1. */
int state_machine_file(const char *path, struct buf *id, struct err *err);

/* This system's (state_machine_SYSTEM.c), likewise. */
int state_machine_system(struct buf *id, struct err *err);

#define STATE_MACHINE_UUID_LEN 16

/*
 * The system's UUID in the `len` bytes of a SMBIOS table (structures only, as
 * DSP0134 has them): 1, or 0 if there is none or it is one that says "none".  Foreign
 * bytes: any are fine.
 */
int
state_machine_smbios(const uint8_t *p, size_t len, uint8_t out[STATE_MACHINE_UUID_LEN]);

#endif /* AGENT_STATE_MACHINE_H */
