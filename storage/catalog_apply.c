#include "storage/catalog_db.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

static int
apply_peer(
    struct catalog *c, const struct store_peer *p, int64_t time_us, struct err *err)
{
	if (CATALOG_RUN(c, CATALOG_PEER_SET, err, "titbhhiit", p->name, (int64_t)p->role,
		p->group, (const void *)p->serial, sizeof(p->serial),
		(const uint8_t *)p->key_hash, (const uint8_t *)p->machine, time_us,
		p->cert_ends_us, p->program) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_CERT_SET, err, "bth", (const void *)p->serial,
	    sizeof(p->serial), p->name, (const uint8_t *)p->key_hash);
}

static int
apply_use(
    struct catalog *c, const struct journal_use *u, int64_t time_us, struct err *err)
{
	const struct store_peer *p = &u->peer;

	if (u->replaces && CATALOG_RUN(c, CATALOG_CERT_REVOKE_OTHERS, err, "th", p->name,
			       (const uint8_t *)p->key_hash) != 0)
		return -1;
	if (apply_peer(c, p, time_us, err) != 0 ||
	    CATALOG_RUN(c, CATALOG_PEER_GROUP, err, "tti", p->name, p->group, time_us) !=
		0 ||
	    CATALOG_RUN(c, CATALOG_TOKEN_USED, err, "h", (const uint8_t *)u->token) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_ENROLMENT_SET, err, "hthb",
	    (const uint8_t *)u->token, p->name, (const uint8_t *)p->key_hash,
	    (const void *)u->cert, (size_t)u->cert_len);
}

static int
apply_token(struct catalog *c, const struct store_token *t, struct err *err)
{
	return CATALOG_RUN(c, CATALOG_TOKEN_SET, err, "hiittt", (const uint8_t *)t->hash,
	    (int64_t)t->uses_left, t->ends_us, t->group, t->replace_host, t->networks);
}

static int
apply_point(struct catalog *c, const struct store_point *p,
    const struct journal_record *r, struct err *err)
{
	static const uint8_t none[STORE_BACKUP_LEN];
	const void *backup =
	    memcmp(p->backup, none, sizeof(none)) != 0 ? p->backup : NULL;
	uint64_t logical = 0;

	for (uint32_t i = 0; i < p->volumes_count; i++) {
		const struct store_volume *v = &p->volumes[i];

		logical += v->data_bytes;
		if (CATALOG_RUN(c, CATALOG_VOLUME_SET, err, "ttihii", p->host, v->name,
			(int64_t)p->sequence, (const uint8_t *)v->root_id.b,
			(int64_t)v->size, (int64_t)v->data_bytes) != 0)
			return -1;
	}
	if (CATALOG_RUN(c, CATALOG_POINT_SET, err, "tiihibb", p->host,
		(int64_t)p->sequence, r->end.time_us, (const uint8_t *)r->end.hash,
		(int64_t)logical, (const void *)r->payload, r->len, backup,
		sizeof(p->backup)) != 0 ||
	    CATALOG_RUN(c, CATALOG_RECORD_SET, err, "ht", (const uint8_t *)r->end.hash,
		p->host) != 0 ||
	    catalog_apply_history(c, p, logical, err) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_HEAD_SET, err, "tiih", p->host, r->end.time_us,
	    (int64_t)p->sequence, (const uint8_t *)r->end.hash);
}

static int
apply_pack(struct catalog *c, const struct journal_pack *p,
    const struct journal_record *r, struct err *err)
{
	return CATALOG_RUN(c, CATALOG_PACK_SET, err, "iiiiiii", (int64_t)p->no,
	    (int64_t)p->kind, (int64_t)p->chunks, (int64_t)p->groups, (int64_t)p->plain,
	    (int64_t)p->stored, (int64_t)r->end.sequence);
}

/* Its number stays taken; what recovery lost of it (offset 0) stays lost. */
static int
apply_removed(struct catalog *c, uint32_t no, struct err *err)
{
	if (CATALOG_RUN(c, CATALOG_PACK_DROP, err, "i", (int64_t)no) != 0 ||
	    CATALOG_RUN(c, CATALOG_BAD_DROP_PACK, err, "i", (int64_t)no) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_REMOVED_SET, err, "i", (int64_t)no);
}

static int
apply_revoke(struct catalog *c, const char *name, struct err *err)
{
	if (CATALOG_RUN(c, CATALOG_PEER_REVOKED, err, "t", name) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_CERT_REVOKE_ALL, err, "t", name);
}

