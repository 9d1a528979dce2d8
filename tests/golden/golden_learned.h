/*
 * golden_learned.h - records of what was learned of packs and points after they were
 * made: one of each, always the same; for golden.h.
 */
#ifndef TESTS_GOLDEN_GOLDEN_LEARNED_H
#define TESTS_GOLDEN_GOLDEN_LEARNED_H

#include <stdio.h>
#include <string.h>

#include "storage/journal_record.h"

static inline void
golden_checked(struct journal_event *e)
{
	memset(e, 0, sizeof(*e));
	e->type = JOURNAL_CHECKED;
	e->u.checked.when_us = 1700000000000005;
	e->u.checked.n = 3;
	for (unsigned i = 0; i < 3; i++)
		e->u.checked.packs[i] = 0x01020300 + i;
}

static inline void
golden_suspect(struct journal_event *e)
{
	memset(e, 0, sizeof(*e));
	e->type = JOURNAL_SUSPECT;
	(void)snprintf(e->u.suspect.host, STORE_NAME_MAX, "web01");
	(void)snprintf(e->u.suspect.volume, STORE_NAME_MAX, "C");
	e->u.suspect.after = 7;
	e->u.suspect.last = 17;
	(void)snprintf(e->u.suspect.text, STORE_TEXT_MAX, "byte 4096 had changed");
}

static inline void
golden_hurt(struct journal_event *e)
{
	memset(e, 0, sizeof(*e));
	e->type = JOURNAL_HURT;
	(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "web01");
	e->u.mark.sequence = 7;
	(void)snprintf(e->u.mark.text, STORE_TEXT_MAX, "volume C: 2 chunks are missing");
}

#endif /* TESTS_GOLDEN_GOLDEN_LEARNED_H */
