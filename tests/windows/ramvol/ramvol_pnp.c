#include "tests/windows/ramvol/ramvol_pnp.h"

/* Exported by every kernel, declared by no header of the kit. */
NTSYSAPI NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING name, ULONG attributes,
    PACCESS_STATE passed, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
    PVOID context, PVOID *object);
extern __declspec(dllimport) POBJECT_TYPE IoDriverObjectType;

static NTSTATUS NTAPI
completed(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS
ramvol_pnp_send(PDEVICE_OBJECT pdo, UCHAR minor)
{
	PDEVICE_OBJECT top = IoGetAttachedDeviceReference(pdo);
	PIRP irp = IoAllocateIrp(top->StackSize, FALSE);
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	PIO_STACK_LOCATION next;
	KEVENT end;

	if (irp != NULL) {
		KeInitializeEvent(&end, NotificationEvent, FALSE);
		next = IoGetNextIrpStackLocation(irp);
		next->MajorFunction = IRP_MJ_PNP;
		next->MinorFunction = minor;
		irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
		IoSetCompletionRoutine(irp, completed, &end, TRUE, TRUE, TRUE);
		IoCallDriver(top, irp);
		/* Our routine has run before the call returned, or will. */
		KeWaitForSingleObject(&end, Executive, KernelMode, FALSE, NULL);
		status = irp->IoStatus.Status;
		IoFreeIrp(irp);
	}
	ObDereferenceObject(top);
	return status;
}

NTSTATUS
ramvol_pnp_attach(PDEVICE_OBJECT pdo)
{
	UNICODE_STRING name;
	PVOID driver;
	NTSTATUS status;

	RtlInitUnicodeString(&name, L"\\Driver\\hotcopy");
	status = ObReferenceObjectByName(&name, OBJ_CASE_INSENSITIVE, NULL, 0,
	    IoDriverObjectType, KernelMode, NULL, &driver);
	if (!NT_SUCCESS(status))
		return status;
	status = ((PDRIVER_OBJECT)driver)->DriverExtension->AddDevice(driver, pdo);
	ObDereferenceObject(driver);
	if (!NT_SUCCESS(status))
		return status;
	return ramvol_pnp_send(pdo, IRP_MN_START_DEVICE);
}
