#!/bin/bash
# a mounted NTFS at work, 100 tracked incrementals a round; agent, server and machine are killed between any two steps
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C TZ=UTC
end=$((SECONDS + $1 * 60)) seed=$HOLDFAST_SEED n=0
# The first round is always whole: 100 backups, as many points looked at.
while [ $n = 0 ] || [ $SECONDS -lt $end ]; do
	mkdir "$HOLDFAST_WORK/$n"
	python3 tests/driver/live/incrementals.py "$HOLDFAST_WORK/$n" "$HOLDFAST_BUILD" 100 $((seed + n)) "$([ $n = 0 ] && echo 0 || echo $((end - SECONDS)))"
	rm -r "${HOLDFAST_WORK:?}/$n"
	n=$((n + 1))
done
echo "$n rounds, seeds from $seed"
