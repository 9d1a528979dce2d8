#!/bin/bash
# Goal: under Windows' calling convention every vector path of BLAKE3 that this CPU has gives
# the published bytes, and none touches the stack by moves that fault when it is aligned to
# 16 bytes only: GCC believes in more than Win64 gives (its bug 54412).
. "$(dirname "$0")/wine.sh"
cd "$here/../../.."
wine_begin
wine_run "$windows/unit/blake3_test.exe" > "$work/out" 2>&1 || fail "$(tail -20 "$work/out")"
for path in sse4.1:sse4_1 avx2:avx2 avx512:avx512f; do
	has=no
	runs=no
	! grep -m1 '^flags' /proc/cpuinfo | grep -w "${path#*:}" > /dev/null || has=yes
	! tr -d '\r' < "$work/out" | grep -x "run by this CPU: ${path%:*}" > /dev/null || runs=yes
	[ $has = $runs ] || fail "${path%:*}: the CPU has it: $has; it ran: $runs"
	note "${path%:*}: $runs"
done

note "no aligned move of a wide register"
for path in avx2 avx512; do
	object=$windows/proto/chunk/CMakeFiles/chunk.dir/blake3_$path.c.obj
	x86_64-w64-mingw32-objdump -d "$object" > "$work/code"
	grep -qE 'vmov.*%[yz]mm' "$work/code" || fail "no wide move in $object: what was looked at?"
	! grep -E 'vmov(dqa|aps|apd|dqa32|dqa64)[[:space:]].*\(%r.*%[yz]mm|vmov(dqa|aps|apd|dqa32|dqa64)[[:space:]].*%[yz]mm.*\(%r' "$work/code" || fail "aligned moves in $object"
done
