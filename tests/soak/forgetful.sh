#!/bin/bash
# a driver that drops 0.1 % of the writes of a mounted NTFS from its tracking: found out within 100 backups, each time
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C TZ=UTC
exec python3 tests/driver/live/forgetful.py "$HOLDFAST_WORK" "$HOLDFAST_BUILD" "$HOLDFAST_SEED" 0.001 100 ntfs 1 "$(($1 * 60))"
