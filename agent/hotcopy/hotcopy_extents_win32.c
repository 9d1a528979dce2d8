#include "agent/hotcopy/hotcopy_extents_win32.h"

#include <winioctl.h>

#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define PIECES_MAX (1u << 20)

struct places {
	uint32_t cluster;
	const char *shown;
	struct hotcopy_extent *extent;
	unsigned count;
};

/*
 * An extent ends where the next begins; -1 is no place.
 * learn.microsoft.com/windows/win32/api/winioctl/ns-winioctl-retrieval_pointers_buffer
 */
static int
add(struct places *p, const RETRIEVAL_POINTERS_BUFFER *got, struct err *err)
{
	uint64_t vcn = (uint64_t)got->StartingVcn.QuadPart, next;
	struct hotcopy_extent *more;

	if (got->ExtentCount > PIECES_MAX - p->count)
		return err_set(
		    err, ERR_NOSPACE, "%s: its free space is in crumbs", p->shown);
	more = realloc(p->extent, (p->count + got->ExtentCount) * sizeof(*more));
	if (more == NULL)
		return err_set(err, ERR_NOMEM, "no memory for places on %s", p->shown);
	p->extent = more;
	for (DWORD i = 0; i < got->ExtentCount; i++, vcn = next) {
		next = (uint64_t)got->Extents[i].NextVcn.QuadPart;
		if (got->Extents[i].Lcn.QuadPart < 0 || next <= vcn)
			return err_set(err, ERR_UNSUPPORTED,
			    "%s: a file of ours is sparse or compressed", p->shown);
		more[p->count].offset =
		    (uint64_t)got->Extents[i].Lcn.QuadPart * p->cluster;
		more[p->count++].length = (next - vcn) * p->cluster;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct hotcopy_extent *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void
sort(struct places *p)
{
	unsigned n = 0;

	qsort(p->extent, p->count, sizeof(*p->extent), compare);
	for (unsigned i = 1; i < p->count; i++)
		if (p->extent[i].offset == p->extent[n].offset + p->extent[n].length)
			p->extent[n].length += p->extent[i].length;
		else
			p->extent[++n] = p->extent[i];
	p->count = n + 1;
}

static int
read_all(struct places *p, HANDLE file, struct err *err)
{
	STARTING_VCN_INPUT_BUFFER from = { 0 };
	union {
		RETRIEVAL_POINTERS_BUFFER b;
		uint8_t room[8192];
	} got;
	DWORD n, error;

	do {
		error = ERROR_SUCCESS;
		if (!DeviceIoControl(file, FSCTL_GET_RETRIEVAL_POINTERS, &from,
			sizeof(from), &got, sizeof(got), &n, NULL))
			error = GetLastError();
		if (error != ERROR_SUCCESS && error != ERROR_MORE_DATA)
			return winapi_err(err, error, "%s: where a file lies", p->shown);
		if (n < sizeof(got.b) || got.b.ExtentCount == 0 ||
		    got.b.ExtentCount >
			(sizeof(got) - sizeof(got.b)) / sizeof(got.b.Extents[0]) + 1)
			return err_set(
			    err, ERR_IO, "%s: a file of ours lies nowhere", p->shown);
		if (add(p, &got.b, err) != 0)
			return -1;
		from.StartingVcn = got.b.Extents[got.b.ExtentCount - 1].NextVcn;
	} while (error == ERROR_MORE_DATA);
	return 0;
}

int
hotcopy_extents(HANDLE file, uint32_t cluster, const char *shown,
    struct hotcopy_extent **out, unsigned *count, struct err *err)
{
	struct places p = { .cluster = cluster, .shown = shown };

	if (read_all(&p, file, err) != 0) {
		free(p.extent);
		return -1;
	}
	sort(&p);
	*out = p.extent;
	*count = p.count;
	return 0;
}
