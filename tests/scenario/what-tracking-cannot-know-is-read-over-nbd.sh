#!/bin/bash
# Goal: a disk that was reverted, cloned, resized, formatted or written by another system, a
# point or a server that is not there any more, clocks that jump, tracking that began anew:
# all is read, it is said why, and no point is wrong.
. "$(dirname "$0")/lib/scenario.bash"
export PYTHONDONTWRITEBYTECODE=1
setpriv --pdeathsig TERM python3 "$here/../../driver/live/doubts.py" "$work" "$HOLDFAST_BUILD" "${HOLDFAST_SEED:-1}"
