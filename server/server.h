/*
 * server.h - the whole server inside one process: store, authority, loops,
 * workers, listener and the sessions on them.
 *
 *	server_start -> (server_reload)* -> server_stop
 *
 * Called from one thread, never a loop's.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdint.h>

struct config;
struct err;
struct server;
struct store;

/*
 * Open the store, start all threads and listen.  ERR_BUSY (the store is in use),
 * ERR_NOTFOUND, ERR_IO (the address).  `config` is copied.
 */
int server_start(const struct config *config, struct server **out, struct err *err);

/* Where it listens, "host:port" with the port in use; owned by `s`. */
const char *server_address(const struct server *s);

/* What tokens say; owned by `s`. */
const char *server_advertised(const struct server *s);

/* For tests and local tools: the open store. */
struct store *server_store(struct server *s);

/* Apply what may change while it runs. */
void server_reload(struct server *s, const struct config *config);

/*
 * Stop listening, let requests in hand finish (at most limits.drain), end all
 * sessions, close the store and free.
 */
void server_stop(struct server *s);

#endif /* SERVER_SERVER_H */
