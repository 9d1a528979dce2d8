/*
 * What no driver that tracks changes sees written, and so no list of changes has:
 *
 *	bootstat.dat	The boot manager and each Windows' loader note there how a start
 *			went (www.geoffchappell.com/notes/windows/boot/bsd.htm).
 *	BCD		A boot sequence is taken out of it once it was used (BCDEdit
 *			/bootsequence), and it has logs as every hive.
 *	hiberfil.sys	Is written past the volume's drivers when the system goes to sleep.
 *	{...}		volsnap writes its catalogue and its copies, in files of these
 *			names, by their places and below whoever is above it, and in $Boot, at
 *			byte 7680, where the catalogue lies (libvshadow's description of the
 *			format).
 *
 * Told by names alone, in whatever directory: who has such a name costs reading.
 */
#include "agent/map/ntfs.h"

#include "agent/map/changes.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"

/* VSS keeps a difference area in {of the snapshot}{of VSS}: 38 characters each. */
static const char vss_guid[] = "{3808876b-c176-4e48-b7ae-04046e6cc752}";
#define GUID_LEN 38u

/* A volume has 512 shadow copies at most; each costs reads of a record and its list. */
#define FILES_MAX 1024u

int
ntfs_name_of_vss(const uint8_t *name, size_t units)
{
	if (units == GUID_LEN)
		return ntfs_name_is(name, units, vss_guid);
	return units == 2 * (size_t)GUID_LEN && load_le16(name) == '{' &&
		       load_le16(name + 2 * (GUID_LEN - 1)) == '}' &&
		       ntfs_name_is(name + 2 * GUID_LEN, GUID_LEN, vss_guid)
		   ? 2
		   : 0;
}

static int
is_unheard(const uint8_t *name, size_t units)
{
	static const char *const names[] = { "bootstat.dat", "bcd", "bcd.log", "bcd.log1",
		"bcd.log2", "hiberfil.sys", "$boot" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ntfs_name_is(name, units, names[i]))
			return 1;
	return ntfs_name_of_vss(name, units) != 0;
}

static int
has_such_name(const struct ntfs_record *r)
{
	struct ntfs_attr a;
	uint32_t at = r->attrs;

	while (ntfs_attr_next(r, &at, &a) == 1)
		if (a.type == NTFS_FILE_NAME && a.resident && a.value_len >= 66 &&
		    66 + 2u * a.value[64] <= a.value_len &&
		    is_unheard(a.value + 66, a.value[64]))
			return 1;
	return 0;
}

/* Of a file whose content cannot be followed: what this record alone tells of it. */
static void
add_runs(const struct ntfs *v, const struct ntfs_record *r)
{
	const uint64_t size = v->boot.cluster_size;
	uint32_t at = r->attrs;
	struct ntfs_attr a;
	struct ntfs_runs it;
	struct ntfs_run run;

	while (ntfs_attr_next(r, &at, &a) == 1) {
		if (a.type != NTFS_DATA || a.resident)
			continue;
		ntfs_runs_begin(&it, &a, v->boot.clusters);
		while (ntfs_runs_next(&it, &run) == 1)
			if (run.lcn != -1)
				changes_add(v->src->unheard, (uint64_t)run.lcn * size,
				    run.len * size);
	}
}

int
ntfs_unheard(const struct ntfs *v, struct ntfs_scan *s, uint32_t n,
    const struct ntfs_record *r, struct err *err)
{
	const uint64_t size = v->boot.cluster_size;
	struct ntfs_stream content;
	int got;

	if (s->unheard > FILES_MAX || !has_such_name(r))
		return 0;
	if (++s->unheard > FILES_MAX) {
		changes_add(v->src->unheard, 0, v->src->size);
		return 0;
	}
	got =
	    ntfs_stream_open(v, r->is_extension ? r->base : n, NTFS_DATA, &content, err);
	for (uint32_t i = 0; got == 1 && i < content.count; i++)
		changes_add(v->src->unheard, (uint64_t)content.run[i].lcn * size,
		    content.run[i].len * size);
	ntfs_stream_free(&content);
	/* A compressed or sparse one, say: who lists what changed knows as little of it. */
	if (got == 0)
		add_runs(v, r);
	return got == -1 ? -1 : 0;
}
