/*
 * vss_com_parts_win32.h - what vss_com_win32.c and vss_writers_win32.c share.
 */
#ifndef AGENT_VSS_VSS_COM_PARTS_WIN32_H
#define AGENT_VSS_VSS_COM_PARTS_WIN32_H

#define COBJMACROS
#include <windows.h>
/* In this order. */
#include <vss.h>

#include <vswriter.h>

#include <vsbackup.h>

#include "agent/vss/vss_com.h"

struct vss_com_mount {
	char *path; /* "C:\mnt\data\" */
	char name[64];
};

struct vss_com {
	HMODULE dll;
	HRESULT(STDAPICALLTYPE *create)(IVssBackupComponents **out);
	void(APIENTRY *free_properties)(VSS_SNAPSHOT_PROP *prop);
	IVssBackupComponents *backup;
	IVssAsync *async;
	int has_metadata, has_status; /* FreeWriterMetadata(), FreeWriterStatus() due. */
	VSS_ID copies[VSS_VOLUMES_MAX];
	int64_t made; /* When the copy was made that device() was asked of: FILETIME. */
	struct {
		int plain; /* 1: no volume is mounted on it, -1: perhaps; 0: not known. */
		char name[64]; /* Of the volume. */
	} drives[26];
	/* Where volumes are mounted, once asked for. */
	struct vss_com_mount *mounts;
	unsigned mounts_count;
	int mounts_known;
	char last_path[512], last_volume[64]; /* The last path that was followed. */
};

/* Fill `out` from an interface that a writer's description is behind. */
vss_code vss_com_writer(void *arg, unsigned i, struct vss_writer *out);

/* A path with its variables filled in, room for a '\\' left behind it; -1: no path. */
int vss_com_expand(const char *path, wchar_t *out, size_t cap);

/* A BSTR as UTF-8, "" for NULL; frees it.  NULL: no memory. */
char *vss_com_text(BSTR text);

#endif /* AGENT_VSS_VSS_COM_PARTS_WIN32_H */
