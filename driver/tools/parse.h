/*
 * parse.h - words of hotcopyctl's command line as numbers.  -1: said what is wrong with
 * it.
 */
#ifndef DRIVER_TOOLS_PARSE_H
#define DRIVER_TOOLS_PARSE_H

#include <stdint.h>
#include <wchar.h>

#include "driver/abi/hotcopy.h"

/* 4096, 0x1000, 64K, 512M, 2G, 1T: bytes. */
int parse_size(const wchar_t *word, uint64_t *out);
int parse_number(const wchar_t *word, uint32_t max, uint32_t *out);
/* OFFSET+LENGTH, each a size. */
int parse_extent(const wchar_t *word, struct hotcopy_extent *out);
/* 32 hexadecimal digits. */
int parse_nonce(const wchar_t *word, uint8_t out[HOTCOPY_NONCE]);
/* The same of a {GUID}, as its bytes lie in memory. */
int parse_guid(const wchar_t *word, uint8_t out[16]);
/* The other way round: 33 characters. */
void parse_nonce_text(const uint8_t nonce[HOTCOPY_NONCE], wchar_t out[33]);

#endif /* DRIVER_TOOLS_PARSE_H */
