#!/bin/bash
# Goal: ./dev bench main works and judges.  Holdfast alone on a tiny corpus: every
# step, every restore compared, every row there; then made-up steps of a whole run,
# in which all musts are met, and for each row one in which it alone is missed.
# No time is judged here.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${HOLDFAST_BUILD:?set HOLDFAST_BUILD to a build directory}
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-bench.XXXXXX")
cleanup() {
	local status=$?
	trap - EXIT
	[ $status = 0 ] || tail -n 20 "$work"/*.out "$work"/work/*.log >&2 2> /dev/null || true
	rm -rf "$work"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Files of no interest but of many sizes.
mkdir "$work/files"
for n in $(seq 40); do
	seq "$n" $((n * n * 300)) > "$work/files/$n.txt"
	head -c $((n * 4000)) /dev/urandom > "$work/files/$n.exe"
done
OUT=$work/corpus NOSUM=1 SIZE=48 HOSTS=2 DAYS=1 CHURN=2 PE=0 BASE_SRC=$work/files "$here/make-corpus.sh" > "$work/corpus.out" 2>&1

export WORK=$work/work CORPUS=$work/corpus PEERS=$work/none PROGRAMS=$build/bin RESULTS=$work/results
export HOSTS=2 DAYS=1 CHURN=3 AGENTS=2 ROUNDS=1 TLS_MB=20 LOAD_WAIT=0 SYNC=0
python3 "$here/bench.py" run --no-judge > "$work/run.out" 2>&1
python3 "$here/smoke.py" "$work/results"

echo "* a step that fails ends it with 2"
status=0
CHURN=9 python3 "$here/bench.py" run --no-judge > "$work/fails.out" 2>&1 || status=$?
[ $status = 2 ] && grep -q 'the corpus has 2 churned states' "$work/fails.out"
