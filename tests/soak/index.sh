#!/bin/bash
# the index against RocksDB, ever larger, with kills and power cuts; then 4 million keys on disk, killed and made anew
set -euo pipefail
minutes=$1
test -x "$HOLDFAST_BUILD/tests/index_oracle_test" || { echo "no RocksDB to compare with: install librocksdb-dev and liblmdb-dev"; exit 1; }
"$HOLDFAST_BUILD/tests/index_oracle_test" "$HOLDFAST_SEED" $((minutes * 50)) "$HOLDFAST_WORK"
mkdir "$HOLDFAST_WORK/keys"
REBUILD=1 "$HOLDFAST_BUILD/bench/index_bench" holdfast 4000000 "$HOLDFAST_WORK/keys" "$HOLDFAST_SEED"
