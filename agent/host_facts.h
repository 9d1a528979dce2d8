/*
 * host_facts.h - what a restore must know of the machine beside its disks.
 *
 * Read from sysfs: firmware, Secure Boot, the machine's UUID and names, controllers
 * of storage and network with their drivers, MACs, UEFI's boot entries.  What is not
 * there is left out: a backup never fails for it.
 */
#ifndef AGENT_HOST_FACTS_H
#define AGENT_HOST_FACTS_H

struct buf;
struct err;
struct layout;

/*
 * Fill in all of `l` but disks and partitions, from `dir` in place of /sys (NULL: /sys).
 * Of boot entries those that name a partition of l's disks; if there are any, they say
 * which disks boot.
 */
void host_facts_read(const char *dir, struct layout *l);

/*
 * Append its fields to `out`.  What does not fit is left out, the last first: boot
 * entries, then controllers, then partitions' labels, which only a disk of another size
 * is made from.  ERR_LIMIT if disks and partitions alone are too long.
 */
int host_facts_pack(struct layout *l, struct buf *out, struct err *err);

#endif /* AGENT_HOST_FACTS_H */
