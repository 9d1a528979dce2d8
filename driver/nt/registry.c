#include "driver/nt/registry.h"
#include "driver/core/env.h"

/* What lies before a value's bytes. */
#define HEAD offsetof(KEY_VALUE_PARTIAL_INFORMATION, Data)

static struct {
	WCHAR space[REGISTRY_PATH_MAX];
	UNICODE_STRING path; /* Length 0: none */
} service;

void
registry_begin(const UNICODE_STRING *path)
{
	service.path.Buffer = service.space;
	service.path.Length = 0;
	service.path.MaximumLength = sizeof(service.space);
	if (path == NULL || path->Length > sizeof(service.space))
		return;
	memcpy(service.space, path->Buffer, path->Length);
	service.path.Length = path->Length;
}

static HANDLE
open_at(HANDLE root, UNICODE_STRING *name, bool make)
{
	OBJECT_ATTRIBUTES attributes;
	NTSTATUS status;
	HANDLE key;

	InitializeObjectAttributes(
	    &attributes, name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, root, NULL);
	if (make)
		status = ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, NULL,
		    REG_OPTION_NON_VOLATILE, NULL);
	else
		status = ZwOpenKey(&key, KEY_ALL_ACCESS, &attributes);
	return NT_SUCCESS(status) ? key : NULL;
}

HANDLE
registry_open(const WCHAR *sub, bool make)
{
	UNICODE_STRING name;
	HANDLE root, key;

	if (service.path.Length == 0)
		return NULL;
	root = open_at(NULL, &service.path, false);
	if (root == NULL || sub == NULL)
		return root;
	RtlInitUnicodeString(&name, sub);
	key = open_at(root, &name, make);
	ZwClose(root);
	return key;
}

void
registry_close(HANDLE key)
{
	if (key != NULL)
		ZwClose(key);
}

bool
registry_number(HANDLE key, const WCHAR *name, uint32_t *value)
{
	ULONG space[(sizeof(KEY_VALUE_PARTIAL_INFORMATION) + sizeof(ULONG)) /
			sizeof(ULONG) +
		    1];
	KEY_VALUE_PARTIAL_INFORMATION *info = (KEY_VALUE_PARTIAL_INFORMATION *)space;
	UNICODE_STRING string;
	ULONG size;

	if (key == NULL)
		return false;
	RtlInitUnicodeString(&string, name);
	if (!NT_SUCCESS(ZwQueryValueKey(
		key, &string, KeyValuePartialInformation, info, sizeof(space), &size)) ||
	    info->Type != REG_DWORD || info->DataLength != sizeof(*value))
		return false;
	memcpy(value, info->Data, sizeof(*value));
	return true;
}

static bool
put(HANDLE key, const WCHAR *name, ULONG type, const void *bytes, uint32_t size)
{
	UNICODE_STRING string;

	if (key == NULL)
		return false;
	RtlInitUnicodeString(&string, name);
	return NT_SUCCESS(ZwSetValueKey(key, &string, 0, type, (void *)bytes, size));
}

bool
registry_put_number(HANDLE key, const WCHAR *name, uint32_t value)
{
	return put(key, name, REG_DWORD, &value, sizeof(value));
}

uint8_t *
registry_bytes(HANDLE key, const WCHAR *name, uint32_t most, uint32_t *size)
{
	KEY_VALUE_PARTIAL_INFORMATION *info, first;
	uint32_t room;
	UNICODE_STRING string;
	NTSTATUS status;
	ULONG needed;

	if (key == NULL)
		return NULL;
	RtlInitUnicodeString(&string, name);
	status = ZwQueryValueKey(
	    key, &string, KeyValuePartialInformation, &first, sizeof(first), &needed);
	if (status != STATUS_BUFFER_OVERFLOW || first.Type != REG_BINARY ||
	    first.DataLength > most)
		return NULL;
	room = (uint32_t)HEAD + first.DataLength;
	info = env_alloc(room);
	if (info == NULL)
		return NULL;
	if (!NT_SUCCESS(ZwQueryValueKey(
		key, &string, KeyValuePartialInformation, info, room, &needed)) ||
	    info->Type != REG_BINARY || info->DataLength > room - HEAD) {
		env_free(info);
		return NULL;
	}
	*size = info->DataLength;
	memmove(info, info->Data, *size);
	return (uint8_t *)info;
}

bool
registry_put_bytes(HANDLE key, const WCHAR *name, const void *bytes, uint32_t size)
{
	return put(key, name, REG_BINARY, bytes, size);
}

bool
registry_forget(HANDLE key, const WCHAR *name)
{
	UNICODE_STRING string;
	NTSTATUS status;

	RtlInitUnicodeString(&string, name);
	status = ZwDeleteValueKey(key, &string);
	return NT_SUCCESS(status) || status == STATUS_OBJECT_NAME_NOT_FOUND;
}

bool
registry_forget_key(HANDLE key)
{
	return NT_SUCCESS(ZwDeleteKey(key));
}

void
registry_flush(HANDLE key)
{
	if (key != NULL)
		ZwFlushKey(key);
}
