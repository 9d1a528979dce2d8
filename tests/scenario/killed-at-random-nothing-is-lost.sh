#!/bin/bash
# Goal: server and agents killed at random moments, a few rounds of what
# `./dev soak kill` does for hundreds: acknowledged points restore equal.
rounds=8
[ "${HOLDFAST_SLOW:-0}" = 0 ] || rounds=3
HOSTS=2 ROUNDS=$rounds HOLDFAST_SEED=${HOLDFAST_SEED:-4711} exec "$(dirname "$0")/../soak/kills.py"
