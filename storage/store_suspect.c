#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal_record.h"
#include "storage/store_state.h"
#include "storage/store_verify.h"

#define WHY_MAX 180u /* With a volume's name it is a text. */

/* How such an alarm begins. */
static const char begins[] = "what changed on its volume ";

int
store_suspects(
    struct store *s, const char *host, struct store_suspects *out, struct err *err)
{
	return catalog_suspects(s->catalog, host, out, err);
}

/* "points 4 to 9 are suspect" */
static void
say_which(const struct store_suspects *all, char out[96])
{
	unsigned long long first = all->first, last = all->last;

	if (all->n == 0)
		(void)snprintf(out, 96, "no point is suspect");
	else if (all->n == 1)
		(void)snprintf(out, 96, "point %llu is suspect", last);
	else if (all->n == last - first + 1)
		(void)snprintf(out, 96, "points %llu to %llu are suspect", first, last);
	else
		(void)snprintf(out, 96, "%llu of the points %llu to %llu are suspect",
		    (unsigned long long)all->n, first, last);
}

/* Tell people, unless they have been told of something else already. */
static int
raise_alarm(struct store *s, const char *host, const char *volume, struct err *err)
{
	char text[STORE_TEXT_MAX], which[96];
	struct store_suspects all;
	struct store_peer p;

	if (store_suspects(s, host, &all, err) != 0 ||
	    store_peer_by_name(s, host, &p, err) != 0)
		return -1;
	if (p.alarm[0] != '\0' && strncmp(p.alarm, begins, sizeof(begins) - 1) != 0)
		return 0;
	say_which(&all, which);
	(void)snprintf(
	    text, sizeof(text), "%s%.63s was not all known: %s", begins, volume, which);
	return store_peer_alarm(s, host, text, err);
}

int
store_suspect(struct store *s, const char *host, const char *volume, uint64_t after,
    const char *why, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_SUSPECT, err);
	struct catalog_head head;
	uint64_t fresh = 0;
	int rc;

	if (e == NULL)
		return -1;
	if ((rc = catalog_head(s->catalog, host, &head, err)) == 0) {
		if (after > head.sequence)
			after = head.sequence;
		rc = catalog_suspect_new(
		    s->catalog, host, volume, after, head.sequence, &fresh, err);
	}
	/* A host that says the same again and again must not fill the journal. */
	if (rc == 0 && fresh > 0) {
		(void)snprintf(e->u.suspect.host, STORE_NAME_MAX, "%s", host);
		(void)snprintf(e->u.suspect.volume, STORE_NAME_MAX, "%s", volume);
		(void)snprintf(e->u.suspect.text, STORE_TEXT_MAX, "%s",
		    why[0] != '\0' ? why : "what changed was not all known");
		e->u.suspect.after = after;
		e->u.suspect.last = head.sequence;
		rc = store_record(s, e, NULL, err);
	}
	free(e);
	return rc != 0 ? -1 : raise_alarm(s, host, volume, err);
}

/* What a host said is cut between two characters, lest no list may hold it. */
static void
cut(char *text, size_t max)
{
	size_t n = strlen(text);

	if (n <= max)
		return;
	for (n = max; n > 0 && ((unsigned char)text[n] & 0xc0u) == 0x80u;)
		n--;
	text[n] = '\0';
}

int
store_point_suspect(struct store *s, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err)
{
	char volume[STORE_NAME_MAX], text[STORE_TEXT_MAX];
	int found = catalog_suspect(s->catalog, host, sequence, volume, text, err);

	cut(text, WHY_MAX);
	(void)snprintf(why, STORE_TEXT_MAX, "volume %.63s: %.180s", volume, text);
	return found;
}
