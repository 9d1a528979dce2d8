/*
 * address.h - "host:port" in two parts: "backup.example:4711", "[::1]:4711",
 * "10.0.0.1:0"; "*:4711" and ":4711" mean any address of this machine.
 */
#ifndef PROTO_NET_ADDRESS_H
#define PROTO_NET_ADDRESS_H

struct err;

struct address {
	char host[256]; /* Empty: any. */
	char port[6];	/* Decimal, 0..65535. */
};

/* ERR_LIMIT, with the text in the message. */
int address_parse(const char *text, struct address *out, struct err *err);

#endif /* PROTO_NET_ADDRESS_H */
