/*
 * parity_bench DIRECTORY [MiB] - what parity of packs costs, and what it mends.
 *
 * A pack of MiB (64) of bytes that do not compress is sealed in DIRECTORY with each
 * share of parity; CPU of sealing with it beyond that without, bytes, and mending from
 * as much damage as it is for.  Then which damage is mended: for each share of parity
 * and of damage, of TRIES draws, how many - in one burst, and in single bytes anywhere.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "storage/fs.h"
#include "storage/pack.h"

#define TRIES 20u
#define NAME "packs/00000001.pack"
#define CHUNK (64u * 1024)

static const uint8_t store[PACK_STORE_ID_LEN] = "made to measure";
static struct err err = ERR_INIT;
static struct fs *fs;
static uint64_t drawn = 1;

#define MUST(call)                                               \
	do {                                                     \
		if ((call) != 0) {                               \
			(void)fprintf(stderr, "%s\n", err.text); \
			exit(1);                                 \
		}                                                \
	} while (0)

static uint64_t
draw(void)
{
	uint64_t z = drawn++ * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static double
cpu(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void
put(struct pack_writer *w)
{
	static uint64_t bytes[CHUNK / 8];
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct codec *c = codec_new();
	struct chunk_keys keys;
	struct chunk_id id;
	struct group g;
	uint32_t offset;
	uint64_t end;

	chunk_keys_init(&keys, domain);
	for (unsigned n = 0; n < 16; n++) {
		for (size_t i = 0; i < CHUNK / 8; i++)
			bytes[i] = draw();
		chunk_id_of(&keys, CHUNK_DATA, bytes, CHUNK, &id);
		MUST(group_builder_add(b, &id, (const uint8_t *)bytes, CHUNK, &err));
	}
	MUST(group_builder_finish(b, c, 1, &out, &err));
	MUST(group_parse(out.p, out.len, &g, &err));
	MUST(pack_writer_append(w, &g, &offset, &end, &err) == PACK_APPENDED ? 0 : -1);
	group_builder_free(b);
	codec_free(c);
	buf_free(&out);
}

/* A sealed pack of `mib`; the CPU of sealing it. */
static double
make(uint32_t mib, uint32_t percent, uint64_t *len)
{
	struct err ignored = ERR_INIT;
	struct pack_writer *w;
	struct fs_file *f;
	double began;

	(void)pack_remove(fs, 1, &ignored);
	MUST(pack_writer_open(fs, 1, CHUNK_DATA, store, &w, &err));
	pack_writer_parity(w, percent);
	for (uint32_t i = 0; i < mib && !pack_writer_full(w); i++)
		put(w);
	MUST(pack_writer_sync(w, pack_writer_len(w), &err));
	began = cpu();
	MUST(pack_writer_seal(w, &err));
	began = cpu() - began;
	pack_writer_free(w);
	MUST(fs_open(fs, NAME, FS_READ, &f, &err));
	MUST(fs_size(f, len, &err));
	fs_close(f);
	return began;
}

static void
spoil(struct fs_file *f, uint64_t at, uint64_t len)
{
	uint8_t *p = malloc(len);

	for (uint64_t i = 0; i < len; i++)
		p[i] = (uint8_t)draw();
	MUST(fs_pwrite(f, p, len, at, &err));
	free(p);
}

static void
damage(uint64_t len, uint64_t bytes, int in_one)
{
	struct fs_file *f;

	MUST(fs_open(fs, NAME, FS_WRITE, &f, &err));
	if (in_one)
		spoil(f, draw() % (len - bytes), bytes);
	else
		for (uint64_t i = 0; i < bytes; i++)
			spoil(f, draw() % len, 1);
	fs_close(f);
}

static void
measure_costs(uint32_t mib)
{
	static const uint32_t percents[] = { 1, 2, 5, 10, 20, 30 };
	uint64_t plain, len;
	double bare = make(mib, 0, &plain), seal, mend;
	struct pack_mending m;

	(void)printf("parity  bytes   seal CPU s/GiB  mend CPU s/pack (blocks bad)\n");
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		seal = make(mib, percents[i], &len) - bare;
		damage(len, plain * percents[i] / 100 * 9 / 10, 1);
		mend = cpu();
		MUST(pack_mend(fs, 1, store, NULL, 0, &m, &err));
		mend = cpu() - mend;
		(void)printf("%5u%%  +%4.1f%%  %14.2f  %15.2f (%" PRIu32 ") %s\n",
		    percents[i], 100.0 * (double)(len - plain) / (double)plain,
		    seal * 1073741824.0 / (double)plain, mend, m.bad,
		    m.state == PACK_MENDED ? "mended" : "NOT MENDED");
	}
}

static void
measure_success(void)
{
	static const uint32_t percents[] = { 1, 5, 10, 30 };
	static const double shares[] = { 0.25, 0.5, 0.9, 0.95, 1.0, 1.1 };
	struct pack_mending m;
	uint64_t len;

	(void)printf("\nmended of %u, by damage as a share of the parity: one burst | "
		     "blocks hit by single bytes\n",
	    TRIES);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		(void)make(8, percents[i], &len);
		for (size_t j = 0; j < sizeof(shares) / sizeof(shares[0]); j++) {
			double bytes = (double)(8u << 20) * percents[i] / 100 * shares[j];
			unsigned good[2] = { 0, 0 };

			for (unsigned k = 0; k < 2 * TRIES; k++) {
				int in_one = k < TRIES;

				damage(len,
				    in_one ? (uint64_t)bytes : (uint64_t)(bytes / 4096),
				    in_one);
				MUST(pack_mend(fs, 1, store, NULL, 0, &m, &err));
				good[!in_one] += m.state == PACK_MENDED;
				if (m.state != PACK_MENDED)
					(void)make(8, percents[i], &len);
			}
			(void)printf("%5u%%  x %.2f  %2u | %2u\n", percents[i], shares[j],
			    good[0], good[1]);
		}
	}
}

int
main(int argc, char **argv)
{
	uint32_t mib = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 64;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: parity_bench DIRECTORY [MiB]\n");
		return 2;
	}
	MUST(fs_open_dir(argv[1], &fs, &err));
	MUST(fs_mkdir(fs, PACK_DIR, &err));
	measure_costs(mib);
	measure_success();
	MUST(pack_remove(fs, 1, &err));
	fs_free(fs);
	return 0;
}
