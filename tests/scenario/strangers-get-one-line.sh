#!/bin/bash
# Goal: plain TCP, TLS 1.2, garbage, a foreign CA and a half-open connection are
# turned away with one log line each, and the server goes on working.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
host=${server%:*} port=${server##*:}

# One stranger, one line more in the server's log, and it says why.
lines() { wc -l < "$work/server.log"; }
one_line() { # REGEX COMMAND...
	local regex=$1 before
	before=$(lines)
	shift
	"$@" < /dev/null > "$work/stranger" 2>&1 || true
	more() { [ "$(lines)" -gt "$before" ]; }
	await 30 more
	operator hosts > /dev/null      # Whatever else it had to say is said by now:
	tail -n +$((before + 1)) "$work/server.log" | grep -v 'admin' > "$work/said"
	[ "$(wc -l < "$work/said")" = 1 ] || fail "not one line for $*: $(cat "$work/said")"
	grep -Eq "$regex" "$work/said" || fail "said '$(cat "$work/said")' and not /$regex/: $*"
	note "$(cut -c26- "$work/said")"
}
say() { printf "$1" > "/dev/tcp/$host/$port"; } 2>/dev/null

note "TLS 1.2 is not spoken"
one_line 'TLS 1.3' openssl s_client -connect "$server" -tls1_2 -alpn holdfast/1
grep -q 'Cipher is (NONE)\|alert' "$work/stranger" || fail "TLS 1.2 was accepted: $(cat "$work/stranger")"
note "nor another protocol over TLS 1.3"
one_line 'holdfast/1|ALPN|protocol' openssl s_client -connect "$server" -tls1_3 -alpn http/1.1
note "TLS 1.3 without a certificate is a nobody, who may do nothing but enrol"
openssl s_client -connect "$server" -tls1_3 -alpn holdfast/1 < /dev/null > "$work/s13" 2>&1 || true
grep -q 'TLSv1.3' "$work/s13" || fail "openssl got no TLS 1.3: $(tail -5 "$work/s13")"

note "garbage and silence"
one_line 'TLS 1.3' say 'GET / HTTP/1.0\r\n\r\n'
one_line 'closed|handshake' say ''
one_line 'TLS|handshake|closed' say '\026\003\001\000\100half a hello'
for n in 1 2 3 4 5 6 7 8; do
	head -c 4000 /dev/urandom > "/dev/tcp/$host/$port" 2>/dev/null || true
done

note "a certificate signed by another authority"
"$bin/holdfast" init "$work/otherstore" --name other --operator-dir "$work/otherop" > /dev/null
refuses 'certificate|authority|CA|signed' "$bin/holdfast" --operator "$work/otherop" --server "$server" hosts

note "an agent that meets something else than a server"
refuses 'refused' agent h1 --server 127.0.0.1:1 points
# A port that speaks first, one that says nothing and hangs up, and TLS 1.2.
python3 - "$work/others" <<'P' &
import socket, sys, threading
def serve(s, words):
    while True:
        c, _ = s.accept()
        if words:
            c.sendall(words)
        c.recv(4096)    # Else closing is a reset.
        c.close()
ports = []
for words in b"220 mail.example.org ESMTP\r\n", b"":
    s = socket.create_server(("127.0.0.1", 0))
    ports.append(str(s.getsockname()[1]))
    threading.Thread(target=serve, args=(s, words)).start()
with open(sys.argv[1] + ".new", "w") as f:
    f.write("\n".join(ports) + "\n")
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
P
pids+=($!)
await 30 test -s "$work/others"
{ read -r mail; read -r mute; } < "$work/others"
refuses 'does not speak TLS 1.3' agent h1 --server "127.0.0.1:$mail" points
refuses 'closed|reset' agent h1 --server "127.0.0.1:$mute" points
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -days 2 \
    -keyout "$work/o.key" -out "$work/o.crt" 2> /dev/null
mkfifo "$work/hold"     # It ends with its input.
exec 7<> "$work/hold"
openssl s_server -accept 127.0.0.1:0 -tls1_2 -cert "$work/o.crt" -key "$work/o.key" > "$work/ss.out" 2>&1 <&7 &
pids+=($!)
await 30 grep -q '^ACCEPT' "$work/ss.out"
tls12=$(sed -n 's/^ACCEPT.*:\([0-9]*\).*/\1/p' "$work/ss.out")
refuses 'TLS 1.3' agent h1 --server "127.0.0.1:$tls12" points

agent h1 points > /dev/null
operator hosts > /dev/null
kill -0 "$server_pid" || fail "the server died"
server_stop
