/*
 * target_skip.h - what of a target was written before its restore, and stays.
 *
 * A file system that is shrunk on its way to a smaller partition writes some blocks
 * itself (rescue/view.h); the restore writes all others.  With a skip set a target
 * leaves those out of whatever is asked of it: writing, zeroing and holes.
 */
#ifndef AGENT_RESTORE_TARGET_SKIP_H
#define AGENT_RESTORE_TARGET_SKIP_H

#include <stddef.h>
#include <stdint.h>

struct target_skip {
	/*
	 * The first range at or after `at` that is not to be written, in bytes from the
	 * target's (a window's) begin: 1 with `*from` (>= at) and `*len`, or 0: none.
	 * Several threads call it, and the answer does not change meanwhile.
	 */
	int (*next)(void *arg, uint64_t at, uint64_t *from, uint64_t *len);
	void *arg;
	uint64_t end; /* What lies here or behind is left out too. */
};

/*
 * What comes first in [offset, offset + len): `*n` (> 0, <= len) bytes that are to be
 * written (1) or left out (0).  `skip` may be NULL or have no `next`: all is written.
 */
int target_skip_first(
    const struct target_skip *skip, uint64_t offset, uint64_t len, uint64_t *n);

#endif /* AGENT_RESTORE_TARGET_SKIP_H */
