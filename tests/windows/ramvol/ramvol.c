#include "tests/windows/ramvol/ramvol.h"

#include <ntddk.h>
#include <ntdddisk.h>

#include "tests/windows/ramvol/ramvol_pnp.h"

/* A volume: requests are queued for its thread, so that every one is pended. */
struct ramvol {
	PUCHAR memory; /* NULL: the control device */
	LIST_ENTRY requests;
	KSPIN_LOCK lock; /* of requests */
	KEVENT wake;
};

static PDEVICE_OBJECT volumes[RAMVOL_COUNT];

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS
finish(PIRP irp, NTSTATUS status, ULONG_PTR bytes)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = bytes;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

static void
transfer(struct ramvol *v, PIRP irp)
{
	PIO_STACK_LOCATION s = IoGetCurrentIrpStackLocation(irp);
	ULONGLONG offset = (ULONGLONG)s->Parameters.Read.ByteOffset.QuadPart;
	ULONG length = s->Parameters.Read.Length;
	PUCHAR bytes = NULL;

	if (irp->MdlAddress != NULL)
		bytes = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
	if (offset > RAMVOL_BYTES || length > RAMVOL_BYTES - offset) {
		finish(irp, STATUS_INVALID_PARAMETER, 0);
	} else if (bytes == NULL && length > 0) {
		finish(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	} else {
		if (s->MajorFunction == IRP_MJ_READ)
			RtlCopyMemory(bytes, v->memory + offset, length);
		else
			RtlCopyMemory(v->memory + offset, bytes, length);
		finish(irp, STATUS_SUCCESS, length);
	}
}

static VOID NTAPI
work(PVOID context)
{
	struct ramvol *v = context;
	PLIST_ENTRY entry;
	KIRQL irql;

	for (;;) {
		entry = NULL;
		KeAcquireSpinLock(&v->lock, &irql);
		if (!IsListEmpty(&v->requests))
			entry = RemoveHeadList(&v->requests);
		KeReleaseSpinLock(&v->lock, irql);
		if (entry == NULL)
			KeWaitForSingleObject(
			    &v->wake, Executive, KernelMode, FALSE, NULL);
		else
			transfer(
			    v, CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry));
	}
}

static NTSTATUS NTAPI
read_or_write(PDEVICE_OBJECT device, PIRP irp)
{
	struct ramvol *v = device->DeviceExtension;
	KIRQL irql;

	if (v->memory == NULL)
		return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	IoMarkIrpPending(irp);
	KeAcquireSpinLock(&v->lock, &irql);
	InsertTailList(&v->requests, &irp->Tail.Overlay.ListEntry);
	KeReleaseSpinLock(&v->lock, irql);
	KeSetEvent(&v->wake, IO_NO_INCREMENT, FALSE);
	return STATUS_PENDING;
}

/* \\.\RamVolCtl. */
static NTSTATUS
control(PIRP irp, PIO_STACK_LOCATION s)
{
	ULONG code = s->Parameters.DeviceIoControl.IoControlCode;
	NTSTATUS status = STATUS_INVALID_DEVICE_REQUEST;
	ULONG i;

	if (code == RAMVOL_ATTACH) {
		status = STATUS_SUCCESS;
		for (i = 0; i < RAMVOL_COUNT && NT_SUCCESS(status); i++)
			status = ramvol_pnp_attach(volumes[i]);
	} else if (code == RAMVOL_REMOVE || code == RAMVOL_SURPRISE) {
		if (s->Parameters.DeviceIoControl.InputBufferLength != sizeof i)
			return finish(irp, STATUS_INVALID_PARAMETER, 0);
		i = *(const ULONG *)irp->AssociatedIrp.SystemBuffer;
		if (i >= RAMVOL_COUNT)
			return finish(irp, STATUS_INVALID_PARAMETER, 0);
		if (code == RAMVOL_SURPRISE)
			ramvol_pnp_send(volumes[i], IRP_MN_SURPRISE_REMOVAL);
		status = ramvol_pnp_send(volumes[i], IRP_MN_REMOVE_DEVICE);
	}
	return finish(irp, status, 0);
}

