/*
 * fs_fault_inode.h - one file of the layer in memory: its bytes as they are read, and
 * as a power cut would leave them.  The inside of fs_fault.c.
 */
#ifndef STORAGE_FS_FAULT_INODE_H
#define STORAGE_FS_FAULT_INODE_H

#include <stddef.h>
#include <stdint.h>

struct fault_file;

/* A file's bytes: as written, and as a power cut would leave them at least. */
struct fs_fault_inode {
	struct fs_fault_inode *next;
	uint8_t *live, *safe;
	size_t live_len, live_cap, safe_len;
	int is_dir;
	int dirty; /* live and safe may differ. */
	int shown; /* A test has had `live` in its hands, and it was clean. */
	/* Sectors whose sync failed: later ones pass over them, until they are written.
	 */
	uint8_t *lost;
	size_t n_lost; /* Flags in `lost`. */
	struct fault_file *locked_by;
};

/* A number below `below`, and the next state of the generator. */
uint64_t fs_fault_draw(uint64_t *rng, uint64_t below);

/* What a test changed behind our back has rotted on the disk: before any other change. */
void fs_fault_inode_rot(struct fs_fault_inode *n);

/* A sync: all is durable but what an earlier failed one was about. */
void fs_fault_inode_harden(struct fs_fault_inode *n);

/* A sync has failed: what it was about is taken for clean, and is not durable. */
void fs_fault_inode_lose(struct fs_fault_inode *n);

/* Written anew, bytes are dirty anew. */
void fs_fault_inode_regain(struct fs_fault_inode *n, size_t offset, size_t len);

/* What is read is what is there: after a power cut. */
void fs_fault_inode_forget(struct fs_fault_inode *n);

/* Make its bytes those that the disk holds after the power came back. */
void fs_fault_inode_cut(uint64_t *rng, struct fs_fault_inode *n);

void fs_fault_inode_free(struct fs_fault_inode *n);

/* A malloc'd copy, never NULL; aborts without memory, as all here. */
uint8_t *fs_fault_copy_bytes(const uint8_t *p, size_t len);

#endif /* STORAGE_FS_FAULT_INODE_H */
