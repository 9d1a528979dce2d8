#!/bin/bash
# Goal: tracked incrementals of a mounted volume under SQLite and fio are what was frozen,
# byte for byte, and hold what had been committed; also after the agent, the server or the
# machine was killed in the middle of one.  A few of what `./dev soak incrementals` does.
. "$(dirname "$0")/lib/scenario.bash"
export PYTHONDONTWRITEBYTECODE=1
# Ends with us, however we end, and unmounts what it mounted.
setpriv --pdeathsig TERM python3 "$here/../../driver/live/incrementals.py" "$work" "$HOLDFAST_BUILD" 7 "${HOLDFAST_SEED:-1}" 0 short
