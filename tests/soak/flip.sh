#!/bin/bash
# every byte of a small store is flipped with three masks, or as many as the time allows
set -euo pipefail
exec "$(find "$HOLDFAST_BUILD" -name store_flip_test -type f)" every $(($1 * 60))
