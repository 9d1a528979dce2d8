#!/bin/bash
# Goal: a wrong command line gets one line that names the program, what is wrong and
# where help is, and exit status 2, from all three programs; help itself goes to
# standard output.
. "$(dirname "$0")/lib/scenario.bash"
wrong() { # REGEX COMMAND...
	local regex=$1 status=0
	shift
	"$bin/$1" "${@:2}" > "$work/out" 2> "$work/err" < /dev/null || status=$?
	[ $status = 2 ] || fail "status $status: $*"
	[ ! -s "$work/out" ] || fail "speaks to standard output: $*: $(cat "$work/out")"
	[ "$(wc -l < "$work/err")" = 1 ] || fail "not one line: $*: $(cat "$work/err")"
	grep -Eq -- "^$1: .*($regex).*--help" "$work/err" || fail "said '$(cat "$work/err")', not /$regex/: $*"
}
export HOLDFAST_STATE=$work/state HOLDFAST_OPERATOR=$work/operator
for program in holdfast holdfastd holdfast-agent; do
	wrong '--nope' $program --nope
	"$bin/$program" --help > "$work/out" 2> "$work/err"
	grep -q "usage: $program" "$work/out" || fail "$program --help: $(cat "$work/out")"
	[ ! -s "$work/err" ] || fail "$program --help complains: $(cat "$work/err")"
	"$bin/$program" --version | grep -E "^$program [0-9]" > /dev/null || fail "$program --version"
done
wrong 'a file is missing' holdfastd --config
wrong 'extra' holdfastd extra
wrong 'command is missing' holdfast
wrong "command 'bogus'" holdfast bogus
wrong '--server: a value' holdfast --server
for command in $("$bin/holdfast" --help | sed -n 's/^  \([a-z-]*\)  .*/\1/p'); do
	wrong "$command: no option '--nope'" holdfast $command --nope
	# As many hosts as one likes.
	[ $command = prune ] || wrong "$command: '?.* is one word too many" holdfast $command a b c d
	"$bin/holdfast" $command --help | grep "usage: holdfast $command" > /dev/null || fail "holdfast $command --help"
done
wrong 'DIR is missing' holdfast init
wrong 'NAME is missing' holdfast revoke
wrong 'HOST.* is missing' holdfast show
wrong '--to .* is missing' holdfast restore web01/1
wrong "--sample '7'" holdfast verify --sample 7
wrong '--sample: a value' holdfast verify --sample
for rate in nan -5M 0 5X 1e6 M; do
	wrong "--max-rate '$rate'" holdfast gc --max-rate=$rate
	wrong "--max-rate '$rate'" holdfast store copy --max-rate=$rate
done
wrong "--role 'king'" holdfast operator add x --role king --out "$work/x"
wrong '--out DIR is missing' holdfast operator add x --role viewer
wrong "'del'" holdfast operator del x
wrong "--ttl '5x'" holdfast enroll-token --ttl 5x
wrong "--uses '0'" holdfast enroll-token --uses 0
wrong 'what is to be done' holdfast-agent
wrong 'bogus' holdfast-agent bogus
