#include "driver/tools/pin.h"

#include <winioctl.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/tools/name.h"
#include "driver/tools/say.h"

#ifndef MARK_HANDLE_PROTECT_CLUSTERS
#define MARK_HANDLE_PROTECT_CLUSTERS 1
#endif

/* The volume that holds the file, as NTFS, and its bytes a cluster. */
static int
find_volume(struct pin *p, const wchar_t *file, uint32_t *cluster)
{
	wchar_t root[512], volume[512], system[32];
	DWORD sectors, bytes, free_clusters, clusters;

	if (!GetVolumePathNameW(file, root, 512) ||
	    !GetVolumeNameForVolumeMountPointW(root, volume, 512))
		return say_os_error(GetLastError(), L"%ls: on which volume?", file);
	if (!GetVolumeInformationW(root, NULL, 0, NULL, NULL, NULL, system, 32) ||
	    !GetDiskFreeSpaceW(root, &sectors, &bytes, &free_clusters, &clusters))
		return say_os_error(GetLastError(), L"%ls", root);
	if (wcscmp(system, L"NTFS") != 0)
		return say_error(
		    L"%ls: on %ls, not on NTFS: its place on the volume is not known",
		    file, system);
	*cluster = sectors * bytes;
	return name_path(volume, p->path);
}

static int
make_length(HANDLE file, uint64_t length)
{
	LARGE_INTEGER to;

	to.QuadPart = (LONGLONG)length;
	return SetFilePointerEx(file, to, NULL, FILE_BEGIN) && SetEndOfFile(file) ? 0
										  : -1;
}

static int
add_extents(struct pin *p, const RETRIEVAL_POINTERS_BUFFER *got, uint32_t cluster)
{
	uint64_t vcn = (uint64_t)got->StartingVcn.QuadPart, next;
	struct hotcopy_extent *more;
	DWORD i;

	more = realloc(p->extent, (p->extents + got->ExtentCount) * sizeof *more);
	if (more == NULL)
		return say_error(L"no memory for %u extents", p->extents);
	p->extent = more;
	for (i = 0; i < got->ExtentCount; i++, vcn = next) {
		next = (uint64_t)got->Extents[i].NextVcn.QuadPart;
		if (got->Extents[i].Lcn.QuadPart == -1)
			return say_error(L"the file is sparse or compressed: it has no "
					 L"place of its own");
		more[p->extents].offset =
		    (uint64_t)got->Extents[i].Lcn.QuadPart * cluster;
		more[p->extents++].length = (next - vcn) * cluster;
	}
	return 0;
}

static int
read_extents(struct pin *p, const wchar_t *name, uint32_t cluster)
{
	STARTING_VCN_INPUT_BUFFER from = { 0 };
	union {
		RETRIEVAL_POINTERS_BUFFER b;
		uint8_t room[8192];
	} got;
	DWORD n, error;

	do {
		error = ERROR_SUCCESS;
		if (!DeviceIoControl(p->file, FSCTL_GET_RETRIEVAL_POINTERS, &from,
			sizeof from, &got, sizeof got, &n, NULL))
			error = GetLastError();
		if (error != ERROR_SUCCESS && error != ERROR_MORE_DATA)
			return say_os_error(
			    error, L"%ls: where it lies is not told", name);
		if (n < sizeof got.b - sizeof got.b.Extents || got.b.ExtentCount == 0)
			return say_error(L"%ls: it has no clusters", name);
		if (add_extents(p, &got.b, cluster) != 0)
			return -1;
		from.StartingVcn = got.b.Extents[got.b.ExtentCount - 1].NextVcn;
	} while (error == ERROR_MORE_DATA);
	return 0;
}

int
pin_open(struct pin *p, const wchar_t *file, uint64_t make, bool keep)
{
	MARK_HANDLE_INFO mark = { 0 };
	uint32_t cluster;
	DWORD n;

	memset(p, 0, sizeof *p);
	if (find_volume(p, file, &cluster) != 0)
		return -1;
	p->file = CreateFileW(file,
	    GENERIC_READ | GENERIC_WRITE | (make > 0 && !keep ? DELETE : 0), 0, NULL,
	    make > 0 ? CREATE_NEW : OPEN_EXISTING,
	    make > 0 && !keep ? FILE_FLAG_DELETE_ON_CLOSE : 0, NULL);
	if (p->file == INVALID_HANDLE_VALUE) {
		p->file = NULL;
		return say_os_error(GetLastError(), L"%ls", file);
	}
	if (make > 0 && make_length(p->file, make) != 0)
		return say_os_error(GetLastError(), L"%ls: %I64u bytes", file, make);
	p->volume = CreateFileW(p->path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
	    NULL, OPEN_EXISTING, 0, NULL);
	if (p->volume == INVALID_HANDLE_VALUE) {
		p->volume = NULL;
		return say_os_error(GetLastError(), L"%ls", p->path);
	}
	/* First pinned, then asked: else it could move in between. */
	mark.VolumeHandle = p->volume;
	mark.HandleInfo = MARK_HANDLE_PROTECT_CLUSTERS;
	if (!DeviceIoControl(
		p->file, FSCTL_MARK_HANDLE, &mark, sizeof mark, NULL, 0, &n, NULL))
		return say_os_error(GetLastError(), L"%ls: cannot be pinned", file);
	return read_extents(p, file, cluster);
}

void
pin_close(struct pin *p)
{
	if (p->file != NULL)
		CloseHandle(p->file);
	if (p->volume != NULL)
		CloseHandle(p->volume);
	free(p->extent);
	memset(p, 0, sizeof *p);
}
