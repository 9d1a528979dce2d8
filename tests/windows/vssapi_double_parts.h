/*
 * vssapi_double_parts.h - between the double's files: objects, and the rules' judge.
 */
#ifndef TESTS_WINDOWS_VSSAPI_DOUBLE_PARTS_H
#define TESTS_WINDOWS_VSSAPI_DOUBLE_PARTS_H

#include <windows.h>

#include <oleauto.h>
/* Structures alone; every table of methods is made from vss_slots.h's numbers. */
#include <vss.h>

#include <vswriter.h>

#include "agent/vss/vss_slots.h"
#include "tests/windows/vssapi_double.h"

typedef void (*vssd_slot)(void);

/* api/vsbackup/ns-vsbackup-vss_componentinfo */
struct vssd_info {
	VSS_COMPONENT_TYPE type;
	BSTR logical_path, name, caption;
	BYTE *icon;
	UINT icon_len;
	BYTE restore_metadata, notify, selectable, selectable_for_restore; /* bool */
	DWORD flags;
	UINT files, databases, logs, dependencies;
};
_Static_assert(sizeof(struct vssd_info) == 72, "VSS_COMPONENTINFO");

#define VSSD_NUMBER(interface, slot, method) SLOT_##interface##_##method = (slot),
enum {
	VSS_SLOTS_BACKUP(VSSD_NUMBER) VSS_SLOTS_EXAMINE(VSSD_NUMBER)
	    VSS_SLOTS_COMPONENT(VSSD_NUMBER) VSS_SLOTS_FILEDESC(VSSD_NUMBER)
		VSS_SLOTS_ASYNC(VSSD_NUMBER) VSS_SLOTS_ENUM(VSSD_NUMBER) VSSD_SLOTS_END
};

/* Put `fn` where the documentation has the method. */
#define VSSD_PUT(table, interface, method, fn) \
	((table)[SLOT_##interface##_##method] = (vssd_slot)(fn))

/* Count and log a call; what it is to answer if it is not to do anything. */
HRESULT vssd_enter(const char *name);

/* A rule of `page` was broken unless `holds`; returns !holds. */
int vssd_broken(int holds, const char *page, const char *rule);

extern struct vssd_ledger vssd;

/* Every table begins so; unknown places are answered by a broken rule. */
void vssd_table(vssd_slot *table, size_t n, ULONG(WINAPI *release)(void *));

/* The writers (vssapi_double_writers.c). */
#define VSSD_WRITERS 2
HRESULT vssd_writer(unsigned i, VSS_ID *instance, void **out);
const VSS_ID *vssd_writer_instance(unsigned i);
const VSS_ID *vssd_writer_class(unsigned i);
const wchar_t *vssd_writer_name(unsigned i);
int vssd_has_component(const VSS_ID *instance, const wchar_t *path, const wchar_t *name,
    int *may_be_explicit);

#endif /* TESTS_WINDOWS_VSSAPI_DOUBLE_PARTS_H */