static NTSTATUS NTAPI
device_control(PDEVICE_OBJECT device, PIRP irp)
{
	const struct ramvol *v = device->DeviceExtension;
	PIO_STACK_LOCATION s = IoGetCurrentIrpStackLocation(irp);
	ULONG room = s->Parameters.DeviceIoControl.OutputBufferLength;
	PVOID out = irp->AssociatedIrp.SystemBuffer;
	GET_LENGTH_INFORMATION *length = out;
	DISK_GEOMETRY *geometry = out;

	if (v->memory == NULL)
		return control(irp, s);
	switch (s->Parameters.DeviceIoControl.IoControlCode) {
	case IOCTL_DISK_GET_LENGTH_INFO:
		if (room < sizeof *length)
			return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
		length->Length.QuadPart = RAMVOL_BYTES;
		return finish(irp, STATUS_SUCCESS, sizeof *length);
	case IOCTL_DISK_GET_DRIVE_GEOMETRY:
		if (room < sizeof *geometry)
			return finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
		geometry->MediaType = FixedMedia;
		geometry->BytesPerSector = RAMVOL_SECTOR;
		geometry->SectorsPerTrack = 32;
		geometry->TracksPerCylinder = 64;
		geometry->Cylinders.QuadPart = RAMVOL_BYTES / RAMVOL_SECTOR / (32 * 64);
		return finish(irp, STATUS_SUCCESS, sizeof *geometry);
	default:
		return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

static NTSTATUS NTAPI
succeed(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	return finish(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS
start_volume(struct ramvol *v)
{
	OBJECT_ATTRIBUTES attributes;
	HANDLE thread;
	NTSTATUS status;

	v->memory = ExAllocatePoolWithTag(NonPagedPool, RAMVOL_BYTES, 'VmaR');
	if (v->memory == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	RtlZeroMemory(v->memory, RAMVOL_BYTES);
	InitializeListHead(&v->requests);
	KeInitializeSpinLock(&v->lock);
	KeInitializeEvent(&v->wake, SynchronizationEvent, FALSE);
	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	status = PsCreateSystemThread(
	    &thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, work, v);
	if (NT_SUCCESS(status))
		ZwClose(thread);
	return status;
}

/* Never unloaded: the machine of a test ends whole. */
NTSTATUS NTAPI
DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING key)
{
	static const WCHAR *const names[RAMVOL_COUNT + 1] = { L"\\Device\\RamVol0",
		L"\\Device\\RamVol1", L"\\Device\\RamVolCtl" };
	static const WCHAR *const links[RAMVOL_COUNT + 1] = { L"\\DosDevices\\RamVol0",
		L"\\DosDevices\\RamVol1", L"\\DosDevices\\RamVolCtl" };
	/* As drives, for what knows a volume by its letter. */
	static const WCHAR *const drives[RAMVOL_COUNT] = { L"\\DosDevices\\V:",
		L"\\DosDevices\\W:" };
	UNICODE_STRING name, link, drive;
	PDEVICE_OBJECT device;
	NTSTATUS status;
	ULONG i;

	(void)key;
	for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
		driver->MajorFunction[i] = succeed;
	driver->MajorFunction[IRP_MJ_READ] = read_or_write;
	driver->MajorFunction[IRP_MJ_WRITE] = read_or_write;
	driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = device_control;
	for (i = 0; i <= RAMVOL_COUNT; i++) {
		RtlInitUnicodeString(&name, names[i]);
		RtlInitUnicodeString(&link, links[i]);
		status = IoCreateDevice(driver, sizeof(struct ramvol), &name,
		    FILE_DEVICE_DISK, 0, FALSE, &device);
		if (NT_SUCCESS(status))
			status = IoCreateSymbolicLink(&link, &name);
		if (NT_SUCCESS(status) && i < RAMVOL_COUNT) {
			RtlInitUnicodeString(&drive, drives[i]);
			status = IoCreateSymbolicLink(&drive, &name);
		}
		if (NT_SUCCESS(status) && i < RAMVOL_COUNT) {
			volumes[i] = device;
			status = start_volume(device->DeviceExtension);
		}
		if (!NT_SUCCESS(status))
			return status;
		device->Flags |= DO_DIRECT_IO;
		device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
	}
	return STATUS_SUCCESS;
}
