#!/usr/bin/env python3
"""cut_proxy.py SERVER READY-FILE - forward connections to SERVER ("host:port"),
but cut the first one at the moment when the server answers the client's third
flight: hello, then handshake and greeting, then the request whose reply is so
lost.  Writes its own address to READY-FILE, and "cut" to standard output."""
import socket, sys, threading

host, port = sys.argv[1].rsplit(":", 1)
listener = socket.create_server(("127.0.0.1", 0))
cut_done = False


def serve(client):
    global cut_done
    server = socket.create_connection((host, int(port)))
    state = {"flights": 0, "last": None}
    lock = threading.Lock()

    def pump(src, dst, side):
        global cut_done
        try:
            while data := src.recv(65536):
                with lock:
                    if side == "client" and state["last"] != "client":
                        state["flights"] += 1
                    state["last"] = side
                    if side == "server" and state["flights"] >= 3 and not cut_done:
                        cut_done = True
                        print("cut", flush=True)
                        break
                dst.sendall(data)
        except OSError:
            pass
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    threading.Thread(target=pump, args=(client, server, "client"), daemon=True).start()
    pump(server, client, "server")


with open(sys.argv[2], "w") as f:
    f.write("127.0.0.1:%d" % listener.getsockname()[1])
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
