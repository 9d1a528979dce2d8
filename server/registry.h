/*
 * registry.h - the sessions that live now, by number and by the peer's name.
 *
 * A session enters itself when it begins and leaves when it is freed, both on
 * its own loop.  Other threads never touch a session: they ask the registry to
 * have something done on the session's loop, where it is looked up again by its
 * number and may be gone by then.
 */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct registry;
struct session;

/* NULL without memory. */
struct registry *registry_new(void);
void registry_free(struct registry *r);

/* Enter, without a name.  Its number, or 0 without memory. */
uint64_t registry_enter(struct registry *r, struct session *s, struct loop *l);

/* From now on session `id` is `name`'s (copied). */
void registry_name(struct registry *r, uint64_t id, const char *name);

/* Leave; wakes registry_wait_empty(). */
void registry_leave(struct registry *r, uint64_t id);

/* Sessions now; with a name, only that peer's. */
size_t registry_count(struct registry *r, const char *name);

/*
 * For every session of `name` (NULL: all) but number `except` (0: none), call
 * `fn` with a copy of `why` on the session's loop, soon.  How many there were.
 */
size_t registry_tell(struct registry *r, const char *name, uint64_t except,
    void (*fn)(struct session *s, const struct err *why), const struct err *why);

/* Wait until no session lives, at most `ms`.  0, or -1 if some still do. */
int registry_wait_empty(struct registry *r, uint64_t ms);

#endif /* SERVER_REGISTRY_H */
