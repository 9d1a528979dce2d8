#!/bin/bash
# the driver under its shim: stress, disturbed order, failing allocations, with new seeds
set -euo pipefail
end=$((SECONDS + $1 * 60))
seed=$HOLDFAST_SEED runs=0
while [ $SECONDS -lt $end ]; do
	timeout 300 "$HOLDFAST_BUILD/bin/nt_stress" -s $seed -t 8000 -p 100 > "$HOLDFAST_WORK/out" 2>&1 &&
	    timeout 300 "$HOLDFAST_BUILD/bin/nt_stress" -s $seed -t 5000 -f 20 >> "$HOLDFAST_WORK/out" 2>&1 &&
	    timeout 300 "$HOLDFAST_BUILD/bin/nt_chaos" $seed 8000 >> "$HOLDFAST_WORK/out" 2>&1 ||
	    { cat "$HOLDFAST_WORK/out"; echo "seed $seed"; exit 1; }
	seed=$((seed + 1)) runs=$((runs + 1))
done
tail -3 "$HOLDFAST_WORK/out"
echo "$runs runs"
