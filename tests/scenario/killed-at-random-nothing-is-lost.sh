#!/bin/bash
# Goal: server and agents killed at random moments, a few rounds of what
# `./dev soak kill` does for hundreds: acknowledged points restore equal.
. "$(dirname "$0")/lib/scenario.bash"
. "$(dirname "$0")/lib/kills.bash"
kills_begin "${HOLDFAST_SEED:-4711}" 2
rounds=8
[ "${HOLDFAST_SLOW:-0}" = 0 ] || rounds=3
while [ $kill_rounds -lt $rounds ]; do
	kills_round
done
kills_end
