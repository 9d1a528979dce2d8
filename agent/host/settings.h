/*
 * settings.h - agent.conf, in INI form, written by people:
 *
 *	[agent]
 *	level = 3		; zstd level of new data, 1..19
 *	interval = 24h		; of `run`; s, m, h or d after the number
 *	retry-for = 10m		; how long one backup outlasts a lost server
 *	silence-timeout = 5m	; a server that says nothing for so long is lost
 *	provider = auto		; who freezes: auto, offline, vss, hotcopy
 *	vss-type = full		; or copy: applications do not cut their logs
 *	pre-script = /etc/holdfast/pre	; before a backup, and after it: hooks.h
 *	post-script = /etc/holdfast/post
 *	script-timeout = 10m	; of either
 *	fast = off		; on: of NTFS, files whose record is the same are not read
 *	fast-proof = 10		; ... but for so many percent of them in each run
 *	fast-large = 256	; ... and those of so many MiB, 0: none
 *	fast-recent = 24h	; ... and those changed in the last so many hours
 *	fast-types = mdf ldf	; ... and those whose names end so: SETTINGS_FAST_TYPES
 *	tracking = on		; where the driver is: its list of changes is used
 *	track-proof = 1		; ... but for so many percent of the rest in each run
 *	track-after-crash = off	; on: also after a crash, where no other system is started
 *	hotcopy-memory = 64	; MiB for copies of blocks, 1..4096
 *	hotcopy-room = auto	; and more on disk: auto (on each volume itself), none, or a
 *				; volume that holds it for all
 *	hotcopy-room-size = 10	; percent of what it is for, 1..100
 *	hotcopy-throttle = 20s	; no room left: writers wait so long, 0s: the view is lost
 *	hotcopy-lost = restart	; a view that was lost is frozen again; fail: it is not
 *	hotcopy-force = off	; on: freeze files of databases without asking them
 *	hotcopy-flush = off	; on (Windows): cut while VSS holds its writers still
 *	[volume C]
 *	path = /dev/sda2
 *	[disk disk0]		; whole: its table, its gaps, each of its partitions
 *	path = /dev/sda
 *	[volumes]		; Windows; without any of these three: include = all
 *	include = all		; or C:, label:DATA, C:\mnt\data, \\?\Volume{...}
 *	exclude = D:
 *
 * An unknown section or key, a bad value, a volume named twice or a line that is too long
 * is an error that names the line: a misspelt setting must not pass as the default.
 */
#ifndef AGENT_HOST_SETTINGS_H
#define AGENT_HOST_SETTINGS_H

#include <stdint.h>

struct err;

#define SETTINGS_VOLUMES_MAX 128 /* MSG_VOLUMES_MAX */
#define SETTINGS_DISKS_MAX 32	 /* LAYOUT_DISKS_MAX */
#define SETTINGS_NAME_MAX 64
#define SETTINGS_DISK_NAME_MAX 58 /* Its volumes are called NAME and NAME.1 ... */
#define SETTINGS_PATH_MAX 1024
#define SETTINGS_FILE_MAX (256u * 1024)
#define SETTINGS_LINE_MAX 4096u	 /* Bytes, without its end. */
#define SETTINGS_SECTION_MAX 49u /* libinih's: "volume " and a name of 42. */
#define SETTINGS_LEVEL 3
#define SETTINGS_AUTO "auto" /* Of `provider`. */
#define SETTINGS_INTERVAL_S (24u * 3600)
#define SETTINGS_RETRY_S (10u * 60)
#define SETTINGS_SILENCE_S 300u
#define SETTINGS_SILENCE_MAX_S 86400u
#define SETTINGS_SCRIPT_S (10u * 60)
#define SETTINGS_FAST_PROOF 10u
#define SETTINGS_TRACK_PROOF 1u
#define SETTINGS_HOTCOPY_MIB 64u
#define SETTINGS_ROOM_PERCENT 10u
#define SETTINGS_THROTTLE_MS 20000u
#define SETTINGS_THROTTLE_MAX_MS 60000u /* HOTCOPY_THROTTLE_MS_MAX */
#define SETTINGS_FAST_LARGE_MIB 256u
#define SETTINGS_FAST_RECENT_S (24u * 3600)
#define SETTINGS_TYPES_MAX 1024

