#!/bin/bash
# Machines are lost and come back in QEMU, every way there is; CASES="NAME..." for some (tests/rescue/cases.py lists them).
# MINUTES are not looked at: it ends when each case has run once.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
. tests/build.sh
install dnsmasq-base iproute2
# shellcheck disable=SC2086
exec tests/rescue/cases.py ${CASES:-all}
