#include "agent/restore/disk_restore_table.h"

#include <stdlib.h>
#include <string.h>

#include "agent/disk/disk_plan.h"
#include "agent/restore/target.h"
#include "proto/base/err.h"

/* What firmware looks for at a disk's ends, with sectors of 512 and of 4096 bytes. */
#define TABLE_HEAD 8192u
#define TABLE_TAIL 4096u

int
disk_restore_table_clear(struct target *t, uint64_t size, struct err *err)
{
	static const uint8_t zeros[TABLE_HEAD];

	if (!target_in_place(t) || size < TABLE_HEAD + TABLE_TAIL)
		return 0;
	if (target_write(t, 0, zeros, TABLE_HEAD, err) != 0 ||
	    target_write(t, size - TABLE_TAIL, zeros, TABLE_TAIL, err) != 0)
		return -1;
	return target_settle(t, err);
}

static int
read_image(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return target_read(arg, offset, buf, len, err);
}

/* Read what is the table's back, as all else was. */
static int
read_back(struct target *t, const struct disk_plan_table *table, struct err *err)
{
	int rc = target_settle(t, err);

	for (unsigned i = 0; i < table->count && rc == 0; i++) {
		const struct disk_plan_sectors *s = &table->at[i];
		uint8_t *is = malloc(s->len);

		rc = is != NULL ? target_read(t, s->offset, is, s->len, err)
				: err_set(err, ERR_NOMEM, "out of memory");
		if (rc == 0 && memcmp(is, s->p, s->len) != 0)
			rc = err_set(err, ERR_CORRUPT,
			    "what is at byte %llu is not as written when read back",
			    (unsigned long long)s->offset);
		free(is);
	}
	return rc;
}

static int
write_sectors(struct target *t, const struct disk_plan_table *table, struct err *err)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct disk_plan_sectors *s = &table->at[i];

		/* All else is on the medium before a table is, and that before its
		 * last sector, which leads to it. */
		if ((i == 0 || i + 1 == table->count) && target_settle(t, err) != 0)
			return -1;
		if (target_write(t, s->offset, s->p, s->len, err) != 0)
			return -1;
	}
	return 0;
}

int
disk_restore_table_write(const struct layout *l, const struct disk_plan *plan,
    struct target *image, struct target *t, int prove, struct err *err)
{
	struct disk_plan_table *table = calloc(1, sizeof(*table));
	struct err ignored = ERR_INIT;
	int rc = -1;

	if (table == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (disk_plan_table(l, plan, read_image, image, table, err) == 0) {
		rc = write_sectors(t, table, err);
		if (rc == 0 && prove)
			rc = read_back(t, table, err);
		/* A disk that failed has none: no half of it, and not a wrong one. */
		if (rc != 0)
			(void)disk_restore_table_clear(t, plan->size, &ignored);
		disk_plan_table_free(table);
	}
	free(table);
	return rc == 0 ? 0 : err_context(err, "partition table");
}
