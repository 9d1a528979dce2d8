/*
 * chunker.h - cuts bytes of no known owner into chunks by their content.
 *
 * A gear hash rolls over the last 64 bytes; a chunk ends where its top bits are
 * all zero, with a harder condition below the average and an easier one above
 * it.  A cut depends on the bytes from the chunk's start alone, so equal bytes
 * find equal cuts again soon after a difference.  Where the bytes begin is the
 * caller's choice: at every VOLMAP_STREAM range anew.
 */
#ifndef AGENT_MAP_CHUNKER_H
#define AGENT_MAP_CHUNKER_H

#include <stddef.h>
#include <stdint.h>

#define CHUNKER_MIN 16384u
#define CHUNKER_AVERAGE 65536u
#define CHUNKER_MAX 262144u

/* Other sizes than the standard ones: for measuring, and where a caller knows better. */
struct chunker_sizes {
	uint32_t min;	  /* At least 64. */
	uint32_t average; /* A power of two, 256 at least; at most max. */
	uint32_t max;
};

/* As chunker_cut(), with `s` in place of the standard sizes. */
size_t
chunker_cut_sized(const struct chunker_sizes *s, const uint8_t *p, size_t len, int last);

/*
 * Length in bytes of the chunk that begins at `p`.  `len` bytes are there; if
 * more follow (`last` is zero) they must be at least CHUNKER_MAX.  Returns
 * 1..CHUNKER_MAX, at most `len`; less than CHUNKER_MIN only if the bytes end;
 * 0 only for `len` 0.
 */
size_t chunker_cut(const uint8_t *p, size_t len, int last);

#endif /* AGENT_MAP_CHUNKER_H */
