#!/bin/bash
# Server and agents are killed (kill -9) at random moments; ROUNDS=N instead of minutes, HOSTS=3.
export TMPDIR=${HOLDFAST_WORK:?}
. tests/scenario/lib/scenario.bash
. tests/scenario/lib/kills.bash
end=$((SECONDS + $1 * 60))
kills_begin "$HOLDFAST_SEED" "${HOSTS:-3}"
while [ -n "${ROUNDS:-}" ] && [ $kill_rounds -lt "$ROUNDS" ] || [ -z "${ROUNDS:-}" ] && [ $SECONDS -lt $end ]; do
	kills_round
	[ $((kill_rounds % 50)) != 0 ] || note "$kill_rounds rounds, $kill_servers servers, $kill_agents agents"
done
kills_end
