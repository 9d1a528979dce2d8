#include <stdio.h>
#include <string.h>

#include "agent/backup/backup_parts.h"
#include "agent/backup/cache.h"
#include "agent/backup/last.h"
#include "agent/backup/sources.h"
#include "proto/base/file.h"

/* What is only in the way is left if it cannot go. */
static void
drop(const char *path)
{
	struct err ignored = ERR_INIT;

	(void)file_remove(path, &ignored);
}

/*
 * What is half remembered is nothing, and what was remembered of an older point only takes
 * room: with neither the next backup reads all.
 */
static void
forget_volume(struct backup *b, unsigned i, const struct backup_paths *p)
{
	drop(p->new);
	drop(p->old);
	cache_tidy(p->old);
	if (b->inc[i] != NULL)
		incremental_forget(b->inc[i]);
}

static int
remember_volume(struct backup *b, unsigned i, struct err *err)
{
	struct backup_paths p;

	if (backup_paths(b, i, &p, err) != 0)
		return -1;
	drop(p.done);
	if (b->lost[i])
		*err = b->lost_why;
	else if (cache_settle(p.new, p.old, err) == 0 &&
		 (b->inc[i] == NULL || incremental_kept(b->inc[i], b->out->point.sequence,
					   &b->roots[i], err) == 0))
		return 0;
	forget_volume(b, i, &p);
	return -1;
}

/* The first reason counts. */
static void
heed(struct err *why, struct err *err)
{
	if (why->code == ERR_NONE)
		*why = *err;
	err_clear(err);
}

static void
add_name(char *names, size_t cap, const char *name)
{
	size_t len = strlen(names);

	(void)snprintf(names + len, cap - len, "%s%s", len > 0 ? ", " : "", name);
}

void
backup_remember(struct backup *b)
{
	struct err why = ERR_INIT, err = ERR_INIT;
	char line[ERR_TEXT_MAX + 256], names[160] = "";

	for (unsigned i = 0; i < b->capture->count; i++) {
		if (remember_volume(b, i, &err) == 0)
			continue;
		heed(&why, &err);
		add_name(names, sizeof(names), b->capture->volumes[i].name);
	}
	if (backup_note_generations(b, &err) != 0)
		heed(&why, &err);
	if (last_made(b->st, b->o->settings, b->out, &err) != 0)
		heed(&why, &err);
	if (state_set_head(b->st, b->out->point.record, &err) != 0)
		heed(&why, &err);
	if (sources_note(b->st, b->o->settings, &err) != 0)
		heed(&why, &err);
	if (why.code == ERR_NONE)
		return;
	(void)snprintf(line, sizeof(line),
	    "the point is made, but not all that belongs to it is noted here: %s%s%s",
	    why.text, names[0] != '\0' ? "; the next backup reads all of " : "", names);
	backup_say(b, line);
}

void
backup_forget(struct backup *b)
{
	struct err ignored = ERR_INIT;
	struct backup_paths p;
	unsigned i;

	for (i = 0; i < b->capture->count; i++) {
		if (backup_paths(b, i, &p, &ignored) == 0) {
			drop(p.new);
			drop(p.done);
			cache_tidy(p.old);
			if (b->inc[i] != NULL)
				incremental_drop(b->inc[i]);
		}
		err_clear(&ignored);
	}
}
