#include <stdio.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/index.h"
#include "storage/store_reader.h"
#include "storage/store_state.h"

/* The collector may have removed it meanwhile: then the new file goes, too. */
static int
drop_if_removed(struct store *s, uint32_t no, struct err *err)
{
	int gone = catalog_removed(s->catalog, no, err);

	if (gone > 0 && pack_remove(s->fs, no, err) != 0)
		return -1;
	return gone;
}

/* `mending` is held. */
static int
mend(struct store *s, const struct journal_pack *k, char what[ERR_TEXT_MAX],
    struct err *err)
{
	const struct pack_stats known = { .chunks = k->chunks,
		.groups = k->groups,
		.plain = k->plain,
		.stored = k->stored };
	struct pack_mending m;
	int gone;

	what[0] = '\0';
	if (pack_mend(s->fs, k->no, s->of.store, &known, s->read_only, &m, err) != 0)
		return -1;
	if (m.state == PACK_BEYOND)
		(void)snprintf(what, ERR_TEXT_MAX,
		    "%u of %u blocks are bad, more than its parity gives", m.bad,
		    m.blocks);
	if (m.state == PACK_MENDED)
		(void)snprintf(what, ERR_TEXT_MAX,
		    "%s as it was sealed by its parity: "
		    "%u of %u blocks were bad",
		    s->read_only ? "would be" : "is again", m.bad, m.blocks);
	if (m.state != PACK_MENDED)
		return m.state == PACK_WHOLE ? 2 : 0;
	if (s->read_only)
		return 1;
	store_reader_forget(s->reader, k->no);
	if ((gone = drop_if_removed(s, k->no, err)) != 0)
		return gone < 0 ? -1 : 0;
	return 1;
}

/*
 * Two would write into one new file, and who comes second into what the first has made
 * the pack.
 */
int
store_mend_pack(struct store *s, const struct journal_pack *k, char what[ERR_TEXT_MAX],
    struct err *err)
{
	int ret;

	pthread_mutex_lock(&s->mending);
	ret = mend(s, k, what, err);
	pthread_mutex_unlock(&s->mending);
	return ret;
}

/* Has the collector taken it out of the index?  The gate and `leaving` are held. */
static int
is_condemned(const struct store *s, uint32_t no)
{
	for (const struct store_condemned *c = s->condemned; c != NULL; c = c->next)
		if (c->no == no)
			return 1;
	return 0;
}

int
store_remember_mended(struct store *s, uint32_t no, struct err *err)
{
	int ret = 0;

	/* Who marks meanwhile may find chunks gone that are not: its cycle ends. */
	atomic_fetch_add(&s->quarantines, 1);
	store_gate_enter(s);
	pthread_mutex_lock(&s->leaving);
	if (!is_condemned(s, no) && (ret = catalog_removed(s->catalog, no, err)) == 0 &&
	    ((ret = index_forget_pack(s->index, no, err)) == 0))
		ret = index_remember_pack(s->index, no, err);
	pthread_mutex_unlock(&s->leaving);
	store_gate_leave(s);
	atomic_fetch_add(&s->quarantines, 1);
	return ret < 0 ? -1 : 0;
}
