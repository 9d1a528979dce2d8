/*
 * awake.h - while a backup runs the machine does not fall asleep by idling.
 *
 * Windows: SetThreadExecutionState, which belongs to the calling thread, so both
 * calls come from one.  A lid that is closed or a person who wants sleep is stronger;
 * then the session is lost and the backup goes on after the resume (backup.h).
 * Linux: nothing; servers do not doze, and systemd-inhibit is a person's to use.
 */
#ifndef AGENT_HOST_AWAKE_H
#define AGENT_HOST_AWAKE_H

#include <stdint.h>

void awake_begin(void);
void awake_end(void);

/* Milliseconds since some moment, those that the machine slept through too. */
uint64_t awake_clock_ms(void);

#endif /* AGENT_HOST_AWAKE_H */
