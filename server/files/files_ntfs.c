#include "server/files/files_fs.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h> /* Which libntfs-3g forgets. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ntfs-3g/types.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/ntfstime.h>
#include <ntfs-3g/volume.h>

#include "agent/tree/tree_reader.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "server/files/files_text.h"

#define NAME_UNITS 255u

/* A volume by libntfs-3g, over a device of ours. */
struct ntfs_fs {
	struct files_fs fs; /* First. */
	struct tree_reader *r;
	ntfs_volume *vol;
	uint64_t position; /* Of the device. */
	struct err why;	   /* Why a read of it failed; libntfs-3g has only errno. */
};

struct files_open {
	struct ntfs_fs *fs;
	ntfs_inode *ni;
	ntfs_attr *na; /* NULL: there is no such attribute, and no bytes. */
};

/* ------------------------------------------------------------------ the device -- */

static int
device_open(struct ntfs_device *dev, int flags)
{
	(void)flags;
	NDevSetReadOnly(dev);
	NDevSetOpen(dev);
	return 0;
}

static int
device_close(struct ntfs_device *dev)
{
	NDevClearOpen(dev);
	return 0;
}

static s64
device_pread(struct ntfs_device *dev, void *buf, s64 count, s64 offset)
{
	struct ntfs_fs *f = dev->d_private;
	uint64_t size = tree_reader_size(f->r);
	struct err err = ERR_INIT;

	if (count < 0 || offset < 0) {
		errno = EINVAL;
		return -1;
	}
	if ((uint64_t)offset >= size)
		return 0;
	if ((uint64_t)count > size - (uint64_t)offset)
		count = (s64)(size - (uint64_t)offset);
	if (tree_reader_read(f->r, (uint64_t)offset, buf, (size_t)count, &err) != 0) {
		f->why = err;
		errno = EIO;
		return -1;
	}
	return count;
}

static s64
device_seek(struct ntfs_device *dev, s64 offset, int whence)
{
	struct ntfs_fs *f = dev->d_private;

	if (whence == SEEK_CUR)
		offset += (s64)f->position;
	else if (whence == SEEK_END)
		offset += (s64)tree_reader_size(f->r);
	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	f->position = (uint64_t)offset;
	return offset;
}

static s64
device_read(struct ntfs_device *dev, void *buf, s64 count)
{
	struct ntfs_fs *f = dev->d_private;
	s64 n = device_pread(dev, buf, count, (s64)f->position);

	if (n > 0)
		f->position += (uint64_t)n;
	return n;
}

static s64
device_write(struct ntfs_device *dev, const void *buf, s64 count)
{
	(void)dev, (void)buf, (void)count;
	errno = EROFS;
	return -1;
}

static s64
device_pwrite(struct ntfs_device *dev, const void *buf, s64 count, s64 offset)
{
	(void)dev, (void)buf, (void)count, (void)offset;
	errno = EROFS;
	return -1;
}

static int
device_sync(struct ntfs_device *dev)
{
	(void)dev;
	return 0;
}

static int
device_stat(struct ntfs_device *dev, struct stat *out)
{
	struct ntfs_fs *f = dev->d_private;

	memset(out, 0, sizeof(*out));
	out->st_mode = S_IFREG | 0400;
	out->st_size = (off_t)tree_reader_size(f->r);
	return 0;
}

static int
device_ioctl(struct ntfs_device *dev, unsigned long request, void *argp)
{
	(void)dev, (void)request, (void)argp;
	errno = EOPNOTSUPP;
	return -1;
}

static struct ntfs_device_operations device_ops = { .open = device_open,
	.close = device_close,
	.seek = device_seek,
	.read = device_read,
	.write = device_write,
	.pread = device_pread,
	.pwrite = device_pwrite,
	.sync = device_sync,
	.stat = device_stat,
	.ioctl = device_ioctl };

/* libntfs-3g failed: our own reason if it was our read, else its errno. */
static int
failed(struct ntfs_fs *f, struct err *err, const char *what)
{
	int os = errno;

	if (f->why.code != ERR_NONE) {
		*err = f->why;
		err_clear(&f->why);
		return -1;
	}
	if (os == ENOENT)
		return err_set(err, ERR_NOTFOUND, "no such file");
	return err_set(err, ERR_CORRUPT, "%s: %s", what, strerror(os));
}

