/*
 * netboot.h - the rescue image over plain HTTP, for iPXE, GRUB and firmware that
 * boot by HTTP.
 *
 * Of the directory that `./dev rescue --out DIR` made only files of fixed names are
 * served, to anybody, with GET and HEAD; each fetch is one line in the log.  There is
 * nothing secret in them: who may restore is decided over TLS, and the CA by which the
 * rescue program knows this server is inside the image.  Connections are bounded and
 * on threads of their own, so that strangers here do not slow backups.
 */
#ifndef SERVER_NETBOOT_H
#define SERVER_NETBOOT_H

struct err;
struct netboot;

/*
 * Serve `dir` on `listen`, "host:port" (port 0: any).  ERR_NOTFOUND: the directory or
 * one of its files is not there; ERR_IO: the address.
 */
int
netboot_start(const char *dir, const char *listen, struct netboot **out, struct err *err);

/* Where it listens, with the port in use; owned by `n`. */
const char *netboot_address(const struct netboot *n);

/* Connections are cut. */
void netboot_stop(struct netboot *n);

#endif /* SERVER_NETBOOT_H */
