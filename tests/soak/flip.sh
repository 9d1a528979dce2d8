#!/bin/bash
# every byte of a small store is flipped with three masks: noticed, or without effect
set -euo pipefail
exec timeout $(($1 * 60 + 7200)) "$(find "$HOLDFAST_BUILD" -name store_flip_test -type f)" every