/* A directory that was not written back may name a record that is another file's now. */
static ntfs_inode *
open_inode(struct ntfs_fs *f, uint64_t ref, struct err *err)
{
	ntfs_inode *ni;

	err_clear(&f->why);
	if ((ni = ntfs_inode_open(f->vol, (MFT_REF)ref)) == NULL) {
		(void)failed(f, err, "a file's record");
	} else if (MSEQNO(ref) != 0 &&
		   MSEQNO(ref) != le16_to_cpu(ni->mrec->sequence_number)) {
		(void)ntfs_inode_close(ni);
		ni = NULL;
		err_set(err, ERR_CORRUPT, "its record is another file's by now");
	}
	return ni;
}

/* A name as text; what no text has stands in it as U+FFFD. */
static int
name_of(const void *units, size_t n, char out[FILES_NAME_MAX])
{
	uint8_t copy[2 * NAME_UNITS];

	if (n > NAME_UNITS)
		return -1;
	memcpy(copy, units, 2 * n);
	for (size_t i = 0; i < n; i++)
		if (load_le16(copy + 2 * i) == 0)
			store_le16(copy + 2 * i, 0xFFFD);
	return files_text_from_utf16(copy, n, out, FILES_NAME_MAX);
}

/* ----------------------------------------------------------------- directories -- */

static int
is_dir(ntfs_inode *ni)
{
	return (ni->mrec->flags & MFT_RECORD_IS_DIRECTORY) != 0;
}

static int
ntfs_lookup(
    struct files_fs *fs, uint64_t dir, const char *name, uint64_t *ref, struct err *err)
{
	struct ntfs_fs *f = (struct ntfs_fs *)fs;
	uint8_t units[2 * (NAME_UNITS + 1)];
	int n = files_text_to_utf16(name, units, NAME_UNITS + 1);
	ntfschar aligned[NAME_UNITS + 1];
	ntfs_inode *ni;
	u64 found;

	if (n <= 0 || n > (int)NAME_UNITS)
		return err_set(err, ERR_NOTFOUND, "no such file");
	memcpy(aligned, units, 2 * (size_t)n);
	if ((ni = open_inode(f, dir, err)) == NULL)
		return -1;
	if (!is_dir(ni)) {
		(void)ntfs_inode_close(ni);
		return err_set(err, ERR_NOTFOUND, "not a directory");
	}
	NVolSetCaseSensitive(f->vol);
	found = ntfs_inode_lookup_by_name(ni, aligned, n);
	if (found == (u64)-1) {
		NVolClearCaseSensitive(f->vol);
		found = ntfs_inode_lookup_by_name(ni, aligned, n);
	}
	if (found == (u64)-1)
		(void)failed(f, err, "a directory");
	(void)ntfs_inode_close(ni);
	if (found == (u64)-1)
		return -1;
	*ref = found;
	return 0;
}

struct listing {
	int (*each)(void *arg, const char *name, uint64_t ref);
	void *arg;
	int rc;
};

static int
on_entry(void *arg, const ntfschar *name, const int len, const int type, const s64 pos,
    const MFT_REF ref, const unsigned kind)
{
	struct listing *l = arg;
	char text[FILES_NAME_MAX];

	(void)pos, (void)kind;
	/* Short names are of the same files; the volume's own files are not asked for. */
	if (type == FILE_NAME_DOS || MREF(ref) < FILE_first_user || len <= 0 ||
	    name_of(name, (size_t)len, text) != 0 || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0)
		return 0;
	l->rc = l->each(l->arg, text, ref);
	return l->rc;
}

static int
ntfs_list(struct files_fs *fs, uint64_t dir,
    int (*each)(void *arg, const char *name, uint64_t ref), void *arg, struct err *err)
{
	struct ntfs_fs *f = (struct ntfs_fs *)fs;
	struct listing l = { each, arg, 0 };
	ntfs_inode *ni = open_inode(f, dir, err);
	s64 pos = 0;
	int rc;

	if (ni == NULL)
		return -1;
	rc = ntfs_readdir(ni, &pos, &l, on_entry);
	if (rc != 0 && l.rc == 0)
		(void)failed(f, err, "a directory");
	(void)ntfs_inode_close(ni);
	return l.rc != 0 ? l.rc : rc != 0 ? -1 : 0;
}

