#!/bin/bash
# Goal: pre-script and post-script run around every backup, also one by `run`; a
# pre-script that fails or hangs stops the backup, the post-script hears of it and runs
# all the same; what others may write is not run; the outcome is in the result.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 4 "$work/v.img"
mkdir -m 700 "$work/scripts"
conf() { # LINE...: agent.conf with both scripts
	{
		printf '[agent]\npre-script = %s\npost-script = %s\n' "$work/scripts/pre" "$work/scripts/post"
		printf '%s\n' "$@"
		printf '[volume v]\npath = %s\n' "$work/v.img"
	} > "$work/agent-h1/agent.conf"
}
script() { # NAME BODY
	printf '#!/bin/sh\n%s\n' "$2" > "$work/scripts/$1"
	chmod 700 "$work/scripts/$1"
}
points() { operator points h1 --json 2>/dev/null | grep -o "\"sequence\"" | wc -l; }
says() { grep -q -- "$1" "$2" || fail "'$1' is not in $2: $(cat "$2")"; }
tells='echo "$HOLDFAST_EVENT $HOLDFAST_HOST $HOLDFAST_VOLUMES result=$HOLDFAST_RESULT point=$HOLDFAST_POINT pre=$HOLDFAST_PRE error=$HOLDFAST_ERROR" >> '"$work/told"

note "both run, and the result has their ends"
conf
script pre "$tells; echo from the pre-script"
script post "$tells; exit 4"
agent h1 backup --json > "$work/out" 2> "$work/err"
says '^pre h1 v result= point= pre= error=$' "$work/told"
says '^post h1 v result=ok point=1 pre=0 error=$' "$work/told"
says 'pre-script: from the pre-script' "$work/err"
says 'pre-script: exit code 0 after' "$work/err"
says 'post-script: .*/post: exit code 4 after .*; the point is made' "$work/err"
says '"pre_script":{"end":"exit code 0 after [0-9.]* s","exit_code":0,' "$work/out"
says '"post_script":{"end":"exit code 4 after [0-9.]* s","exit_code":4,' "$work/out"
[ "$(points)" = 1 ] || fail "not one point"

note "a pre-script that fails stops the backup; the post-script hears it"
: > "$work/told"
script pre "exit 7"
script post "$tells"
refuses 'pre-script: .*/pre: exit code 7 after' agent h1 backup
says '^post h1 v result=pre-failed point= pre=7 error=.*exit code 7' "$work/told"
[ "$(points)" = 1 ] || fail "a point in spite of the pre-script"

note "one that hangs is stopped with what it started"
: > "$work/told"
conf 'script-timeout = 2s' # The post-script has as long.
script pre "sleep 1000 & echo \$! > $work/sleeper; wait"
refuses 'pre-script: .*/pre: out of time after' agent h1 backup
says '^post h1 v result=pre-failed ' "$work/told"
gone() { ! kill -0 "$(cat "$work/sleeper")" 2>/dev/null; }
await 60 gone

note "a backup that fails: the post-script runs"
: > "$work/told"
conf
script pre "exit 0"
mv "$work/v.img" "$work/w.img"
refuses 'v.img' agent h1 backup
says '^post h1 v result=failed point= pre=0 error=.*v.img' "$work/told"
mv "$work/w.img" "$work/v.img"

note "no error is a command"
: > "$work/told"
refuses 'x&y' agent h1 backup "v=$work/x&y %z%;(w).img"
says '^post h1 v result=failed point= pre=0 error=.*/x_y _z___w_.img: ' "$work/told"

note "what others may write is not run, and neither is its fellow"
: > "$work/told"
script pre "$tells"
chmod 722 "$work/scripts/post"
refuses 'post-script: .*/post: not trusted: others than root may write it' agent h1 backup
chmod 700 "$work/scripts/post"
chmod 777 "$work/scripts"
refuses 'pre-script: .*/pre: not trusted' agent h1 backup
chmod 700 "$work/scripts"
[ ! -s "$work/told" ] || fail "a script was run: $(cat "$work/told")"

note "run: around each, and the post-script also when it is stopped in the middle"
script pre "$tells; touch $work/in-pre; [ ! -e $work/hang ] || exec sleep 1000"
script post "$tells"
conf 'interval = 1s'
agent h1 run > "$work/run.out" 2> "$work/run.err" &
shell=$!
pids+=($shell)
at_least() { [ "$(points)" -ge "$1" ]; }
await 300 at_least 3
touch "$work/hang"
rm -f "$work/in-pre"
in_pre() { [ -e "$work/in-pre" ]; }
await 60 in_pre
kill -TERM "$(pgrep -P $shell -x holdfast-agent || echo $shell)"
status=0
wait $shell || status=$?
[ $status = 0 ] || fail "run ended with $status: $(tail -3 "$work/run.err")"
says '^post h1 v result=interrupted ' "$work/told"
rm "$work/hang"

note "agent.conf is read anew, and nonsense in it is said and not followed"
script pre "$tells"
agent h1 run > "$work/run.out" 2> "$work/run.err" &
shell=$!
pids+=($shell)
now=$(points)
await 300 at_least $((now + 1))
echo 'nonsense' >> "$work/agent-h1/agent.conf"
said() { grep -q 'not a setting; going on with' "$work/run.err"; }
await 60 said
now=$(points)
await 300 at_least $((now + 1))
kill -TERM "$(pgrep -P $shell -x holdfast-agent || echo $shell)"
wait $shell || fail "run ended badly"
server_stop
