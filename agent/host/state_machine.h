/*
 * state_machine.h - what a machine is known by; for state.c alone.
 *
 * A machine that gets new hardware (a restore to another one, too) must stay the host
 * that it is, and a second one that runs with a copied key must be noticed.  So it is
 * the id of the installed system: /etc/machine-id, on Windows MachineGuid, which Setup
 * makes.  A clone that keeps it is noticed by nobody (docs/security.md): an empty
 * machine-id gets a new one at boot; whether Sysprep makes a new MachineGuid is for a
 * person to see.  The mainboard's UUID comes last: it is better than nothing.
 */
#ifndef AGENT_HOST_STATE_MACHINE_H
#define AGENT_HOST_STATE_MACHINE_H

struct buf;
struct err;

/* Where a system without any id should have one, for messages. */
extern const char state_machine_place[];

/* The id in a file into `id` (replaced): 1, or 0 if there is none in it, or -1. */
int state_machine_file(const char *path, struct buf *id, struct err *err);

/* This system's (state_machine_SYSTEM.c), likewise. */
int state_machine_system(struct buf *id, struct err *err);

#endif /* AGENT_HOST_STATE_MACHINE_H */
