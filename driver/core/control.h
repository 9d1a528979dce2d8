/*
 * control.h - the control device without a kernel: calls of driver/abi/hotcopy.h as
 * bytes.
 *
 * Here every field of a call is checked once, in one place, before anything is done; what
 * comes after trusts it.  The glue gives the bytes of a METHOD_BUFFERED request, which
 * are a copy that nobody can change any more.
 *
 * A control holds the machine's volumes and the one open set.  Passive.
 */
#ifndef DRIVER_CORE_CONTROL_H
#define DRIVER_CORE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"
#include "driver/core/set.h"

struct control;
struct control_file; /* an open handle */
struct volume;

/* "events" is told when a file that waits for an event may ask again. */
struct control_notice {
	void (*events)(void *who);
	void *who;
};

struct control *control_make(struct control_notice notice);
void control_free(struct control *c); /* no volume and no file left */
/* What VERSION says. */
void control_version(struct control *c, uint32_t build, uint32_t flags);

/*
 * A volume comes and goes.  leave waits until no call uses it, takes it out of the set
 * (whose other volumes go on), and takes its tracking away and frees it, whoever put that
 * (what was durable stays); volume_gone must have been called.  -1: ENUM_MAX are there,
 * or no memory.
 */
int control_join(struct control *c, struct volume *v);
void control_leave(struct control *c, struct volume *v);
/* So many page files, hibernation and dump files lie on it; what ENUM says. */
void control_paging(struct control *c, struct volume *v, uint32_t number);
/* The track_notice of who puts a tracking before the volume has joined: tells every open
   handle. */
void control_lost(struct control *c, uint64_t volume, enum hotcopy_reason why);
/* An image of the open set that has been dropped and was not told of here yet; false:
   none.  For one who asks whenever events are told of; the owner's events stay his. */
bool control_drop(struct control *c, uint64_t *volume, enum hotcopy_reason *why);
/* FLUSH_AND_HOLD_WRITES reached it; waits for the cut if a set wants one there.  false: the
   caller has gone first. */
bool control_hold(struct control *c, struct volume *v, const struct set_caller *caller);
/* Sleep, shutdown: volume_power of every volume. */
void control_power(struct control *c, bool shutdown);

struct control_file *
control_open(struct control *c); /* NULL: no memory, or 256 are open */
/* The handle is closed by its last owner: the set that it prepared is released, at once
   or, if other calls are still in it, by the last of them; this waits for none of them. A
   FREEZE among them ends soon, without a cut.
   Later calls are refused; when none runs any more, control_close frees the handle. */
void control_cleanup(struct control_file *f);
void control_close(struct control_file *f);

/*
 * One call: "in" bytes of "buffer" are the request, at most "room" may be answered into
 * it; *out says how many.  Anything but SET_OK: *out is 0 and nothing has changed.
 * SET_PENDING: WAIT_EVENT and no event yet.  SET_CANCELLED: a FREEZE whose caller has
 * gone, or whose set was released meanwhile.
 */
enum set_result control_call(struct control_file *f, uint32_t code, void *buffer,
    uint32_t in, uint32_t room, uint32_t *out);
/* The same, of one who may go while he waits. */
enum set_result control_call_of(struct control_file *f, uint32_t code, void *buffer,
    uint32_t in, uint32_t room, uint32_t *out, const struct set_caller *caller);
/* An event for a request that waits; false: still none. */
bool control_event(struct control_file *f, struct hotcopy_event *out);

/* ReadFile on a bound handle. */
enum set_result
control_read(struct control_file *f, uint64_t offset, void *out, uint32_t length);

#endif /* DRIVER_CORE_CONTROL_H */
