#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#include "proto/chunk/blake3.h"
#include "proto/chunk/blake3_ops.h"

/* NULL until first asked for.  Threads that race here choose the same. */
static const struct blake3_ops *_Atomic current;

const char *
blake3_path_name(enum blake3_path path)
{
	static const char *const names[BLAKE3_PATHS] = { "portable", "sse4.1", "avx2",
		"avx512" };

	return (unsigned)path < BLAKE3_PATHS ? names[path] : "unknown";
}

int
blake3_path_usable(enum blake3_path path)
{
	return blake3_cpu_ops(path) != NULL && blake3_cpu_runs(path);
}

const struct blake3_ops *
blake3_ops_current(void)
{
	const struct blake3_ops *ops =
	    atomic_load_explicit(&current, memory_order_acquire);
	int path;

	if (ops != NULL)
		return ops;
	for (path = BLAKE3_PATHS - 1; path > BLAKE3_PORTABLE; path--)
		if (blake3_path_usable((enum blake3_path)path))
			break;
	ops = blake3_cpu_ops((enum blake3_path)path);
	blake3_ops_use(ops);
	return ops;
}

void
blake3_ops_use(const struct blake3_ops *ops)
{
	atomic_store_explicit(&current, ops, memory_order_release);
}

enum blake3_path
blake3_path_current(void)
{
	return blake3_ops_current()->path;
}

void
blake3_path_force(enum blake3_path path)
{
	assert(blake3_path_usable(path));
	blake3_ops_use(blake3_cpu_ops(path));
}
