/*
 * ntfs.h - NTFS as its bytes lie on the disk; for the files ntfs*.c alone.
 *
 *	ntfs_record.c	boot sector, records, attributes, run lists: bytes in, facts out
 *	ntfs_stream.c	reading what an attribute of a record holds
 *	ntfs_log.c	was the volume left clean?
 *	ntfs_scan.c	all records: who owns which clusters
 *	ntfs_compare.c	which of them are as they were at the last point
 *	ntfs_exclude.c	page files and the like
 *	ntfs_unheard.c	files that are written around every driver
 *	ntfs.c		ntfs_plan(): the order of it all
 *
 * All bytes are hostile.  Nothing recurses; every loop is bounded by bytes
 * already read or by the size of the volume.
 */
#ifndef AGENT_MAP_NTFS_H
#define AGENT_MAP_NTFS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct volmap_plan;
struct volmap_run;
struct volmap_source;

#define NTFS_RECORD_MAX 4096u

/* Records with a fixed number. */
enum {
	NTFS_MFT = 0,
	NTFS_LOGFILE = 2,
	NTFS_VOLUME = 3,
	NTFS_ROOT = 5,
	NTFS_BITMAP = 6,
	NTFS_BADCLUS = 8,
	NTFS_FIRST_OTHER = 16 /* Below are the file system's own. */
};

/* Types of attributes. */
enum {
	NTFS_ATTRIBUTE_LIST = 0x20,
	NTFS_FILE_NAME = 0x30,
	NTFS_VOLUME_INFORMATION = 0x70,
	NTFS_DATA = 0x80
};

/* ------------------------------------------------------------- boot sector -- */

struct ntfs_boot {
	uint32_t sector_size;  /* Bytes. */
	uint32_t cluster_size; /* Bytes. */
	uint32_t record_size;  /* Bytes. */
	uint32_t clusters;     /* Of the volume. */
	uint64_t mft_lcn;
};

/*
 * Read the 512 bytes of a boot sector of a volume of `size` bytes.  1: good;
 * 0: not NTFS; -1: it says NTFS, but makes no sense (`why` says, static).
 */
int
ntfs_boot_parse(const uint8_t *p, uint64_t size, struct ntfs_boot *out, const char **why);

/* The same, read of the volume: 1; 0: none, or (`*why` is not NULL) nonsense; -1 if reading
 * fails. */
int ntfs_boot_read(const struct volmap_source *src, struct ntfs_boot *out,
    const char **why, struct err *err);

/* ------------------------------------------------------- records, attributes -- */

/* A reference without its sequence number. */
uint64_t ntfs_ref(uint64_t ref);

/* Undo the fixups of a multi-sector record in place; 0 if it is torn or no record. */
int ntfs_fixup(uint8_t *p, uint32_t len);

struct ntfs_record {
	const uint8_t *p; /* Borrowed, fixups undone. */
	uint32_t len;	  /* Bytes in use. */
	uint32_t attrs;	  /* Where the attributes begin. */
	uint16_t links;
	int is_extension; /* Of record `base`; the MFT's own has number 0. */
	uint64_t base;
};

/* The header of an in-use record whose fixups are undone; 0 if it makes no sense. */
int ntfs_record_parse(const uint8_t *p, uint32_t len, struct ntfs_record *out);

struct ntfs_attr {
	uint32_t type;
	uint16_t flags; /* 0xff compressed, 0x4000 encrypted, 0x8000 sparse */
	int resident;
	uint8_t name_len; /* UTF-16 units. */
	const uint8_t *name;
	const uint8_t *value; /* Resident: its bytes; else the run list. */
	uint32_t value_len;
	uint64_t lowest, highest;	 /* VCN, of this part. */
	uint64_t allocated, size, valid; /* Bytes; only where lowest is 0. */
};

/* The next attribute at `*at` (begin with record.attrs): 1, 0 at the end, -1 nonsense. */
int ntfs_attr_next(const struct ntfs_record *r, uint32_t *at, struct ntfs_attr *out);

/* Compare a UTF-16 name to an ASCII one, letters of any case. */
int ntfs_name_is(const uint8_t *name, size_t units, const char *ascii);

/* ----------------------------------------------------------------- run lists -- */

struct ntfs_run {
	uint64_t vcn;
	uint64_t len; /* Clusters. */
	int64_t lcn;  /* -1: sparse. */
};

struct ntfs_runs {
	const uint8_t *p, *end;
	uint64_t vcn, stop; /* Next, and one past the last. */
	uint64_t clusters;  /* Of the volume. */
	int64_t lcn;
};

/* Begin with the run list of a non-resident attribute. */
void ntfs_runs_begin(struct ntfs_runs *it, const struct ntfs_attr *a, uint32_t clusters);

/* The next run, inside the volume: 1, 0 at the proper end, -1 nonsense. */
int ntfs_runs_next(struct ntfs_runs *it, struct ntfs_run *out);

