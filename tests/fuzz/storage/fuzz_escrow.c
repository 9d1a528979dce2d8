/*
 * What makes a store's keys: escrow files, `keys` and `format`.  The first byte
 * chooses.  Keys that were accepted must come back from what is made of them.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/escrow.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_keys.h"
#include "tests/golden/golden.h"

#define AT_PASSES 32
#define AT_MEMORY 36
#define HEAD_LEN 84u
#define PASSES_FEW 2u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static const struct escrow_cost cheap = { 1, ESCROW_MEMORY_MIN };

static void
must(int holds)
{
	if (!holds)
		abort();
}

static void
seal_again(const struct store_keys_of *k)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of again = { 0 };
	struct err err = ERR_INIT;

	must(escrow_seal(
		 k, GOLDEN_PASSPHRASE, strlen(GOLDEN_PASSPHRASE), &cheap, &b, &err) == 0);
	must(escrow_unseal(b.p, b.len, GOLDEN_PASSPHRASE, strlen(GOLDEN_PASSPHRASE),
		 &again, &err) == 0);
	must(memcmp(&again, k, sizeof(again)) == 0);
	buf_free(&b);
}

/* Would deriving take long?  What is out of bounds takes no time. */
static int
is_dear(const uint8_t *p, size_t len)
{
	return len >= HEAD_LEN && load_le32(p + AT_MEMORY) <= ESCROW_MEMORY_MAX &&
	       load_le32(p + AT_PASSES) <= ESCROW_PASSES_MAX &&
	       (load_le32(p + AT_MEMORY) > ESCROW_MEMORY_MIN ||
		   load_le32(p + AT_PASSES) > PASSES_FEW);
}

static void
take_escrow(const uint8_t *p, size_t len)
{
	struct store_keys_of k = { 0 };
	struct err err = ERR_INIT;

	if (is_dear(p, len))
		return;
	if (escrow_unseal(
		p, len, GOLDEN_PASSPHRASE, strlen(GOLDEN_PASSPHRASE), &k, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED ||
		     err.code == ERR_DENIED || err.code == ERR_LIMIT);
		return;
	}
	must(escrow_is_sealed(p, len));
	seal_again(&k);
}

static void
take_keys(const uint8_t *p, size_t len)
{
	uint8_t again[STORE_KEYS_LEN];
	struct store_keys_of k = { 0 };
	struct err err = ERR_INIT;

	if (store_keys_decode(p, len, &k, &err) != 0) {
		must(err.code == ERR_CORRUPT);
		return;
	}
	store_keys_encode(&k, again);
	must(len == sizeof(again) && memcmp(p, again, len) == 0);
}

static void
take_format(const uint8_t *p, size_t len)
{
	struct fs_fault *ff = fs_fault_new(1);
	uint8_t id[16], again[16];
	struct err err = ERR_INIT;
	struct fs *fs;

	must(ff != NULL);
	fs = fs_fault_fs(ff);
	must(fs_replace(fs, ".", "format", p, len, &err) == 0);
	if (store_keys_format(fs, id, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED ||
		     err.code == ERR_LIMIT);
	} else if (store_keys_require(fs, "collect", &err) == 0) {
		/* It was read, so it is read with one more line. */
		must(store_keys_format(fs, again, &err) == 0);
		must(memcmp(id, again, sizeof(id)) == 0);
	} else {
		must(err.code == ERR_LIMIT);
	}
	fs_fault_free(ff);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint8_t *exact;

	if (len < 1)
		return 0;
	/* Of exact size, so that a read past the end is seen. */
	must((exact = malloc(len)) != NULL);
	memcpy(exact, p + 1, len - 1);
	if (p[0] % 3 == 0)
		take_escrow(exact, len - 1);
	else if (p[0] % 3 == 1)
		take_keys(exact, len - 1);
	else
		take_format(exact, len - 1);
	free(exact);
	return 0;
}

/* A hash that is wrong would end nearly all of them at once. */
size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 16 != 0 && len > 1 + BLAKE3_OUT_LEN && p[0] % 3 != 2)
		blake3(p + 1, len - 1 - BLAKE3_OUT_LEN, NULL, p + len - BLAKE3_OUT_LEN,
		    BLAKE3_OUT_LEN);
	return len;
}