/* ----------------------------------------------------------------------- files -- */

static void
stat_reparse(ntfs_inode *ni, struct files_node *out)
{
	s64 len = 0;
	uint8_t *p = ntfs_attr_readall(ni, AT_REPARSE_POINT, NULL, 0, &len);

	out->kind = files_text_reparse(p, p != NULL ? (size_t)len : 0, out->target,
			sizeof(out->target)) == FILES_REPARSE_LINK
			? FILES_LINK
			: FILES_OPAQUE;
	free(p);
}

static int
ntfs_stat(struct files_fs *fs, uint64_t ref, struct files_node *out, struct err *err)
{
	static const struct {
		FILE_ATTR_FLAGS attribute;
		unsigned flag;
	} flags[] = { { FILE_ATTR_READONLY, FILES_READONLY },
		{ FILE_ATTR_HIDDEN, FILES_HIDDEN }, { FILE_ATTR_SYSTEM, FILES_SYSTEM },
		{ FILE_ATTR_COMPRESSED, FILES_COMPRESSED },
		{ FILE_ATTR_SPARSE_FILE, FILES_SPARSE },
		{ FILE_ATTR_ENCRYPTED, FILES_ENCRYPTED } };
	struct ntfs_fs *f = (struct ntfs_fs *)fs;
	ntfs_inode *ni = open_inode(f, ref, err);

	if (ni == NULL)
		return -1;
	memset(out, 0, sizeof(*out));
	out->ref = MK_MREF(ni->mft_no, le16_to_cpu(ni->mrec->sequence_number));
	out->kind = is_dir(ni) ? FILES_DIR : FILES_FILE;
	out->size = is_dir(ni) || ni->data_size < 0 ? 0 : (uint64_t)ni->data_size;
	out->links = le16_to_cpu(ni->mrec->link_count);
	out->modified = ntfs2timespec(ni->last_data_change_time);
	out->accessed = ntfs2timespec(ni->last_access_time);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if ((ni->flags & flags[i].attribute) != 0)
			out->flags |= flags[i].flag;
	if ((ni->flags & FILE_ATTR_REPARSE_POINT) != 0) {
		stat_reparse(ni, out);
	} else if (out->kind == FILES_FILE && (out->flags & FILES_ENCRYPTED) != 0) {
		out->kind = FILES_OPAQUE;
		strcpy(out->target, "encrypted by Windows (EFS)");
	}
	(void)ntfs_inode_close(ni);
	return 0;
}

