#!/bin/sh
# The documents say what the code has.
#   proto/WIRE.md's message table    = enum msg_kind (number and name)
#   docs/operators-guide.md          mentions every command of `holdfast`
#   README.md                        shows the two commands
cd "$(dirname "$0")/../.." || exit 2
bad=0
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

sed -n 's/^[[:space:]]*MSG_\([A-Z_]*\) = \([0-9]*\),.*/\2 \1/p' proto/wire/msg.h | awk '$1 > 2 || 1' |
    grep -vE ' (NEED|HAVE|PENDING)$' | awk '{ gsub("_", "", $2); print $1, tolower($2) }' | sort -n > "$tmp/code"
# A row: | number | Name | C to S | ...
sed -n 's/^| *\([0-9][0-9]*\) *| *`\{0,1\}\([A-Za-z]*\)`\{0,1\} *| *[CS] to [CS] *|.*/\1 \2/p' proto/WIRE.md |
    awk '{ print $1, tolower($2) }' | sort -n > "$tmp/doc"
[ -s "$tmp/code" ] || { echo "no message kinds found in proto/wire/msg.h"; bad=1; }
# HAVE_ASK carries the message Have; everything else is named alike.
sed -i 's/haveask/have/' "$tmp/code"
diff -u "$tmp/code" "$tmp/doc" || { echo "proto/WIRE.md's table and enum msg_kind differ"; bad=1; }

grep -q './dev quickstart' README.md && grep -q './dev test' README.md ||
    { echo "README.md does not show the two commands"; bad=1; }
cli=$1/bin/holdfast
if [ -x "$cli" ]; then
	"$cli" --help | sed -n 's/^  \([a-z-]*\)[ \t].*/\1/p' | sort -u > "$tmp/commands"
	[ -s "$tmp/commands" ] || { echo "holdfast --help lists no command"; bad=1; }
	while read -r c; do
		grep -q "holdfast $c" docs/operators-guide.md || { echo "docs/operators-guide.md does not mention holdfast $c"; bad=1; }
	done < "$tmp/commands"
fi
exit $bad
