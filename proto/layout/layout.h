/*
 * layout.h - what a machine is made of: its disks, what lies on them, its controllers.
 *
 * The agent writes it into a recovery point, the server reads the controllers, a
 * restore lays the disks out again.  On the wire and in a point's record it is two
 * typed fields (proto/base/feature.h): LAYOUT_FIELD_DISKS and LAYOUT_FIELD_HOST.
 * Bytes: storage/FORMAT.md, "Facts".
 *
 * A disk has an *image* of its own: one more volume of the point, as long as the
 * disk, in which every partition that is a volume is a hole.  So it holds partition
 * tables, boot code, gaps, and partitions without a known file system.  Writing the
 * image, and each partition's volume at its offset, makes the disk again.
 *
 * Parsing does no I/O and believes nothing: counts and texts are limited, partitions
 * lie on their disk, volumes are in the point, disks are named as volumes are.  Texts
 * come out as UTF-8 that may be shown: what is none is a '?'.
 */
#ifndef PROTO_LAYOUT_LAYOUT_H
#define PROTO_LAYOUT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define LAYOUT_FIELD_DISKS 2u
#define LAYOUT_FIELD_HOST 3u
#define LAYOUT_LEN_MAX 15360u /* Bytes of both fields together. */

#define LAYOUT_DISKS_MAX 32u
#define LAYOUT_PARTITIONS_MAX 128u /* Of all disks of a host together. */
#define LAYOUT_DEVICES_MAX 64u
#define LAYOUT_MACS_MAX 32u
#define LAYOUT_ENTRIES_MAX 8u
#define LAYOUT_ENTRY_MAX 1024u /* Bytes of an EFI_LOAD_OPTION. */
#define LAYOUT_NAME_MAX 64u    /* With its NUL, as of volumes. */
#define LAYOUT_TEXT_MAX 256u   /* With its NUL. */
#define LAYOUT_LABEL_MAX 128u  /* With its NUL: 36 units of UTF-16 as UTF-8. */
#define LAYOUT_NO_VOLUME 255u  /* Its bytes are in the disk's own image. */

enum layout_table { LAYOUT_NO_TABLE = 0, LAYOUT_MBR = 1, LAYOUT_GPT = 2 };

enum layout_role { /* Of a partition. */
	LAYOUT_DATA = 0,
	LAYOUT_ESP = 1,
	LAYOUT_MSR = 2,
	LAYOUT_RECOVERY = 3,
	LAYOUT_BOOT = 4,    /* The active one of an MBR, GRUB's BIOS boot partition. */
	LAYOUT_EXTENDED = 5 /* An MBR's; the logical ones lie in it. */
};

enum layout_firmware { LAYOUT_FIRMWARE_UNKNOWN = 0, LAYOUT_BIOS = 1, LAYOUT_UEFI = 2 };

enum layout_kind { LAYOUT_OTHER = 0, LAYOUT_STORAGE = 1, LAYOUT_NETWORK = 2 };

struct layout_partition {
	uint16_t disk;		 /* Index of its disk. */
	uint16_t number;	 /* As Linux counts: 1..; an MBR's logical ones from 5. */
	uint8_t role;		 /* enum layout_role */
	uint8_t volume;		 /* Index in the point, or LAYOUT_NO_VOLUME. */
	uint64_t offset, length; /* Bytes, from the disk's begin. */
	uint8_t type[16];    /* GPT: the type's GUID as on disk.  MBR: one byte, zeros. */
	uint8_t id[16];	     /* GPT: its own GUID as on disk.  MBR: zeros. */
	uint64_t attributes; /* GPT: as on disk.  MBR: bit 0: active. */
	char label[LAYOUT_LABEL_MAX]; /* GPT: its name, UTF-8. */
};

struct layout_disk {
	char name[LAYOUT_NAME_MAX]; /* The host's own: "disk0". */
	uint8_t volume;		    /* Index in the point of its image. */
	uint8_t table;		    /* enum layout_table */
	uint8_t boots;		    /* The firmware starts from it. */
	uint64_t size;		    /* Bytes. */
	uint32_t sector_size;	    /* Logical. */
	uint32_t physical_size;	    /* Physical sector; 0: not known. */
	uint8_t id[16]; /* GPT: the disk's GUID as on disk.  MBR: 4 bytes, zeros. */
	char model[LAYOUT_NAME_MAX], serial[LAYOUT_NAME_MAX];
};

struct layout_device {			/* A controller. */
	uint8_t kind;			/* enum layout_kind */
	char modalias[LAYOUT_TEXT_MAX]; /* As Linux names it: "pci:v00008086d...". */
	char driver[LAYOUT_NAME_MAX];	/* That drove it; or "". */
};

struct layout_entry {	 /* A boot entry of UEFI that leads to one of the disks. */
	uint16_t number; /* Boot####. */
	uint16_t len;
	uint8_t option[LAYOUT_ENTRY_MAX]; /* EFI_LOAD_OPTION, as in NVRAM. */
};

/* Large (200 KB): on the heap. */
struct layout {
	unsigned disks_count, partitions_count, devices_count, macs_count, entries_count;
	struct layout_disk disks[LAYOUT_DISKS_MAX];
	/* Disk after disk, on each by offset. */
	struct layout_partition partitions[LAYOUT_PARTITIONS_MAX];
	uint8_t firmware;    /* enum layout_firmware */
	uint8_t secure_boot; /* It was on. */
	uint8_t uuid[16];    /* Of the machine (SMBIOS), or zeros. */
	char hostname[LAYOUT_TEXT_MAX], vendor[LAYOUT_NAME_MAX], product[LAYOUT_NAME_MAX];
	struct layout_device devices[LAYOUT_DEVICES_MAX];
	uint8_t macs[LAYOUT_MACS_MAX][6];
	struct layout_entry entries[LAYOUT_ENTRIES_MAX]; /* In boot order. */
};

/*
 * Append the fields of `l` to `out`: LAYOUT_FIELD_DISKS if it has disks, then
 * LAYOUT_FIELD_HOST.  ERR_LIMIT if they are longer than LAYOUT_LEN_MAX.
 */
int layout_pack(const struct layout *l, struct buf *out, struct err *err);

/*
 * Read them from `len` bytes of typed fields, among which may be others.  What is
 * not there stays zeros.  `volumes`: how many the point has.  ERR_CORRUPT.
 */
int layout_parse(
    const uint8_t *p, size_t len, unsigned volumes, struct layout *out, struct err *err);

/* Are the two fields all that is there, each once, in order?  0, or ERR_CORRUPT. */
int layout_only(const uint8_t *p, size_t len, struct err *err);

/*
 * The two fields among `len` bytes of others: where they are and how long together,
 * since they stand side by side; 0 bytes if there are none.
 */
size_t layout_find(const uint8_t *p, size_t len, const uint8_t **out);

/* Disk called `name`, or with "" the only one.  NULL. */
const struct layout_disk *layout_disk_find(const struct layout *l, const char *name);

/* A GUID as on disk, as text: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B". */
void layout_guid(const uint8_t guid[16], char out[37]);

#endif /* PROTO_LAYOUT_LAYOUT_H */
