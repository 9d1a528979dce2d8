/*
 * host_facts.h - what a restore must know of the machine beside its disks.
 *
 * Firmware, Secure Boot, the machine's UUID and names, controllers of storage and
 * network with their drivers, MACs, UEFI's boot entries: from sysfs, or from what Windows
 * answers.  What is not there is left out: a backup never fails for it.
 */
#ifndef AGENT_HOST_HOST_FACTS_H
#define AGENT_HOST_HOST_FACTS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct layout;

/*
 * Fill in all of `l` but disks and partitions, from `dir` in place of /sys (NULL: /sys;
 * Windows has none).
 * Of boot entries those that name a partition of l's disks; if there are any, they say
 * which disks boot.
 */
void host_facts_read(const char *dir, struct layout *l);

/*
 * The boot entries, from variables of UEFI's own namespace: `read` puts the value of
 * `name` ("BootOrder", "Boot0001") into `out` and gives its length; 0: none, or longer.
 */
void host_facts_entries(struct layout *l,
    size_t (*read)(void *arg, const char *name, uint8_t *out, size_t cap), void *arg);

/*
 * Append its fields to `out`.  What does not fit is left out, the last first: boot
 * entries, then controllers, then partitions' labels, which only a disk of another size
 * is made from.  ERR_LIMIT if disks and partitions alone are too long.
 */
int host_facts_pack(struct layout *l, struct buf *out, struct err *err);

#endif /* AGENT_HOST_HOST_FACTS_H */
