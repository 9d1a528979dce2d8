#!/bin/bash
# run.sh BUILD_ROOT [BENCH [ARGUMENT...]] - measure, in the release build.
#	programs	every *_bench program there is: hash, TLS, index ...
#	main		Holdfast beside today's peers on a corpus of NTFS volumes
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

# main [PEER...]; SIZE (MiB), HOSTS and DAYS make the corpus larger or smaller.
main() {
	export SIZE=${SIZE:-1024} HOSTS=${HOSTS:-4} DAYS=${DAYS:-2}
	local work=$build/bench-main
	install libfaketime openssl
	mkdir -p "$work/tls"
	[ -e "$work/corpus/host-01.day-$DAYS.img" ] || OUT=$work/corpus NOSUM=1 tests/bench/make-corpus.sh
	[ -x "$work/peers/in" ] || tests/bench/get-peers.sh "$work/peers"
	[ -e "$work/tls/both.pem" ] || {
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
		    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/tls/key.pem" -out "$work/tls/cert.pem" 2> /dev/null
		cat "$work/tls/cert.pem" "$work/tls/key.pem" > "$work/tls/both.pem"
	}
	[ $# -gt 0 ] || set -- holdfast restic-0.19-tls borg2-map-cdc128K desync-1.0.4
	WORK=$work CORPUS=$work/corpus PEERS=$work/peers HOLDFAST_BIN=$build/release/bin RESULTS=$build/main.jsonl \
	    python3 tests/bench/bench.py "$@"
}

case ${1:-} in
programs | main) "$@" ;;
*) sed -n '2,5p' tests/bench/run.sh | sed 's/^# \{0,1\}//' ;;
esac
