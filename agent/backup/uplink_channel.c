#include <stdlib.h>
#include <string.h>

#include "agent/backup/uplink.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"

/* A window of less would not let a single group pass. */
#define WINDOW_MIN (4u * 1024 * 1024)
#define WINDOW_MAX (64u * 1024 * 1024)

static int
take_begun(const Wire__Begun *m, unsigned n, struct uplink_base *bases, struct buf *bad,
    int *resumed, struct err *err)
{
	unsigned i;

	if (m->n_bases != n)
		return err_set(
		    err, ERR_PROTOCOL, "begun: %zu bases for %u volumes", m->n_bases, n);
	for (i = 0; i < n; i++) {
		const Wire__Base *b = m->bases[i];

		memset(&bases[i], 0, sizeof(bases[i]));
		bases[i].known = b->root_id.len == CHUNK_ID_LEN;
		bases[i].sequence = b->sequence;
		if (bases[i].known)
			memcpy(bases[i].root_id.b, b->root_id.data, CHUNK_ID_LEN);
		if (buf_add(bad, b->bad_ids.data, b->bad_ids.len, err) != 0)
			return -1;
	}
	*resumed = m->resumed;
	return 0;
}

static int
channel_begin(void *arg, const struct uplink_volume *volumes, unsigned n,
    struct uplink_base *bases, struct buf *bad, int *resumed, struct err *err)
{
	Wire__BeginVolume each[MSG_VOLUMES_MAX], *list[MSG_VOLUMES_MAX];
	Wire__Begin begin = WIRE__BEGIN__INIT;
	ProtobufCMessage *reply = NULL;
	unsigned i;
	int rc;

	if (n == 0 || n > MSG_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "%u volumes in one point", n);
	for (i = 0; i < n; i++) {
		wire__begin_volume__init(&each[i]);
		each[i].name = (char *)volumes[i].name;
		each[i].size = volumes[i].size;
		each[i].sector_size = volumes[i].sector_size;
		list[i] = &each[i];
	}
	begin.n_volumes = n;
	begin.volumes = list;
	if (channel_call(arg, &begin.base, MSG_BEGUN, &reply, err) != 0)
		return -1;
	rc = take_begun((const Wire__Begun *)reply, n, bases, bad, resumed, err);
	msg_free(reply);
	return rc;
}

static int
channel_have(void *arg, enum chunk_kind kind, const struct chunk_id *ids, size_t n,
    uint64_t *request, struct err *err)
{
	Wire__Have have = WIRE__HAVE__INIT;

	have.ids.data = (uint8_t *)ids[0].b;
	have.ids.len = n * sizeof(*ids);
	have.kind = (uint32_t)kind;
	return channel_send(arg, &have.base, request, err);
}

/* Wait for `request`'s one answer of `kind`; a protobuf message. */
static int
answer(struct channel *ch, uint64_t request, uint16_t kind, ProtobufCMessage **out,
    struct err *err)
{
	struct channel_frame f;
	struct frame view;
	int rc;

	if (channel_wait(ch, request, 0, &f, err) != 0)
		return -1;
	if (f.kind != kind) {
		err_set(err, ERR_PROTOCOL, "%s where %s was due", msg_name(f.kind),
		    msg_name(kind));
		free(f.payload);
		return -1;
	}
	view = (struct frame){ .kind = f.kind,
		.flags = f.flags,
		.request = f.request,
		.payload = f.payload,
		.len = f.len };
	rc = msg_unpack(&view, out, err);
	free(f.payload);
	return rc;
}

static int
channel_have_wait(
    void *arg, uint64_t request, uint8_t *answers, size_t n, struct err *err)
{
	ProtobufCMessage *m;
	const Wire__HaveReply *reply;
	size_t i;
	int rc = 0;

	if (answer(arg, request, MSG_HAVE_REPLY, &m, err) != 0)
		return -1;
	reply = (const Wire__HaveReply *)m;
	if (reply->answers.len != n)
		rc = err_set(
		    err, ERR_PROTOCOL, "%zu answers to %zu ids", reply->answers.len, n);
	for (i = 0; rc == 0 && i < n; i++)
		if ((answers[i] = reply->answers.data[i]) > UPLINK_PENDING)
			rc = err_set(err, ERR_PROTOCOL, "unknown answer %u", answers[i]);
	msg_free(m);
	return rc;
}

static int
channel_put(
    void *arg, const uint8_t *group, size_t len, uint64_t *request, struct err *err)
{
	return channel_send_raw(arg, MSG_PUT, group, len, request, err);
}

static int
channel_put_wait(void *arg, uint64_t request, struct err *err)
{
	ProtobufCMessage *m;

	if (answer(arg, request, MSG_STORED, &m, err) != 0)
		return -1;
	msg_free(m);
	return 0;
}

/* Counts with what they point to. */
struct counts_room {
	Wire__Counts m;
	Wire__Excluded excluded[EXTENT_REASONS], *list[EXTENT_REASONS];
};

static void
counts_to_wire(const struct uplink_counts *c, struct counts_room *room)
{
	Wire__Counts *m = &room->m;

	wire__counts__init(m);
	m->excluded = room->list;
	for (unsigned i = 0; i < EXTENT_REASONS; i++) {
		Wire__Excluded *e = &room->excluded[m->n_excluded];

		if (c->excluded_by[i] == 0)
			continue;
		wire__excluded__init(e);
		e->reason = i;
		e->bytes = c->excluded_by[i];
		room->list[m->n_excluded++] = e;
	}
	m->read_bytes = c->read_bytes;
	m->sent_bytes = c->sent_bytes;
	m->new_bytes = c->new_bytes;
	m->known_bytes = c->known_bytes;
	m->zero_bytes = c->zero_bytes;
	m->hole_bytes = c->hole_bytes;
	m->excluded_bytes = c->excluded_bytes;
	m->chunks = c->chunks;
	m->new_chunks = c->new_chunks;
	m->duration_us = c->duration_us;
}

