/*
 * volumes.h - the volumes and disks of this machine, and which of them are backed up.
 *
 * volumes_list() asks the system (Windows; elsewhere devices are named by their paths).
 * All else here is portable and does no I/O: what Windows answers is parsed from its
 * bytes, and a volume is chosen by letter, mount point, GUID or label.
 *
 *	volumes_list -> volumes_find, volumes_select -> volumes_free
 */
#ifndef AGENT_DISK_VOLUMES_H
#define AGENT_DISK_VOLUMES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;
struct settings;

#define VOLUMES_MAX 256u
#define VOLUMES_DISKS_MAX 256u
#define VOLUMES_EXTENTS_MAX 32u
#define VOLUMES_PATHS_LEN 1024u /* With its NULs. */

enum volumes_bitlocker {
	VOLUMES_PLAIN = 0,
	VOLUMES_UNLOCKED = 1, /* Encrypted on the disk; read decrypted. */
	VOLUMES_LOCKED = 2
};

struct volumes_extent {
	uint32_t disk;		 /* N of \\.\PhysicalDriveN. */
	uint64_t offset, length; /* Bytes. */
};

struct volumes_volume {
	char guid[64];		       /* "\\?\Volume{...}\" */
	char paths[VOLUMES_PATHS_LEN]; /* "C:\", NUL, "C:\mnt\data\", NUL, NUL. */
	char label[LAYOUT_LABEL_MAX];  /* UTF-8; or "". */
	char fs[32];		       /* "NTFS"; "": none that Windows knows. */
	uint64_t size;		       /* Bytes; 0: not told. */
	uint64_t room;		       /* Free bytes of it. */
	uint8_t fixed;		       /* No stick, no CD, no network. */
	uint8_t boot;		       /* Windows runs from it. */
	uint8_t system;		       /* The firmware starts from it. */
	uint8_t page_file;	       /* It has one in use. */
	uint8_t clustered;	       /* A failover cluster's. */
	uint8_t bitlocker;	       /* enum volumes_bitlocker */
	unsigned extents_count;	       /* More than one: striped, spanned, mirrored. */
	struct volumes_extent extents[VOLUMES_EXTENTS_MAX];
};

struct volumes_disk {
	uint32_t number; /* N of \\.\PhysicalDriveN. */
	uint64_t size;	 /* Bytes. */
	uint32_t sector_size, physical_size;
	char model[LAYOUT_NAME_MAX], serial[LAYOUT_NAME_MAX];
	uint8_t bus;	   /* STORAGE_BUS_TYPE */
	uint8_t removable; /* A stick, a card. */
	uint8_t table;	   /* enum layout_table */
	uint8_t partitions;
	uint8_t dynamic;    /* LDM: its volumes lie as its own database says. */
	uint8_t pool;	    /* A member of a Storage Spaces pool. */
	uint8_t offline;    /* Set so: nothing of it is in use here. */
	uint8_t unreadable; /* Its note says why. */
	char note[160]; /* Why its table could not be read; or what that had to say. */
};

/* Large: on the heap. */
struct volumes {
	unsigned count, disks_count;
	struct volumes_volume volumes[VOLUMES_MAX];
	struct volumes_disk disks[VOLUMES_DISKS_MAX];
};

/* Can volumes_list() tell anything on this system? */
int volumes_known(void);

/* What this machine has.  ERR_UNSUPPORTED: not on this system; ERR_NOMEM; ERR_IO. */
int volumes_list(struct volumes **out, struct err *err);
void volumes_free(struct volumes *v);

/* ------------------------------------------------------------------ choosing -- */

/*
 * The volume that `spec` names: "C:", "C:\mnt\data", "\\?\Volume{...}", "label:DATA".
 * ERR_NOTFOUND: none; ERR_EXISTS: several (labels alone).  The message names them.
 */
int volumes_find(const struct volumes *v, const char *spec,
    const struct volumes_volume **out, struct err *err);

/* Is it a word that only volumes_find() understands: a label or a GUID? */
int volumes_is_spec(const char *spec);

/*
 * May it name a volume, be it one that is not here: "F:", "F:\mnt", "\\?\Volume{...}",
 * "label:X"?
 */
int volumes_is_name(const char *spec);

/* How people call it: "C:", else its first mount point, label or GUID; static for `v`. */
const char *volumes_shown(const struct volumes_volume *v);

/*
 * What a point calls it: its letter, or what is left of mount point, label or GUID of
 * letters that names have.
 */
void volumes_name(const struct volumes_volume *v, char out[LAYOUT_NAME_MAX]);

/*
 * Can VSS' own provider make a snapshot of it?  Not of other file systems, and not of a
 * volume without a letter that is too full: recovery partitions are, as a rule.
 */
int volumes_freezable(const struct volumes_volume *v);

/* Is all of it one piece of one disk?  That piece, or NULL. */
const struct volumes_extent *volumes_piece(const struct volumes_volume *v);

/*
 * Make of `s` what is to be read: words of [volumes] become volumes and disks, labels and
 * mount points become paths.  Its note gets what a restore should know: what is left out,
 * what cannot be laid out again, what was encrypted, what is excluded and not here at all.
 *
 * Nothing configured, or "include = all", is all of the machine: every disk that is no
 * guest (a stick, a mounted image), with its table and boot partitions, and volumes that
 * are not pieces of such a disk.  ERR_NOTFOUND, ERR_EXISTS, ERR_DENIED (a locked volume),
 * ERR_LIMIT.
 */
int volumes_select(const struct volumes *v, struct settings *s, struct err *err);

/* Do they name anything to read on this system, be it by naming nothing? */
int volumes_wanted(const struct settings *s);

/*
 * The same from the system's list, asked only if `s` needs it: not for plain files alone.
 */
int volumes_choose(struct settings *s, struct err *err);

/*
 * Is the volume in the list of words "D:, label:X"?  1, 0, -1: a word is no volume's name,
 * or of several.  One that is of none here leaves nothing out.
 */
int volumes_listed(const struct volumes *v, const char *words,
    const struct volumes_volume *volume, struct err *err);

/* ------------------------------------------------ what Windows answers, as bytes -- */

/* VOLUME_DISK_EXTENTS, VOLUMES_EXTENTS_MAX at most.  ERR_CORRUPT. */
int volumes_parse_extents(
    const uint8_t *p, size_t len, struct volumes_volume *out, struct err *err);

/* STORAGE_DEVICE_DESCRIPTOR: model, serial, bus, removable.  What is not there is "". */
void volumes_parse_descriptor(const uint8_t *p, size_t len, struct volumes_disk *out);

/* Does a partition's first sector say that BitLocker encrypts it? */
int volumes_encrypted(const uint8_t sector[512]);

/* Is the type of a partition that of a pool's member?  As on disk. */
int volumes_is_pool(const uint8_t type[16]);

/*
 * Letters with a page file, bit 0 for A, from the registry's list: "\??\C:\pagefile.sys",
 * NUL, "D:\page.sys 0 0", NUL, NUL.
 */
uint32_t volumes_page_files(const char *list, size_t len);

#endif /* AGENT_DISK_VOLUMES_H */
