/*
 * set.h - a snapshot set from the command line: its options, the calls that make it, and
 * what was frozen.
 *
 * Order: set_options over the command's words, set_prepare, set_freeze, then calls on
 * "owner"; set_close releases all, as the end of the process would.
 */
#ifndef DRIVER_TOOLS_SET_H
#define DRIVER_TOOLS_SET_H

#include <windows.h>

#include <stdbool.h>
#include <stdint.h>

#include "driver/abi/hotcopy.h"
#include "driver/tools/pin.h"

#define SET_EXTENTS_MAX 64u /* --exclude and --diff-extents each */
#define SET_FILES_MAX 8u    /* --diff */

struct set_extent {
	uint64_t at; /* a volume */
	struct hotcopy_extent extent;
};

struct set {
	HANDLE owner;
	uint64_t number;
	uint32_t chunk_shift;
	struct hotcopy_prepare ask;
	struct hotcopy_freeze freeze;
	struct hotcopy_frozen frozen;
	const wchar_t *name[HOTCOPY_VOLUMES_MAX]; /* as they were given */
	struct set_extent exclude[SET_EXTENTS_MAX], diff[SET_EXTENTS_MAX];
	uint32_t excludes, diffs;
	const wchar_t *file[SET_FILES_MAX];
	uint64_t file_bytes; /* of each that is made */
	struct pin pin[SET_FILES_MAX];
	uint32_t files;
};

/* What the commands that make a set have in common, for --help. */
extern const wchar_t *const set_help;

/* Takes the options of a set out of argv, whose other words stay in order: *argc of them.
   -1: said why. */
int set_options(struct set *s, int *argc, wchar_t **argv);
/* Of the volumes that argv names. */
int set_prepare(struct set *s, int argc, wchar_t **argv);
int set_freeze(struct set *s);
/* Another handle that reads the image of volume "index"; NULL: said why. */
HANDLE set_bind(uint64_t number, uint32_t index);
int set_stats(HANDLE h, uint64_t number, uint32_t index);
/* Ranges that changed, one OFFSET+LENGTH a line. */
int set_changed(HANDLE h, uint64_t number, uint32_t index, uint64_t length, bool now);
/* Releases; also a set that was never prepared. */
void set_close(struct set *s);

#endif /* DRIVER_TOOLS_SET_H */
