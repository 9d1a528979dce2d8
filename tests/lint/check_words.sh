#!/bin/sh
# What must not be in a tracked file: leftovers, machine paths, registry hosts,
# platform ifdefs outside *_win32.c.
cd "$(dirname "$0")/../.." || exit 2
bad=0
no() { # what, then git grep arguments
	what=$1
	shift
	if git grep -nE "$@"; then
		echo "^ $what"
		bad=1
	fi
}
no "a leftover" '\b(TODO|FIXME|XXX)\b|#if 0' -- '*.c' '*.h' '*.sh' '*.py' dev ':!tests/lint/check_words.sh'
no "a path of someone's machine" '(^|[^A-Za-z0-9_./-])/(work|home|Users)/[A-Za-z]' -- ':!tests/lint/check_words.sh'
no "a platform ifdef outside *_win32.c" '\b_WIN32\b' -- 'agent/*.[ch]' 'proto/*.[ch]' 'rescue/*.[ch]' 'server/*.[ch]' 'storage/*.[ch]' ':!*_win32.[ch]' ':!proto/base/*.h'
no "a comment that a formatter has run together" '^ \*[A-Za-z(]|^/\* -{8,}[^/]*[^/ ]$' -- '*.[ch]'
no "a pipe into grep -q, which ends before it has read all: who writes there fails (> /dev/null reads all)" '[^|]\| *grep -[A-Za-z]*q' -- 'tests/*.sh' 'tests/*.bash' ':!tests/lint'
no "an explicit mirror" 'https?://(deb|ftp|security)\.[a-z.]*debian\.org' -- ':!tests/lint/check_words.sh'
exit $bad
