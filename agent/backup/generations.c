#include "agent/backup/generations.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"

#define HEAD 12u
#define ENTRY 24u
#define SUM 32u
#define FILE_MAX (HEAD + GENERATIONS_MAX * ENTRY + SUM)
#define LOAD_MAX (64u * 1024) /* It is read in large steps. */

static const uint8_t magic[8] = { 'H', 'F', 'H', 'E', 'L', 'D', '0', '1' };

/* How many entries `p` has; 0 also if it is not whole. */
static unsigned
check(const uint8_t *p, size_t len)
{
	uint8_t sum[SUM];
	uint32_t n;

	if (len < HEAD + SUM || memcmp(p, magic, sizeof(magic)) != 0)
		return 0;
	n = load_le32(p + 8);
	if (n > GENERATIONS_MAX || len != HEAD + n * ENTRY + SUM)
		return 0;
	blake3(p, len - SUM, NULL, sum, SUM);
	return memcmp(sum, p + len - SUM, SUM) == 0 ? n : 0;
}

unsigned
generations_load(const char *path, struct tracking_generation out[GENERATIONS_MAX])
{
	struct buf file = BUF_INIT(LOAD_MAX);
	struct err ignored = ERR_INIT;
	unsigned n = 0;

	if (file_load(path, &file, &ignored) == 1)
		n = check(file.p, file.len);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = file.p + HEAD + i * ENTRY;

		out[i].number = load_le64(p);
		memcpy(out[i].nonce, p + 8, sizeof(out[i].nonce));
	}
	buf_free(&file);
	return n;
}

static int
same(const struct tracking_generation *a, const struct tracking_generation *b)
{
	return a->number == b->number &&
	       memcmp(a->nonce, b->nonce, sizeof(a->nonce)) == 0;
}

/* Put `g` behind the `n` that are there, unless it is one of them. */
static unsigned
put(struct tracking_generation *all, unsigned n, const struct tracking_generation *g)
{
	if (n == GENERATIONS_MAX)
		return n;
	for (unsigned i = 0; i < n; i++)
		if (same(&all[i], g))
			return n;
	all[n] = *g;
	return n + 1;
}

int
generations_add(
    const char *path, const struct tracking_generation *more, unsigned n, struct err *err)
{
	struct tracking_generation all[GENERATIONS_MAX], old[GENERATIONS_MAX];
	unsigned count = 0, old_n = generations_load(path, old);
	uint8_t bytes[FILE_MAX];
	size_t len;

	for (unsigned i = 0; i < n; i++)
		count = put(all, count, &more[i]);
	for (unsigned i = 0; i < old_n; i++)
		count = put(all, count, &old[i]);
	memcpy(bytes, magic, sizeof(magic));
	store_le32(bytes + 8, count);
	for (unsigned i = 0; i < count; i++) {
		store_le64(bytes + HEAD + i * ENTRY, all[i].number);
		memcpy(bytes + HEAD + i * ENTRY + 8, all[i].nonce, sizeof(all[i].nonce));
	}
	len = HEAD + count * ENTRY;
	blake3(bytes, len, NULL, bytes + len, SUM);
	return file_store(path, bytes, len + SUM, 0600, err);
}
