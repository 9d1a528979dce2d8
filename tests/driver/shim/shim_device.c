/* shim_device.c - drivers, devices, stacks, names, shutdown. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

#define DEVICE_MAGIC 0x44455643u
#define DEVICES_MAX 64
#define ROUTINES_MAX 8

struct link {
	WCHAR *name;
	PDEVICE_OBJECT device;
};
struct reinit {
	PDRIVER_OBJECT driver;
	PDRIVER_REINITIALIZE routine;
	PVOID context;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PDEVICE_OBJECT devices[DEVICES_MAX];
static struct link links[DEVICES_MAX];
static struct reinit reinits[ROUTINES_MAX];
static LONG reinit_count;

static WCHAR *
copy(PCWSTR s, size_t bytes)
{
	WCHAR *c = calloc(1, bytes + sizeof(WCHAR));

	if (c == NULL)
		abort();
	memcpy(c, s, bytes);
	return c;
}

static bool
same(PCWSTR a, PCWSTR b)
{
	UNICODE_STRING x, y;

	RtlInitUnicodeString(&x, a);
	RtlInitUnicodeString(&y, b);
	return RtlEqualUnicodeString(&x, &y, TRUE);
}

bool
shim_device_is(const void *object)
{
	bool is = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < DEVICES_MAX && !is; i++)
		is = devices[i] == object;
	pthread_mutex_unlock(&lock);
	return is;
}

void
shim_driver_init(PDRIVER_OBJECT driver, PUNICODE_STRING service)
{
	memset(driver, 0, sizeof(*driver));
	driver->DriverExtension = &driver->shim_extension;
	driver->shim_extension.DriverObject = driver;
	if (service != NULL)
		driver->shim_extension.ServiceKeyName = *service;
}

static PDEVICE_OBJECT
find(PCWSTR name)
{
	for (int i = 0; i < DEVICES_MAX; i++)
		if (links[i].device != NULL && same(links[i].name, name))
			return links[i].device;
	for (int i = 0; i < DEVICES_MAX; i++)
		if (devices[i] != NULL && !devices[i]->shim.deleted &&
		    devices[i]->shim.name.Buffer != NULL &&
		    same(devices[i]->shim.name.Buffer, name))
			return devices[i];
	return NULL;
}

PDEVICE_OBJECT
shim_device_by_name(const WCHAR *name)
{
	PDEVICE_OBJECT d;

	pthread_mutex_lock(&lock);
	d = find(name);
	pthread_mutex_unlock(&lock);
	return d;
}

NTSTATUS
IoCreateDevice(PDRIVER_OBJECT driver, ULONG extension, PUNICODE_STRING name,
    DEVICE_TYPE type, ULONG characteristics, BOOLEAN exclusive, PDEVICE_OBJECT *out)
{
	PDEVICE_OBJECT d;
	int place = -1;

	(void)exclusive;
	shim_irql_at_most(APC_LEVEL, "IoCreateDevice");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	if (name != NULL && shim_device_by_name(name->Buffer) != NULL)
		return STATUS_OBJECT_NAME_COLLISION;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		abort();
	d->DriverObject = driver;
	d->StackSize = 1;
	d->DeviceType = type;
	d->SectorSize = 512;
	d->Characteristics = characteristics;
	d->Flags = DO_DEVICE_INITIALIZING;
	/* Zeroed, as the documentation promises. */
	d->DeviceExtension = extension > 0 ? calloc(1, extension) : NULL;
	d->shim.magic = DEVICE_MAGIC;
	d->shim.references = 1;
	if (name != NULL) {
		d->shim.name = *name;
		d->shim.name.Buffer = copy(name->Buffer, name->Length);
	}
	pthread_mutex_lock(&lock);
	d->NextDevice = driver->DeviceObject;
	driver->DeviceObject = d;
	for (int i = 0; i < DEVICES_MAX && place < 0; i++)
		if (devices[i] == NULL)
			place = i;
	if (place < 0)
		shim_bugcheck("more than %d devices", DEVICES_MAX);
	devices[place] = d;
	pthread_mutex_unlock(&lock);
	shim_took(SHIM_DEVICE, 1);
	*out = d;
	return STATUS_SUCCESS;
}

