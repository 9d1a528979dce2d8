/*
 * state.h - the agent's directory: who it is, and what it remembers.
 *
 *	key		the private key, DER, mode 0600; sealed where the
 *			system can (seal.h)
 *	cert, ca	the agent's certificate and the authority's, DER
 *	server		"host:port"
 *	ticket		to resume a TLS session; may be lost at any time
 *	head		hash of the newest point of ours that the server acknowledged
 *	journal		where the server's journal ended when it last said
 *	enroll		an enrolment that waits, see pending.h
 *	sources		what was backed up from here, see sources.h
 *	last.json	what the last backup did, for `status`, see last.h
 *	schedule	when `run` made its last backup, see schedule.h
 *	agent.conf	written by people, read by settings.h
 *	cache/		the last trees, see cache.h; may be lost at any time
 *	lock		held while a program works with the directory
 *
 * Every file is replaced as a whole (temporary, fsync, rename, fsync of the
 * directory), so a crash leaves the old one or the new one.
 */
#ifndef AGENT_HOST_STATE_H
#define AGENT_HOST_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/host/seal.h"
#include "proto/tls/cert.h"

struct buf;
struct err;

struct state;

#define STATE_HASH_LEN 32
#define STATE_JOURNAL_LEN 48 /* Offset 8, sequence 8, hash 32. */
#define STATE_ADDRESS_MAX 200
#define STATE_FILE_MAX (64u * 1024) /* Longest file read whole. */
#define STATE_PATH_MAX 4096

/*
 * Open the directory, making it (mode 0700) if it is missing.  Holds no lock.
 * ERR_DENIED, ERR_IO.
 */
int state_open(const char *dir, struct state **out, struct err *err);
void state_close(struct state *st);

const char *state_dir(const struct state *st);

/*
 * Hold the directory until state_close(): ERR_BUSY if another process does.
 * Needed by all that changes more than the ticket.
 */
int state_lock(struct state *st, struct err *err);

/* "<dir>/<name>" into `out`, STATE_PATH_MAX bytes. */
int state_path(const struct state *st, const char *name, char *out, struct err *err);

/* The whole file into `out` (replaced).  1, or 0 if there is none, or -1. */
int
state_read(const struct state *st, const char *name, struct buf *out, struct err *err);

/* Replace a file; `mode` is its permissions. */
int state_write(const struct state *st, const char *name, const void *p, size_t len,
    unsigned mode, struct err *err);

/* Remove a file; none is fine. */
int state_remove(const struct state *st, const char *name, struct err *err);

/* The key; made and kept first if there is none.  cert_key_free(). */
int state_key(const struct state *st, struct cert_key **out, struct err *err);

/*
 * How the key lies on the disk: 1, or 0 if there is none, or -1.  One that could be
 * sealed and is not is sealed when a program that has locked the directory uses it.
 */
int state_key_kind(const struct state *st, enum seal_kind *out, struct err *err);

/*
 * The key for enrolling anew, which waits beside the one in use: made and kept
 * first, so that an attempt whose answer was lost is repeated with the same.
 * state_take_next_key(), last of all, puts it in the place of the other.
 */
int state_next_key(const struct state *st, struct cert_key **out, struct err *err);
int state_take_next_key(const struct state *st, struct err *err);

/* Who we are, after enrolment. */
struct state_identity {
	struct cert_identity me; /* me.key is owned: state_identity_free(). */
	struct cert ca;
	struct cert_facts facts;
	char address[STATE_ADDRESS_MAX];
};

/*
 * 1, or 0 if the agent is not enrolled, or -1; ERR_DENIED: the key is sealed for another
 * machine, only enrolling anew helps.
 */
int state_identity(const struct state *st, struct state_identity *out, struct err *err);
void state_identity_free(struct state_identity *id);

/* From now on state_identity() gives this address in place of the kept one; copied. */
int state_override_address(struct state *st, const char *address, struct err *err);

/* Bytes of the socket's buffers of connections from now on; 0: the system's. */
void state_set_socket_buffer(struct state *st, int bytes);
int state_socket_buffer(const struct state *st);

/* How long connections from now on may be silent before they are lost; 0: not told. */
void state_set_silence(struct state *st, uint32_t ms);
uint32_t state_silence(const struct state *st);

/*
 * Keep what enrolment or renewal gave.  With another authority than before what was
 * remembered of the server is forgotten: it is not that server.
 */
int state_enrolled(const struct state *st, const struct cert *cert, const struct cert *ca,
    const char *address, struct err *err);

/* The head: 1, or 0 if there is none (or it cannot be read as one), or -1. */
int state_head(const struct state *st, uint8_t out[STATE_HASH_LEN], struct err *err);
int state_set_head(
    const struct state *st, const uint8_t head[STATE_HASH_LEN], struct err *err);

/* Where the server's journal ended, likewise. */
int
state_journal(const struct state *st, uint8_t out[STATE_JOURNAL_LEN], struct err *err);
int state_set_journal(
    const struct state *st, const uint8_t journal[STATE_JOURNAL_LEN], struct err *err);

/*
 * A hash that names this machine: of the id in `path` (NULL: /etc/machine-id,
 * else D-Bus' copy of it, else the mainboard's UUID).
 * Says nothing about the id itself.  ERR_NOTFOUND with the way out in its text.
 */
int state_machine(const char *path, uint8_t out[STATE_HASH_LEN], struct err *err);

#endif /* AGENT_HOST_STATE_H */
