#include "agent/hotcopy/hotcopy_forget.h"

#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

static int
forget(struct hotcopy_link *l, const char *path, struct err *err)
{
	struct hotcopy_volume v;
	uint64_t number;

	if (hotcopy_link_volume(l, path, &number, err) != 0 ||
	    hotcopy_find(l, number, &v, err) != 0)
		return -1;
	if (v.tracking == HOTCOPY_TRACK_OFF)
		return 0;
	return hotcopy_invalidate(l, number, err);
}

int
hotcopy_forget(const char *path, struct err *err)
{
	struct hotcopy_link *l = NULL;
	struct err why = ERR_INIT;
	int rc = hotcopy_link_open(path, &l, &why);

	if (rc == 0)
		rc = forget(l, path, &why);
	hotcopy_link_close(l);
	/* No driver, or not above it; and a tracking that ended meanwhile. */
	if (rc == 0 || why.code == ERR_UNSUPPORTED || why.code == ERR_NOTFOUND)
		return 0;
	*err = why;
	return err_context(err, "%s: its change tracking is not told", path);
}
