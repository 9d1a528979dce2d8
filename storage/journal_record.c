#include "storage/journal_record.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"

static const uint8_t magic[8] = { 'H', 'F', 'J', 'R', 'N', 'L', '1', '\n' };

/* ------------------------------------------------------------------ frames -- */

void
journal_file_header(const uint8_t store[JOURNAL_STORE_LEN], uint32_t optional,
    uint8_t out[JOURNAL_FILE_HEADER_LEN], struct journal_place *at)
{
	memcpy(out, magic, 8);
	memcpy(out + 8, store, JOURNAL_STORE_LEN);
	store_le32(out + 24, 0);
	store_le32(out + 28, optional);
	blake3(out, 32, NULL, out + 32, BLAKE3_OUT_LEN);
	memset(at, 0, sizeof(*at));
	at->offset = JOURNAL_FILE_HEADER_LEN;
	blake3(out, JOURNAL_FILE_HEADER_LEN, NULL, at->hash, JOURNAL_HASH_LEN);
}

int
journal_parse_header(const uint8_t p[JOURNAL_FILE_HEADER_LEN],
    const uint8_t store[JOURNAL_STORE_LEN], uint32_t *optional, struct err *err)
{
	uint8_t hash[BLAKE3_OUT_LEN];

	blake3(p, 32, NULL, hash, sizeof(hash));
	if (memcmp(p, magic, 8) != 0 || memcmp(p + 8, store, JOURNAL_STORE_LEN) != 0 ||
	    memcmp(p + 32, hash, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT,
		    "journal: its header is damaged or of another store");
	*optional = load_le32(p + 28);
	return feature_check(load_le32(p + 24), JOURNAL_FEATURES, "journal", err);
}

int
journal_frame(uint16_t type, const uint8_t *payload, size_t len, int64_t time_us,
    uint64_t durable, const uint8_t key[32], struct journal_place *at, struct buf *out,
    struct err *err)
{
	size_t total = JOURNAL_HEADER_LEN + len + JOURNAL_MAC_LEN;
	uint8_t *p;

	if (len > JOURNAL_PAYLOAD_MAX)
		return err_set(err, ERR_LIMIT, "a journal record of %zu bytes", len);
	if ((p = buf_room(out, total, err)) == NULL)
		return -1;
	store_le32(p, (uint32_t)len);
	store_le16(p + 4, type);
	store_le16(p + 6, 0);
	store_le64(p + 8, at->sequence + 1);
	store_le64(p + 16, (uint64_t)time_us);
	store_le64(p + 24, durable);
	memcpy(p + 32, at->hash, JOURNAL_HASH_LEN);
	if (len > 0)
		memcpy(p + JOURNAL_HEADER_LEN, payload, len);
	blake3(p, JOURNAL_HEADER_LEN + len, key, p + JOURNAL_HEADER_LEN + len,
	    JOURNAL_MAC_LEN);
	blake3(p, total, NULL, at->hash, JOURNAL_HASH_LEN);
	at->offset += total;
	at->sequence++;
	at->time_us = time_us;
	out->len += total;
	return 0;
}

enum journal_parse
journal_parse(const uint8_t *p, size_t len, const uint8_t key[32],
    const struct journal_place *before, struct journal_record *out, size_t *need)
{
	uint8_t mac[JOURNAL_MAC_LEN];
	size_t n, total;

	*need = JOURNAL_HEADER_LEN;
	if (len < JOURNAL_HEADER_LEN)
		return JOURNAL_SHORT;
	n = load_le32(p);
	if (n > JOURNAL_PAYLOAD_MAX)
		return JOURNAL_BAD;
	if (before != NULL && (load_le64(p + 8) != before->sequence + 1 ||
				  (int64_t)load_le64(p + 16) <= before->time_us ||
				  memcmp(p + 32, before->hash, JOURNAL_HASH_LEN) != 0))
		return JOURNAL_BAD;
	total = JOURNAL_HEADER_LEN + n + JOURNAL_MAC_LEN;
	*need = total;
	if (len < total)
		return JOURNAL_SHORT;
	blake3(p, JOURNAL_HEADER_LEN + n, key, mac, sizeof(mac));
	if (memcmp(mac, p + JOURNAL_HEADER_LEN + n, sizeof(mac)) != 0)
		return JOURNAL_BAD;
	out->type = load_le16(p + 4);
	out->required = load_le16(p + 6);
	out->durable = load_le64(p + 24);
	out->payload = p + JOURNAL_HEADER_LEN;
	out->len = n;
	out->end.offset = (before != NULL ? before->offset : 0) + total;
	out->end.sequence = load_le64(p + 8);
	out->end.time_us = (int64_t)load_le64(p + 16);
	blake3(p, total, NULL, out->end.hash, JOURNAL_HASH_LEN);
	return JOURNAL_WHOLE;
}

/* ---------------------------------------------------------------- payloads -- */

/*
 * One walk over the fields serves both ways, so that writer and reader cannot
 * disagree: `out` is set when writing, `in` when reading.
 */
struct fields {
	struct buf *out;
	struct cursor in;
	struct err *err;
	int bad;
};

static void
f_bytes(struct fields *f, void *p, size_t n)
{
	if (f->bad)
		return;
	if (f->out != NULL)
		f->bad = buf_add(f->out, p, n, f->err) != 0;
	else
		cursor_copy(&f->in, p, n);
}

static void
f_u8(struct fields *f, uint8_t *v)
{
	f_bytes(f, v, 1);
}

static void
f_u32(struct fields *f, uint32_t *v)
{
	uint8_t b[4] = { 0 };

	store_le32(b, *v);
	f_bytes(f, b, 4);
	if (f->out == NULL)
		*v = load_le32(b);
}

static void
f_u64(struct fields *f, uint64_t *v)
{
	uint8_t b[8] = { 0 };

	store_le64(b, *v);
	f_bytes(f, b, 8);
	if (f->out == NULL)
		*v = load_le64(b);
}

static void
f_i64(struct fields *f, int64_t *v)
{
	uint64_t u = (uint64_t)*v;

	f_u64(f, &u);
	if (f->out == NULL)
		*v = (int64_t)u;
}

/* An int that holds a small number of ours: a byte. */
static void
f_small(struct fields *f, int *v)
{
	uint8_t b = (uint8_t)*v;

	f_u8(f, &b);
	if (f->out == NULL)
		*v = b;
}

/* A length byte and as many characters; `cap` is at most 256 and counts the NUL. */
static void
f_text(struct fields *f, char *s, size_t cap)
{
	uint8_t n = f->out != NULL ? (uint8_t)strnlen(s, cap - 1) : 0;

	f_u8(f, &n);
	if (f->bad)
		return;
	if (n >= cap) {
		f->bad = 1;
		return;
	}
	f_bytes(f, s, n);
	if (f->out == NULL) {
		s[n] = '\0';
		if (strlen(s) != n)
			f->bad = 1;
	}
}

/* A 32-bit length and as many bytes. */
static void
f_blob(struct fields *f, uint8_t *p, uint32_t *len, size_t cap)
{
	f_u32(f, len);
	if (f->bad)
		return;
	if (*len > cap) {
		f->bad = 1;
		return;
	}
	f_bytes(f, p, *len);
}

static void
f_peer(struct fields *f, struct store_peer *p)
{
	f_text(f, p->name, sizeof(p->name));
	f_small(f, &p->role);
	f_text(f, p->group, sizeof(p->group));
	f_bytes(f, p->serial, sizeof(p->serial));
	f_bytes(f, p->key_hash, sizeof(p->key_hash));
	f_bytes(f, p->machine, sizeof(p->machine));
	f_i64(f, &p->cert_ends_us);
	f_text(f, p->program, sizeof(p->program));
}

static void
f_counts(struct fields *f, struct store_counts *c)
{
	f_u64(f, &c->read_bytes);
	f_u64(f, &c->sent_bytes);
	f_u64(f, &c->new_bytes);
	f_u64(f, &c->known_bytes);
	f_u64(f, &c->zero_bytes);
	f_u64(f, &c->hole_bytes);
	f_u64(f, &c->excluded_bytes);
	f_u64(f, &c->chunks);
	f_u64(f, &c->new_chunks);
	f_u64(f, &c->duration_us);
	f_u64(f, &c->stored_bytes);
}

static void
f_point(struct fields *f, struct store_point *p)
{
	f_text(f, p->host, sizeof(p->host));
	f_u64(f, &p->sequence);
	f_i64(f, &p->frozen_at_us);
	f_text(f, p->note, sizeof(p->note));
	f_bytes(f, p->backup, sizeof(p->backup));
	f_bytes(f, p->previous, sizeof(p->previous));
	f_counts(f, &p->counts);
	f_u32(f, &p->volumes_count);
	if (f->bad || p->volumes_count == 0 || p->volumes_count > STORE_VOLUMES_MAX) {
		f->bad = 1;
		return;
	}
	for (uint32_t i = 0; i < p->volumes_count; i++) {
		struct store_volume *v = &p->volumes[i];

		f_text(f, v->name, sizeof(v->name));
		f_bytes(f, v->root_id.b, sizeof(v->root_id.b));
		f_u64(f, &v->size);
		f_u32(f, &v->sector_size);
		f_text(f, v->fs, sizeof(v->fs));
		f_text(f, v->provider, sizeof(v->provider));
		f_small(f, &v->grade);
		f_u64(f, &v->data_bytes);
		f_u64(f, &v->hole_bytes);
		f_u64(f, &v->zero_bytes);
		f_u64(f, &v->excluded_bytes);
	}
	if (f->out != NULL && p->facts_len <= sizeof(p->facts))
		f_bytes(f, p->facts, p->facts_len);
}

static void
f_token(struct fields *f, struct store_token *t)
{
	f_bytes(f, t->hash, sizeof(t->hash));
	f_u32(f, &t->uses_left);
	f_i64(f, &t->ends_us);
	f_text(f, t->group, sizeof(t->group));
	f_text(f, t->replace_host, sizeof(t->replace_host));
	f_text(f, t->networks, sizeof(t->networks));
}

static void
f_use(struct fields *f, struct journal_use *u)
{
	f_bytes(f, u->token, sizeof(u->token));
	f_peer(f, &u->peer);
	f_blob(f, u->cert, &u->cert_len, sizeof(u->cert));
	f_u8(f, &u->replaces);
}

static void
f_pack(struct fields *f, struct journal_pack *p)
{
	f_u32(f, &p->no);
	f_u8(f, &p->kind);
	f_u32(f, &p->chunks);
	f_u32(f, &p->groups);
	f_u64(f, &p->plain);
	f_u64(f, &p->stored);
}

static void
f_stubs(struct fields *f, struct journal_stubs *s)
{
	f_text(f, s->host, sizeof(s->host));
	f_text(f, s->who, sizeof(s->who));
	f_u32(f, &s->n);
	if (f->bad || s->n == 0 || s->n > JOURNAL_STUBS_MAX) {
		f->bad = 1;
		return;
	}
	for (uint32_t i = 0; i < s->n; i++)
		f_u64(f, &s->sequences[i]);
}

static void
f_policy(struct fields *f, struct store_policy *p)
{
	struct store_rules *r = &p->rules;

	f_small(f, &p->scope);
	f_text(f, p->name, sizeof(p->name));
	f_text(f, p->who, sizeof(p->who));
	f_small(f, &p->set);
	f_u32(f, &r->last);
	f_u32(f, &r->hourly);
	f_u32(f, &r->daily);
	f_u32(f, &r->weekly);
	f_u32(f, &r->monthly);
	f_u32(f, &r->yearly);
	f_u64(f, &r->within_s);
	f_u32(f, &r->min_points);
	f_u32(f, &r->min_verified);
	f_u64(f, &r->verified_s);
	if (p->scope > STORE_POLICY_HOST)
		f->bad = 1;
}

/* One point's, with the members that `type` has. */
static void
f_mark(struct fields *f, unsigned type, struct journal_mark *m)
{
	f_text(f, m->host, sizeof(m->host));
	f_u64(f, &m->sequence);
	if (type != JOURNAL_VERIFIED && type != JOURNAL_HURT)
		f_text(f, m->who, sizeof(m->who));
	if (type == JOURNAL_VERIFIED || type == JOURNAL_LOCK)
		f_i64(f, &m->when_us);
	else
		f_text(f, m->text, sizeof(m->text));
}

static void
f_suspect(struct fields *f, struct journal_suspect *s)
{
	f_text(f, s->host, sizeof(s->host));
	f_text(f, s->volume, sizeof(s->volume));
	f_u64(f, &s->after);
	f_u64(f, &s->last);
	f_text(f, s->text, sizeof(s->text));
}

/* What retention records; non-zero if `type` is one of these. */
static int
f_retention(struct fields *f, unsigned type, struct journal_event *e)
{
	switch (type) {
	case JOURNAL_STUB:
		f_stubs(f, &e->u.stubs);
		return 1;
	case JOURNAL_POLICY:
		f_policy(f, &e->u.policy);
		return 1;
	case JOURNAL_HOLD:
	case JOURNAL_UNHOLD:
	case JOURNAL_LOCK:
	case JOURNAL_FORGET:
	case JOURNAL_VERIFIED:
	case JOURNAL_HURT:
	case JOURNAL_BRAKE:
		f_mark(f, type, &e->u.mark);
		return 1;
	case JOURNAL_SUSPECT:
		f_suspect(f, &e->u.suspect);
		return 1;
	default:
		return 0;
	}
}

static void
f_checked(struct fields *f, struct journal_checked *k)
{
	f_i64(f, &k->when_us);
	f_u32(f, &k->n);
	if (k->n == 0 || k->n > JOURNAL_CHECKED_MAX) {
		f->bad = 1;
		return;
	}
	for (uint32_t i = 0; i < k->n; i++)
		f_u32(f, &k->packs[i]);
}

/* What is recorded of restores; non-zero if `type` is one of these. */
static int
f_restores(struct fields *f, unsigned type, struct journal_event *e)
{
	struct store_restore *r = &e->u.restore;
	struct journal_redeemed *d = &e->u.redeemed;
	struct journal_restored *o = &e->u.restored;

	switch (type) {
	case JOURNAL_RESTORE:
		f_text(f, r->host, sizeof(r->host));
		f_text(f, r->who, sizeof(r->who));
		f_bytes(f, r->token, sizeof(r->token));
		f_bytes(f, r->mac, sizeof(r->mac));
		f_small(f, &r->by_mac);
		f_small(f, &r->only);
		f_u64(f, &r->sequence);
		f_i64(f, &r->ends_us);
		f->bad |= r->by_mac > 1 || r->only > 1;
		return 1;
	case JOURNAL_REDEEMED:
		f_u64(f, &d->id);
		f_text(f, d->host, sizeof(d->host));
		f_text(f, d->who, sizeof(d->who));
		f_u64(f, &d->sequence);
		f_bytes(f, d->machine, sizeof(d->machine));
		f_bytes(f, d->key_hash, sizeof(d->key_hash));
		f_bytes(f, d->serial, sizeof(d->serial));
		f_i64(f, &d->cert_ends_us);
		return 1;
	case JOURNAL_RESTORED:
		f_u64(f, &o->id);
		f_text(f, o->host, sizeof(o->host));
		f_text(f, o->who, sizeof(o->who));
		f_u8(f, &o->how);
		f_text(f, o->text, sizeof(o->text));
		f->bad |= o->how != STORE_RESTORE_DONE && o->how != STORE_RESTORE_ENDED;
		return 1;
	default:
		return f_retention(f, type, e);
	}
}

/* Non-zero if `type` is one of ours. */
static int
f_event(struct fields *f, unsigned type, struct journal_event *e)
{
	switch (type) {
	case JOURNAL_MADE:
		f_bytes(f, e->u.made, sizeof(e->u.made));
		return 1;
	case JOURNAL_SECRET:
		f_text(f, e->u.secret.name, sizeof(e->u.secret.name));
		f_blob(f, e->u.secret.wrapped, &e->u.secret.len,
		    sizeof(e->u.secret.wrapped));
		return 1;
	case JOURNAL_PEER:
		f_peer(f, &e->u.peer);
		return 1;
	case JOURNAL_SEEN:
		f_text(f, e->u.peer.name, sizeof(e->u.peer.name));
		f_i64(f, &e->u.peer.seen_us);
		f_text(f, e->u.peer.program, sizeof(e->u.peer.program));
		return 1;
	case JOURNAL_TOKEN:
		f_token(f, &e->u.token);
		return 1;
	case JOURNAL_TOKEN_USE:
		f_use(f, &e->u.use);
		return 1;
	case JOURNAL_POINT:
		f_point(f, &e->u.point);
		return 1;
	case JOURNAL_REVOKE:
		f_text(f, e->u.note.who, sizeof(e->u.note.who));
		return 1;
	case JOURNAL_AUDIT:
	case JOURNAL_ALARM:
		f_text(f, e->u.note.who, sizeof(e->u.note.who));
		f_text(f, e->u.note.what, sizeof(e->u.note.what));
		return 1;
	case JOURNAL_LEASE_OPEN:
	case JOURNAL_LEASE_CLOSE:
	case JOURNAL_LEASE_REVOKED:
		f_u64(f, &e->u.lease.id);
		f_text(f, e->u.lease.host, sizeof(e->u.lease.host));
		return 1;
	case JOURNAL_PACK:
		f_pack(f, &e->u.pack);
		return 1;
	case JOURNAL_QUARANTINE:
	case JOURNAL_RELEASE:
		f_u32(f, &e->u.group.pack);
		f_u32(f, &e->u.group.offset);
		return 1;
	case JOURNAL_CHECKED:
		f_checked(f, &e->u.checked);
		return 1;
	case JOURNAL_STORE_ALARM:
		f_u8(f, &e->u.notice.kind);
		f_i64(f, &e->u.notice.trusted_us);
		f_text(f, e->u.notice.text, sizeof(e->u.notice.text));
		return 1;
	case JOURNAL_KEY:
		f_u8(f, &e->u.key.what);
		f_bytes(f, e->u.key.check, sizeof(e->u.key.check));
		f_text(f, e->u.key.who, sizeof(e->u.key.who));
		return 1;
	case JOURNAL_REMOVED:
		f_u32(f, &e->u.removed);
		return 1;
	default:
		return f_restores(f, type, e);
	}
}

int
journal_encode(const struct journal_event *e, struct buf *out, struct err *err)
{
	struct fields f = { .out = out, .err = err };

	/* The walk writes nothing to `e` when it has an `out`. */
	if (!f_event(&f, e->type, (struct journal_event *)(uintptr_t)e))
		return err_set(
		    err, ERR_UNSUPPORTED, "no journal record of type %d", e->type);
	if (f.bad && err->code == ERR_NONE)
		return err_set(
		    err, ERR_LIMIT, "a journal record of type %d does not fit", e->type);
	return f.bad ? -1 : 0;
}

/* What follows the payload that this program knows: fields of later ones. */
static int
take_fields(struct fields *f, struct journal_event *e, struct err *err)
{
	size_t len = f->in.left;
	const uint8_t *p = cursor_bytes(&f->in, len);

	if (e->type != JOURNAL_POINT)
		return feature_check_fields(p, len, NULL, 0, "journal record", err);
	if (store_facts_check(p, len, err) != 0)
		return -1;
	memcpy(e->u.point.facts, p, len);
	e->u.point.facts_len = (uint32_t)len;
	return 0;
}

int
journal_decode(uint16_t type, const uint8_t *p, size_t len, struct journal_event *out,
    struct err *err)
{
	struct fields f = { .err = err };

	memset(out, 0, sizeof(*out));
	out->type = (enum journal_type)type;
	cursor_init(&f.in, p, len);
	if (!f_event(&f, type, out)) {
		if ((type & JOURNAL_OPTIONAL) != 0)
			return 1;
		return err_set(err, ERR_UNSUPPORTED,
		    "journal record of type %u: made by a newer version", type);
	}
	if (f.bad || f.in.bad)
		return err_set(err, ERR_CORRUPT,
		    "journal record of type %u has a bad payload", type);
	return take_fields(&f, out, err);
}

int
journal_check(const struct journal_record *r, struct journal_event *room, struct err *err)
{
	struct err why = ERR_INIT;

	if (feature_check(r->required, JOURNAL_FEATURES, "journal record", err) != 0)
		return -1;
	if (journal_decode(r->type, r->payload, r->len, room, &why) >= 0 ||
	    why.code != ERR_UNSUPPORTED)
		return 0;
	*err = why;
	return -1;
}
