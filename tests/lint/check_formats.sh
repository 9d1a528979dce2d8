#!/bin/sh
# The tables of storage/FORMAT.md and proto/WIRE.md say what the code writes.
# usage: check_formats.sh BUILD_DIR
cd "$(dirname "$0")/../.." || exit 2
exec python3 tests/lint/formats.py "$1"
