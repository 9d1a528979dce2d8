#!/bin/sh
# No source file past 900 lines, no function past 100, no line past 100 columns
# (a tab counts 8), and no file with a dumping-ground name.
cd "$(dirname "$0")/../.." || exit 2
files=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086
awk '
FNR == 1 { start = 0 }
FNR == 901 { printf "%s: past 900 lines\n", FILENAME; bad = 1 }
{
	line = $0; width = 0
	while ((i = index(line, "\t")) > 0) {
		width += i - 1; width += 8 - width % 8
		line = substr(line, i + 1)
	}
	if (width + length(line) > 100) { printf "%s:%d: past 100 columns\n", FILENAME, FNR; bad = 1 }
}
/^{/ { start = FNR }
/^}/ {
	if (start && FNR - start > 100) { printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start; bad = 1 }
	start = 0
}
END { exit bad }' $files || bad=1
if git ls-files | grep -E '(^|/)(util|utils|misc|common|helpers?)\.[a-z]+$'; then
	echo "a name that says nothing"
	bad=1
fi
exit ${bad:-0}
