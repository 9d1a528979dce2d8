#!/bin/bash
# Server and agents are killed (kill -9) at random moments; ROUNDS=N instead of minutes, HOSTS=3.
exec tests/soak/kills.py "$1"
