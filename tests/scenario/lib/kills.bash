# kills.bash - sourced after scenario.bash: rounds of kill -9 at any moment.
#
# Hosts back up a small volume that changes each time; the server, an agent or both are
# killed at a random moment.  What was acknowledged is kept here as SHA-256 by host and
# sequence; after each round the server starts again and the newest points and one
# older one of each host are restored and compared.  A point nobody was told of may be
# there, with the content that was on its way.  Beside it points are forgotten and their
# space is given back.
#
#   kills_begin SEED HOSTS    kills_round    kills_end (all points restored, verify)
kill_rounds=0 kill_servers=0 kill_agents=0 kill_acked=0 kill_unheard=0 kill_restores=0 kill_recovered=0
kill_forgotten=0 kill_side=

kills_begin() {
	RANDOM=$(($1 % 32768))
	kill_hosts=()
	local i
	for ((i = 1; i <= $2; i++)); do
		kill_hosts+=("h$i")
	done
	mkdir -p "$work/sums"
	server_init
	server_start
	for i in "${kill_hosts[@]}"; do
		enrol "$i"
		noise 3 "$work/$i.img"
	done
}

# A quarter of a MiB of the volume is new, another is zeros, something moves.
kills_change() { # HOST
	local img=$work/$1.img at=$((RANDOM % 10 * 256))
	dd if=/dev/urandom of="$img" bs=1K seek=$at count=256 conv=notrunc status=none
	dd if=/dev/zero of="$img" bs=1K seek=$((RANDOM % 2800)) count=$((RANDOM % 200)) conv=notrunc status=none
	dd if="$img" of="$img" bs=1K skip=$at seek=$((2816)) count=200 conv=notrunc status=none
}

# One agent, which backs up until it is killed or done; acknowledged sums go to a file.
kills_agent() { # HOST
	local host=$1 n sum said status
	for ((n = 0; n < 3; n++)); do
		kills_change "$host"
		sum=$(sha256sum < "$work/$host.img")
		echo "$sum" >> "$work/sums/$host.tried"
		"$bin/holdfast-agent" --state "$work/agent-$host" --machine-id "$work/machine-id" \
		    backup v="$work/$host.img" --retry-for 20s > "$work/$host.said" 2>> "$work/$host.err" &
		echo $! > "$work/$host.pid"
		status=0
		wait $! || status=$?
		rm -f "$work/$host.pid"
		[ $status = 0 ] || return 0
		said=$(cat "$work/$host.said")
		[[ $said =~ ^point\ ([0-9]+): ]] || { echo "$said" >> "$work/sums/$host.odd"; return 0; }
		echo "$sum" > "$work/sums/$host.${BASH_REMATCH[1]}"
	done
}

# kills_compare HOST SEQUENCE: restore it; what it should be, or one of what was tried.
kills_compare() {
	local is f=$work/sums/$1.$2
	agent "$1" restore "$2" --volume v --to "$work/restored" --force > "$work/restore.out" 2>&1 ||
	    fail "$1/$2 cannot be restored: $(tail -2 "$work/restore.out")"
	is=$(sha256sum < "$work/restored")
	kill_restores=$((kill_restores + 1))
	if [ -e "$f" ]; then
		[ "$is" = "$(cat "$f")" ] || fail "$1/$2 is not what was acknowledged"
	else
		grep -qxF -- "$is" "$work/sums/$1.tried" || fail "$1/$2 is nothing that was ever backed up"
		kill_unheard=$((kill_unheard + 1))
		echo "$is" > "$f"
	fi
}

