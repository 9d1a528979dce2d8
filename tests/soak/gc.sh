#!/bin/bash
# collecting, explored: random backups, readers, prunes, quarantines, crashes and cycles against a model
set -euo pipefail
exec "$HOLDFAST_BUILD/tests/gc_explore" -m "$1" "$HOLDFAST_SEED"
