#include <stddef.h>

#include "proto/chunk/blake3_ops.h"

/* A CPU for which there is only the portable path. */

int
blake3_cpu_runs(enum blake3_path path)
{
	return path == BLAKE3_PORTABLE;
}

const struct blake3_ops *
blake3_cpu_ops(enum blake3_path path)
{
	return path == BLAKE3_PORTABLE ? &blake3_portable : NULL;
}
