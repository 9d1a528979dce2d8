#include <stdio.h>
#include <stdlib.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal_record.h"
#include "storage/store_state.h"
#include "storage/store_verify.h"

/* Tell people, unless they have been told of something already. */
static int
raise_alarm(
    struct store *s, const char *host, const char *volume, uint64_t n, struct err *err)
{
	char text[STORE_TEXT_MAX];
	struct store_peer p;

	if (store_peer_by_name(s, host, &p, err) != 0)
		return -1;
	(void)snprintf(text, sizeof(text),
	    "what changed on its volume %.63s was not all known: %llu point%s %s suspect",
	    volume, (unsigned long long)n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
	return p.alarm[0] == '\0' ? store_peer_alarm(s, host, text, err) : 0;
}

int
store_suspect(struct store *s, const char *host, const char *volume, uint64_t after,
    const char *why, uint64_t *n, struct err *err)
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
	if (rc != 0 || catalog_suspect_count(s->catalog, host, n, err) != 0)
		return -1;
	return raise_alarm(s, host, volume, *n, err);
}

int
store_point_suspect(struct store *s, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err)
{
	char volume[STORE_NAME_MAX], text[STORE_TEXT_MAX];
	int found = catalog_suspect(s->catalog, host, sequence, volume, text, err);

	(void)snprintf(why, STORE_TEXT_MAX, "volume %.63s: %.180s", volume, text);
	return found;
}
