#include "rescue/rate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void
rate_note(struct rate *r, uint64_t now_ms, uint64_t bytes)
{
	unsigned last = (r->count - 1) % RATE_SAMPLES, at = r->count % RATE_SAMPLES;

	if (r->count > 0 && bytes < r->bytes[last])
		r->count = at = 0; /* Other work has begun. */
	else if (r->count > 0 && now_ms < r->at_ms[last] + RATE_SAMPLE_MS)
		return;
	r->at_ms[at] = now_ms;
	r->bytes[at] = bytes;
	r->count++;
}

uint64_t
rate_speed(const struct rate *r)
{
	unsigned last, first;

	if (r->count < 2)
		return 0;
	last = (r->count - 1) % RATE_SAMPLES;
	first = r->count <= RATE_SAMPLES ? 0 : r->count % RATE_SAMPLES;
	return (uint64_t)((double)(r->bytes[last] - r->bytes[first]) * 1000 /
			  (double)(r->at_ms[last] - r->at_ms[first]));
}

uint64_t
rate_left(const struct rate *r, uint64_t left)
{
	uint64_t speed = rate_speed(r);

	return speed == 0 ? UINT64_MAX : left / speed;
}

void
rate_clock(uint64_t seconds, char out[24])
{
	unsigned s = (unsigned)(seconds % 60), m = (unsigned)(seconds / 60 % 60);

	if (seconds > 100 * 3600)
		strcpy(out, "-:--");
	else if (seconds >= 3600)
		snprintf(out, 24, "%u:%02u:%02u", (unsigned)(seconds / 3600), m, s);
	else
		snprintf(out, 24, "%u:%02u", m, s);
}
