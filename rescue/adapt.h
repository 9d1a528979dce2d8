/*
 * adapt.h - will the Windows on a restored volume start on this machine?
 *
 * Windows starts from a disk only with a driver for its controller that is loaded at
 * boot (Start = 0 in the SYSTEM hive).  adapt_look() reads an offline hive and says
 * which driver would take which of the new machine's controllers; adapt_change()
 * enables what is on the volume for them, and the storage drivers that Windows and
 * virtio bring along.  A driver that is not on the volume is not brought.
 *
 * The hive is read by libhivex.  One whose sequence numbers differ has changes in its
 * logs that we cannot apply: ERR_UNSUPPORTED.
 */
#ifndef RESCUE_ADAPT_H
#define RESCUE_ADAPT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct layout_device;

#define ADAPT_DRIVERS_MAX 256u
#define ADAPT_DEVICES_MAX 64u
#define ADAPT_NAME_MAX 64u
#define ADAPT_SERVICES_MAX 8u /* Of one device. */

struct adapt_driver {
	char name[ADAPT_NAME_MAX];
	char path[256]; /* ImagePath, below the Windows directory; UTF-8. */
	uint32_t start; /* 0: at boot .. 4: disabled. */
	int override;	/* A StartOverride keeps it from starting at boot. */
	int has_file;	/* Its file is there. */
	int enabled;	/* adapt_change() has made it start at boot. */
};

/* A controller of the new machine. */
struct adapt_device {
	char modalias[256];
	int storage;	/* Its class is of mass storage. */
	unsigned count; /* Drivers for it, in `drivers`. */
	unsigned driver[ADAPT_SERVICES_MAX];
	int starts; /* One of them starts at boot and has its file. */
};

/* Large: on the heap. */
struct adapt_report {
	unsigned control_set; /* The one for the next start. */
	int torn;	      /* adapt_change() failed in the hive: it is not whole. */
	int database;	      /* There is a DriverDatabase (Windows 8 and later). */
	/* Those that start at boot or belong to a device, or may be enabled. */
	unsigned drivers_count;
	struct adapt_driver drivers[ADAPT_DRIVERS_MAX];
	unsigned devices_count;
	struct adapt_device devices[ADAPT_DEVICES_MAX];
};

/* Of a volume whose root is the directory `root`. */
struct adapt_job {
	const char *root;
	const struct layout_device
	    *devices; /* Of the new machine; `kind` is not looked at. */
	unsigned devices_count;
};

/*
 * Read.  ERR_NOTFOUND: no Windows there; ERR_UNSUPPORTED: logs pending; ERR_CORRUPT.
 */
int adapt_look(const struct adapt_job *job, struct adapt_report *out, struct err *err);

/*
 * Enable, and report what is then.  The hive as it was is kept beside it as
 * "SYSTEM.holdfast" (an older copy stays).  Nothing is written if nothing changes.
 */
int adapt_change(const struct adapt_job *job, struct adapt_report *out, struct err *err);

/* Append lines for people to `out`; the last one says whether it will start. */
int adapt_print(const struct adapt_report *r, struct buf *out, struct err *err);

/* Non-zero: every storage controller, and one at least, has a driver that starts. */
int adapt_starts(const struct adapt_report *r);

/* ------------------------------------------------------------ bytes, no I/O -- */

/*
 * The first 512 bytes of a hive: 1 good, 0 logs pending, -1 no hive or damaged
 * (`why` says, static).
 */
int adapt_hive_header(const uint8_t *p, size_t len, const char **why);

/*
 * Does a name under which Windows knows PCI devices ("VEN_8086&DEV_2922&SUBSYS_...",
 * "CC_0106") mean the device of this modalias ("pci:v00008086d00002922...")?  0: no;
 * else the larger the closer it says.  A revision is not in a modalias: any will do.
 */
int adapt_pci_match(const char *name, const char *modalias);

/* The modalias is of a PCI controller of mass storage. */
int adapt_pci_storage(const char *modalias);

/*
 * An ImagePath as a path below the Windows directory with '/': of
 * "\SystemRoot\System32\drivers\x.sys" "System32/drivers/x.sys".  0, or -1: it is
 * elsewhere, or no path.
 */
int adapt_image_path(const char *image, char out[256]);

#endif /* RESCUE_ADAPT_H */
