#!/bin/sh
# What the Windows agent is built of is C11: nothing that GCC and clang added to it but by
# the macros of proto/base, and no header of POSIX but pthread.h (winpthreads) outside
# *_linux files.  So that Microsoft's compiler could take it, and nothing of Linux hides in
# what looks portable.
cd "$(dirname "$0")/../.." || exit 2
files=$(git ls-files agent proto/base proto/chunk proto/layout proto/wire proto/tls proto/net |
    grep -E '\.(c|h|inc)$' | grep -vE '_linux\.[ch]$|^proto/base/(compiler|err)\.h$')
# X.h of an X_linux.c alone is Linux's, too.
files=$(for f in $files; do
	x=${f%.h}
	[ "$x" != "$f" ] && [ -e "${x}_linux.c" ] && [ ! -e "$x.c" ] && [ ! -e "${x}_win32.c" ] || echo "$f"
done)
bad=0
no() { # what, pattern, files...
	what=$1
	pattern=$2
	shift 2
	if grep -nE "$pattern" "$@"; then
		echo "^ $what"
		bad=1
	fi
}
# shellcheck disable=SC2086
{
	no "an addition of GCC's to C" \
	    '__attribute__|__builtin_|__extension__|\b__?typeof|\(\{|\b__thread\b|__int128|__asm|\basm *\(|\bcase .*[^.]\.\.\.[^.].*:|##__VA_ARGS__|\?:[^:]|^	(struct |const )?[a-z0-9_]+ \*?[a-z_]+\[0\];' $files
	no "a header of POSIX or Linux in a portable file" \
	    '#include <(unistd|dirent|netdb|poll|strings|getopt|sched|ftw|sys/[a-z]*|arpa/.*|net/.*|netinet/.*|linux/.*|mntent|pwd|grp|termios)\.h>' \
	    $(echo "$files" | tr ' ' '\n' | grep -v _win32)
}
exit $bad
