/*
 * msg_check.h - the limits of every field of every message; for msg.c.
 *
 * One table holds what WIRE.md says of fields; strings need no entry, every
 * field of type bytes does: one without is refused, so none is forgotten.
 */
#ifndef PROTO_WIRE_MSG_CHECK_H
#define PROTO_WIRE_MSG_CHECK_H

#include <protobuf-c/protobuf-c.h>

#include "proto/base/err.h"

/*
 * Does `m`, with all messages inside it, hold to the limits?  The first breach
 * fails with `code` and names the field.
 */
int msg_check(const ProtobufCMessage *m, enum err_code code, struct err *err);

/*
 * Replace what a line of text may not hold by '?' and cut it at the longest
 * string allowed, in place.
 */
void msg_check_clean(char *text);

#endif /* PROTO_WIRE_MSG_CHECK_H */
