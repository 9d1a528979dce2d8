#!/bin/bash
# Goal: change tracking that drops a share of the writes is found out before each slice was
# proven once: every wrong point is called suspect, all is read at once, and an alarm stands.
. "$(dirname "$0")/lib/scenario.bash"
export PYTHONDONTWRITEBYTECODE=1
setpriv --pdeathsig TERM python3 "$here/../../driver/live/forgetful.py" "$work" "$HOLDFAST_BUILD" "${HOLDFAST_SEED:-1}"
