/* shim_reg.c - a registry in memory: keys are paths, values hang on them. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

#define KEYS_MAX 32
#define VALUES_MAX 64
#define PATH_MAX_CHARS 256
#define DATA_MAX 65536

struct key {
	WCHAR path[PATH_MAX_CHARS];
	bool there;
};
struct value {
	int key; /* its index; -1: the place is free */
	WCHAR name[64];
	ULONG type, bytes;
	UCHAR *data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct key keys[KEYS_MAX];
static struct value values[VALUES_MAX];
static int started;
static bool read_only;

static WCHAR
lower(WCHAR c)
{
	return c >= 'A' && c <= 'Z' ? (WCHAR)(c - 'A' + 'a') : c;
}

static bool
same(PCWSTR a, PCWSTR b)
{
	while (*a != 0 && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return *a == 0 && *b == 0;
}

static void
start(void)
{
	if (started)
		return;
	started = 1;
	for (int i = 0; i < VALUES_MAX; i++)
		values[i].key = -1;
}

static int
find(PCWSTR path, bool make)
{
	int place = -1;

	start();
	for (int i = 0; i < KEYS_MAX; i++) {
		if (keys[i].there && same(keys[i].path, path))
			return i;
		if (!keys[i].there && place < 0)
			place = i;
	}
	if (!make)
		return -1;
	if (place < 0)
		shim_bugcheck("more than %d keys", KEYS_MAX);
	for (int i = 0; i < PATH_MAX_CHARS - 1 && path[i] != 0; i++) {
		keys[place].path[i] = path[i];
		keys[place].path[i + 1] = 0;
	}
	keys[place].there = true;
	return place;
}

static struct value *
value(int key, PCWSTR name, bool make)
{
	struct value *place = NULL;

	for (int i = 0; i < VALUES_MAX; i++) {
		if (values[i].key == key && same(values[i].name, name))
			return &values[i];
		if (values[i].key < 0 && place == NULL)
			place = &values[i];
	}
	if (!make)
		return NULL;
	if (place == NULL)
		shim_bugcheck("more than %d values", VALUES_MAX);
	memset(place, 0, sizeof(*place));
	place->key = key;
	for (int i = 0; i < 63 && name[i] != 0; i++)
		place->name[i] = name[i];
	return place;
}

static void
forget(struct value *v)
{
	free(v->data);
	v->data = NULL;
	v->key = -1;
}

static void
put(int key, PCWSTR name, ULONG type, const void *data, ULONG bytes)
{
	struct value *v = value(key, name, true);

	free(v->data);
	v->type = type;
	v->bytes = bytes;
	v->data = malloc(bytes + 1);
	if (v->data == NULL)
		abort();
	memcpy(v->data, data, bytes);
}

/* ---- For tests ---- */
void
shim_reg_clear(void)
{
	pthread_mutex_lock(&lock);
	start();
	for (int i = 0; i < VALUES_MAX; i++)
		if (values[i].key >= 0)
			forget(&values[i]);
	memset(keys, 0, sizeof(keys));
	read_only = false;
	pthread_mutex_unlock(&lock);
}

void
shim_reg_set(const WCHAR *key, const WCHAR *name, ULONG type, const void *data, ULONG n)
{
	pthread_mutex_lock(&lock);
	put(find(key, true), name, type, data, n);
	pthread_mutex_unlock(&lock);
}

void
shim_reg_set_dword(const WCHAR *key, const WCHAR *name, ULONG dword)
{
	shim_reg_set(key, name, REG_DWORD, &dword, sizeof(dword));
}

bool
shim_reg_get_dword(const WCHAR *key, const WCHAR *name, ULONG *out)
{
	struct value *v;
	int k;

	pthread_mutex_lock(&lock);
	k = find(key, false);
	v = k < 0 ? NULL : value(k, name, false);
	if (v != NULL && v->bytes == sizeof(*out))
		memcpy(out, v->data, sizeof(*out));
	pthread_mutex_unlock(&lock);
	return v != NULL && v->bytes == sizeof(*out);
}

void
shim_reg_read_only(bool on)
{
	read_only = on;
}

/* ---- For the driver ---- */
/* A name in a UNICODE_STRING need not end with a zero. */
static void
text(WCHAR *out, size_t room, const UNICODE_STRING *s)
{
	size_t n = s == NULL ? 0 : s->Length / sizeof(WCHAR);

	if (n >= room)
		shim_bugcheck("a name of %zu characters", n);
	if (n > 0)
		memcpy(out, s->Buffer, n * sizeof(WCHAR));
	out[n] = 0;
}

static void
path_of(WCHAR *out, const OBJECT_ATTRIBUTES *o)
{
	WCHAR name[PATH_MAX_CHARS];
	size_t n = 0;

	text(name, PATH_MAX_CHARS, o->ObjectName);
	if (o->RootDirectory != NULL) {
		struct key *root = shim_handle_object(o->RootDirectory);

		while (root->path[n] != 0) {
			out[n] = root->path[n];
			n++;
		}
		out[n++] = '\\';
	}
	for (size_t i = 0;; i++) {
		if (n >= PATH_MAX_CHARS)
			shim_bugcheck("a key's path is too long");
		out[n++] = name[i];
		if (name[i] == 0)
			break;
	}
}

static NTSTATUS
open_key(PHANDLE out, POBJECT_ATTRIBUTES o, bool make, PULONG disposition)
{
	WCHAR path[PATH_MAX_CHARS];
	bool made = false;
	int k;

	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if ((o->Attributes & OBJ_KERNEL_HANDLE) == 0)
		shim_bugcheck("a key's handle that user mode could use");
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	path_of(path, o);
	pthread_mutex_lock(&lock);
	k = find(path, false);
	if (k < 0 && make && !read_only) {
		k = find(path, true);
		made = true;
	}
	pthread_mutex_unlock(&lock);
	if (k < 0)
		return make ? STATUS_ACCESS_DENIED : STATUS_OBJECT_NAME_NOT_FOUND;
	if (disposition != NULL)
		*disposition = made ? 1 : 2;
	*out = shim_handle_make(&keys[k], false);
	return STATUS_SUCCESS;
}

NTSTATUS
ZwOpenKey(PHANDLE key, ACCESS_MASK access, POBJECT_ATTRIBUTES o)
{
	(void)access;
	return open_key(key, o, false, NULL);
}

NTSTATUS
ZwCreateKey(PHANDLE key, ACCESS_MASK access, POBJECT_ATTRIBUTES o, ULONG title,
    PUNICODE_STRING class, ULONG options, PULONG disposition)
{
	(void)access;
	(void)title;
	(void)class;
	(void)options;
	return open_key(key, o, true, disposition);
}

static int
index_of(HANDLE key)
{
	return (int)((struct key *)shim_handle_object(key) - keys);
}

NTSTATUS
ZwQueryValueKey(HANDLE key, PUNICODE_STRING name, KEY_VALUE_INFORMATION_CLASS class,
    PVOID out, ULONG room, PULONG length)
{
	KEY_VALUE_PARTIAL_INFORMATION *info = out;
	const ULONG head = offsetof(KEY_VALUE_PARTIAL_INFORMATION, Data);
	NTSTATUS status = STATUS_SUCCESS;
	WCHAR text_of[64];
	struct value *v;

	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if (class != KeyValuePartialInformation)
		shim_bugcheck("ZwQueryValueKey of class %d is not known here", class);
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	text(text_of, 64, name);
	pthread_mutex_lock(&lock);
	v = value(index_of(key), text_of, false);
	if (v == NULL) {
		status = STATUS_OBJECT_NAME_NOT_FOUND;
	} else {
		*length = head + v->bytes;
		if (room < head) {
			status = STATUS_BUFFER_TOO_SMALL;
		} else {
			ULONG n = v->bytes < room - head ? v->bytes : room - head;

			info->TitleIndex = 0;
			info->Type = v->type;
			info->DataLength = v->bytes;
			memcpy(info->Data, v->data, n);
			if (n < v->bytes)
				status = STATUS_BUFFER_OVERFLOW;
		}
	}
	pthread_mutex_unlock(&lock);
	return status;
}

NTSTATUS
ZwSetValueKey(
    HANDLE key, PUNICODE_STRING name, ULONG title, ULONG type, PVOID data, ULONG bytes)
{
	WCHAR text_of[64];

	(void)title;
	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if (bytes > DATA_MAX)
		shim_bugcheck("a value of %u bytes", bytes);
	if (read_only)
		return STATUS_ACCESS_DENIED;
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	text(text_of, 64, name);
	pthread_mutex_lock(&lock);
	put(index_of(key), text_of, type, data, bytes);
	pthread_mutex_unlock(&lock);
	return STATUS_SUCCESS;
}

NTSTATUS
ZwDeleteValueKey(HANDLE key, PUNICODE_STRING name)
{
	WCHAR text_of[64];
	struct value *v;

	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if (read_only)
		return STATUS_ACCESS_DENIED;
	text(text_of, 64, name);
	pthread_mutex_lock(&lock);
	v = value(index_of(key), text_of, false);
	if (v != NULL)
		forget(v);
	pthread_mutex_unlock(&lock);
	return v == NULL ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS;
}

NTSTATUS
ZwDeleteKey(HANDLE key)
{
	int k = index_of(key);

	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if (read_only)
		return STATUS_ACCESS_DENIED;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < VALUES_MAX; i++)
		if (values[i].key == k)
			forget(&values[i]);
	keys[k].there = false;
	pthread_mutex_unlock(&lock);
	return STATUS_SUCCESS;
}

