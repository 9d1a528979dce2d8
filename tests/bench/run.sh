#!/bin/bash
# run.sh BUILD_ROOT [BENCH [ARGUMENT...]] - measure, in the release build.
#	programs	every *_bench program there is: hash, TLS, index ...
#	main		Holdfast beside today's peers on a corpus of NTFS volumes: rows that are judged
#	judge		the rows of the last main again
#	huge		a volume of 2 TB with 5 million files and 20 million extents; 64 TB; memory is judged
# Figures are of this machine in this hour: only ratios from one run mean much.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
. tests/build.sh
export PATH=$PATH:/usr/sbin:/sbin

programs() {
	local p
	ninja -C "$build/release" --quiet
	for p in "$build"/release/bench/*_bench*; do
		[ -x "$p" ] || continue
		say "$(basename "$p")"
		"$p" "$@"
	done
}

# main [TOOL...]: without one those that the rows ask for, and a row without a figure
# is a miss.  SIZE (MiB), HOSTS, DAYS, CHURN and SEED make another corpus; ROUNDS more
# or fewer runs; CORPUS and PEERS name folders that are there already.
main() {
	export SIZE=${SIZE:-1024} HOSTS=${HOSTS:-8} DAYS=${DAYS:-5} CHURN=${CHURN:-100} SEED=${SEED:-1}
	local work=$build/bench-main whole=() last
	CORPUS=${CORPUS:-$work/corpus-$SEED-$SIZE} PEERS=${PEERS:-$work/peers}
	install libfaketime openssl
	ninja -C "$build/release" --quiet bench_programs
	[ -x "$PEERS/in" ] || tests/bench/get-peers.sh "$PEERS"
	last=$CORPUS/churn/$(printf %03d $((CHURN - 1))).delta
	[ -e "$CORPUS/host-01.day-$DAYS.img" ] && [ -e "$CORPUS/host-$(printf %02d "$HOSTS").img" ] && [ -e "$last" ] ||
	    OUT=$CORPUS NOSUM=1 CHURN=$((CHURN - 1)) tests/bench/make-corpus.sh
	if [ $# -eq 0 ]; then
		whole=(--whole)
		mapfile -t peers < <(python3 tests/bench/bench.py tools | sed -n 's/ \*$//p')
		set -- "${peers[@]}"
	fi
	CORPUS=$CORPUS PEERS=$PEERS WORK=$work/work PROGRAMS=$build/release/bin RESULTS=$build/bench \
	    exec python3 tests/bench/bench.py run "${whole[@]}" "$@"
}

judge() { exec python3 tests/bench/bench.py judge "$build/bench/main.steps.jsonl" "$build/bench/main.json"; }

# huge [map|zeros|data...]: SIZE, CLUSTER and FILES make another volume.
huge() {
	ninja -C "$build/release" --quiet bench_programs huge huge_content
	WORK=$build/bench-huge PROGRAMS=$build/release/bin CONTENT=$build/release/bench/libhuge_content.so \
	    PYTHONDONTWRITEBYTECODE=1 exec python3 tests/bench/huge.py "$@"
}

case ${1:-} in
programs | main | judge | huge) "$@" ;;
*) sed -n '2,7p' tests/bench/run.sh | sed 's/^# \{0,1\}//' ;;
esac
