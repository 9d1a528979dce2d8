/*
 * ready.h - telling whoever started the server that it is ready.
 *
 * A service manager listens on the datagram socket NOTIFY_SOCKET (systemd's
 * sd_notify protocol, by hand: it is one datagram); scripts watch a file.
 */
#ifndef SERVER_READY_H
#define SERVER_READY_H

struct err;

/* Send "READY=1", "STOPPING=1" ...; nothing if nobody listens. */
void ready_notify(const char *state);

/* Put `address` and a newline in `path`, whole or not at all. */
int ready_write(const char *path, const char *address, struct err *err);

#endif /* SERVER_READY_H */
