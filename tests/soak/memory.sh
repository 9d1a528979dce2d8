#!/bin/bash
# Each thing that a backup does with the agent's own memory fails once, or all from there on; no minutes.
set -euo pipefail
HOLDFAST_SWEEP=1 exec "$HOLDFAST_BUILD/tests/state_full_linux_test"
