#include "agent/map/ntfs.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/metacache.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Windows makes at most 64 MiB of log by itself; what is larger is not believed. */
#define LOG_MAX (256u << 20)
#define PAGE_MAX 65536u

/*
 * Offset	Size	Restart page ("RSTR"), of which there are two
 * 16		4	bytes a page of the system that wrote it
 * 24		2	where the restart area begins
 * 28		2	major version: 2 stands in a log only while it is in use
 *
 * Restart area
 * 0		8	current LSN
 * 12		2	head of the list of clients in use; 0xffff: none
 * 14		2	2: the volume was left clean
 */
struct restart {
	uint64_t lsn;
	int clean;
};

static int
restart_parse(uint8_t *p, uint32_t len, struct restart *out)
{
	uint32_t area = load_le16(p + 24);

	if (memcmp(p, "RSTR", 4) != 0 || load_le32(p + 16) != len ||
	    load_le16(p + 28) != 1 || !ntfs_fixup(p, len))
		return 0;
	if (area % 8 != 0 || area < 30 || area > len - 48)
		return 0;
	out->lsn = load_le64(p + area);
	out->clean =
	    load_le16(p + area + 12) == 0xffff || (load_le16(p + area + 14) & 2) != 0;
	return 1;
}

/* So many bytes of the log, of `most`, are known to be ones without being read. */
static size_t
known_ones(const struct ntfs *v, const struct ntfs_stream *log, uint64_t at, size_t most)
{
	uint64_t offset, room;

	if (v->src->metacache == NULL || !ntfs_stream_place(v, log, at, &offset, &room))
		return 0;
	return metacache_ones(
	    v->src->metacache, offset, room < most ? (size_t)room : most);
}

/* A log filled with ones was made so by a formatter or by Linux: nothing is pending. */
static int
all_ones(
    const struct ntfs *v, const struct ntfs_stream *log, uint8_t *page, struct err *err)
{
	uint64_t at = 0;
	size_t n, most;
	int got;

	for (; at < log->size; at += n) {
		most = log->size - at < PAGE_MAX ? (size_t)(log->size - at) : PAGE_MAX;
		if ((n = known_ones(v, log, at, most)) > 0)
			continue;
		n = most;
		if ((got = ntfs_stream_read(v, log, at, page, n, err)) != 1)
			return got;
		if (page[0] != 0xff || memcmp(page, page + 1, n - 1) != 0)
			return 0;
	}
	return 1;
}

static int
clean(const struct ntfs *v, const struct ntfs_stream *log, uint8_t *page, struct err *err)
{
	struct restart restart[2];
	uint32_t len;
	int got;

	if (log->size < 2 * 512 || log->size > LOG_MAX)
		return 0;
	if ((got = ntfs_stream_read(v, log, 0, page, 512, err)) != 1)
		return got;
	if (load_le32(page) == 0xffffffff)
		return all_ones(v, log, page, err);
	len = load_le32(page + 16);
	if (len < 512 || len > PAGE_MAX || (len & (len - 1)) != 0)
		return 0;
	for (uint32_t i = 0; i < 2; i++) {
		if ((got = ntfs_stream_read(v, log, (uint64_t)i * len, page, len, err)) !=
		    1)
			return got;
		if (!restart_parse(page, len, &restart[i]))
			return 0;
	}
	/* As new as each other: neither may be the one that counts. */
	if (restart[0].lsn == restart[1].lsn)
		return restart[0].clean && restart[1].clean;
	return restart[restart[1].lsn > restart[0].lsn].clean;
}

int
ntfs_log_clean(const struct ntfs *v, struct err *err)
{
	struct ntfs_stream log;
	uint8_t *page;
	int got;

	if ((got = ntfs_stream_open(v, NTFS_LOGFILE, NTFS_DATA, &log, err)) != 1)
		return got;
	if ((page = malloc(PAGE_MAX)) == NULL)
		got = err_set(err, ERR_NOMEM, "no memory for a page of the log");
	else
		got = clean(v, &log, page, err);
	free(page);
	ntfs_stream_free(&log);
	return got;
}
