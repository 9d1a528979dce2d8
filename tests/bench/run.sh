#!/bin/bash
# run.sh BUILD_ROOT [BENCH [ARGUMENT...]] - measure, in the release build.
#	programs	every *_bench program there is: hash, TLS, index ...
#	main		Holdfast beside today's peers on a corpus of NTFS volumes: rows that are judged
#	judge		the rows of the last main again
#	huge		a volume of 2 TB with 5 million files and 20 million extents; 64 TB; memory is judged
#	index		the index at size beside RocksDB and LMDB: memory, disk and waiting are judged
#	maintenance	a backup while the server collects and verifies, and while it does not: the ratio is judged
#	rescue		a bare-metal restore in QEMU, part by part, beside the raw rate of the same guest; the server's CPU
#	reading		any place of a point beside a restore: sequential rate and first byte are judged
#	fast		incrementals by the records of an NTFS beside a full compare: bytes read and CPU are judged
#	driver		what the hot-copy driver's core costs a write, a cut, a reader, and in memory; what an
#			incremental costs that is told what changed, and beside borg2: judged
#	cuts		ways of cutting, grouping and compressing, on several corpora (storage/DESIGN.md)
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
		[ -x "$p" ] && [ "$(basename "$p")" != index_bench ] || continue
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

# maintenance: ROUNDS, SIZE (MiB a backup) and HOSTS make it longer or shorter.
maintenance() {
	ninja -C "$build/release" --quiet holdfastd holdfast holdfast-agent
	WORK=$build/bench-maintenance PROGRAMS=$build/release/bin PYTHONDONTWRITEBYTECODE=1 \
	    exec python3 tests/bench/maintenance.py
}

# reading: ROUNDS and SIZE (MiB).
reading() {
	install nbdkit libnbd-bin qemu-utils
	ninja -C "$build/release" --quiet holdfastd holdfast holdfast-agent
	WORK=$build/bench-reading PROGRAMS=$build/release/bin PYTHONDONTWRITEBYTECODE=1 \
	    exec python3 tests/bench/reading.py
}

# fast: ROUNDS and SIZE (MiB).
fast() {
	ninja -C "$build/release" --quiet holdfastd holdfast holdfast-agent
	WORK=$build/bench-fast PROGRAMS=$build/release/bin PYTHONDONTWRITEBYTECODE=1 \
	    exec python3 tests/bench/fast.py
}

# driver [core|tracked|days|listed...]: ROUNDS; SIZE (GiB) and CONTENT (MiB) of the volume (about 15 GB of
# disk); CORPUS and PEERS as main's, of which one host and DAYS (3) are needed.
driver() {
	local part bad=0 work=$build/bench-main corpus peers
	corpus=${CORPUS:-$work/corpus-${SEED:-1}-1024} peers=${PEERS:-$work/peers}
	[ $# -gt 0 ] || set -- core tracked days
	export DAYS=${DAYS:-3} RESULTS=$build/bench PROGRAMS=$build/release/bin PYTHONDONTWRITEBYTECODE=1
	ninja -C "$build/release" --quiet core_bench nt_bench holdfastd holdfast holdfast-agent holdfast_hotcopy
	for part; do
		case $part in
		core) WORK=$build/bench-driver python3 tests/bench/driver.py || bad=1 ;;
		tracked | listed)
			install nbdkit libnbd-bin
			WORK=$build/bench-driver/volume python3 tests/bench/incremental.py "$part" || bad=1
			;;
		days)
			install libfaketime
			[ -x "$peers/in" ] || tests/bench/get-peers.sh "$peers"
			[ -e "$corpus/host-01.day-$DAYS.img" ] ||
			    SIZE=1024 HOSTS=1 OUT=$corpus NOSUM=1 tests/bench/make-corpus.sh
			CORPUS=$corpus PEERS=$peers WORK=$build/bench-driver/days python3 tests/bench/incremental.py days || bad=1
			;;
		*) die "driver: no part '$part'" ;;
		esac
	done
	exit $bad
}

# index: KEYS (10^8: 10 GB of disk, some minutes) for ours, PEER_KEYS (4 million) beside the others.
index() {
	ninja -C "$build/release" --quiet index_bench
	WORK=$build/bench-index RESULTS=$build/bench PROGRAM=$build/release/bench/index_bench \
	    PYTHONDONTWRITEBYTECODE=1 exec python3 tests/bench/index.py
}

# rescue [served|guests]: ROUNDS (3), SIZE (MiB), DATA (MiB in the guest), FIRMWARES.
rescue() {
	ninja -C "$build/release" --quiet holdfastd holdfast holdfast-agent holdfast-rescue
	HOLDFAST_BUILD=$build/release WORK=$build/bench-rescue PYTHONDONTWRITEBYTECODE=1 exec tests/bench/rescue.py "$@"
}

# cuts: CORPUS is main's; CUTS names the folder for the other images (6 GB).
cuts() {
	local work=$build/bench-main ways way image
	CORPUS=${CORPUS:-$work/corpus-${SEED:-1}-${SIZE:-1024}} CUTS=${CUTS:-$work/cuts}
	install libfaketime e2fsprogs
	ninja -C "$build/release" --quiet cuts_bench
	[ -e "$CORPUS/churn/099.delta" ] || OUT=$CORPUS NOSUM=1 CHURN=99 tests/bench/make-corpus.sh
	OUT=$CUTS SIZE=512 tests/bench/make-cuts-corpora.sh > /dev/null
	ways=("name=now" "name=offset cut=offset" "name=32K cut=offset block=32768" "name=128K cut=offset block=131072" "name=content cut=cdc"
	    "name=content-32K cut=cdc min=8192 avg=32768 max=131072" "name=large cut=cdc large=1048576" "name=text cut=text large=262144"
	    "name=dense cut=dense large=262144 region=4194304" "name=disk cut=disk" "name=whole cut=raw"
	    "name=tiny-4K cut=offset tiny=4096 order=mft" "name=tiny-16K cut=offset tiny=16384 order=mft")
	for image in "$CORPUS/host-0?.img $CORPUS/host-01.day-?.img" "$CUTS/scatter-?.img $CUTS/scatter-1.day-1.img" \
	    "$CUTS/shift*.img"; do
		for way in "${ways[@]}"; do
			# shellcheck disable=SC2086
			"$build/release/bench/cuts_bench" $way $image
		done
	done
	for way in smin=4096\ savg=16384\ smax=65536 smin=8192\ savg=32768\ smax=131072 ""; do
		# shellcheck disable=SC2086
		"$build/release/bench/cuts_bench" "name=ext4" $way "$CUTS"/ext4-?.img "$CUTS/ext4-1.day-1.img"
	done
	for way in group=262144\ reach=0 group=524288\ reach=0 group=524288 group=1048576 group=2097152; do
		# shellcheck disable=SC2086
		"$build/release/bench/cuts_bench" "name=$way" $way "$CORPUS/host-01.img" "$CORPUS"/churn/*.delta | sed -n '1p;2p;$p'
	done
	for way in level=1 level=2 level=4 level=5 level=6 split=200 \
	    params=0,0,0,0,0,0,0 params=0,14,15,0,0,0,0 params=0,15,16,0,0,0,0; do
		"$build/release/bench/cuts_bench" "name=${way:0:14}" "$way" "$CORPUS/host-01.img" "$CORPUS/host-02.img"
	done
}

case ${1:-} in
programs | main | judge | huge | index | maintenance | rescue | reading | fast | driver | cuts) "$@" ;;
*) sed -n '2,14p' tests/bench/run.sh | sed 's/^# \{0,1\}//' ;;
esac
