/* shim_thread.c - threads, handles and references. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

/* Handles are places in a table, so that a closed one is known as such. */
#define HANDLES_MAX 256
struct shim_handle {
	PVOID object;
	bool thread;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shim_handle handles[HANDLES_MAX];
static _Thread_local PKTHREAD current;
static struct _OBJECT_TYPE *type;
POBJECT_TYPE *PsThreadType = &type, *IoFileObjectType = &type,
	     *IoDeviceObjectType = &type;

HANDLE
shim_handle_make(PVOID object, bool thread)
{
	HANDLE h = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < HANDLES_MAX && h == NULL; i++) {
		if (handles[i].object != NULL)
			continue;
		handles[i].object = object;
		handles[i].thread = thread;
		h = (HANDLE)((i + 1) * 4);
	}
	pthread_mutex_unlock(&lock);
	if (h == NULL)
		shim_bugcheck("%d handles are open", HANDLES_MAX);
	shim_took(SHIM_HANDLE, 1);
	return h;
}

PVOID
shim_handle_object(HANDLE h)
{
	size_t i = (size_t)h / 4 - 1;
	PVOID object = NULL;

	pthread_mutex_lock(&lock);
	if (h != NULL && i < HANDLES_MAX)
		object = handles[i].object;
	pthread_mutex_unlock(&lock);
	if (object == NULL)
		shim_bugcheck("%p is no open handle", h);
	return object;
}

static void
thread_release(PKTHREAD t)
{
	if (__atomic_sub_fetch(&t->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	shim_object_done(&t->ended);
	free(t);
}

NTSTATUS
ZwClose(HANDLE h)
{
	PVOID object = shim_handle_object(h);
	bool thread;

	shim_irql_at_most(PASSIVE_LEVEL, "ZwClose");
	pthread_mutex_lock(&lock);
	thread = handles[(size_t)h / 4 - 1].thread;
	handles[(size_t)h / 4 - 1].object = NULL;
	pthread_mutex_unlock(&lock);
	shim_took(SHIM_HANDLE, -1);
	if (thread)
		thread_release(object);
	return STATUS_SUCCESS;
}

/* ---- Threads ---- */
static void
thread_end(void)
{
	PKTHREAD t = current;

	if (KeGetCurrentIrql() != PASSIVE_LEVEL || shim_locks_held() > 0)
		shim_bugcheck("a thread ends at IRQL %d", KeGetCurrentIrql());
	if (shim_regions() > 0)
		shim_bugcheck("a thread ends in a critical region");
	current = NULL;
	shim_took(SHIM_THREAD, -1);
	KeSetEvent(&t->ended, 0, FALSE);
	thread_release(t);
}

static void *
thread_run(void *arg)
{
	current = arg;
	current->run(current->context);
	thread_end();
	return NULL;
}

NTSTATUS
PsCreateSystemThread(PHANDLE out, ULONG access, POBJECT_ATTRIBUTES attributes,
    HANDLE process, PVOID client, void (*run)(PVOID context), PVOID context)
{
	pthread_attr_t detached;
	PKTHREAD t;
	int rc;

	(void)access;
	(void)attributes;
	(void)process;
	(void)client;
	shim_irql_at_most(PASSIVE_LEVEL, "PsCreateSystemThread");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		abort();
	shim_object_make(&t->ended, SHIM_EVENT, 0);
	t->references = 2; /* the handle's and its own */
	t->run = run;
	t->context = context;
	*out = shim_handle_make(t, true);
	shim_took(SHIM_THREAD, 1);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&t->thread, &detached, thread_run, t);
	pthread_attr_destroy(&detached);
	if (rc != 0)
		shim_bugcheck("no thread of the system's: %d", rc);
	return STATUS_SUCCESS;
}

NTSTATUS
PsTerminateSystemThread(NTSTATUS status)
{
	(void)status;
	if (current == NULL)
		shim_bugcheck(
		    "PsTerminateSystemThread in a thread that is not the driver's");
	thread_end();
	pthread_exit(NULL);
}

bool
shim_thread_is_driver(void)
{
	return current != NULL;
}

PKTHREAD
KeGetCurrentThread(VOID)
{
	static _Thread_local KTHREAD foreign;

	return current != NULL ? current : &foreign;
}

KPRIORITY
KeSetPriorityThread(PKTHREAD thread, KPRIORITY priority)
{
	(void)thread;
	(void)priority;
	return LOW_REALTIME_PRIORITY;
}

/* ---- References: threads, and devices, which the shim tells apart by their magic ----
 */
NTSTATUS
ObReferenceObjectByHandle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE kind,
    KPROCESSOR_MODE mode, PVOID *object, PVOID information)
{
	(void)access;
	(void)kind;
	(void)mode;
	(void)information;
	shim_irql_at_most(PASSIVE_LEVEL, "ObReferenceObjectByHandle");
	*object = shim_handle_object(handle);
	ObReferenceObject(*object);
	return STATUS_SUCCESS;
}

NTSTATUS
ObOpenObjectByPointer(PVOID object, ULONG attributes, PVOID state, ACCESS_MASK access,
    POBJECT_TYPE kind, KPROCESSOR_MODE mode, PHANDLE handle)
{
	(void)state;
	(void)access;
	(void)kind;
	(void)mode;
	shim_irql_at_most(PASSIVE_LEVEL, "ObOpenObjectByPointer");
	if ((attributes & OBJ_KERNEL_HANDLE) == 0)
		shim_bugcheck("a handle that user mode could use");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	*handle = shim_handle_make(object, false);
	return STATUS_SUCCESS;
}

VOID
ObReferenceObject(PVOID object)
{
	if (shim_device_is(object))
		shim_device_hold(object);
	else
		__atomic_add_fetch(&((PKTHREAD)object)->references, 1, __ATOMIC_RELAXED);
}

VOID
ObDereferenceObject(PVOID object)
{
	shim_irql_at_most(DISPATCH_LEVEL, "ObDereferenceObject");
	if (shim_device_is(object))
		shim_device_release(object);
	else
		thread_release(object);
}
