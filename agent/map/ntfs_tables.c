#include "agent/map/ntfs_tables.h"

#include "agent/map/ntfs.h"
#include "agent/map/volmap.h"
#include "proto/base/err.h"

static int
tell(const struct ntfs *v, const struct ntfs_stream *s,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	const uint64_t size = v->boot.cluster_size;

	for (uint32_t i = 0; i < s->count; i++)
		if (each(arg, (uint64_t)s->run[i].lcn * size, s->run[i].len * size) != 0)
			return err_set(err, ERR_NOMEM, "no memory for a list of tables");
	return 1;
}

static int
tell_all(const struct ntfs *v, int (*each)(void *arg, uint64_t offset, uint64_t len),
    void *arg, struct err *err)
{
	static const uint64_t records[] = { NTFS_LOGFILE, NTFS_BITMAP };
	struct ntfs_stream s;
	int got = tell(v, &v->mft, each, arg, err);

	for (unsigned i = 0; i < 2 && got == 1; i++) {
		if ((got = ntfs_stream_open(v, records[i], NTFS_DATA, &s, err)) != 1)
			return got;
		got = tell(v, &s, each, arg, err);
		ntfs_stream_free(&s);
	}
	return got;
}

int
ntfs_tables(const struct volmap_source *src,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	struct ntfs v = { .src = src };
	const char *why;
	int got;

	if ((got = ntfs_boot_read(src, &v.boot, &why, err)) != 1)
		return got;
	if ((got = ntfs_mft_open(&v, err)) == 1)
		got = tell_all(&v, each, arg, err);
	ntfs_stream_free(&v.mft);
	return got;
}
