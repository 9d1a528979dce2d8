#!/bin/bash
# Goal: over plain HTTP anybody gets the rescue image's files and nothing else: by
# fixed names, whole or a range, in the words of the address that was asked, also
# many at once and beside somebody who says nothing.
. "$(dirname "$0")/lib/scenario.bash"
server_init
mkdir "$work/rescue"
serve() { # CONFIGURATION-LINES
	grep -v ^rescue- "$work/holdfastd.conf" > "$work/next.conf"
	printf '%s\n' "$@" >> "$work/next.conf"
	mv "$work/next.conf" "$work/holdfastd.conf"
}
serve "rescue-listen = 127.0.0.1:0"
refuses 'rescue-dir' "$bin/holdfastd" --config "$work/holdfastd.conf" --check-config
serve "rescue-listen = 127.0.0.1:0" "rescue-dir = $work/nowhere"
refuses 'rescue-dir: .*/nowhere/modules.alias: No such' "$bin/holdfastd" --config "$work/holdfastd.conf"
echo 'alias pci:* ahci' > "$work/rescue/modules.alias"
serve "rescue-listen = 127.0.0.1:0" "rescue-dir = $work/rescue"
refuses 'rescue-dir: .* has no boot.ipxe' "$bin/holdfastd" --config "$work/holdfastd.conf"
head -c 3000000 /dev/urandom > "$work/rescue/initrd.img"
head -c 70000 /dev/urandom > "$work/rescue/boot.ipxe"
cp "$work/rescue/initrd.img" "$work/rescue/vmlinuz"
refuses 'boot.ipxe is longer than 65536 bytes' "$bin/holdfastd" --config "$work/holdfastd.conf"
head -c 100000 /dev/urandom > "$work/rescue/vmlinuz"
printf '#!ipxe\nkernel vmlinuz initrd=initrd.img holdfast.server=backup:7437 quiet\ninitrd initrd.img\nboot\n' > "$work/rescue/boot.ipxe"
echo "not for the network" > "$work/rescue/secret"
mkdir "$work/rescue/rescue.iso"
server_start

python3 - "$work" "$(sed -n 's#.*http://127.0.0.1:\([0-9]*\)/boot.ipxe.*#\1#p' "$work"/server.log | tail -n 1)" <<'END'
import http.client, socket, sys, threading
work, port = sys.argv[1], int(sys.argv[2])

def ask(path, method="GET", **headers):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    return r.status, r.read(), dict((k.lower(), v) for k, v in r.getheaders())

def must(claim, truth):
    if not truth:
        sys.exit(f"not so: {claim}")

initrd = open(f"{work}/rescue/initrd.img", "rb").read()
must("a file is served whole", ask("/initrd.img")[:2] == (200, initrd))
status, body, headers = ask("/initrd.img", "HEAD")
must("HEAD gives its length", (status, body, headers["content-length"]) == (200, b"", str(len(initrd))))
status, body, headers = ask("/initrd.img", Range="bytes=1000-1999")
must("a range is served", (status, body, headers["content-range"]) == (206, initrd[1000:2000], f"bytes 1000-1999/{len(initrd)}"))
must("the last bytes too", ask("/initrd.img", Range="bytes=-7")[:2] == (206, initrd[-7:]))
must("no bytes past its end", ask("/initrd.img", Range="bytes=3000000-")[0] == 416)
must("two ranges are the whole", ask("/initrd.img", Range="bytes=0-1,4-5")[1] == initrd)

must("the script leads to whom was asked", b"holdfast.server=10.0.2.2:7437 quiet" in ask("/boot.ipxe", Host="10.0.2.2:8080")[1])
must("by IPv6 too", b"holdfast.server=[fd00::1]:7437 quiet" in ask("/boot.ipxe", Host="[fd00::1]")[1])
must("questions are not looked at", b"holdfast.server=b:7437" in ask("/boot.ipxe?token=X&mac=Y", Host="b")[1])
for bad in "a b", "a\tboot", "$(x)", "${x}", "x/y", "[::1", "a" * 300:
    must(f"Host {bad!r} is not written into it", b"holdfast.server=backup:7437 quiet" in ask("/boot.ipxe", Host=bad)[1])

for path in "/", "/secret", "/../holdfastd.conf", "/rescue.iso", "/vmlinuz/", "//vmlinuz", "/%2e%2e/store", "/modules.alias":
    must(f"{path} is not served", ask(path)[0] == 404)
for method in "POST", "PUT", "DELETE", "OPTIONS":
    must(f"{method} is refused", ask("/vmlinuz", method)[0] == 405)
c = socket.create_connection(("127.0.0.1", port))
c.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
must("noise gets an answer or an end", c.recv(100) is not None)

# 40 machines beside some that never ask: all get the same bytes.
mute = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
good = []
def fetch():
    if ask("/initrd.img")[:2] == (200, initrd):
        good.append(1)
threads = [threading.Thread(target=fetch) for _ in range(40)]
for t in threads:
    t.start()
for t in threads:
    t.join()
must("forty machines at once get it", len(good) == 40)

# More connections than one peer may have: the others are turned away, none is harmed.
more = []
for _ in range(100):
    more.append(socket.create_connection(("127.0.0.1", port)))
for s in mute + more:
    s.close()
for attempt in range(200):
    try:
        must("it goes on afterwards", ask("/vmlinuz")[0] == 200)
        break
    except (ConnectionError, http.client.HTTPException):
        threading.Event().wait(0.1)
else:
    sys.exit("not so: it goes on after too many connections")
END

# An image that is made anew while it is served.
head -c 200000 /dev/urandom > "$work/rescue/new" && mv "$work/rescue/new" "$work/rescue/vmlinuz"
python3 - "$work/rescue/vmlinuz" "$(sed -n 's#.*http://127.0.0.1:\([0-9]*\)/boot.ipxe.*#\1#p' "$work"/server.log | tail -n 1)" <<'END'
import sys, urllib.request
if urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/vmlinuz").read() != open(sys.argv[1], "rb").read():
    sys.exit("the new file is not served")
END
grep -q 'netboot: 127.0.0.1 fetched /initrd.img, 3000000 bytes$' "$work/server.log" || fail "a fetch is not in the log"
! grep -q secret "$work/server.log" || fail "what was asked in vain is in the log"
enrol h1 # Backups are served beside all that.
operator hosts | grep h1 > /dev/null
server_end TERM
[ "$server_status" = 0 ] || fail "SIGTERM was not a clean end"
