#include "storage/store_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/fs_overlay.h"
#include "storage/journal.h"
#include "storage/pack.h"
#include "storage/store_copy_state.h"
#include "storage/store_keys.h"
#include "storage/store_state.h"

#define OVERLAY_MAX (64u << 20)

struct verifying {
	struct store_copying *c;
	const uint8_t *store;
};

static int
check_pack(void *arg, uint32_t no, struct err *err)
{
	struct verifying *v = arg;
	struct store_copying *c = v->c;
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	struct pack_stats stats;
	char text[STORE_TEXT_MAX];
	int ret = 0;

	c->no = no;
	c->r.packs++;
	if (!pack_set_has(&c->there, no)) {
		(void)snprintf(text, sizeof(text), "pack %08x is missing", no);
		return store_copy_problem(c, text, err);
	}
	if (pack_open(c->to, no, v->store, &p, &why) == 0 &&
	    pack_each_entry(p, NULL, NULL, &stats, &why) == 0 &&
	    pack_scrub(p, store_copy_bad, c, &why) == 0)
		ret = store_copy_step(c, stats.stored, err);
	pack_close(p);
	if (c->stopped)
		return err->code != ERR_NONE ? -1 : err_set(err, ERR_CANCELED, "stopped");
	if (why.code == ERR_CORRUPT) {
		(void)snprintf(text, sizeof(text), "pack %08x: %.200s", no, why.text);
		ret = store_copy_problem(c, text, err);
	} else if (why.code != ERR_NONE) {
		*err = why;
		ret = -1;
	}
	return ret;
}

/* Is its end a place of the store's? */
static int
check_past(struct store *of, const struct journal_place *end, struct err *err)
{
	int known;

	if (of == NULL)
		return 0;
	known = journal_knows(of->journal, end, err);
	if (known == 0)
		return err_set(err, ERR_DENIED,
		    "it has records that the store has not: it was opened as a store, or "
		    "the store is older than it was");
	return known < 0 ? -1 : 0;
}

static int
verify(struct store_copying *c, const struct store_keys_of *keys, struct store *of,
    struct err *err)
{
	struct verifying v = { c, keys->store };
	struct journal_place end;
	struct journal *j = NULL;
	uint8_t id[16];
	int failed;

	if (store_keys_format(c->to, id, err) != 0) {
		if (err->code == ERR_NOTFOUND)
			(void)err_context(err, "no copy, or not whole yet");
		return -1;
	}
	if (memcmp(id, keys->store, sizeof(id)) != 0)
		return err_set(err, ERR_DENIED, "it is a copy of another store");
	failed =
	    journal_open(c->to, keys->store, keys->journal, NULL, &j, NULL, err) != 0;
	if (!failed) {
		journal_end(j, &end);
		failed = check_past(of, &end, err) != 0 ||
			 store_copy_packs(&c->m, j, &end, err) != 0 ||
			 store_copy_list(c, err) != 0;
	}
	if (!failed) {
		store_copy_begin(c);
		failed = store_copy_each(c, check_pack, &v, err) != 0;
	}
	journal_close(j);
	return failed ? -1 : 0;
}

int
store_copy_verify(struct fs *copy, const struct store_keys_of *keys, struct store *of,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err)
{
	struct store_copying c = { .config = config };
	int ret = -1;

	/* The journal puts right what it finds: not here. */
	if (fs_overlay_new(copy, OVERLAY_MAX, &c.to, err) == 0) {
		ret = verify(&c, keys, of, err);
		fs_free(c.to);
	}
	*out = c.r;
	store_copying_free(&c);
	return ret;
}

int
store_copy_verify_own(struct store *s, struct fs *copy,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err)
{
	return store_copy_verify(copy, &s->of, s, config, out, err);
}
