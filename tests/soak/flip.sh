#!/bin/bash
# every byte of a small store is flipped, or as many as the time allows (all take about 90 min of CPU)
set -euo pipefail
exec "$(find "$HOLDFAST_BUILD" -name store_flip_test -type f)" once $(($1 * 60))
