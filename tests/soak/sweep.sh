#!/bin/bash
# Every call of every operation of a store fails, dies, or takes the power with it; all of them, seed after seed.
set -euo pipefail
exec "$HOLDFAST_BUILD/tests/store_sweep" tests/unit/storage/sweep/sweep_table.txt storage/DESIGN.md \
    --seed "$HOLDFAST_SEED" --minutes "$1"
