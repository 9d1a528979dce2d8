#!/bin/bash
# Goal: volumes that are mounted and written by SQLite, fio and others are frozen together
# by the hot-copy driver's core: the image is what had been written, byte for byte, and of
# use; whatever way copies are kept, the programs go on; and tracking missed nothing.
. "$(dirname "$0")/lib/scenario.bash"
export PYTHONDONTWRITEBYTECODE=1
# Ends with us, however we end, and unmounts what it mounted.
setpriv --pdeathsig TERM python3 "$here/../../driver/live/live.py" "$work" "$HOLDFAST_BUILD" 1 "${HOLDFAST_SEED:-1}"
