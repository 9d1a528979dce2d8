#!/bin/bash
# mounted NTFS volumes under SQLite and fio are frozen again and again by the hot-copy driver's core: 50 rounds, or more if the time allows
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C TZ=UTC
exec python3 tests/driver/live/live.py "$HOLDFAST_WORK" "$HOLDFAST_BUILD" 10 "$HOLDFAST_SEED" "$(($1 * 60))"