static void
device_free(PDEVICE_OBJECT d)
{
	PDEVICE_OBJECT *at = &d->DriverObject->DeviceObject;

	pthread_mutex_lock(&lock);
	while (*at != NULL && *at != d)
		at = &(*at)->NextDevice;
	if (*at != NULL)
		*at = d->NextDevice;
	for (int i = 0; i < DEVICES_MAX; i++)
		if (devices[i] == d)
			devices[i] = NULL;
	pthread_mutex_unlock(&lock);
	shim_took(SHIM_DEVICE, -1);
	free(d->shim.name.Buffer);
	free(d->DeviceExtension);
	memset(d, 0xdd, sizeof(*d));
	free(d);
}

void
shim_device_hold(PDEVICE_OBJECT d)
{
	__atomic_add_fetch(&d->shim.references, 1, __ATOMIC_RELAXED);
}

void
shim_device_release(PDEVICE_OBJECT d)
{
	if (__atomic_sub_fetch(&d->shim.references, 1, __ATOMIC_ACQ_REL) == 0)
		device_free(d);
}

VOID
IoDeleteDevice(PDEVICE_OBJECT d)
{
	shim_irql_at_most(APC_LEVEL, "IoDeleteDevice");
	if (!shim_device_is(d))
		shim_bugcheck("IoDeleteDevice of what is no device");
	if (__atomic_exchange_n(&d->shim.deleted, 1, __ATOMIC_RELAXED) != 0)
		shim_bugcheck("a device is deleted twice");
	if (d->AttachedDevice != NULL)
		shim_bugcheck("a device is deleted that another is attached to");
	if (d->shim.below != NULL)
		shim_bugcheck("a device is deleted before it was detached");
	if (d->shim.shutdowns != 0)
		shim_bugcheck(
		    "a device is deleted that waits to be told of the shutdown");
	shim_device_release(d);
}

/* ---- Stacks ---- */
PDEVICE_OBJECT
shim_device_top(PDEVICE_OBJECT d)
{
	PDEVICE_OBJECT above;

	while ((above = __atomic_load_n(&d->AttachedDevice, __ATOMIC_ACQUIRE)) != NULL)
		d = above;
	return d;
}

PDEVICE_OBJECT
IoGetAttachedDeviceReference(PDEVICE_OBJECT device)
{
	PDEVICE_OBJECT top;

	pthread_mutex_lock(&lock);
	top = shim_device_top(device);
	shim_device_hold(top);
	pthread_mutex_unlock(&lock);
	return top;
}

