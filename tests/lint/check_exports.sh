#!/bin/sh
# foo.c (or foo_bar.c) may only export names that start with foo_ (foo itself too).
# usage: check_exports.sh BUILD_DIR
# driver/nt as the tests' shim compiles it: its entry is DriverEntry; NAME_nt.c and
# NAME_posix.c are systems' files of NAME.
find "$1/proto" "$1/storage" "$1/agent" "$1/rescue" "$1/server" "$1/driver" "$1/tests/driver" \( ! -path "$1/tests/*" -o -path '*/driver/nt/*' \) -path '*/CMakeFiles/*' -name '*.c.o' ! -path '*/generated/*' |
sort | while read -r o; do
	base=$(basename "$o" .c.o)
	case $base in *_main | entry) continue ;; esac
	nm -g --defined-only "$o" | awk -v f="$o" -v b="${base%%_*}" '
	    $3 !~ /^__(asan|odr_asan|tsan|ubsan|llvm|profd|covrec)/ && $3 != b && index($3, b "_") != 1 {
		print f ": exports " $3; bad = 1 }
	    END { exit bad }' || echo bad
done | { ! grep . ; }
