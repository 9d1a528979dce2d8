/*
 * listener.h - a TCP port whose connections are spread over several loops.
 */
#ifndef PROTO_NET_LISTENER_H
#define PROTO_NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/net/conn.h"

struct err;
struct listener;
struct loop;
struct tls_config;

/*
 * Called on the conn's loop (number `loop_no`) for each accepted connection
 * before its handshake; sets who hears of it by conn_set_events().
 */
typedef void (*listener_accept)(struct conn *c, unsigned loop_no, void *arg);

/*
 * Listen on "host:port" (port 0: any free one; host "*": any address) and hand
 * connections to the `n` loops in turn.  `config` and the loops must outlive it
 * and its connections; `limits` is copied.  At most `conns_max` connections at
 * once: more are refused by closing them.  Blocks while a name is resolved.
 * ERR_IO ("listen on 127.0.0.1:4711: Address already in use"), ERR_DENIED.
 */
int listener_start(const char *address, struct loop *const loops[], unsigned n,
    struct tls_config *config, const struct conn_limits *limits, unsigned conns_max,
    listener_accept accept_fn, void *arg, struct listener **out, struct err *err);

/* The port in use. */
uint16_t listener_port(const struct listener *l);

/*
 * Stop accepting and free; connections live on, and `accept` is not called any
 * more.  From any thread but a loop's; the loops must run.  NULL is allowed.
 */
void listener_stop(struct listener *l);

#endif /* PROTO_NET_LISTENER_H */
