/* What shadow copies, providers and difference areas there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss_com_parts_win32.h"
/* After it. */
#include <vsmgmt.h>

#include "agent/disk/volumes.h"
#include "agent/vss/vss_slots.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define HOLD_AGAINST(interface, slot, method)                                        \
	_Static_assert(offsetof(interface##Vtbl, method) == (slot) * sizeof(void *), \
	    #interface "::" #method);
VSS_SLOTS_MGMT(HOLD_AGAINST)
VSS_SLOTS_DIFF(HOLD_AGAINST)
VSS_SLOTS_ENUM_MGMT(HOLD_AGAINST)

/* api/vsmgmt/nn-vsmgmt-ivsssnapshotmgmt; their numbers as in the SDK's vsmgmt.h. */
static const GUID snapshot_mgmt_class = { 0x0b5a2c52, 0x3eb9, 0x470a,
	{ 0x96, 0xe2, 0x6c, 0x6d, 0x45, 0x70, 0xe4, 0x0f } };
static const GUID snapshot_mgmt_id = { 0xfa7df749, 0x66e7, 0x4986,
	{ 0xa2, 0x7f, 0xe2, 0xf0, 0x4a, 0xe5, 0x37, 0x72 } };
static const GUID diff_mgmt_id = { 0x214a0f28, 0xb737, 0x4026,
	{ 0xb8, 0x47, 0x4f, 0x9e, 0x37, 0xd7, 0x95, 0x29 } };
/* Windows' own provider of copies. */
static const VSS_ID system_provider = { 0xb5946137, 0x7b9f, 0x4925,
	{ 0xaf, 0x80, 0x51, 0xab, 0xd6, 0x0b, 0x20, 0xd5 } };

static void
id_text(const VSS_ID *id, char out[39])
{
	struct vss_id same;

	memcpy(&same, id, sizeof(same));
	vss_id_text(&same, out);
}

static void
put(char *out, size_t cap, const wchar_t *text)
{
	char *utf8 = text != NULL ? winapi_utf8(text) : NULL;

	(void)snprintf(out, cap, "%s", utf8 != NULL ? utf8 : "");
	free(utf8);
}

int64_t
vss_com_time(int64_t filetime)
{
	return filetime / 10 - 11644473600000000;
}

/* Each object of a sort. */
static vss_code
each(struct vss_com *c, VSS_OBJECT_TYPE type, void (*fn)(void *arg, VSS_OBJECT_PROP *p),
    void *arg)
{
	static const VSS_ID none;
	IVssEnumObject *list = NULL;
	VSS_OBJECT_PROP prop;
	ULONG got = 1;
	HRESULT hr =
	    IVssBackupComponents_Query(c->backup, none, VSS_OBJECT_NONE, type, &list);

	if (hr == VSS_E_OBJECT_NOT_FOUND)
		return VSS_OK;
	while (SUCCEEDED(hr) && list != NULL) {
		memset(&prop, 0, sizeof(prop));
		got = 0;
		hr = IVssEnumObject_Next(list, 1, &prop, &got);
		if (FAILED(hr) || got == 0)
			break;
		fn(arg, &prop);
	}
	if (list != NULL)
		(void)IVssEnumObject_Release(list);
	return FAILED(hr) ? (vss_code)hr : VSS_OK;
}

/* Where a found object goes. */
struct sink {
	struct vss_com *c;
	void (*copy)(void *arg, const struct vss_report_copy *copy);
	void (*provider)(void *arg, const struct vss_report_provider *provider);
	void *arg;
};

static void
on_copy(void *arg, VSS_OBJECT_PROP *p)
{
	struct sink *s = arg;
	struct vss_report_copy out;

	memset(&out, 0, sizeof(out));
	id_text(&p->Obj.Snap.m_SnapshotId, out.id);
	put(out.volume, sizeof(out.volume), p->Obj.Snap.m_pwszOriginalVolumeName);
	out.made_us = vss_com_time(p->Obj.Snap.m_tsCreationTimestamp);
	out.attributes = (uint32_t)p->Obj.Snap.m_lSnapshotAttributes;
	s->c->free_properties(&p->Obj.Snap);
	s->copy(s->arg, &out);
}

static void
on_provider(void *arg, VSS_OBJECT_PROP *p)
{
	struct sink *s = arg;
	struct vss_report_provider out;

	memset(&out, 0, sizeof(out));
	id_text(&p->Obj.Prov.m_ProviderId, out.id);
	put(out.name, sizeof(out.name), p->Obj.Prov.m_pwszProviderName);
	put(out.version, sizeof(out.version), p->Obj.Prov.m_pwszProviderVersion);
	out.type = (int)p->Obj.Prov.m_eProviderType;
	CoTaskMemFree(p->Obj.Prov.m_pwszProviderName);
	CoTaskMemFree(p->Obj.Prov.m_pwszProviderVersion);
	s->provider(s->arg, &out);
}

vss_code
vss_com_copies(struct vss_com *c,
    void (*fn)(void *arg, const struct vss_report_copy *copy), void *arg)
{
	struct sink s = { .c = c, .copy = fn, .arg = arg };

	return each(c, VSS_OBJECT_SNAPSHOT, on_copy, &s);
}

vss_code
vss_com_providers(struct vss_com *c,
    void (*fn)(void *arg, const struct vss_report_provider *provider), void *arg)
{
	struct sink s = { .c = c, .provider = fn, .arg = arg };

	return each(c, VSS_OBJECT_PROVIDER, on_provider, &s);
}

/* ------------------------------------------------------------ difference areas -- */

static void
take_area(const VSS_DIFF_AREA_PROP *p, struct vss_report_area *out)
{
	ULARGE_INTEGER left, total;

	memset(out, 0, sizeof(*out));
	put(out->volume, sizeof(out->volume), p->m_pwszVolumeName);
	put(out->on, sizeof(out->on), p->m_pwszDiffAreaVolumeName);
	out->used = (uint64_t)p->m_llUsedDiffSpace;
	out->allocated = (uint64_t)p->m_llAllocatedDiffSpace;
	/* VSS_ASSOC_NO_MAX_SPACE is -1. */
	out->maximum = (uint64_t)p->m_llMaximumDiffSpace;
	out->free = UINT64_MAX;
	if (p->m_pwszDiffAreaVolumeName != NULL &&
	    GetDiskFreeSpaceExW(p->m_pwszDiffAreaVolumeName, &left, &total, NULL)) {
		out->free = left.QuadPart;
		out->total = total.QuadPart;
	}
}

static HRESULT
areas_of(IVssDifferentialSoftwareSnapshotMgmt *m, const char *volume,
    struct vss_report_area *out, unsigned cap, unsigned *count)
{
	wchar_t *name = winapi_wide(volume);
	IVssEnumMgmtObject *list = NULL;
	VSS_MGMT_OBJECT_PROP prop;
	ULONG got;
	HRESULT hr = E_OUTOFMEMORY;

	if (name != NULL)
		hr = IVssDifferentialSoftwareSnapshotMgmt_QueryDiffAreasForVolume(
		    m, name, &list);
	free(name);
	while (SUCCEEDED(hr) && list != NULL) {
		memset(&prop, 0, sizeof(prop));
		got = 0;
		hr = IVssEnumMgmtObject_Next(list, 1, &prop, &got);
		if (FAILED(hr) || got == 0)
			break;
		if (*count < cap)
			take_area(&prop.Obj.DiffArea, &out[(*count)++]);
		CoTaskMemFree(prop.Obj.DiffArea.m_pwszVolumeName);
		CoTaskMemFree(prop.Obj.DiffArea.m_pwszDiffAreaVolumeName);
	}
	if (list != NULL)
		(void)IVssEnumMgmtObject_Release(list);
	/* Volumes without any, or that can have none, are no trouble. */
	return hr == VSS_E_OBJECT_NOT_FOUND || hr == VSS_E_VOLUME_NOT_SUPPORTED ? S_OK
										: hr;
}

int
vss_com_areas(struct vss_report_area *out, unsigned cap, unsigned *count, struct err *err)
{
	IVssSnapshotMgmt *all = NULL;
	IUnknown *own = NULL;
	struct volumes *v = NULL;
	HRESULT hr;

	*count = 0;
	if (volumes_list(&v, err) != 0)
		return -1;
	hr = CoCreateInstance(
	    &snapshot_mgmt_class, NULL, CLSCTX_ALL, &snapshot_mgmt_id, (void **)&all);
	if (SUCCEEDED(hr))
		hr = IVssSnapshotMgmt_GetProviderMgmtInterface(
		    all, system_provider, &diff_mgmt_id, &own);
	/* One volume that has no answer (a drive without a medium) hides no other's. */
	for (unsigned i = 0; own != NULL && i < v->count; i++) {
		HRESULT one = areas_of((IVssDifferentialSoftwareSnapshotMgmt *)own,
		    v->volumes[i].guid, out, cap, count);

		if (FAILED(one) && v->volumes[i].fixed && v->volumes[i].fs[0] != '\0')
			hr = one;
	}
	if (own != NULL)
		(void)IUnknown_Release(own);
	if (all != NULL)
		(void)IVssSnapshotMgmt_Release(all);
	volumes_free(v);
	return SUCCEEDED(hr) ? 0 : vss_err(err, (vss_code)hr, "QueryDiffAreasForVolume");
}