# All that was acknowledged is there; the sequences there are, into $there.
kills_points() {
	local host=$1 f n
	operator points "$host" --json > "$work/points.json"
	there=$(sed -n 's/^ *"sequence": \([0-9]*\),$/\1/p' "$work/points.json")
	for f in "$work/sums/$host".[0-9]*; do
		[ -e "$f" ] || continue
		n=${f##*.}
		if [ -e "$work/sums/gone.$host.$n" ]; then
			! grep -qx "$n" <<< "$there" || fail "$host/$n was forgotten, and is back"
			rm "$f" "$work/sums/gone.$host.$n"
			kill_forgotten=$((kill_forgotten + 1))
			continue
		fi
		grep -qx "$n" <<< "$there" && continue
		kills_may_miss "$host" "$n" || fail "acknowledged point $host/$n is lost"
		rm "$f"
	done
}
# Its removal was begun.
kills_may_miss() { [ -e "$work/sums/leaving.$1.$2" ]; }

# Beside all that: the oldest point of a host is forgotten, and its space given back.  The
# server may be killed in it.
kills_collect() {
	local host=${kill_hosts[RANDOM % ${#kill_hosts[@]}]} list n
	mapfile -t list < <(ls "$work/sums" | sed -n "s/^$host\\.\\([0-9]*\\)\$/\\1/p" | sort -n)
	[ ${#list[@]} -lt 4 ] && return 0
	n=${list[0]}
	: > "$work/sums/leaving.$host.$n"
	if operator forget "$host/$n" --reason soak > /dev/null 2>> "$work/side.err"; then
		: > "$work/sums/gone.$host.$n"
	fi
	operator gc > /dev/null 2>> "$work/side.err" || true
}

kills_round() {
	local host job jobs=() who=$((RANDOM % 4)) ms=$((RANDOM % 900)) before
	for host in "${kill_hosts[@]}"; do
		kills_agent "$host" &
		jobs+=($!)
		pids+=($!)
	done
	kills_collect &
	kill_side=$!
	pids+=("$kill_side")
	read -rt "0.$(printf %03d $ms)" <> <(:) || true
	# 0, 1: the server; 2: an agent; 3: both at once.
	if [ $who -ge 2 ]; then
		kills_kill_agent "${kill_hosts[RANDOM % ${#kill_hosts[@]}]}"
	fi
	if [ $who != 2 ]; then
		server_kill
		kill_servers=$((kill_servers + 1))
		before=$(wc -l < "$work/server.log")
		server_start
		tail -n +$((before + 1)) "$work/server.log" | grep -q "were still open" && kill_recovered=$((kill_recovered + 1)) || true
	fi
	for job in "${jobs[@]}"; do
		wait "$job" || fail "the agents' job ended with $?"
	done
	wait "$kill_side" || fail "forgetting and collecting ended with $?"
	pids=("$server_pid")
	for host in "${kill_hosts[@]}"; do
		local newest older all n
		kills_points "$host"
		[ -n "$there" ] || continue
		newest=$(head -1 <<< "$there")
		mapfile -t all <<< "$there"
		older=${all[RANDOM % ${#all[@]}]}
		# What nobody was told of is looked at, each.
		for n in $there; do
			[ "$n" = "$newest" ] || [ "$n" = "$older" ] || [ ! -e "$work/sums/$host.$n" ] || continue
			kills_compare "$host" "$n"
		done
	done
	kill_rounds=$((kill_rounds + 1))
}
# It may just have ended: only a process that is this host's agent is killed.
kills_kill_agent() { # HOST
	local pid
	pid=$(cat "$work/$1.pid" 2> /dev/null) || return 0
	[ -n "$pid" ] && tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "--state $work/agent-$1 " || return 0
	kill -KILL "$pid" 2> /dev/null && kill_agents=$((kill_agents + 1)) || true
}

kills_end() {
	local host n
	server_kill
	server_start
	for host in "${kill_hosts[@]}"; do
		kills_points "$host"
		for n in $there; do
			kills_compare "$host" "$n"
			kill_acked=$((kill_acked + 1))
		done
		[ ! -e "$work/sums/$host.odd" ] || fail "odd words: $(cat "$work/sums/$host.odd")"
	done
	operator verify --trees > "$work/verify.out" || fail "verify: $(tail -3 "$work/verify.out")"
	server_stop
	[ $kill_acked -gt 0 ] || fail "no point was ever made"
	note "$kill_rounds rounds: the server killed $kill_servers times ($kill_recovered with packs open), agents $kill_agents; $kill_acked points, $kill_unheard of them unheard of, $kill_forgotten forgotten; $kill_restores restores equal"
}
