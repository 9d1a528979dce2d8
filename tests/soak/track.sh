#!/bin/bash
# tracking across power cuts: lives of volumes, new seeds each time, on both cores
set -euo pipefail
seconds=$(($1 * 60)) pids=() rc=0
for core in 1 2; do
	# Each round has seeds of its own; a round that fails says which.
	(
		seed=$((HOLDFAST_SEED * 1000003 + core * 500000000000))
		while [ $SECONDS -lt "$seconds" ]; do
			"$HOLDFAST_BUILD/bin/track_model" 1000000 "$seed" || exit 1
			seed=$((seed + 1000000))
		done
	) &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || rc=1
done
exit $rc
