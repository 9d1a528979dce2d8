#!/bin/bash
# the protocol of collection: every order of steps in larger worlds (some GiB of memory)
set -euo pipefail
exec timeout $(($1 * 60 + 1800)) "$HOLDFAST_BUILD/bin/gc_model" long
