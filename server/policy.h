/*
 * policy.h - the settings that SIGHUP may change while sessions run.
 *
 * Whoever needs one takes a copy of all; what is under way keeps the values it
 * began with.
 */
#ifndef SERVER_POLICY_H
#define SERVER_POLICY_H

#include <stdint.h>

struct config;
struct policy;

struct policy_values {
	uint64_t window;	/* Bytes of Put that may wait for Stored. */
	uint64_t silence_s;	/* Seconds without a frame that end a session. */
	uint64_t certificate_s; /* Life of an agent's certificate. */
	int agents_may_restore;
};

/* NULL without memory. */
struct policy *policy_new(const struct config *config);
void policy_free(struct policy *p);

/* From any thread. */
void policy_set(struct policy *p, const struct config *config);
struct policy_values policy_get(struct policy *p);

#endif /* SERVER_POLICY_H */
