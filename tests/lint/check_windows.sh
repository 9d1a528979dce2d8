#!/bin/sh
# The script for real Windows, its claims in docs/VERIFIED.md, and the agent's commands agree.
cd "$(dirname "$0")/../.." || exit 2
[ -x "$1/bin/holdfast-agent" ] || exit 0
exec python3 tests/lint/windows.py "$1/bin/holdfast-agent"
