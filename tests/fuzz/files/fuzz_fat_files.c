/*
 * A FAT volume's directories and chains, whatever they hold: every name is text of its
 * limits, every walk ends, nothing is read outside of the volume or written past its
 * room.  The input is the volume's first bytes, zeros follow.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/files/files_fs.h"

#define VOLUME (4096u * 1024)
#define DEEP 4
#define FILES 64u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

struct input {
	const uint8_t *p;
	size_t len;
};

struct walk {
	struct files_fs *fs;
	unsigned left; /* Files that are still looked at. */
	int depth;
};

static int
read_input(void *arg, uint64_t offset, void *out, size_t len, struct err *err)
{
	const struct input *in = arg;
	size_t n = offset < in->len ? in->len - (size_t)offset : 0;

	(void)err;
	assert(offset <= VOLUME && len <= VOLUME - offset);
	memset(out, 0, len);
	memcpy(out, in->p + (n > 0 ? offset : 0), n < len ? n : len);
	return 0;
}

static void
read_file(struct files_fs *fs, const struct files_node *n)
{
	static uint8_t buffer[100000];
	struct files_open *o;
	struct err err = ERR_INIT;
	uint64_t size;
	size_t some;

	if (fs->ops->open(fs, n->ref, NULL, &o, &size, &err) != 0)
		return;
	assert(size == n->size);
	some = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
	if (fs->ops->read(o, 0, buffer, some, &err) == 0 && some > 1) {
		uint8_t last = buffer[some - 1];

		assert(fs->ops->read(o, some - 1, buffer, 1, &err) == 0);
		assert(buffer[0] == last);
		(void)fs->ops->read(o, size - 1, buffer, 1, &err);
	}
	fs->ops->end(o);
}

static int
on_entry(void *arg, const char *name, uint64_t ref)
{
	struct walk *w = arg, below = *w;
	struct files_node n;
	struct err err = ERR_INIT;
	uint64_t found;

	assert(name[0] != '\0' && strlen(name) < FILES_NAME_MAX);
	if (w->left == 0)
		return 1;
	w->left--;
	if (w->fs->ops->stat(w->fs, ref, &n, &err) != 0)
		return 0;
	if (n.kind == FILES_FILE)
		read_file(w->fs, &n);
	else if (w->depth < DEEP) {
		below.depth++;
		below.left = w->left;
		(void)w->fs->ops->list(w->fs, n.ref, on_entry, &below, &err);
		w->left = below.left;
	}
	err_clear(&err);
	if (w->depth == 0)
		assert(w->fs->ops->lookup(w->fs, w->fs->root, name, &found, &err) == 0 ||
		       err.code == ERR_CORRUPT);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct input in = { p, len < VOLUME ? len : VOLUME };
	const struct files_bytes bytes = { read_input, &in, VOLUME };
	struct walk w = { NULL, FILES, 0 };
	struct err err = ERR_INIT;

	if (files_fat_open(&bytes, &w.fs, &err) != 0 || w.fs == NULL)
		return 0;
	(void)w.fs->ops->list(w.fs, w.fs->root, on_entry, &w, &err);
	w.fs->ops->close(w.fs);
	return 0;
}
