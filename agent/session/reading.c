#include "agent/session/reading.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/wire/frame.h"

static int
points(struct channel *ch, Wire__ListPoints *ask,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err)
{
	struct channel_frame f;
	ProtobufCMessage *m;
	uint64_t request;
	size_t i;
	int rc = 0, more = 1;

	if (channel_send(ch, &ask->base, &request, err) != 0)
		return -1;
	/* What was not asked for must be read past, or it would wait in the channel. */
	while (more) {
		if (channel_wait(ch, request, 0, &f, err) != 0)
			return -1;
		struct frame view = { f.kind, f.flags, f.request, f.payload, f.len };

		more = (f.flags & FRAME_MORE) != 0;
		if (f.kind != MSG_POINTS) {
			err_set(err, ERR_PROTOCOL, "%s where Points was due",
			    msg_name(f.kind));
			free(f.payload);
			return -1;
		}
		if (msg_unpack(&view, &m, err) != 0) {
			free(f.payload);
			return -1;
		}
		for (i = 0; rc == 0 && i < ((Wire__Points *)m)->n_points; i++)
			rc = each(arg, ((Wire__Points *)m)->points[i]);
		msg_free(m);
		free(f.payload);
	}
	return rc;
}

int
reading_points(struct channel *ch, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err)
{
	Wire__ListPoints ask = WIRE__LIST_POINTS__INIT;

	ask.host = (char *)(uintptr_t)host;
	ask.sequence = sequence;
	return points(ch, &ask, each, arg, err);
}

int
reading_layouts(struct channel *ch, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err)
{
	Wire__ListPoints ask = WIRE__LIST_POINTS__INIT;

	ask.host = (char *)(uintptr_t)host;
	ask.sequence = sequence;
	ask.layout = 1;
	return points(ch, &ask, each, arg, err);
}

int
reading_doubt(const Wire__Point *p, char out[READING_DOUBT_MAX])
{
	out[0] = '\0';
	if (p->suspect[0] != '\0') {
		(void)snprintf(out, READING_DOUBT_MAX,
		    "WARNING: point %llu is suspect: it may not be what was backed up "
		    "(%.300s)",
		    (unsigned long long)p->sequence, p->suspect);
		return 2;
	}
	if (p->n_changes == 0)
		return 0;
	(void)snprintf(out, READING_DOUBT_MAX,
	    "point %llu is unproven: not all of it was read, by a list of what changed",
	    (unsigned long long)p->sequence);
	return 1;
}
