/*
 * pack_format.h - what the files of pack.h share: names, headers, footers.
 *
 * Private to storage/pack*.c.
 */
#ifndef STORAGE_PACK_FORMAT_H
#define STORAGE_PACK_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "storage/fs.h"
#include "storage/pack.h"

#define PACK_ALIGN 8u

struct pack {
	struct fs_file *file;
	struct pack_header header;
	int sealed;
};

/* The next place where a group may start. */
static inline uint64_t
pack_align(uint64_t at)
{
	return (at + PACK_ALIGN - 1) & ~(uint64_t)(PACK_ALIGN - 1);
}

/* "packs/0000002a.pack" or ".open". */
void pack_name(uint32_t no, int sealed, char out[FS_NAME_MAX]);

void pack_format_header(const struct pack_header *h, uint8_t out[PACK_HEADER_LEN]);

/* Chunks collected for a footer. */
struct pack_toc {
	struct pack_entry *entries;
	uint32_t count, cap;
	uint32_t groups;
	uint64_t plain, stored;
};

/* Add the chunks of a group at `offset`; ERR_NOMEM changes nothing. */
int pack_toc_add(struct pack_toc *toc, uint32_t no, uint32_t offset,
    const struct group *g, struct err *err);
void pack_toc_free(struct pack_toc *toc);

/*
 * Sort `toc` and make entries and trailer of it, to stand behind groups that end
 * at `data_end` and `parity_len` bytes of parity: `*len` bytes (malloc), or NULL.
 */
uint8_t *pack_format_footer(const struct pack_header *h, uint32_t data_end,
    uint32_t parity_len, struct pack_toc *toc, size_t *len);

/*
 * Turning an .open file whose groups end at `data_end` into a sealed pack, in two
 * steps: cut what is behind, write parity (per cent, if that can be had) and the footer
 * (sorts `toc`); then make the
 * bytes durable, give the file its final name, and make that durable.
 */
int pack_write_footer(struct fs_file *f, const struct pack_header *h, uint32_t data_end,
    struct pack_toc *toc, uint32_t parity, struct err *err);
int pack_publish(struct fs *fs, struct fs_file *f, uint32_t no, struct err *err);

/*
 * Walk the groups of `f` from the header on; see pack_walk().  `*end` is where
 * the last whole group ends.
 */
int pack_walk_file(struct fs_file *f, const struct pack_header *h,
    const struct pack_judge *judge, struct pack_toc *toc, struct pack_recovery *out,
    uint64_t *end, struct err *err);

/* Read and check the footer of `f`: `*p` (malloc) holds entries and trailer. */
int pack_load_footer(struct fs_file *f, const struct pack_header *h, uint8_t **p,
    struct pack_trailer *t, struct err *err);

#endif /* STORAGE_PACK_FORMAT_H */
