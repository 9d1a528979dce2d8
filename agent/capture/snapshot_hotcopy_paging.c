/*
 * Page files.  What is excluded is never copied, so it must be theirs at the cut.  They
 * are found on the live volume after it was flushed, excluded, and found again in the
 * image by the same code; and what the system says of them must be the same before the
 * flush and after the cut, since an image whose log is to be replayed may not know yet
 * what has become of their clusters.  Anything else: the set is made again, and at last
 * without.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/map/ntfs_paging.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

/* Beside the driver's own, which nobody needs to exclude. */
static unsigned
count_files(const struct ntfs_paging *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n += p->extent[i].reason != EXTENT_HOTCOPY;
	return n;
}

/* What is excluded of a volume, or nothing. */
static int
find(struct hot_volume *v, struct err *err)
{
	const struct hot_system *system = snapshot_hotcopy_system;
	struct volmap_source src = { .read = system->read, .size = v->length };
	struct err unread = ERR_INIT;
	int got;

	free(v->paging);
	v->paging = NULL;
	/* Who cannot read it live excludes nothing. */
	if (system->open(v->path, &src.arg, &unread) != 1)
		return 0;
	if ((v->paging = malloc(sizeof(*v->paging))) == NULL) {
		system->close(src.arg);
		return err_set(err, ERR_NOMEM, "no memory to look for page files");
	}
	got = ntfs_paging_find(&src, v->paging, &unread);
	system->close(src.arg);
	if (got != 1 || count_files(v->paging) == 0) {
		free(v->paging);
		v->paging = NULL;
	}
	return 0;
}

int
snapshot_hotcopy_find_paging(struct hot_set *s, struct err *err)
{
	for (unsigned i = 0; i < s->count; i++)
		if (find(s->volume[i], err) != 0)
			return -1;
	return 0;
}

int
snapshot_hotcopy_exclude_paging(struct hot_set *s, struct err *err)
{
	struct hotcopy_extent *extent = malloc(NTFS_PAGING_EXTENTS * sizeof(*extent));
	int rc = 0;

	if (extent == NULL)
		return err_set(err, ERR_NOMEM, "no memory to leave page files out");
	for (unsigned i = 0; i < s->count && rc == 0; i++) {
		const struct ntfs_paging *p = s->volume[i]->paging;
		unsigned n = 0;

		for (unsigned k = 0; p != NULL && k < p->count; k++)
			if (p->extent[k].reason != EXTENT_HOTCOPY)
				extent[n++] =
				    (struct hotcopy_extent){ p->extent[k].offset,
					    p->extent[k].len };
		if (n > 0)
			rc = hotcopy_exclude(
			    s->owner, s->number, s->volume[i]->number, extent, n, err);
	}
	free(extent);
	return rc;
}

/* In the image: 1, 0, -1 as below. */
static int
check(struct hot_volume *v, struct ntfs_paging *seen, struct err *err)
{
	const struct volmap_source src = {
		.read = snapshot_hotcopy_read, .arg = v, .size = v->length
	};
	struct hot_look now;
	unsigned n = 0;
	int got = ntfs_paging_find(&src, seen, err);

	if (got == -1)
		return -1;
	if (v->paging != NULL) {
		snapshot_hotcopy_system->look(v->path, &now);
		if (got != 1 || !ntfs_paging_same(v->paging, seen) ||
		    memcmp(&now, &v->look, sizeof(now)) != 0)
			return 0;
	}
	/* Page files that were not excluded are the map's to judge. */
	for (unsigned i = 0; i < seen->count; i++)
		if (v->paging != NULL || seen->extent[i].reason == EXTENT_HOTCOPY)
			seen->extent[n++] = seen->extent[i];
	seen->count = n;
	return snapshot_hotcopy_set_unkept(v, seen, err) == 0 ? 1 : -1;
}

int
snapshot_hotcopy_check_paging(struct hot_set *s, struct err *err)
{
	struct ntfs_paging *seen = malloc(sizeof(*seen));
	int got = 1;

	if (seen == NULL)
		return err_set(err, ERR_NOMEM, "no memory to look for page files");
	for (unsigned i = 0; i < s->count && got == 1; i++)
		got = check(s->volume[i], seen, err);
	free(seen);
	return got;
}

void
snapshot_hotcopy_forget_paging(struct hot_set *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		free(s->volume[i]->paging);
		s->volume[i]->paging = NULL;
	}
}
