#!/usr/bin/env python3
"""relay.py SERVER READY-FILE MODE... - a bad network: forward connections to
SERVER ("host:port"); its own address goes to READY-FILE.
  lose LOG REGEX   once the file LOG matches, what the server sends next is lost
                   and the connection cut; those that come later are left alone
  hold BYTES GO    once the server has sent so many, nothing of its passes until
                   the file GO is there; "held" goes to standard output
  crawl SEED       a byte at a time or a few, by sockets with the smallest buffers
                   the kernel gives, with random stalls, both ways independently
  slow RATE        RATE bytes a second from the server, of all connections together; a
                   server that is away refuses as if there were no relay"""
import os, random, re, socket, sys, threading, time

host, port = sys.argv[1].rsplit(":", 1)
mode, args = sys.argv[3], sys.argv[4:]
lost = threading.Event()


def small(s):
    """Segments are small as well: a window below one is only looked at five times a second."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 256)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def end(*socks):
    for s in socks:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def loses(data):
    """Is this what the server said after the LOG matched?  Once only."""
    if lost.is_set() or not re.search(args[1], open(args[0]).read()):
        return False
    lost.set()
    print("lost %d bytes" % len(data), flush=True)
    return True


passed = 0


def hold(n):
    """Count what the server sent; wait where it is enough."""
    global passed
    before, passed = passed, passed + n
    if passed < int(args[0]) or os.path.exists(args[1]):
        return
    if before < int(args[0]):
        print("held", flush=True)
    while not os.path.exists(args[1]):
        time.sleep(0.02)


def pass_on(src, dst, from_server):
    try:
        while data := src.recv(65536):
            if from_server and mode == "hold":
                hold(len(data))
            elif from_server and loses(data):
                break
            dst.sendall(data)
    except OSError:
        pass
    end(src, dst)


def crawl(src, dst, seed):
    """Mostly single bytes in bursts, so that a megabyte takes seconds and not hours;
    now and then nothing at all for a while."""
    rnd = random.Random(seed)
    try:
        while True:
            n = 1 if rnd.random() < 0.3 else rnd.randint(2, 700)
            for _ in range(rnd.randint(1, 60)):
                data = src.recv(n)
                if not data:
                    return end(src, dst)
                while data:
                    data = data[dst.send(data[:n]):]
            if rnd.random() < 0.02:
                time.sleep(rnd.uniform(0, 0.05))
    except OSError:
        end(src, dst)


next_at = [0.0]
pace = threading.Lock()


def slow(src, dst, rate):
    try:
        while data := src.recv(16384):
            with pace:
                now = time.monotonic()
                next_at[0] = max(now, next_at[0]) + len(data) / rate
                wait = next_at[0] - now
            time.sleep(wait)
            dst.sendall(data)
    except OSError:
        pass
    end(src, dst)


def serve(client, number):
    server = socket.socket()
    if mode == "crawl":
        small(server)
        small(client)
    try:
        server.connect((host, int(port)))
    except OSError:
        client.close()
        return
    for side, (a, b) in enumerate(((client, server), (server, client))):
        if mode == "crawl":
            run, rest = crawl, "%s %d %d" % (args[0], number, side)
        elif mode == "slow" and side == 1:
            run, rest = slow, float(args[0])
        else:
            run, rest = pass_on, side == 1
        threading.Thread(target=run, args=(a, b, rest), daemon=True).start()


listener = socket.socket()
if mode == "crawl":
    small(listener)     # Before listening: the window is agreed on at the start.
listener.bind(("127.0.0.1", 0))
listener.listen(16)
with open(sys.argv[2], "w") as f:
    f.write("127.0.0.1:%d" % listener.getsockname()[1])
number = 0
while True:
    number += 1
    serve(listener.accept()[0], number)
