#include "agent/capture/choose.h"

#include <stdio.h>
#include <string.h>

#include "agent/capture/snapshot.h"
#include "agent/host/settings.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "proto/base/err.h"

static int
take(struct choice *out, const char *provider, const char *why)
{
	(void)snprintf(out->provider, sizeof(out->provider), "%s", provider);
	(void)snprintf(out->why, sizeof(out->why), "%s", why);
	return 0;
}

/* Nobody is asked, so a database may not survive it. */
static int
hotcopy(
    const struct choose_facts *f, const char *why, struct choice *out, struct err *err)
{
	if (!f->has_hotcopy)
		return err_set(err, ERR_UNSUPPORTED, "provider hotcopy: %.160s",
		    f->no_hotcopy != NULL ? f->no_hotcopy : "not in this build");
	if (f->forced) {
		(void)take(out, "hotcopy", why);
		(void)snprintf(out->why, sizeof(out->why), "%s%sforced", why,
		    why[0] != '\0' ? "; " : "");
		return 0;
	}
	if (f->flushed)
		return take(out, "hotcopy", why);
	if (!f->writers_known)
		return err_set(err, ERR_UNSUPPORTED,
		    "provider hotcopy: it is not known whether databases run here, and "
		    "their files would perhaps not be consistent; force it or use vss");
	if (f->databases[0] != '\0')
		return err_set(err, ERR_UNSUPPORTED,
		    "provider hotcopy: files of %.120s would perhaps not be consistent; "
		    "force it or use vss",
		    f->databases);
	return take(out, "hotcopy", why);
}

static int
by_itself(const struct choose_facts *f, struct choice *out, struct err *err)
{
	struct err why = ERR_INIT;
	char failed[160];

	if (f->volumes == 0)
		return take(out, "offline", "");
	if (f->files > 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "plain files and volumes in one backup: no provider freezes both at "
		    "one instant; back them up apart");
	if (!f->has_vss && f->has_hotcopy)
		return hotcopy(f, "", out, err);
	if (!f->has_vss)
		return err_set(err, ERR_UNSUPPORTED,
		    "nothing here freezes a volume that is in use: say --provider "
		    "offline if nobody writes it");
	if (f->failed == NULL)
		return take(out, "vss", "");
	(void)snprintf(failed, sizeof(failed), "vss failed: %.140s", f->failed);
	if (hotcopy(f, failed, out, &why) == 0)
		return 0;
	return err_set(
	    err, ERR_UNSUPPORTED, "vss failed, and nothing stands in: %.200s", why.text);
}

int
choose(
    const char *wish, const struct choose_facts *f, struct choice *out, struct err *err)
{
	if (!settings_known_provider(wish))
		return err_set(err, ERR_UNSUPPORTED,
		    "provider '%.32s': auto, offline, vss or hotcopy", wish);
	if (strcmp(wish, SETTINGS_AUTO) == 0)
		return by_itself(f, out, err);
	if (strcmp(wish, "hotcopy") == 0)
		return hotcopy(f, "asked for", out, err);
	if (strcmp(wish, "vss") == 0 && !f->has_vss)
		return err_set(err, ERR_UNSUPPORTED, "provider vss: not in this build");
	if (strcmp(wish, "vss") == 0 && f->files > 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "provider vss: it freezes volumes, not files or devices");
	return take(out, wish, "asked for");
}

/* Does the driver answer, and is it above all that is to be frozen? */
static int
is_there(const struct settings *s, struct err *err)
{
	const struct settings_volume *v = settings_source(s, 0);
	struct hotcopy_link *l;
	uint64_t number;
	int disabled;

	if (hotcopy_link_open(v != NULL ? v->path : NULL, &l, err) != 0)
		return 0;
	if ((disabled = hotcopy_is_disabled(l, NULL, err)) == 1)
		(void)err_set(err, ERR_UNSUPPORTED, "it only passes everything on");
	/* A disk's volumes are found when it is taken hold of. */
	for (unsigned i = 0; disabled == 0 && i < s->count; i++)
		disabled = hotcopy_link_volume(l, s->volumes[i].path, &number, err);
	hotcopy_link_close(l);
	return disabled == 0;
}

int
choose_provider(
    const struct settings *s, const char *failed, struct choice *out, struct err *err)
{
	struct choose_facts f = { .databases = "", .failed = failed };
	const struct settings_volume *v;
	struct err why = ERR_INIT;
	char databases[160] = "";

	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++)
		if (choose_kind_of(v->path) == CHOOSE_FILE)
			f.files++;
		else
			f.volumes++;
	f.has_vss = snapshot_provider_find("vss") != NULL;
	f.has_hotcopy = snapshot_provider_find("hotcopy") != NULL;
	f.forced = s->hotcopy.forced;
	f.flushed = s->hotcopy.flush && failed == NULL;
	if (f.has_hotcopy && failed != NULL && !is_there(s, &why)) {
		f.has_hotcopy = 0;
		f.no_hotcopy = why.text;
	}
	/* Asked only where it decides something. */
	if (f.has_hotcopy && !f.forced && !f.flushed &&
	    (failed != NULL || !f.has_vss || strcmp(s->provider, "hotcopy") == 0)) {
		f.writers_known = choose_databases(databases, sizeof(databases));
		f.databases = databases;
	}
	return choose(s->provider, &f, out, err);
}
