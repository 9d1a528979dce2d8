/*
 * seeds - makes the seed inputs of fuzz_ntfs, fuzz_ntfs_paging and fuzz_fat, which are
 * checked in: seeds DIRECTORY puts them into DIRECTORY/fuzz_ntfs and so on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/agent/sparse_image.h"
#include "tests/unit/agent/fat_image.h"
#include "tests/unit/agent/ntfs_index.h"

#define RUNS(...) ((const struct image_run[]){ __VA_ARGS__, { 0, 0 } })

/* Only called by libFuzzer's mutator. */
size_t
LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max)
{
	(void)p;
	(void)max;
	return len;
}

static void
put(const char *dir, const char *name, unsigned flags, unsigned fail_at, const uint8_t *p,
    uint64_t size)
{
	char path[400];
	uint8_t head[4] = { (uint8_t)flags, (uint8_t)fail_at, 0, 0 };
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "wb")) == NULL)
		abort();
	store_le16(head + 2, (uint16_t)(size / 512));
	(void)fwrite(head, 4, 1, f);
	for (uint64_t at = 0; at < size; at += 512) {
		for (n = 512; n > 0 && p[at + n - 1] == 0; n--)
			continue;
		if (n == 0)
			continue;
		store_le16(head, (uint16_t)(at / 512));
		store_le16(head + 2, (uint16_t)n);
		(void)fwrite(head, 4, 1, f);
		(void)fwrite(p + at, n, 1, f);
	}
	if (fclose(f) != 0)
		abort();
}

static void
put_ntfs(const char *dir, const char *name, unsigned flags, struct image *v)
{
	image_boot(v);
	put(dir, name, flags, 0, v->p, v->size);
	image_free(v);
}

static struct image *
small(void)
{
	return image_new(300, 512, 512, 1024, 24);
}

/* An entry of an attribute list. */
static void
entry(uint8_t *p, uint32_t type, uint64_t lowest, uint32_t record)
{
	memset(p, 0, 32);
	store_le32(p, type);
	store_le16(p + 4, 32);
	p[7] = 26;
	store_le64(p + 8, lowest);
	store_le64(p + 16, record | 1ull << 48);
}

/* The last part of the MFT's run list is in record 16. */
static struct image *
with_list(int resident)
{
	struct image *v = small();
	uint32_t f = image_free_from(v);
	struct image_run first = { v->mft[0].lcn, 40 },
			 second = { v->mft[0].lcn + 40, 8 };
	uint8_t list[64];

	entry(list, 0x80, 0, 0);
	entry(list + 32, 0x80, 40, 16);
	image_begin(v, 0, 1, 0);
	if (resident)
		image_resident(v, 0, 0x20, list, sizeof(list));
	else
		image_attr(v, 0, 0x20, "", 0, RUNS({ f + 3, 1 }), sizeof(list));
	if (!resident)
		memcpy(image_cluster(v, f + 3), list, sizeof(list));
	store_le64(image_attr(v, 0, 0x80, "", 0, RUNS(first), 24 * 1024) + 40, 24 * 1024);
	image_begin(v, 16, 1, 0);
	store_le64(image_record(v, 16) + 32, 1ull << 48);
	image_attr(v, 16, 0x80, "", 40, RUNS(second), 0);
	return v;
}

static void
make_ntfs(const char *dir)
{
	static const uint8_t bits[38] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0x0f };
	struct image *v = small();
	uint32_t f = image_free_from(v);
	char name[30];

	image_file(v, 16, 5, "a", RUNS({ f + 70, 20 }, { -1, 4 }, { f, 30 }));
	store_le64(image_record(v, 16) + 72 + 96 + 56, 20001);
	put_ntfs(dir, "files", 0, v);

	v = small();
	image_log(v, 1, 1);
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 16 }, { f + 40, 16 }));
	image_begin(v, 17, 3, 0);
	image_name(v, 17, 5, "System Volume Information", 1);
	image_file(v, 18, 17,
	    "{01234567-0123-0123-0123-0123456789ab}{3808876b-c176-4e48-b7ae-"
	    "04046e6cc752}",
	    RUNS({ f + 60, 9 }));
	image_boot(v);
	for (unsigned n = 4; n < 12; n += 3) {
		(void)snprintf(name, sizeof(name), "read-%u-fails", n);
		put(dir, name, 0, n, v->p, v->size);
	}
	put_ntfs(dir, "excluded", 0, v);

	v = small();
	image_log(v, 0, 1);
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 16 }));
	memcpy(image_cluster(v, f), "hibr", 4);
	put_ntfs(dir, "sleeps", 0, v);

	put_ntfs(dir, "list", 2, with_list(1));
	put_ntfs(dir, "list-outside", 2, with_list(0));

	v = small();
	image_file(v, 16, 5, "a", RUNS({ f, 20 }));
	image_file(v, 17, 5, "b", RUNS({ f + 10, 20 }));
	put_ntfs(dir, "crossed", 2, v);

	v = image_new(40, 4096, 4096, 4096, 10);
	image_file(v, 9, 5, "a", RUNS({ image_free_from(v), 5 }));
	put_ntfs(dir, "large-records", 2, v);

	v = small();
	image_begin(v, 6, 1, 0);
	image_resident(v, 6, 0x80, bits, sizeof(bits));
	image_begin(v, 16, 1, 0);
	memcpy(image_record(v, 16), "BAAD", 4);
	put_ntfs(dir, "bad-record", 2, v);
}

