/*
 * networks.h - which addresses a token may be used from.
 *
 * A list of networks is text, "10.0.0.0/8 2001:db8::/32", separated by single
 * spaces; an address without a slash is itself alone; the empty list is every
 * address.
 */
#ifndef SERVER_NETWORKS_H
#define SERVER_NETWORKS_H

struct err;

/* Is this one well-formed network?  ERR_PROTOCOL says what is wrong. */
int networks_check(const char *network, struct err *err);

/* Non-zero if `address` ("10.1.2.3", "::1") lies in a network of the list. */
int networks_hold(const char *list, const char *address);

#endif /* SERVER_NETWORKS_H */