static int
take_committed(const Wire__Committed *m, struct uplink_point *out, struct err *err)
{
	const Wire__Point *p = m->point;

	memset(out, 0, sizeof(*out));
	if (p == NULL || p->record.len != STATE_HASH_LEN)
		return err_set(err, ERR_PROTOCOL, "committed, but no record of it");
	out->sequence = p->sequence;
	out->time_us = p->time_us;
	memcpy(out->record, p->record.data, STATE_HASH_LEN);
	if (p->counts != NULL)
		out->stored_bytes = p->counts->stored_bytes;
	return 0;
}

/* The answer to Commit is one of two messages. */
static int
take_commit_answer(const struct channel_frame *f, enum uplink_commit_result *result,
    struct uplink_point *out, struct buf *data_ids, struct buf *meta_ids, struct err *err)
{
	struct frame view = { .kind = f->kind,
		.flags = f->flags,
		.request = f->request,
		.payload = f->payload,
		.len = f->len };
	ProtobufCMessage *m;
	int rc;

	if (f->kind != MSG_COMMITTED && f->kind != MSG_MISSING)
		return err_set(
		    err, ERR_PROTOCOL, "%s where Committed was due", msg_name(f->kind));
	if (msg_unpack(&view, &m, err) != 0)
		return -1;
	if (f->kind == MSG_COMMITTED) {
		*result = UPLINK_COMMITTED;
		rc = take_committed((const Wire__Committed *)m, out, err);
	} else {
		const Wire__Missing *missing = (const Wire__Missing *)m;

		*result = UPLINK_MISSING;
		rc =
		    buf_add(data_ids, missing->data_ids.data, missing->data_ids.len, err);
		if (rc == 0)
			rc = buf_add(
			    meta_ids, missing->meta_ids.data, missing->meta_ids.len, err);
	}
	msg_free(m);
	return rc;
}

static int
channel_commit(void *arg, const struct uplink_commit *c,
    enum uplink_commit_result *result, struct uplink_point *out, struct buf *data_ids,
    struct buf *meta_ids, struct err *err)
{
	Wire__CommitVolume each[MSG_VOLUMES_MAX], *list[MSG_VOLUMES_MAX];
	Wire__Changes changes[MSG_VOLUMES_MAX], *changed[MSG_VOLUMES_MAX];
	Wire__Commit commit = WIRE__COMMIT__INIT;
	struct counts_room counts;
	struct channel_frame f;
	uint64_t request;
	unsigned i;
	int rc;

	for (i = 0; i < c->count && i < MSG_VOLUMES_MAX; i++) {
		wire__commit_volume__init(&each[i]);
		each[i].name = (char *)c->names[i];
		each[i].root_id.data = (uint8_t *)c->roots[i].b;
		each[i].root_id.len = CHUNK_ID_LEN;
		list[i] = &each[i];
	}
	commit.n_volumes = i;
	commit.volumes = list;
	commit.frozen_at_us = c->frozen_at_us;
	counts_to_wire(&c->counts, &counts);
	commit.counts = &counts.m;
	commit.note = (char *)c->note;
	commit.backup.data = (uint8_t *)c->backup;
	commit.backup.len = sizeof(c->backup);
	commit.layout.data = (uint8_t *)(uintptr_t)c->layout;
	commit.layout.len = c->layout_len;
	for (i = 0; i < c->changes_count && i < MSG_VOLUMES_MAX; i++) {
		wire__changes__init(&changes[i]);
		changes[i].volume = c->changes[i].volume;
		changes[i].kept_bytes = c->changes[i].kept_bytes;
		changes[i].proven_bytes = c->changes[i].proven_bytes;
		changes[i].slices = c->changes[i].slices;
		changes[i].proven = c->changes[i].proven;
		changed[i] = &changes[i];
	}
	commit.n_changes = i;
	commit.changes = changed;
	commit.capture = (char *)(uintptr_t)c->capture;
	if (channel_send(arg, &commit.base, &request, err) != 0 ||
	    channel_wait(arg, request, 0, &f, err) != 0)
		return -1;
	rc = take_commit_answer(&f, result, out, data_ids, meta_ids, err);
	free(f.payload);
	return rc;
}

static int
channel_suspect(
    void *arg, const char *volume, uint64_t after, const char *why, struct err *err)
{
	Wire__MarkSuspect m = WIRE__MARK_SUSPECT__INIT;
	ProtobufCMessage *reply = NULL;

	m.volume = (char *)(uintptr_t)volume;
	m.after = after;
	m.text = (char *)(uintptr_t)why;
	if (channel_call(arg, &m.base, MSG_DONE, &reply, err) != 0)
		return -1;
	msg_free(reply);
	return 0;
}

static void
channel_stop(void *arg)
{
	channel_cancel(arg);
}

struct uplink
uplink_channel(struct channel *ch, uint64_t window)
{
	static const struct uplink_ops ops = { .begin = channel_begin,
		.have = channel_have,
		.have_wait = channel_have_wait,
		.put = channel_put,
		.put_wait = channel_put_wait,
		.commit = channel_commit,
		.suspect = channel_suspect,
		.cancel = channel_stop };
	struct uplink up = { &ops, ch, window };

	if (up.window < WINDOW_MIN)
		up.window = WINDOW_MIN;
	if (up.window > WINDOW_MAX)
		up.window = WINDOW_MAX;
	return up;
}
