#!/bin/bash
# Backups and restores over bad lines: delays, losses, cuts, a server that is killed, round after round.
# Every other round with the Windows agent, under Wine, if ./dev test has built it.
set -euo pipefail
end=$((SECONDS + $1 * 60))
RANDOM=$((HOLDFAST_SEED % 32768))
lines=("--delay 200 --loss 5" "--delay 40 --loss 20" "--delay 600 --loss 2" "--delay 5 --loss 1 --rate 2000000")
for ((round = 0; round == 0 || SECONDS < end; round++)); do
	windows=
	[ $(((round + round / 4) % 2)) = 0 ] || [ ! -e "$HOLDFAST_BUILD_ROOT/windows/bin/hold.exe" ] || windows=$HOLDFAST_BUILD_ROOT/windows
	HOLDFAST_WINDOWS=$windows HOLDFAST_SEED=$RANDOM HOLDFAST_LINE=${lines[round % 4]} HOLDFAST_MIB=$((round % 3 * 8 + 4)) HOLDFAST_PATIENCE=1800 \
	    TMPDIR=$HOLDFAST_WORK tests/scenario/a-bad-network-loses-nothing.sh > "$HOLDFAST_WORK/out" 2>&1 ||
		{ cat "$HOLDFAST_WORK/out"; exit 1; }
	grep -E 'line|all in' "$HOLDFAST_WORK/out"
done
echo "$round rounds"
