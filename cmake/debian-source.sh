# debian-source.sh - sourced by the scripts that build libraries from Debian's signed
# sources: one function, debian_source.
#
# The source comes by apt from the machine's own mirrors: apt checks InRelease's
# signature -> Sources -> SHA-256 of each file.  Beyond that the tarball's SHA-256 is
# pinned; a newer signed version of the same series is taken with a notice.

# debian_suite_source DIR PACKAGE SUITE: SUITE's PACKAGE, downloaded into DIR.
debian_suite_source() {
	local apt=$1/apt-$3
	local o=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts"
	    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
	if [ ! -e "$apt/updated" ]; then
		rm -rf "$apt"
		mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts}
		# A deb-src stanza derived from the machine's own first Debian source.
		if [ -e /etc/apt/sources.list.d/debian.sources ]; then
			awk 'BEGIN{RS="";ORS="\n\n"} NR==1' /etc/apt/sources.list.d/debian.sources |
			    sed "s/^Types:.*/Types: deb-src/; s/^Suites:.*/Suites: $3/; s/^Components:.*/Components: main/" > "$apt/parts/src.sources"
		else
			awk -v s="$3" '$1 == "deb" { u = $2; if (u ~ /^\[/) { while (u !~ /\]$/) { i++; u = $(2 + i) } u = $(3 + i) }
			    print "deb-src", u, s, "main"; exit }' /etc/apt/sources.list > "$apt/parts/src.list"
		fi
		apt-get "${o[@]}" -qq update || return 1
		touch "$apt/updated"
	fi
	rm -f "$1/$2"_*
	(cd "$1" && apt-get "${o[@]}" -qq --download-only source "$2")
}

# debian_source DIR PACKAGE VERSION SHA256 SERIES UNPACKED SUITE...: the source of PACKAGE
# into DIR and, unpacked and with Debian's patches, as UNPACKED.  VERSION is upstream's
# whose tarball has SHA256; SERIES is a pattern of the versions that may stand in for it.
# Suites are tried in order.  Fetches nothing where the pinned tarball is there already.
debian_source() {
	local dir=$1 package=$2 version=$3 pinned=$4 series=$5 unpacked=$6 suite tarball
	shift 6
	mkdir -p "$dir"
	exec 8>"$dir/.sources.lock"
	flock 8
	tarball=$(compgen -G "$dir/${package}_$version.orig.tar.*z*" | grep -v '\.asc$' || true)
	if [ -z "$tarball" ] || ! echo "$pinned  $tarball" | sha256sum -c --status; then
		tarball=
		for suite; do
			debian_suite_source "$dir" "$package" "$suite" || continue
			# shellcheck disable=SC2086
			tarball=$(compgen -G "$dir/${package}_$series.orig.tar.*z*" | grep -v '\.asc$' || true)
			[ -z "$tarball" ] || break
		done
		[ -n "$tarball" ] || { echo "$0: no source of $package $series in $*" >&2; return 1; }
	fi
	if ! echo "$pinned  $tarball" | sha256sum -c --status; then
		case $(basename "$tarball") in
		"${package}_$version".orig.*) echo "$0: $tarball is not the $package $version that was pinned" >&2; return 1 ;;
		esac
		echo "$0: notice: taking $(basename "$tarball"), newer than the pinned $version, on apt's signature alone" >&2
	fi
	rm -rf "$unpacked"
	# dpkg-source proves the files by the .dsc, which apt has proved.
	dpkg-source -q -x "$dir/${package}_"*.dsc "$unpacked" > "$dir/$package.log" 2>&1 || { cat "$dir/$package.log" >&2; return 1; }
	exec 8>&-
}
