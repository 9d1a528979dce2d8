#include <stddef.h>
#include <string.h>

#include "driver/nt/requests.h"

/*
 * A code is type << 16 | access << 14 | function << 2 | method ("Defining I/O Control
 * Codes", learn.microsoft.com); access 1: the handle must be readable, 2: writable.
 * Numbers are those of ntdddisk.h, ntddstor.h, ntddvol.h, ntddscsi.h and ntifs.h as MinGW
 * has them; of the shadow copy driver's own only the first is documented, the others are
 * known by the names that process monitors print.
 */
#define WRITES(code) (((code) >> 14 & 2u) != 0)

#define DATA_SET 0x002d9404u  /* IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES */
#define COPY_DATA 0x0007c064u /* IOCTL_DISK_COPY_DATA */
#define SCSI 0x0004d004u      /* IOCTL_SCSI_PASS_THROUGH */
#define SCSI_DIRECT 0x0004d014u

struct known {
	uint32_t code;
	enum requests_effect effect;
};

/*
 * What is not here and may write is REQUESTS_UNKNOWN_WRITE; what may only read passes.
 * So those that write are listed where their access does not say so.
 */
static const struct known table[] = {
	{ 0x0053c000u, REQUESTS_HOLD }, /* IOCTL_VOLSNAP_FLUSH_AND_HOLD_WRITES */

	/* The length. */
	{ 0x0007c0c8u, REQUESTS_RESIZE }, /* IOCTL_DISK_UPDATE_DRIVE_SIZE */
	{ 0x0007c0d0u, REQUESTS_RESIZE }, /* IOCTL_DISK_GROW_PARTITION */
	{ 0x00070140u, REQUESTS_RESIZE }, /* IOCTL_DISK_UPDATE_PROPERTIES */
	{ 0x00560054u, REQUESTS_RESIZE }, /* IOCTL_VOLUME_UPDATE_PROPERTIES */
	/* An entry in a table that is not of the volume: its type, perhaps its end. */
	{ 0x0007c008u, REQUESTS_RESIZE }, /* IOCTL_DISK_SET_PARTITION_INFO */
	{ 0x0007c04cu, REQUESTS_RESIZE }, /* IOCTL_DISK_SET_PARTITION_INFO_EX */

	/* Write, though their access is "any": IOCTL_STORAGE_REMOVE_ELEMENT_AND_TRUNCATE,
	   IOCTL_VOLSNAP_CANCEL_REVERT. */
	{ 0x002d1cc0u, REQUESTS_UNKNOWN_WRITE }, { 0x0053004cu, REQUESTS_UNKNOWN_WRITE },
	/* IOCTL_VOLSNAP_REVERT: below us the volume becomes what it was. */
	{ 0x0053c044u, REQUESTS_UNKNOWN_WRITE },
	/* IOCTL_VOLUME_OFFLINE: another machine of a cluster may write from now on. */
	{ 0x0056c00cu, REQUESTS_UNKNOWN_WRITE },

	/* May write, and do not: state of the device, not bytes of the volume. */
	{ 0x0007c0d8u, REQUESTS_PASS }, /* IOCTL_DISK_SET_CACHE_INFORMATION */
	{ 0x0007c0f4u, REQUESTS_PASS }, /* IOCTL_DISK_SET_DISK_ATTRIBUTES */
	{ 0x0007c210u, REQUESTS_PASS }, /* IOCTL_DISK_RESET_SNAPSHOT_INFO */
	{ 0x002dcc18u, REQUESTS_PASS }, /* IOCTL_STORAGE_SET_HOTPLUG_INFO */
	{ 0x002dd01cu, REQUESTS_PASS }, /* IOCTL_STORAGE_PERSISTENT_RESERVE_OUT */
	{ 0x002dd1c0u, REQUESTS_PASS }, /* IOCTL_STORAGE_GET_DEVICE_TELEMETRY */
	{ 0x002dd1c4u, REQUESTS_PASS }, /* IOCTL_STORAGE_DEVICE_TELEMETRY_NOTIFY */
	{ 0x002dd1c8u, REQUESTS_PASS }, /* IOCTL_STORAGE_DEVICE_TELEMETRY_QUERY_CAPS */
	{ 0x002dd1ccu, REQUESTS_PASS }, /* IOCTL_STORAGE_GET_DEVICE_TELEMETRY_RAW */
	{ 0x002dd200u, REQUESTS_PASS }, /* IOCTL_STORAGE_SET_TEMPERATURE_THRESHOLD */
	{ 0x002d93fcu, REQUESTS_PASS }, /* IOCTL_STORAGE_SET_PROPERTY */
	{ 0x002dd804u, REQUESTS_PASS }, /* IOCTL_STORAGE_ALLOCATE_BC_STREAM */
	{ 0x002dd808u, REQUESTS_PASS }, /* IOCTL_STORAGE_FREE_BC_STREAM */
	{ 0x002dd884u, REQUESTS_PASS }, /* IOCTL_STORAGE_START_DATA_INTEGRITY_CHECK */
	{ 0x002dd888u, REQUESTS_PASS }, /* IOCTL_STORAGE_STOP_DATA_INTEGRITY_CHECK */
	{ 0x0056c008u, REQUESTS_PASS }, /* IOCTL_VOLUME_ONLINE: each that comes */
	{ 0x0056c044u, REQUESTS_PASS }, /* IOCTL_VOLUME_PREPARE_FOR_CRITICAL_IO */
	{ 0x0056c064u, REQUESTS_PASS }, /* IOCTL_VOLUME_POST_ONLINE: each that is */
	/* What the mount manager tells each volume at every start: names that it has or
	   has no more, another identification.  Since NT 5.2 they ask for write access
	   (MinGW's headers have the older numbers). */
	{ 0x004dc004u, REQUESTS_PASS }, /* IOCTL_MOUNTDEV_UNIQUE_ID_CHANGE_NOTIFY */
	{ 0x004dc010u, REQUESTS_PASS }, /* IOCTL_MOUNTDEV_LINK_CREATED */
	{ 0x004dc014u, REQUESTS_PASS }, /* IOCTL_MOUNTDEV_LINK_DELETED */
	/* A disk's own tests and tables; no command of this set writes a sector. */
	{ 0x0007c084u, REQUESTS_PASS }, /* SMART_SEND_DRIVE_COMMAND */
	{ 0x0007c088u, REQUESTS_PASS }, /* SMART_RCV_DRIVE_DATA */

	/*
	 * The shadow copy driver, below us, keeps its copies in files of the volume. What
	 * it writes into them no upper filter sees; no backup needs them, and nothing
	 * else changes.
	 */
	{ 0x0053c004u, REQUESTS_PASS }, /* ..._RELEASE_WRITES */
	{ 0x0053c008u, REQUESTS_PASS }, /* ..._PREPARE_FOR_SNAPSHOT */
	{ 0x0053c00cu, REQUESTS_PASS }, /* ..._ABORT_PREPARED_SNAPSHOT */
	{ 0x0053c010u, REQUESTS_PASS }, /* ..._COMMIT_SNAPSHOT */
	{ 0x0053c014u, REQUESTS_PASS }, /* ..._END_COMMIT_SNAPSHOT */
	{ 0x0053c01cu, REQUESTS_PASS }, /* ..._CLEAR_DIFF_AREA */
	{ 0x0053c020u, REQUESTS_PASS }, /* ..._ADD_VOLUME_TO_DIFF_AREA */
	{ 0x0053c028u, REQUESTS_PASS }, /* ..._SET_MAX_DIFF_AREA_SIZE */
	{ 0x0053c030u, REQUESTS_PASS }, /* ..._DELETE_OLDEST_SNAPSHOT */
	{ 0x0053c038u, REQUESTS_PASS }, /* ..._DELETE_SNAPSHOT */
	{ 0x0053c068u, REQUESTS_PASS }, /* ..._SET_MAX_DIFF_AREA_SIZE_TEMP */
	{ 0x0053c06cu, REQUESTS_PASS }, /* ..._SET_APPLICATION_FLAGS */
	{ 0x0053c07cu, REQUESTS_PASS }, /* ..._SET_BC_FAILURE_MODE */
	{ 0x0053c084u, REQUESTS_PASS }, /* ..._SET_PRE_COPY_AMOUNTS */
	{ 0x0053c090u, REQUESTS_PASS }, /* ..._PRE_EXPOSE_DEVICES */
	{ 0x0053c198u, REQUESTS_PASS }, /* ..._SET_APPLICATION_INFO */
};

