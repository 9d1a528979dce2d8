/*
 * roles.h - who may send what: the message x role table, in this one place.
 *
 * A session asks before it looks at a message; what a permitted message may
 * then touch (an agent only its own host, a rescue only one) is checked where
 * the object is known, in session_view.c.
 */
#ifndef SERVER_ROLES_H
#define SERVER_ROLES_H

#include <stdint.h>

#include "proto/tls/cert.h"

/* Non-zero if a peer of this role may send messages of this kind (enum msg_kind). */
int roles_allow(enum cert_role role, uint16_t kind);

#endif /* SERVER_ROLES_H */
