/* shim_mdl.c - MDLs.  All memory here is always mapped; what counts is who says so. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

static PVOID
start(PVOID va)
{
	return (PVOID)((ULONG_PTR)va & ~(ULONG_PTR)(PAGE_SIZE - 1));
}

void
shim_mdl_set(PMDL mdl, PVOID va, ULONG bytes)
{
	memset(mdl, 0, sizeof(*mdl));
	mdl->StartVa = start(va);
	mdl->ByteOffset = (ULONG)((ULONG_PTR)va & (PAGE_SIZE - 1));
	mdl->ByteCount = bytes;
}

PMDL
IoAllocateMdl(PVOID va, ULONG bytes, BOOLEAN secondary, BOOLEAN quota, PIRP irp)
{
	PMDL mdl, last;

	(void)quota;
	shim_irql_at_most(DISPATCH_LEVEL, "IoAllocateMdl");
	if (shim_fail_now())
		return NULL;
	mdl = malloc(sizeof(*mdl));
	if (mdl == NULL)
		abort();
	shim_mdl_set(mdl, va, bytes);
	shim_took(SHIM_MDL, 1);
	if (irp == NULL)
		return mdl;
	if (!secondary) {
		irp->MdlAddress = mdl;
		return mdl;
	}
	for (last = irp->MdlAddress; last->Next != NULL; last = last->Next)
		;
	last->Next = mdl;
	return mdl;
}

VOID
MmPrepareMdlForReuse(PMDL mdl)
{
	if ((mdl->MdlFlags & MDL_PARTIAL) && mdl->shim_parent != NULL) {
		__atomic_sub_fetch(&mdl->shim_parent->shim_parts, 1, __ATOMIC_RELAXED);
		mdl->shim_parent = NULL;
	}
	mdl->MdlFlags &= ~MDL_MAPPED_TO_SYSTEM_VA;
	mdl->MappedSystemVa = NULL;
}

VOID
IoFreeMdl(PMDL mdl)
{
	shim_irql_at_most(DISPATCH_LEVEL, "IoFreeMdl");
	MmPrepareMdlForReuse(mdl);
	if (mdl->MdlFlags & MDL_PAGES_LOCKED)
		shim_bugcheck("an MDL is freed whose pages are locked");
	if (__atomic_load_n(&mdl->shim_parts, __ATOMIC_RELAXED) != 0)
		shim_bugcheck("an MDL is freed that partial ones lean on");
	shim_took(SHIM_MDL, -1);
	free(mdl);
}

VOID
MmBuildMdlForNonPagedPool(PMDL mdl)
{
	shim_irql_at_most(DISPATCH_LEVEL, "MmBuildMdlForNonPagedPool");
	mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
	mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
}

VOID
IoBuildPartialMdl(PMDL source, PMDL target, PVOID va, ULONG bytes)
{
	char *from = MmGetMdlVirtualAddress(source);

	if ((char *)va < from || (char *)va + bytes > from + source->ByteCount)
		shim_bugcheck("IoBuildPartialMdl beyond its source");
	MmPrepareMdlForReuse(target);
	shim_mdl_set(target, va, bytes == 0 ? source->ByteCount : bytes);
	target->MdlFlags = MDL_PARTIAL;
	target->shim_parent = source;
	__atomic_add_fetch(&source->shim_parts, 1, __ATOMIC_RELAXED);
}

VOID
MmUnlockPages(PMDL mdl)
{
	shim_irql_at_most(DISPATCH_LEVEL, "MmUnlockPages");
	if ((mdl->MdlFlags & MDL_PAGES_LOCKED) == 0)
		shim_bugcheck("MmUnlockPages of pages that are not locked");
	mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA);
	mdl->MappedSystemVa = NULL;
}

PVOID
MmGetSystemAddressForMdlSafe(PMDL mdl, ULONG priority)
{
	(void)priority;
	shim_irql_at_most(DISPATCH_LEVEL, "MmGetSystemAddressForMdlSafe");
	if (mdl->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA))
		return mdl->MappedSystemVa;
	if ((mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL)) == 0)
		shim_bugcheck("an MDL is mapped whose pages are not locked");
	if (shim_fail_now())
		return NULL;
	mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
	mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
	return mdl->MappedSystemVa;
}
