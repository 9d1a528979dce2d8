/*
 * hotcopy_answer.h - requests and answers of fixed size; between hotcopy_calls.c (the
 * driver, its volumes, tracking) and hotcopy_calls_set.c (snapshot sets).
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_ANSWER_H
#define AGENT_HOTCOPY_HOTCOPY_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "agent/hotcopy/hotcopy_link.h"

/* A status of our own: an answer of another size, or with fields that cannot be. */
#define HOTCOPY_ANSWER_WRONG 0xE06863FFu

/* Fills a request's header. */
void hotcopy_ask(struct hotcopy_header *h, size_t size);

/* hotcopy_link_call() for an answer of exactly `room` bytes, whose header is checked. */
uint32_t hotcopy_answer(struct hotcopy_link *l, uint32_t code, const void *in, size_t len,
    void *out, size_t room);

#endif /* AGENT_HOTCOPY_HOTCOPY_ANSWER_H */
