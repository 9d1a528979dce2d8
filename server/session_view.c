#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>

#include "server/policy.h"
#include "storage/store_gc.h"

/*
 * May this session look at `*host`?  With `content`, at its data and not only
 * at its list.  An agent's or rescue's empty name becomes its own.
 */
int
session_may_see(const struct session *s, const char **host, int content, struct err *err)
{
	int own = s->role == CERT_AGENT || s->role == CERT_RESCUE;

	if (own && (*host)[0] == '\0')
		*host = s->name;
	if (own && strcmp(*host, s->name) != 0)
		return err_set(err, ERR_DENIED, "role %s of '%s' may see that host only",
		    cert_role_name(s->role), s->name);
	if (s->role == CERT_AGENT && content &&
	    !policy_get(s->world->policy).agents_may_restore)
		return err_set(
		    err, ERR_DENIED, "agents may not restore here (agents-may-restore)");
	return 0;
}

int
session_may_read(const struct session *s, uint64_t *sequence, struct err *err)
{
	const struct session_rescue *r = &s->rescue;

	if (s->role != CERT_RESCUE)
		return 0;
	if (r->over)
		return err_set(err, ERR_DENIED, "this restore is done");
	if (*sequence == 0)
		*sequence = r->sequence;
	if (r->only && *sequence != r->sequence)
		return err_set(err, ERR_DENIED,
		    "this restore is of point %llu of '%s' and of no other",
		    (unsigned long long)r->sequence, s->name);
	return 0;
}

void
session_view_close(struct session_view *v)
{
	if (v == NULL)
		return;
	tree_walk_close(v->walk);
	store_lease_close(v->lease);
	free(v);
}

void
session_view_renew(struct session_job *j)
{
	struct session *s = j->s;

	if (j->err.code != ERR_CANCELED || s->view == NULL)
		return;
	session_view_close(s->view);
	s->view = NULL;
	j->err.code = ERR_BUSY;
}

static int
open_point(struct session *s, const char *host, uint64_t sequence, struct err *err)
{
	struct session_view *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a point");
	if (store_lease_open(s->world->store, host, STORE_READ, &v->lease, err) != 0 ||
	    store_lease_point(v->lease, host, sequence, &v->point, err) != 0) {
		session_view_close(v);
		return -1;
	}
	s->view = v;
	return 0;
}

int
session_view_open(struct session *s, const char *host, uint64_t sequence, uint32_t volume,
    struct session_view **out, struct err *err)
{
	struct session_view *v;

	if (session_may_see(s, &host, 1, err) != 0 ||
	    session_may_read(s, &sequence, err) != 0)
		return -1;
	v = s->view;
	if (v == NULL || sequence == 0 || v->point.sequence != sequence ||
	    strcmp(v->point.host, host) != 0) {
		session_view_close(v);
		s->view = NULL;
		if (open_point(s, host, sequence, err) != 0)
			return -1;
		v = s->view;
	}
	if (volume >= v->point.volumes_count)
		return err_set(err, ERR_NOTFOUND,
		    "point %llu of '%s' has %u volumes, not %u",
		    (unsigned long long)v->point.sequence, host, v->point.volumes_count,
		    volume + 1);
	if (v->walk == NULL || v->volume != volume) {
		tree_walk_close(v->walk);
		v->walk = NULL;
		if (tree_walk_open(&v->point.volumes[volume].root_id, store_node,
			v->lease, &v->walk, err) != 0)
			return -1;
		v->volume = volume;
	}
	*out = v;
	return 0;
}
