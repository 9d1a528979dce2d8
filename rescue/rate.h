/*
 * rate.h - how fast work goes lately, and how long it will still take.
 *
 * Over the last half minute, so that a pause is seen and then forgotten.  Pure.
 */
#ifndef RESCUE_RATE_H
#define RESCUE_RATE_H

#include <stdint.h>

#define RATE_SAMPLES 32u
#define RATE_SAMPLE_MS 1000u

/* Zeroed it is ready. */
struct rate {
	unsigned count; /* Of samples ever. */
	uint64_t at_ms[RATE_SAMPLES], bytes[RATE_SAMPLES];
};

/* At `now_ms` of any clock that does not jump, `bytes` were done in all. */
void rate_note(struct rate *r, uint64_t now_ms, uint64_t bytes);

/* Bytes a second; 0: not known yet, or nothing moves. */
uint64_t rate_speed(const struct rate *r);

/* Seconds for `left` bytes; UINT64_MAX: nobody can tell. */
uint64_t rate_left(const struct rate *r, uint64_t left);

/* "2:05", "1:02:03", or "-:--"; `out` has 24 bytes. */
void rate_clock(uint64_t seconds, char out[24]);

#endif /* RESCUE_RATE_H */
