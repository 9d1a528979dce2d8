/*
 * Which components take part.  The rules are those of "Working with Selectability for
 * Backup" (learn.microsoft.com/windows/win32/vss/working-with-selectability-for-backup):
 *
 *	not selectable, no selectable ancestor	explicitly, if anything of the writer is
 *	selectable, no selectable ancestor	explicitly, if wanted
 *	not selectable, selectable ancestor	with that one, never explicitly
 *	selectable, selectable ancestor		with that one, or explicitly without it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss.h"

/* Does `c` lie below `a` in the writer's tree of logical paths? */
static int
is_below(const struct vss_component *c, const struct vss_component *a)
{
	const char *p = c->path;
	size_t len;

	if (a->path[0] != '\0') {
		len = strlen(a->path);
		if (strncmp(p, a->path, len) != 0 || p[len] != '\\')
			return 0;
		p += len + 1;
	}
	len = strlen(a->name);
	return strncmp(p, a->name, len) == 0 && (p[len] == '\0' || p[len] == '\\');
}

static int
has_selectable_ancestor(const struct vss_writer *w, const struct vss_component *c)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].selectable && &w->components[i] != c &&
		    is_below(c, &w->components[i]))
			return 1;
	return 0;
}

static int
has_taken_ancestor(const struct vss_writer *w, const struct vss_component *c)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].take && &w->components[i] != c &&
		    is_below(c, &w->components[i]))
			return 1;
	return 0;
}

/* Is all of it, with what comes along, on the set's volumes? */
static int
is_whole(const struct vss_writer *w, const struct vss_component *c)
{
	if (c->outside)
		return 0;
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].outside && is_below(&w->components[i], c))
			return 0;
	return 1;
}

/* The number of elements of its logical path: ancestors come before their kin. */
static unsigned
depth(const struct vss_component *c)
{
	unsigned n = c->path[0] != '\0';

	for (const char *p = c->path; *p != '\0'; p++)
		n += *p == '\\';
	return n;
}

static void
drop_all(struct vss_writer *w)
{
	for (unsigned i = 0; i < w->count; i++)
		w->components[i].take = 0;
	w->taken = 0;
}

static void
take(struct vss_writer *w, struct vss_component *c)
{
	c->take = 1;
	w->taken++;
}

/* Has files in the set, and neither it nor what it would come with is taken: or NULL. */
static const struct vss_component *
left_over(const struct vss_writer *w)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].inside > 0 && !w->components[i].take &&
		    !has_taken_ancestor(w, &w->components[i]))
			return &w->components[i];
	return NULL;
}

/* Take what can be taken; else the one that must come and cannot. */
static const struct vss_component *
mark(struct vss_writer *w)
{
	unsigned deepest = 0;

	for (unsigned i = 0; i < w->count; i++)
		if (depth(&w->components[i]) > deepest)
			deepest = depth(&w->components[i]);
	for (unsigned d = 0; d <= deepest; d++)
		for (unsigned i = 0; i < w->count; i++) {
			struct vss_component *c = &w->components[i];
			int below = has_selectable_ancestor(w, c);

			if (depth(c) != d || (below && !c->selectable) ||
			    has_taken_ancestor(w, c))
				continue;
			if (is_whole(w, c))
				take(w, c);
			else if (!c->selectable)
				return c;
		}
	return NULL;
}

unsigned
vss_select(struct vss_writer *w, char *why, size_t cap)
{
	const struct vss_component *left, *must;

	why[0] = '\0';
	drop_all(w);
	/* Nothing of a writer comes without all that must. */
	if ((must = mark(w)) != NULL)
		drop_all(w);
	if ((left = left_over(w)) != NULL)
		(void)snprintf(why, cap, "%.60s: '%.60s' is not wholly in the set",
		    w->name, must != NULL ? must->name : left->name);
	return w->taken;
}

void
vss_writer_free(struct vss_writer *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		struct vss_component *c = &w->components[i];

		for (unsigned k = 0; k < c->files; k++)
			free(c->file[k]);
		free(c->file);
		free(c->path);
		free(c->name);
	}
	free(w->components);
	free(w->name);
	memset(w, 0, sizeof(*w));
}
