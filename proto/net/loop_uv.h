/* loop_uv.h - what of a loop is libuv's; for proto/net only. */
#ifndef PROTO_NET_LOOP_UV_H
#define PROTO_NET_LOOP_UV_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct loop;

/* The loop itself; on its thread only. */
uv_loop_t *loop_uv(struct loop *l);

/*
 * Buffers that all connections of a loop share, since only one of them is at
 * work at a time: for bytes from the network, for decrypted ones, and for a TLS
 * record's worth of what is about to be encrypted.  Nothing is left in them when
 * the loop goes on.
 */
#define LOOP_INPUT_LEN (64u * 1024)
#define LOOP_RECORD_LEN (16u * 1024)

uint8_t *loop_input(struct loop *l);
uint8_t *loop_plain(struct loop *l);	/* LOOP_RECORD_LEN */
uint8_t *loop_outgoing(struct loop *l); /* LOOP_RECORD_LEN */

#endif /* PROTO_NET_LOOP_UV_H */
