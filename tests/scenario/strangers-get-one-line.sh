#!/bin/bash
# Goal: plain TCP, TLS 1.2, garbage, a foreign CA and a half-open connection are
# turned away with one log line each, and the server goes on working.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
host=${server%:*} port=${server##*:}

note "TLS 1.2 is not spoken"
if openssl s_client -connect "$server" -tls1_2 -alpn holdfast/1 < /dev/null > "$work/s12" 2>&1; then
	grep -q 'Cipher is (NONE)' "$work/s12" || fail "TLS 1.2 was accepted: $(cat "$work/s12")"
fi
note "TLS 1.3 without a certificate is a nobody, who may do nothing but enrol"
openssl s_client -connect "$server" -tls1_3 -alpn holdfast/1 < /dev/null > "$work/s13" 2>&1 || true
grep -q 'TLSv1.3' "$work/s13" || fail "openssl got no TLS 1.3: $(tail -5 "$work/s13")"

note "garbage and silence"
for n in 1 2 3 4 5 6 7 8; do
	head -c 4000 /dev/urandom > "/dev/tcp/$host/$port" 2>/dev/null || true
	printf 'GET / HTTP/1.0\r\n\r\n' > "/dev/tcp/$host/$port" 2>/dev/null || true
	: > "/dev/tcp/$host/$port" || true
done

note "a certificate signed by another authority"
"$bin/holdfast" init "$work/otherstore" --name other --operator-dir "$work/otherop" > /dev/null
refuses 'certificate|authority|CA|signed' "$bin/holdfast" --operator "$work/otherop" --server "$server" hosts

note "an agent that meets something else than a server"
printf 'not a server\n' > "$work/banner"
openssl s_server -accept 127.0.0.1:0 -tls1_2 -nocert -cipher aNULL -quiet > "$work/ss.out" 2>&1 &
pids+=($!)
refuses 'refused|connect' agent h1 --server 127.0.0.1:1 points

agent h1 points > /dev/null
operator hosts > /dev/null
kill -0 "$server_pid" || fail "the server died"
server_stop