static int
apply_event(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err)
{
	int64_t time_us = r->end.time_us;

	switch (e->type) {
	case JOURNAL_MADE:
		return 0;
	case JOURNAL_SECRET:
		return CATALOG_RUN(c, CATALOG_SECRET_SET, err, "tb", e->u.secret.name,
		    (const void *)e->u.secret.wrapped, (size_t)e->u.secret.len);
	case JOURNAL_PEER:
		return apply_peer(c, &e->u.peer, time_us, err);
	case JOURNAL_SEEN:
		return CATALOG_RUN(c, CATALOG_PEER_SEEN, err, "tit", e->u.peer.name,
		    e->u.peer.seen_us, e->u.peer.program);
	case JOURNAL_REVOKE:
		return apply_revoke(c, e->u.note.who, err);
	case JOURNAL_ALARM:
		return CATALOG_RUN(
		    c, CATALOG_PEER_ALARM, err, "tt", e->u.note.who, e->u.note.what);
	case JOURNAL_AUDIT:
		return CATALOG_RUN(c, CATALOG_AUDIT_SET, err, "iitt",
		    (int64_t)r->end.sequence, time_us, e->u.note.who, e->u.note.what);
	case JOURNAL_TOKEN:
		return apply_token(c, &e->u.token, err);
	case JOURNAL_TOKEN_USE:
		return apply_use(c, &e->u.use, time_us, err);
	case JOURNAL_POINT:
		return apply_point(c, &e->u.point, r, err);
	case JOURNAL_LEASE_OPEN:
		return CATALOG_RUN(c, CATALOG_LEASE_SET, err, "iti",
		    (int64_t)r->end.sequence, e->u.lease.host, time_us);
	case JOURNAL_LEASE_CLOSE:
	case JOURNAL_LEASE_REVOKED:
		return CATALOG_RUN(
		    c, CATALOG_LEASE_DROP, err, "i", (int64_t)e->u.lease.id);
	case JOURNAL_PACK:
		return apply_pack(c, &e->u.pack, r, err);
	case JOURNAL_REMOVED:
		return apply_removed(c, e->u.removed, err);
	case JOURNAL_QUARANTINE:
		return CATALOG_RUN(c, CATALOG_BAD_SET, err, "ii",
		    (int64_t)e->u.group.pack, (int64_t)e->u.group.offset);
	case JOURNAL_KEY:
		return CATALOG_RUN(c, CATALOG_ESCROW_SET, err, "hiit",
		    (const uint8_t *)e->u.key.check, time_us, (int64_t)e->u.key.what,
		    e->u.key.who);
	case JOURNAL_CHECKED:
		return catalog_apply_checked(c, &e->u.checked, err);
	case JOURNAL_RELEASE:
		return CATALOG_RUN(c, CATALOG_BAD_DROP, err, "ii",
		    (int64_t)e->u.group.pack, (int64_t)e->u.group.offset);
	case JOURNAL_STORE_ALARM:
		return CATALOG_RUN(c, CATALOG_NOTICE_SET, err, "itii",
		    (int64_t)e->u.notice.kind, e->u.notice.text, time_us,
		    e->u.notice.trusted_us);
	case JOURNAL_STUB:
	case JOURNAL_POLICY:
	case JOURNAL_HOLD:
	case JOURNAL_UNHOLD:
	case JOURNAL_LOCK:
	case JOURNAL_FORGET:
	case JOURNAL_VERIFIED:
	case JOURNAL_HURT:
	case JOURNAL_BRAKE:
	case JOURNAL_SUSPECT:
		return catalog_apply_retention(c, e, r, err);
	case JOURNAL_RESTORE:
	case JOURNAL_REDEEMED:
	case JOURNAL_RESTORED:
		return catalog_apply_restores(c, e, r, err);
	}
	return 0;
}

int
catalog_apply(struct catalog *c, const struct journal_record *r, struct err *err)
{
	struct journal_event *e = malloc(sizeof(*e));
	int known, failed;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	known = journal_decode(r->type, r->payload, r->len, e, err);
	failed = known < 0 || (known == 0 && apply_event(c, e, r, err) != 0);
	if (failed)
		(void)err_context(
		    err, "journal record %llu", (unsigned long long)r->end.sequence);
	free(e);
	return failed ? -1 : 0;
}
