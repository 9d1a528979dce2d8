#include "agent/capture/choose.h"

#include <stdio.h>
#include <string.h>

#include "agent/capture/snapshot.h"
#include "agent/host/settings.h"
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
		return err_set(
		    err, ERR_UNSUPPORTED, "provider hotcopy: not in this build");
	if (f->forced)
		return take(out, "hotcopy", "forced");
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

	if (f->volumes == 0)
		return take(out, "offline", "");
	if (f->files > 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "plain files and volumes in one backup: no provider freezes both at "
		    "one instant; back them up apart");
	if (!f->has_vss)
		return err_set(err, ERR_UNSUPPORTED,
		    "nothing here freezes a volume that is in use: say --provider "
		    "offline if nobody writes it");
	if (!f->failed)
		return take(out, "vss", "");
	if (hotcopy(f, "vss failed", out, &why) == 0)
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

int
choose_provider(const struct settings *s, struct choice *out, struct err *err)
{
	struct choose_facts f = { .databases = "" };
	const struct settings_volume *v;

	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++)
		if (choose_kind_of(v->path) == CHOOSE_FILE)
			f.files++;
		else
			f.volumes++;
	f.has_vss = snapshot_provider_find("vss") != NULL;
	f.has_hotcopy = snapshot_provider_find("hotcopy") != NULL;
	return choose(s->provider, &f, out, err);
}
