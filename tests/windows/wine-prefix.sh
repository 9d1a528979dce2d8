# wine-prefix.sh - sourced: Wine without a screen, and prefixes (machines of Wine's) that
# cost 13 MB and a fifth of a second instead of 695 MB and 15 seconds.
export WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES="mscoree=;mshtml=${WINEDLLOVERRIDES:+;$WINEDLLOVERRIDES}"
# Names of files have all of Unicode only where the locale has.
export LC_ALL=C.UTF-8
unset DISPLAY WAYLAND_DISPLAY

# wine_prefix BUILD PREFIX: a copy of BUILD's template, and $WINEPREFIX is it.
wine_prefix() {
	local template=$1/wine-template version
	version=$(wine --version) || { echo "wine-prefix.sh: no wine" >&2; return 1; }
	if [ "$(cat "$template/version" 2>/dev/null)" != "$version" ]; then
		(
			flock 9
			[ "$(cat "$template/version" 2>/dev/null)" = "$version" ] || wine_template "$template" "$version"
		) 9> "$template.lock"
	fi
	cp -a "$template/prefix" "$2"
	export WINEPREFIX=$2
}
# Nearly all of a prefix are copies of Wine's own DLLs: links do.
wine_template() { # DIR VERSION
	rm -rf "$1"
	mkdir -p "$1"
	WINEPREFIX=$1/prefix wineboot -i > "$1/log" 2>&1 < /dev/null || { cat "$1/log" >&2; return 1; }
	WINEPREFIX=$1/prefix wineserver -w
	python3 - "$1/prefix/drive_c" /usr/lib/*/wine/*-windows <<-'PY'
	import filecmp, os, sys
	prefix, *libraries = sys.argv[1:]
	originals = {n.lower(): os.path.join(d, n) for d in libraries for n in os.listdir(d)
	             if not d.endswith("i386-windows")}
	for here, _, names in os.walk(prefix):
	    for path in (os.path.join(here, n) for n in names):
	        original = originals.get(os.path.basename(path).lower())
	        if original and not os.path.islink(path) and filecmp.cmp(path, original, False):
	            os.unlink(path)
	            os.symlink(original, path)
	PY
	echo "$2" > "$1/version"
}
