/*
 * clone_proof.h - what was read of the source, as hashes, to know it again in the copy.
 *
 * The source is read once: a frozen view may be gone, and a source that stands still only
 * by agreement may not say the same twice.  So its data, in the order in which it was read,
 * is hashed (BLAKE3) by units of a MiB, longer on volumes above 256 GiB, and the copy's
 * data must give the same hashes in the same order.
 *
 *	clone_proof_new -> clone_proof_add ... -> clone_proof_begin -> clone_proof_check
 *	    ... -> clone_proof_end -> clone_proof_free
 */
#ifndef AGENT_CLONE_CLONE_PROOF_H
#define AGENT_CLONE_CLONE_PROOF_H

#include <stddef.h>
#include <stdint.h>

struct clone_proof;
struct err;

#define CLONE_PROOF_UNIT_MIN (1u << 20) /* Bytes of data with one hash. */
#define CLONE_PROOF_UNITS_MAX 262144u	/* 8 MiB of hashes. */

/* For at most `bytes` of data.  NULL without memory. */
struct clone_proof *clone_proof_new(uint64_t bytes);

/* NULL is allowed. */
void clone_proof_free(struct clone_proof *p);

/* Bytes with one hash. */
uint64_t clone_proof_unit(const struct clone_proof *p);

/* The next data of the source. */
void clone_proof_add(struct clone_proof *p, const void *bytes, size_t len);

/* That was all; what comes now is compared. */
void clone_proof_begin(struct clone_proof *p);

/*
 * The next data of the copy, which lies at `offset` of the volume.  ERR_CORRUPT: a unit is
 * over and is another one; between which bytes of the volume is said.
 */
int clone_proof_check(struct clone_proof *p, uint64_t offset, const void *bytes,
    size_t len, struct err *err);

/* Nothing more comes: ERR_CORRUPT also if something is missing. */
int clone_proof_end(struct clone_proof *p, struct err *err);

#endif /* AGENT_CLONE_CLONE_PROOF_H */