static int
ntfs_streams(struct files_fs *fs, uint64_t ref,
    int (*each)(void *arg, const char *name, uint64_t size), void *arg, struct err *err)
{
	struct ntfs_fs *f = (struct ntfs_fs *)fs;
	ntfs_inode *ni = open_inode(f, ref, err);
	ntfs_attr_search_ctx *ctx;
	char text[FILES_NAME_MAX];
	int rc = 0;

	if (ni == NULL)
		return -1;
	if ((ctx = ntfs_attr_get_search_ctx(ni, NULL)) == NULL) {
		(void)ntfs_inode_close(ni);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	while (rc == 0 &&
	       ntfs_attr_lookup(AT_DATA, NULL, 0, CASE_SENSITIVE, 0, NULL, 0, ctx) == 0) {
		const ATTR_RECORD *a = ctx->attr;

		/* A stream in several pieces is told of at its first. */
		if (a->name_length == 0 ||
		    (a->non_resident && sle64_to_cpu(a->lowest_vcn) != 0))
			continue;
		if (le16_to_cpu(a->name_offset) + 2u * a->name_length >
			le32_to_cpu(a->length) ||
		    name_of((const uint8_t *)a + le16_to_cpu(a->name_offset),
			a->name_length, text) != 0) {
			rc = err_set(err, ERR_CORRUPT, "a file's streams");
			break;
		}
		rc = each(arg, text,
		    a->non_resident ? (uint64_t)sle64_to_cpu(a->data_size)
				    : le32_to_cpu(a->value_length));
	}
	if (rc == 0 && errno != ENOENT)
		rc = failed(f, err, "a file's streams");
	ntfs_attr_put_search_ctx(ctx);
	(void)ntfs_inode_close(ni);
	return rc;
}

static void
ntfs_end(struct files_open *o)
{
	if (o->na != NULL)
		ntfs_attr_close(o->na);
	(void)ntfs_inode_close(o->ni);
	free(o);
}

static int
ntfs_open(struct files_fs *fs, uint64_t ref, const char *stream, struct files_open **out,
    uint64_t *size, struct err *err)
{
	struct ntfs_fs *f = (struct ntfs_fs *)fs;
	struct files_open *o = calloc(1, sizeof(*o));
	uint8_t units[2 * (NAME_UNITS + 1)];
	ntfschar name[NAME_UNITS + 1];
	int n = 0;

	if (o == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	o->fs = f;
	if ((o->ni = open_inode(f, ref, err)) == NULL) {
		free(o);
		return -1;
	}
	if (stream != NULL &&
	    (n = files_text_to_utf16(stream, units, NAME_UNITS + 1)) > 0)
		memcpy(name, units, 2 * (size_t)n);
	errno = ENOENT;
	if (n >= 0 && n <= (int)NAME_UNITS)
		o->na = ntfs_attr_open(o->ni, AT_DATA, n > 0 ? name : AT_UNNAMED, (u32)n);
	if (o->na == NULL && (stream != NULL || errno != ENOENT)) {
		(void)failed(f, err, stream != NULL ? "a stream" : "a file's content");
		ntfs_end(o);
		return -1;
	}
	*size = o->na != NULL ? (uint64_t)o->na->data_size : 0;
	*out = o;
	return 0;
}

static int
ntfs_read(struct files_open *o, uint64_t offset, void *out, size_t len, struct err *err)
{
	uint8_t *to = out;

	while (len > 0) {
		s64 n =
		    o->na == NULL ? 0 : ntfs_attr_pread(o->na, (s64)offset, (s64)len, to);

		if (n < 0)
			return failed(o->fs, err, "a file's content");
		if (n == 0)
			return err_set(err, ERR_CORRUPT, "a file ends too early");
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------------- the volume -- */

static void
ntfs_close(struct files_fs *fs)
{
	struct ntfs_fs *f = (struct ntfs_fs *)fs;

	(void)ntfs_umount(f->vol, 1);
	free(f);
}

static const struct files_fs_ops ntfs_ops = { .close = ntfs_close,
	.lookup = ntfs_lookup,
	.list = ntfs_list,
	.stat = ntfs_stat,
	.streams = ntfs_streams,
	.open = ntfs_open,
	.read = ntfs_read,
	.end = ntfs_end };

int
files_ntfs_open(struct tree_reader *r, struct files_fs **out, struct err *err)
{
	struct ntfs_fs *f = calloc(1, sizeof(*f));
	struct ntfs_device *dev;

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->fs.ops = &ntfs_ops;
	f->fs.root = FILE_root;
	f->r = r;
	(void)ntfs_log_set_levels(0); /* What is wrong is said by us. */
	dev = ntfs_device_alloc("holdfast", 0, &device_ops, f);
	if (dev == NULL) {
		free(f);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	/* Nothing can be written: neither its log nor a sleeping Windows is a reason. */
	f->vol = ntfs_device_mount(
	    dev, NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC | NTFS_MNT_IGNORE_HIBERFILE);
	if (f->vol == NULL) {
		if (f->why.code != ERR_NONE)
			*err = f->why;
		else
			err_set(err, ERR_UNSUPPORTED,
			    "the volume (%s) is no FAT, and no NTFS that can be read "
			    "here: %s",
			    tree_reader_root(r)->fs, strerror(errno));
		(void)ntfs_device_free(dev);
		free(f);
		return -1;
	}
	err_clear(&f->why); /* What it could do without. */
	*out = &f->fs;
	return 0;
}