/* -------------------------------------------------------------------- streams -- */

/* The content of one attribute; zeroed it is empty. */
struct ntfs_stream {
	uint8_t *bytes; /* Resident content, or NULL. */
	struct ntfs_run *run;
	uint32_t count, room;
	uint64_t size;	/* Bytes. */
	uint64_t valid; /* Bytes that were ever written. */
	uint64_t next_vcn;
};

struct ntfs {
	const struct volmap_source *src;
	struct ntfs_boot boot;
	struct ntfs_stream mft;
	uint32_t records; /* In the MFT, as far as initialised. */
};

/* Each answers 1; 0 if the bytes make no sense; -1 if reading fails or ERR_NOMEM. */

/* Learn where the MFT lies. */
int ntfs_mft_open(struct ntfs *v, struct err *err);

/* Record `n` into `buf` (record_size bytes), fixups undone, in use. */
int ntfs_record_read(const struct ntfs *v, uint64_t n, uint8_t *buf,
    struct ntfs_record *out, struct err *err);

/*
 * The unnamed attribute `type` of record `n`, over its attribute list if it has
 * one.  One with a sparse run makes no sense: no stream that is read here has any.
 */
int ntfs_stream_open(const struct ntfs *v, uint64_t n, uint32_t type,
    struct ntfs_stream *out, struct err *err);
void ntfs_stream_free(struct ntfs_stream *s);

/* Bytes [offset, offset + len) of the content. */
int ntfs_stream_read(const struct ntfs *v, const struct ntfs_stream *s, uint64_t offset,
    void *buf, size_t len, struct err *err);

/*
 * Where byte `offset` of the content lies: 1, its byte of the volume and how many follow it
 * there; 0 if it lies in no run.
 */
int ntfs_stream_place(const struct ntfs *v, const struct ntfs_stream *s, uint64_t offset,
    uint64_t *at, uint64_t *room);

/* -------------------------------------------------------------------- plan -- */

/* May `$Bitmap` be believed, by the log's own word?  1 yes, 0 no or in doubt. */
int ntfs_log_clean(const struct ntfs *v, struct err *err);

/* What has the name of something that may be left out. */
enum ntfs_kind { NTFS_PLAIN, NTFS_AREA, NTFS_PAGE, NTFS_SWAP, NTFS_MEMORY };

/* A file that may be excluded. */
struct ntfs_candidate {
	uint32_t record;
	uint32_t parent;
	enum ntfs_kind kind;
	uint16_t names;	    /* All that it has, or 0 if one of them speaks against. */
	uint8_t names_away; /* They are in an extension record. */

	/* Of its content, from its runs; of candidates of one record the first has it. */
	uint64_t clusters;
	uint8_t stream;	 /* Of the first run seen. */
	uint8_t shared;	 /* Not all of it is its own, allocated, and one stream. */
	uint8_t written; /* Some of it is in the plan's `written`. */
};

#define NTFS_CANDIDATES_MAX 1024

struct ntfs_scan {
	uint64_t damaged;     /* Records or attributes that make no sense. */
	uint32_t unheard;     /* Files that ntfs_unheard() told of. */
	uint32_t restore_dir; /* Record of \System Volume Information; 0: none. */
	uint32_t in_root[NTFS_MEMORY + 1]; /* Files of each kind. */
	uint32_t count;
	struct ntfs_candidate candidate[NTFS_CANDIDATES_MAX]; /* By record. */
};

/* Read every record of the MFT into plan->runs (not sorted) and `out`; 0 or -1. */
int ntfs_scan(const struct ntfs *v, struct volmap_plan *plan, struct ntfs_scan *out,
    struct err *err);

/* Is it the name of what volsnap keeps its copies in (2), or a catalogue of them (1)? */
int ntfs_name_of_vss(const uint8_t *name, size_t units);

/*
 * Add to the source's `unheard`, which is there, where the content of a file lies, if a name
 * in record `n` says that it is written around every driver.  Of more files than there
 * can be it is all of the volume.  0 or -1.
 */
int ntfs_unheard(const struct ntfs *v, struct ntfs_scan *s, uint32_t n,
    const struct ntfs_record *r, struct err *err);

/* Note what of record `n` speaks for leaving its content out. */
void ntfs_candidate_look(struct ntfs_scan *s, uint32_t n, const struct ntfs_record *r);

/* Note what a run, all marks set, says of the candidate that owns it.  0 or -1. */
int ntfs_candidate_run(struct ntfs_scan *s, const struct volmap_plan *plan,
    const struct volmap_run *run, struct err *err);

/*
 * With all runs seen and all doubts known: see if the system hibernates and,
 * unless `keep_all`, mark what is left out.  0 or -1.
 */
int ntfs_exclude(const struct ntfs *v, struct volmap_plan *plan,
    const struct ntfs_scan *s, int keep_all, struct err *err);

#endif /* AGENT_MAP_NTFS_H */
