#include "rescue/adapt_hive.h"

#include <errno.h>
#include <hivex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "rescue/adapt.h"

struct adapt_hive {
	hive_h *h;
};

int
adapt_hive_open(int fd, int writable, struct adapt_hive **out, struct err *err)
{
	uint8_t head[512];
	const char *why = "";
	char path[40];
	struct adapt_hive *h;
	int got = pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head)
		      ? adapt_hive_header(head, sizeof(head), &why)
		      : -1;

	if (got != 1)
		return err_set(err, got == 0 ? ERR_UNSUPPORTED : ERR_CORRUPT,
		    "the SYSTEM hive cannot be used: %s",
		    why[0] != '\0' ? why : "it is no registry hive");
	if ((h = calloc(1, sizeof(*h))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	h->h = hivex_open(path, writable ? HIVEX_OPEN_WRITE : 0);
	if (h->h == NULL) {
		free(h);
		return err_set(
		    err, ERR_CORRUPT, "the SYSTEM hive is damaged: %s", strerror(errno));
	}
	*out = h;
	return 0;
}

void
adapt_hive_close(struct adapt_hive *h)
{
	if (h == NULL)
		return;
	hivex_close(h->h);
	free(h);
}

int
adapt_hive_write(struct adapt_hive *h, int fd, struct err *err)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (hivex_commit(h->h, path, 0) != 0)
		return err_os(err, errno, "writing a registry hive");
	return 0;
}

size_t
adapt_hive_root(struct adapt_hive *h)
{
	return hivex_root(h->h);
}

size_t
adapt_hive_find(struct adapt_hive *h, size_t key, const char *path)
{
	char name[ADAPT_HIVE_TEXT_MAX];
	size_t n;

	for (; key != 0 && *path != '\0'; path += n + (path[n] != '\0')) {
		n = strcspn(path, "\\");
		if (n >= sizeof(name))
			return 0;
		memcpy(name, path, n);
		name[n] = '\0';
		key = hivex_node_get_child(h->h, key, name);
	}
	return key;
}

int
adapt_hive_keys(struct adapt_hive *h, size_t key,
    int (*each)(void *arg, size_t key, const char *name), void *arg)
{
	hive_node_h *keys = key != 0 ? hivex_node_children(h->h, key) : NULL;
	char *name;
	int rc = 0;

	for (size_t i = 0; keys != NULL && keys[i] != 0 && rc == 0; i++) {
		if ((name = hivex_node_name(h->h, keys[i])) == NULL)
			continue;
		rc = each(arg, keys[i], name);
		free(name);
	}
	free(keys);
	return rc;
}

int
adapt_hive_values(
    struct adapt_hive *h, size_t key, int (*each)(void *arg, const char *name), void *arg)
{
	hive_value_h *values = key != 0 ? hivex_node_values(h->h, key) : NULL;
	char *name;
	int rc = 0;

	for (size_t i = 0; values != NULL && values[i] != 0 && rc == 0; i++) {
		if ((name = hivex_value_key(h->h, values[i])) == NULL)
			continue;
		rc = each(arg, name);
		free(name);
	}
	free(values);
	return rc;
}

int
adapt_hive_number(struct adapt_hive *h, size_t key, const char *name, uint32_t *out)
{
	hive_value_h value = key != 0 ? hivex_node_get_value(h->h, key, name) : 0;
	hive_type type;
	size_t len;
	char *p;

	if (value == 0 || (p = hivex_value_value(h->h, value, &type, &len)) == NULL)
		return 0;
	if (type == hive_t_dword && len >= 4)
		*out = load_le32((const uint8_t *)p);
	free(p);
	return type == hive_t_dword && len >= 4;
}

int
adapt_hive_text(
    struct adapt_hive *h, size_t key, const char *name, char out[ADAPT_HIVE_TEXT_MAX])
{
	hive_value_h value = key != 0 ? hivex_node_get_value(h->h, key, name) : 0;
	hive_type type;
	char **several, *one = NULL;
	size_t len;

	if (value == 0 || hivex_value_type(h->h, value, &type, &len) != 0)
		return 0;
	if (type == hive_t_multiple_strings) {
		several = hivex_value_multiple_strings(h->h, value);
		for (size_t i = 0; several != NULL && several[i] != NULL; i++) {
			if (i == 0)
				one = several[i];
			else
				free(several[i]);
		}
		free(several);
	} else if (type == hive_t_string || type == hive_t_expand_string) {
		one = hivex_value_string(h->h, value);
	}
	if (one == NULL)
		return 0;
	len = strlen(one);
	if (len < ADAPT_HIVE_TEXT_MAX)
		memcpy(out, one, len + 1);
	free(one);
	return len > 0 && len < ADAPT_HIVE_TEXT_MAX;
}

static int
set_value(struct adapt_hive *h, size_t key, const char *name, hive_type type,
    uint8_t *bytes, size_t len, struct err *err)
{
	hive_set_value value = { .key = (char *)(uintptr_t)name,
		.t = type,
		.len = len,
		.value = (char *)bytes };

	if (hivex_node_set_value(h->h, key, &value, 0) != 0)
		return err_os(err, errno, "registry value %s", name);
	return 0;
}

int
adapt_hive_set_number(
    struct adapt_hive *h, size_t key, const char *name, uint32_t value, struct err *err)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	return set_value(h, key, name, hive_t_dword, bytes, sizeof(bytes), err);
}

int
adapt_hive_set_text(struct adapt_hive *h, size_t key, const char *name, const char *value,
    struct err *err)
{
	uint8_t bytes[2 * ADAPT_HIVE_TEXT_MAX] = { 0 };
	size_t i, n = strlen(value);

	if (n >= ADAPT_HIVE_TEXT_MAX)
		return err_set(err, ERR_LIMIT, "registry value %s: too long", name);
	for (i = 0; i < n; i++)
		bytes[2 * i] = (uint8_t)value[i];
	return set_value(h, key, name, hive_t_string, bytes, 2 * n + 2, err);
}

size_t
adapt_hive_add(struct adapt_hive *h, size_t key, const char *name, struct err *err)
{
	size_t made = hivex_node_add_child(h->h, key, name);

	if (made == 0)
		err_os(err, errno, "registry key %s", name);
	return made;
}

int
adapt_hive_remove(struct adapt_hive *h, size_t key, struct err *err)
{
	if (hivex_node_delete_child(h->h, key) != 0)
		return err_os(err, errno, "a registry key cannot be removed");
	return 0;
}