/* The root's index in its record, or with a block below it. */
static void
make_paging(const char *dir)
{
	for (unsigned blocks = 0; blocks < 2; blocks++) {
		struct image *v = image_new(300, 512, 512, 1024, 24);
		uint32_t f = image_free_from(v);
		struct index_node n;

		image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 16 }, { f + 40, 16 }));
		image_file(v, 17, 5, "swapfile.sys", RUNS({ f + 60, 9 }));
		index_begin(&n);
		index_entry(&n, 16, "pagefile.sys", INDEX_NO_CHILD);
		index_entry(&n, 17, "swapfile.sys", INDEX_NO_CHILD);
		index_entry(&n, 0, NULL, INDEX_NO_CHILD);
		if (blocks) {
			/* Without fixups, which sparse_image.h's readers put in. */
			index_block(v, (uint64_t)(f + 80) * v->cluster, 0, &n);
			for (unsigned i = 1; i <= 8; i++)
				memset(image_cluster(v, f + 80) + i * 512 - 2, 0, 2);
			index_begin(&n);
			index_entry(&n, 0, NULL, 0);
		}
		index_root(v, &n);
		if (blocks)
			index_blocks(v, RUNS({ f + 80, 8 }), 1);
		image_boot(v);
		if (blocks)
			put(dir, "read-4-fails", 0, 4, v->p, v->size);
		put(dir, blocks ? "blocks" : "record", 0, 0, v->p, v->size);
		image_free(v);
	}
}

static void
make_fat(const char *dir)
{
	static const struct {
		const char *name;
		unsigned bits, per;
		uint32_t clusters;
	} kind[] = { { "fat12", 12, 8, 40 }, { "fat16", 16, 1, 4100 },
		{ "fat32", 32, 8, 50 } };
	char name[30];

	for (size_t i = 0; i < 3; i++) {
		struct fat_image *v =
		    fat_image_new(kind[i].bits, kind[i].clusters, kind[i].per);

		if (kind[i].bits ==
		    16) /* Few clusters, but not a FAT12 by its boot sector. */
			store_le16(v->p + 19, 0);
		fat_image_chain(v, 3, 4, 20);
		fat_image_chain(v, 20, 5, 12);
		fat_image_chain(v, 12, 3, 0);
		fat_image_chain(v, 30, 5, 0);
		put(dir, kind[i].name, 0, 0, v->p, v->size);
		v->p[kind[i].bits == 32 ? 65 : 37] = 1;
		put(dir,
		    kind[i].bits == 12	 ? "dirty12"
		    : kind[i].bits == 16 ? "dirty16"
					 : "dirty32",
		    2, 0, v->p, v->size);
		for (unsigned n = 2; n < 7 && kind[i].bits == 12; n++) {
			(void)snprintf(name, sizeof(name), "read-%u-fails", n);
			put(dir, name, 0, n, v->p, v->size);
		}
		fat_image_free(v);
	}
}

int
main(int argc, char **argv)
{
	char path[300];

	if (argc != 2)
		return 2;
	(void)snprintf(path, sizeof(path), "%s/fuzz_ntfs", argv[1]);
	make_ntfs(path);
	(void)snprintf(path, sizeof(path), "%s/fuzz_ntfs_paging", argv[1]);
	make_paging(path);
	(void)snprintf(path, sizeof(path), "%s/fuzz_fat", argv[1]);
	make_fat(path);
	return 0;
}
