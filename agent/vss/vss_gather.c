/*
 * The writers of one backup: who they are, who takes part, how they are, and what they
 * hear in the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss_parts.h"
#include "proto/base/err.h"

static struct vss_writer *
taken_writer(const struct vss *v, const struct vss_id *instance)
{
	for (unsigned i = 0; i < v->writers_count; i++)
		if (v->writers[i].taken > 0 &&
		    memcmp(&v->writers[i].instance, instance, sizeof(*instance)) == 0)
			return &v->writers[i];
	return NULL;
}

/* One writer's word after `after`; only of those that take part it counts. */
static int
judge(struct vss *v, const struct vss_status *s, const char *after, struct err *err)
{
	char words[80] = "", id[39];
	struct vss_writer *w = taken_writer(v, &s->instance);

	if (w == NULL)
		return 0;
	w->answered = 1;
	if (!vss_state_failed(s->state) && !vss_bad(s->failure))
		return 0;
	/* What cannot be helped says more than what can. */
	if (err->code != ERR_NONE && v->retry == VSS_NEVER)
		return -1;
	err_clear(err);
	v->retry = vss_retry_of(s->failure);
	vss_id_text(&s->instance, id);
	if (vss_bad(s->failure))
		vss_words(s->failure, words, sizeof(words));
	/* The code's kind, but the writer's name in front of what it means. */
	(void)vss_err(err, s->failure, after);
	(void)snprintf(err->text, sizeof(err->text), "VSS: %s: writer %.60s %s: %s%s%s",
	    after, s->name != NULL ? s->name : "?", id, vss_state_name(s->state),
	    words[0] != '\0' ? ": " : "", words);
	return -1;
}

/* Who takes part must be in the list: one that has ended hears of nothing any more. */
static int
expect_all(struct vss *v, const char *after, struct err *err)
{
	for (unsigned i = 0; i < v->writers_count; i++) {
		struct vss_status gone = { .instance = v->writers[i].instance,
			.name = v->writers[i].name,
			.failure = VSS_NOT_RESPONDING };

		if (v->writers[i].taken > 0 && !v->writers[i].answered)
			return judge(v, &gone, after, err);
	}
	return 0;
}

int
vss_check(struct vss *v, const char *after, int heed, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned count = 0;
	int rc = 0;

	if (j->no_writers)
		return 0;
	if (vss_run(v, VSS_GATHER_STATUS, heed, err) != 0 ||
	    vss_call(v, j->ops->statuses(j->arg, &count), "GetWriterStatusCount", err) !=
		0)
		return -1;
	for (unsigned i = 0; i < v->writers_count; i++)
		v->writers[i].answered = 0;
	for (unsigned i = 0; i < count; i++) {
		struct vss_status s = { .name = NULL };
		vss_code code = j->ops->status(j->arg, i, &s);

		if (vss_bad(code)) {
			free(s.name);
			err_clear(err);
			return vss_fail(v, code, "GetWriterStatus", err);
		}
		if (judge(v, &s, after, err) != 0)
			rc = -1;
		free(s.name);
	}
	return rc != 0 ? rc : expect_all(v, after, err);
}

static int
in_set(const struct vss *v, const char *volume)
{
	for (unsigned i = 0; i < v->job.count; i++)
		if (strcmp(v->job.volumes[i], volume) == 0)
			return 1;
	return 0;
}

/* Where are its files? */
static void
place(struct vss *v, struct vss_component *c)
{
	char volume[512];

	c->inside = 0;
	for (unsigned i = 0; i < c->files; i++)
		if (v->job.ops->volume_of(
			v->job.arg, c->file[i], volume, sizeof(volume)) == 0 &&
		    in_set(v, volume))
			c->inside++;
	c->outside = c->inside < c->files;
}

static int
take_writer(struct vss *v, struct vss_writer *w, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned taken;
	char why[160];

	for (unsigned i = 0; i < w->count; i++)
		place(v, &w->components[i]);
	if (vss_is_database(w))
		vss_list(v->databases, sizeof(v->databases), w->name);
	taken = vss_select(w, why, sizeof(why));
	if (why[0] != '\0') {
		vss_say(v, why);
		vss_list(v->outside, sizeof(v->outside), w->name);
		v->torn |= vss_is_database(w);
	}
	if (taken == 0)
		return 0;
	v->taken++;
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].take &&
		    vss_call(v, j->ops->add_component(j->arg, w, &w->components[i]),
			"AddComponent", err) != 0)
			return err_context(err, "writer %.60s", w->name);
	return 0;
}

void
vss_forget(struct vss *v)
{
	for (unsigned i = 0; i < v->writers_count; i++)
		vss_writer_free(&v->writers[i]);
	free(v->writers);
	v->writers = NULL;
	v->writers_count = v->taken = 0;
	v->torn = 0;
	v->outside[0] = v->databases[0] = '\0';
}

int
vss_gather(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned count = 0;

	vss_forget(v);
	if (vss_run(v, VSS_GATHER_METADATA, 1, err) != 0 ||
	    vss_call(v, j->ops->writers(j->arg, &count), "GetWriterMetadataCount", err) !=
		0)
		return -1;
	if ((v->writers = calloc((size_t)count + 1, sizeof(*v->writers))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u writers", count);
	for (unsigned i = 0; i < count; i++) {
		vss_code code = j->ops->writer(j->arg, i, &v->writers[i]);

		v->writers_count = i + 1;
		if (vss_call(v, code, "GetWriterMetadata", err) != 0 ||
		    take_writer(v, &v->writers[i], err) != 0)
			return -1;
	}
	return 0;
}

int
vss_tell(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;
	int rc = 0;

	for (unsigned i = 0; i < v->writers_count; i++)
		for (unsigned k = 0; k < v->writers[i].count; k++) {
			const struct vss_component *c = &v->writers[i].components[k];
			vss_code code = VSS_OK;

			if (c->take)
				code = j->ops->succeeded(j->arg, &v->writers[i], c, 1);
			if (vss_bad(code) && rc == 0)
				rc = vss_fail(v, code, "SetBackupSucceeded", err);
		}
	return rc;
}
