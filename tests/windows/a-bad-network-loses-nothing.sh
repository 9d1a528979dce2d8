#!/bin/bash
# Goal: what the scenario of this name says, of the Windows agent; all of Wine is behind the line.
exec "$(dirname "$0")/../scenario/a-bad-network-loses-nothing.sh"
