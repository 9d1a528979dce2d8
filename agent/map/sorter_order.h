/*
 * sorter_order.h - put an array of byte strings of one length in order, in place.
 */
#ifndef AGENT_MAP_SORTER_ORDER_H
#define AGENT_MAP_SORTER_ORDER_H

#include <stdint.h>

struct err;

/* Sort `n` records of `record` bytes (<= SORTER_RECORD_MAX) by memcmp().  ERR_NOMEM. */
int sorter_order(uint8_t *p, uint32_t n, uint32_t record, struct err *err);

#endif /* AGENT_MAP_SORTER_ORDER_H */
