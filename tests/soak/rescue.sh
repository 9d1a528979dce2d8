#!/bin/bash
# Machines are lost and come back in QEMU, every way there is; CASES="NAME..." for some (tests/rescue/cases.py lists them).
# MINUTES are not looked at: it ends when each case has run once.
export PYTHONDONTWRITEBYTECODE=1
# shellcheck disable=SC2086
exec tests/rescue/cases.py ${CASES:-all}
