/*
 * cmdline.h - what the kernel's command line asks of the rescue program.
 *
 *	holdfast.server=HOST:PORT	holdfast.token=T
 *	holdfast.point=latest|N		holdfast.disk=auto|NAME=/dev/X[,NAME=/dev/Y]
 *	holdfast.end=reboot|poweroff|shell
 *	holdfast.extend  .shrink  .adapt  .fallback-loader  .verify  .force
 *
 * holdfast.ip, .ca and .console are the init's.  Other words are the kernel's, or
 * other programs'.  Pure: the text comes from whoever booted the machine.
 */
#ifndef RESCUE_CMDLINE_H
#define RESCUE_CMDLINE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;

#define CMDLINE_LEN_MAX 8192u /* More than any kernel takes. */
#define CMDLINE_ADDRESS_MAX 200u
#define CMDLINE_TOKEN_MAX 64u
#define CMDLINE_DEVICE_MAX 64u

enum cmdline_end { CMDLINE_REBOOT, CMDLINE_POWEROFF, CMDLINE_SHELL };

/* "NAME=/dev/X": a disk of the point, and of the machine. */
struct cmdline_map {
	char name[LAYOUT_NAME_MAX];
	char device[CMDLINE_DEVICE_MAX]; /* Without the "/dev/". */
};

struct cmdline {
	char server[CMDLINE_ADDRESS_MAX]; /* "": not said. */
	char token[CMDLINE_TOKEN_MAX];	  /* "": not said. */
	uint64_t sequence;		  /* 0: the newest. */
	int unattended;			  /* holdfast.disk is there. */
	int automatic;			  /* It says auto. */
	unsigned maps_count;		  /* Else these. */
	struct cmdline_map maps[LAYOUT_DISKS_MAX];
	enum cmdline_end end;
	int end_said;
	int extend, shrink, adapt, fallback_loader, verify, force;
	char unknown[64]; /* A word "holdfast.X" that nobody knows; or "". */
};

/*
 * Read `len` bytes.  Words stand between blanks; double quotes hide blanks, as the
 * kernel has it.  Of a word said twice the last counts.  ERR_UNSUPPORTED with one
 * line for a value that cannot be meant.
 */
int cmdline_parse(const char *p, size_t len, struct cmdline *out, struct err *err);

#endif /* RESCUE_CMDLINE_H */