PDEVICE_OBJECT
IoAttachDeviceToDeviceStack(PDEVICE_OBJECT source, PDEVICE_OBJECT target)
{
	PDEVICE_OBJECT top;

	shim_irql_at_most(DISPATCH_LEVEL, "IoAttachDeviceToDeviceStack");
	if (shim_fail_now())
		return NULL;
	pthread_mutex_lock(&lock);
	top = shim_device_top(target);
	source->StackSize = (CCHAR)(top->StackSize + 1);
	source->AlignmentRequirement = top->AlignmentRequirement;
	source->SectorSize = top->SectorSize;
	source->shim.below = top;
	__atomic_store_n(&top->AttachedDevice, source, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return top;
}

NTSTATUS
IoAttachDeviceToDeviceStackSafe(
    PDEVICE_OBJECT source, PDEVICE_OBJECT target, PDEVICE_OBJECT *below)
{
	*below = IoAttachDeviceToDeviceStack(source, target);
	return *below == NULL ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS;
}

VOID
IoDetachDevice(PDEVICE_OBJECT below)
{
	shim_irql_at_most(PASSIVE_LEVEL, "IoDetachDevice");
	pthread_mutex_lock(&lock);
	if (below->AttachedDevice == NULL)
		shim_bugcheck("IoDetachDevice: nothing is attached");
	below->AttachedDevice->shim.below = NULL;
	__atomic_store_n(&below->AttachedDevice, NULL, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

/* ---- Names ---- */
NTSTATUS
IoCreateSymbolicLink(PUNICODE_STRING name, PUNICODE_STRING target)
{
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	PDEVICE_OBJECT d;

	shim_irql_at_most(PASSIVE_LEVEL, "IoCreateSymbolicLink");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	pthread_mutex_lock(&lock);
	d = find(target->Buffer);
	if (find(name->Buffer) != NULL)
		status = STATUS_OBJECT_NAME_COLLISION;
	for (int i = 0;
	     i < DEVICES_MAX && d != NULL && status == STATUS_INSUFFICIENT_RESOURCES;
	     i++) {
		if (links[i].device != NULL)
			continue;
		links[i].name = copy(name->Buffer, name->Length);
		links[i].device = d;
		status = STATUS_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	if (status == STATUS_SUCCESS)
		shim_took(SHIM_LINK, 1);
	return status;
}

NTSTATUS
IoDeleteSymbolicLink(PUNICODE_STRING name)
{
	NTSTATUS status = STATUS_OBJECT_NAME_NOT_FOUND;

	shim_irql_at_most(PASSIVE_LEVEL, "IoDeleteSymbolicLink");
	pthread_mutex_lock(&lock);
	for (int i = 0; i < DEVICES_MAX; i++) {
		if (links[i].device == NULL || !same(links[i].name, name->Buffer))
			continue;
		free(links[i].name);
		links[i].name = NULL;
		links[i].device = NULL;
		status = STATUS_SUCCESS;
		shim_took(SHIM_LINK, -1);
	}
	pthread_mutex_unlock(&lock);
	return status;
}

/* ---- Shutdown, end of the boot ---- */
enum { AT_SHUTDOWN = 1, AT_LAST = 2 };

static NTSTATUS
shutdown_register(PDEVICE_OBJECT device, LONG which)
{
	shim_irql_at_most(PASSIVE_LEVEL, "IoRegisterShutdownNotification");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	__atomic_or_fetch(&device->shim.shutdowns, which, __ATOMIC_RELAXED);
	return STATUS_SUCCESS;
}

NTSTATUS
IoRegisterShutdownNotification(PDEVICE_OBJECT device)
{
	return shutdown_register(device, AT_SHUTDOWN);
}

NTSTATUS
IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT device)
{
	return shutdown_register(device, AT_LAST);
}

VOID
IoUnregisterShutdownNotification(PDEVICE_OBJECT device)
{
	shim_irql_at_most(PASSIVE_LEVEL, "IoUnregisterShutdownNotification");
	__atomic_store_n(&device->shim.shutdowns, 0, __ATOMIC_RELAXED);
}

void
shim_shutdown(bool last)
{
	LONG which = last ? AT_LAST : AT_SHUTDOWN;

	for (int i = 0; i < DEVICES_MAX; i++) {
		PDEVICE_OBJECT d = devices[i];

		if (d == NULL ||
		    (__atomic_load_n(&d->shim.shutdowns, __ATOMIC_RELAXED) & which) == 0)
			continue;
		shim_send_shutdown(d);
	}
}

VOID
IoRegisterBootDriverReinitialization(
    PDRIVER_OBJECT driver, PDRIVER_REINITIALIZE routine, PVOID context)
{
	shim_irql_at_most(PASSIVE_LEVEL, "IoRegisterBootDriverReinitialization");
	for (int i = 0; i < ROUTINES_MAX; i++) {
		if (reinits[i].routine != NULL)
			continue;
		reinits[i] = (struct reinit){ driver, routine, context };
		return;
	}
	shim_bugcheck("more than %d routines for the end of the boot", ROUTINES_MAX);
}

VOID
IoRegisterDriverReinitialization(
    PDRIVER_OBJECT driver, PDRIVER_REINITIALIZE routine, PVOID context)
{
	IoRegisterBootDriverReinitialization(driver, routine, context);
}

void
shim_boot_done(void)
{
	reinit_count++;
	for (int i = 0; i < ROUTINES_MAX; i++) {
		struct reinit r = reinits[i];

		reinits[i].routine = NULL;
		if (r.routine != NULL)
			r.routine(r.driver, r.context, (ULONG)reinit_count);
	}
}

/* A driver that is unloaded without its end of the boot having come. */
void
shim_boot_forget(void)
{
	memset(reinits, 0, sizeof(reinits));
}

VOID
IoInvalidateDeviceState(PDEVICE_OBJECT pdo)
{
	shim_irql_at_most(DISPATCH_LEVEL, "IoInvalidateDeviceState");
	(void)pdo;
}