static uint32_t
le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t
le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static uint64_t
le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/*
 * DEVICE_MANAGE_DATA_SET_ATTRIBUTES: Size 0, Action 4, Flags 8, parameter block 12 and
 * 16, DataSetRangesOffset 20, DataSetRangesLength 24; DEVICE_DATA_SET_RANGE:
 * StartingOffset 0, LengthInBytes 8.  "DEVICE_DSM_ACTION Descriptions": an action without
 * the flag NonDestructive alters data; TRIM, an offloaded write (what FSCTL_OFFLOAD_WRITE
 * has become here), a zone's reset and WriteZeroes do so in their ranges.
 */
#define DSM_SIZE 28u
#define DSM_RANGE 16u
#define DSM_HARMLESS 0x80000000u /* DeviceDsmActionFlag_NonDestructive */
#define DSM_ALL 1u		 /* DEVICE_DSM_FLAG_ENTIRE_DATA_SET_RANGE */
#define DSM_TRIM 1u
#define DSM_OFFLOAD_WRITE 4u
#define DSM_REPAIR (DSM_HARMLESS | 6u) /* chooses between copies that differ */
#define DSM_RESET_ZONE 23u
#define DSM_ZEROES 25u

static bool
in_its_ranges(uint32_t action)
{
	return action == DSM_TRIM || action == DSM_OFFLOAD_WRITE ||
	       action == DSM_REPAIR || action == DSM_RESET_ZONE || action == DSM_ZEROES;
}