NTSTATUS
ZwFlushKey(HANDLE key)
{
	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	index_of(key);
	return STATUS_SUCCESS;
}

/* Sub-keys in the order of their places. */
NTSTATUS
ZwEnumerateKey(HANDLE key, ULONG index, KEY_INFORMATION_CLASS class, PVOID out,
    ULONG room, PULONG length)
{
	const ULONG head = offsetof(KEY_BASIC_INFORMATION, Name);
	KEY_BASIC_INFORMATION *info = out;
	const WCHAR *root = keys[index_of(key)].path;
	NTSTATUS status = STATUS_NO_MORE_ENTRIES;
	size_t n = 0;

	shim_irql_at_most(PASSIVE_LEVEL, "the registry");
	if (class != KeyBasicInformation)
		shim_bugcheck("ZwEnumerateKey of class %d is not known here", class);
	if (shim_fail_now())
		return STATUS_INSUFFICIENT_RESOURCES;
	while (root[n] != 0)
		n++;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < KEYS_MAX && status == STATUS_NO_MORE_ENTRIES; i++) {
		const WCHAR *path = keys[i].path;
		size_t m = 0, end;

		while (m < n && lower(path[m]) == lower(root[m]))
			m++;
		if (!keys[i].there || m < n || path[n] != '\\')
			continue;
		for (end = n + 1; path[end] != 0 && path[end] != '\\'; end++)
			;
		if (path[end] != 0 || index-- > 0)
			continue;
		*length = head + (ULONG)(end - n - 1) * sizeof(WCHAR);
		if (room < *length) {
			status = STATUS_BUFFER_OVERFLOW;
			continue;
		}
		memset(info, 0, head);
		info->NameLength = (ULONG)(end - n - 1) * sizeof(WCHAR);
		memcpy(info->Name, path + n + 1, info->NameLength);
		status = STATUS_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	return status;
}