/*
 * Databases, mail stores, disks of virtual machines, logs: open for long, and mapped; and
 * by their whole names the registry's hives, which are open as long as Windows runs.
 */
#define SETTINGS_FAST_TYPES                                                              \
	"mdf ndf ldf edb stm jrs jtx chk ibd ibdata1 myd myi frm dbf ora ctl rdo sdf "   \
	"sqlite sqlite3 sqlitedb db db3 db-wal db-shm db-journal accdb mdb fdb gdb nsf " \
	"pst ost dat blf regtrans-ms dit sdb wid gho tib vhd vhdx avhd avhdx vhdpmem "   \
	"vmdk vmem vmsn vswp vdi qcow qcow2 qed hdd img raw vmrs vmcx vsv vfd mrt rct "  \
	"evtx evt etl log jfm system software sam security default components drivers "  \
	"bbi elam bcd schema"

/* Incrementals that do not read what an NTFS does not say was changed. */
struct settings_fast {
	int on;
	unsigned percent; /* Proven in each run, 1..100. */
	uint64_t large;	  /* Bytes. */
	uint32_t recent_s;
	char types[SETTINGS_TYPES_MAX]; /* In lower case, a blank between two. */
};

/* Freezing by our own driver, and its list of changes. */
struct settings_hotcopy {
	int tracking, after_crash;
	unsigned percent; /* Proven in each tracked run, 1..100. */
	unsigned memory_mib;
	char room[SETTINGS_PATH_MAX]; /* SETTINGS_AUTO, "none" or a volume's path. */
	unsigned room_percent;
	uint32_t throttle_ms;
	int fail_if_lost, forced, flush;
};

struct settings_volume {
	char name[SETTINGS_NAME_MAX];
	char path[SETTINGS_PATH_MAX];
};

/* Copyable; owns nothing. */
struct settings {
	int level;
	uint32_t interval_s;
	uint32_t retry_s;
	uint32_t silence_s; /* 1 and more. */
	char provider[16];  /* As choose() has it. */
	int vss_copy;	    /* Applications are told of a copy, not a backup. */
	int socket_buffer;  /* Bytes, each way; 0: the system's. */
	char pre_script[SETTINGS_PATH_MAX],
	    post_script[SETTINGS_PATH_MAX]; /* "": none. */
	uint32_t script_timeout_s;
	struct settings_fast fast;
	struct settings_hotcopy hotcopy;
	unsigned count; /* Volumes. */
	struct settings_volume volumes[SETTINGS_VOLUMES_MAX];
	unsigned disks_count;
	struct settings_volume disks[SETTINGS_DISKS_MAX];
	char include[SETTINGS_PATH_MAX], exclude[SETTINGS_PATH_MAX]; /* volumes.h */
	char note[256]; /* For the point: what volumes_select() had to say. */
};

/* The defaults, without volumes. */
void settings_init(struct settings *s);

/*
 * Read `path` over the defaults; a missing file leaves them.  ERR_CORRUPT, ERR_LIMIT,
 * ERR_IO.
 */
int settings_load(struct settings *s, const char *path, struct err *err);

/*
 * Add a volume: "NAME=PATH", or a path whose last part is the name (without ".img" or
 * ".raw"; of "C:" it is C, of
 * "label:DATA" DATA).  Names hold letters, digits, '.', '_' and '-'.  ERR_EXISTS,
 * ERR_LIMIT.
 */
int settings_add(struct settings *s, const char *spec, struct err *err);

/* Add a disk likewise. */
int settings_add_disk(struct settings *s, const char *spec, struct err *err);

/* Number `i` of all that is read: volumes, then disks; NULL behind the last. */
const struct settings_volume *settings_source(const struct settings *s, unsigned i);

/* "90", "90s", "15m", "6h", "2d" as seconds. */
int settings_duration(const char *text, uint32_t *seconds, struct err *err);

/* Is this word one that `provider` may have? */
int settings_known_provider(const char *word);

/* A word of `provider`. */
int settings_provider(struct settings *s, const char *word, struct err *err);

/* "1".."19" */
int settings_level(const char *text, int *level, struct err *err);

#endif /* AGENT_HOST_SETTINGS_H */