static enum requests_effect
data_set(const uint8_t *p, uint32_t bytes, struct requests_ranges *r)
{
	uint32_t action, offset, length;

	if (p == NULL || bytes < DSM_SIZE)
		return REQUESTS_UNKNOWN_WRITE;
	action = le32(p + 4);
	if (!in_its_ranges(action)) {
		bool harmless = (action & DSM_HARMLESS) != 0 || action == 0;

		return harmless ? REQUESTS_PASS : REQUESTS_UNKNOWN_WRITE;
	}
	if ((le32(p + 8) & DSM_ALL) != 0) {
		r->all = true;
		r->count = 1;
		return REQUESTS_RANGES;
	}
	offset = le32(p + 20);
	length = le32(p + 24);
	if (length == 0)
		return REQUESTS_PASS;
	if (offset > bytes || length > bytes - offset || length % DSM_RANGE != 0)
		return REQUESTS_UNKNOWN_WRITE;
	r->at = p + offset;
	r->count = length / DSM_RANGE;
	return REQUESTS_RANGES;
}

/* DISK_COPY_DATA_PARAMETERS: SourceOffset 0, DestinationOffset 8, CopyLength 16. */
static enum requests_effect
copy_data(const uint8_t *p, uint32_t bytes, struct requests_ranges *r)
{
	if (p == NULL || bytes < 24)
		return REQUESTS_UNKNOWN_WRITE;
	r->one = true;
	r->count = 1;
	r->offset = le64(p + 8);
	r->length = le64(p + 16);
	return REQUESTS_RANGES;
}

/*
 * SCSI_PASS_THROUGH and _DIRECT ("SCSI_PASS_THROUGH structure"): Length 0, CdbLength 6,
 * Cdb at 28 (of 44 bytes, a 32-bit program's) or 36 (of 56).  Programs ask for names and
 * health in this way; only what is known to read or to tell passes (T10's operation
 * codes).
 */
static enum requests_effect
scsi(const uint8_t *p, uint32_t bytes)
{
	static const uint8_t harmless[] = {
		0x00, /* TEST UNIT READY */
		0x03, /* REQUEST SENSE */
		0x08, /* READ (6) */
		0x12, /* INQUIRY */
		0x1a, /* MODE SENSE (6) */
		0x1c, /* RECEIVE DIAGNOSTIC RESULTS */
		0x25, /* READ CAPACITY (10) */
		0x28, /* READ (10) */
		0x4d, /* LOG SENSE */
		0x5a, /* MODE SENSE (10) */
		0x5e, /* PERSISTENT RESERVE IN */
		0x88, /* READ (16) */
		0xa0, /* REPORT LUNS */
		0xa8, /* READ (12) */
	};
	uint32_t cdb;

	if (p == NULL || bytes < 44)
		return REQUESTS_UNKNOWN_WRITE;
	cdb = le16(p) == 44 ? 28 : 36;
	if ((le16(p) != 44 && le16(p) != 56) || bytes < le16(p) || p[6] == 0)
		return REQUESTS_UNKNOWN_WRITE;
	for (uint32_t i = 0; i < sizeof(harmless); i++)
		if (p[cdb] == harmless[i])
			return REQUESTS_PASS;
	return REQUESTS_UNKNOWN_WRITE;
}

enum requests_effect
requests_judge(uint32_t code, const void *in, uint32_t bytes, struct requests_ranges *r)
{
	memset(r, 0, sizeof(*r));
	if (code == DATA_SET)
		return data_set(in, bytes, r);
	if (code == COPY_DATA)
		return copy_data(in, bytes, r);
	if (code == SCSI || code == SCSI_DIRECT)
		return scsi(in, bytes);
	for (uint32_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].code == code)
			return table[i].effect;
	return WRITES(code) ? REQUESTS_UNKNOWN_WRITE : REQUESTS_PASS;
}

bool
requests_range(const struct requests_ranges *r, uint32_t i, uint64_t size,
    uint64_t *offset, uint64_t *length)
{
	if (i >= r->count)
		return false;
	if (r->all) {
		*offset = 0;
		*length = size;
	} else if (r->one) {
		*offset = r->offset;
		*length = r->length;
	} else {
		*offset = le64(r->at + (size_t)i * DSM_RANGE);
		*length = le64(r->at + (size_t)i * DSM_RANGE + 8);
	}
	/* Signed on their side: what is negative lies beyond every volume here. */
	if (*offset >= size)
		return false;
	if (*length > size - *offset)
		*length = size - *offset;
	return *length != 0;
}
