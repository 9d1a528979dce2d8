/*
 * replay.c - runs a fuzz target over files instead of libFuzzer's inventions.
 * usage: fuzz_x FILE|DIRECTORY...   It fails if there is nothing to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (16u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

/* Custom mutators refer to it; without libFuzzer none is called. */
size_t
LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max)
{
	(void)p;
	(void)max;
	return len;
}

static int
run_file(const char *path)
{
	uint8_t *p = malloc(INPUT_MAX), *exact;
	FILE *f = fopen(path, "rb");
	size_t len;

	if (p == NULL || f == NULL) {
		fprintf(stderr, "%s: cannot read\n", path);
		exit(1);
	}
	len = fread(p, 1, INPUT_MAX, f);
	fclose(f);
	/* A block of just this size lets ASan see a read past the end. */
	exact = malloc(len > 0 ? len : 1);
	if (exact == NULL)
		exit(1);
	memcpy(exact, p, len);
	free(p);
	(void)LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 1;
}

static int
run_directory(const char *path, DIR *d)
{
	struct dirent *e;
	char name[4096];
	int n = 0;

	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		n += run_file(name);
	}
	return n;
}

int
main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);

		if (d == NULL) {
			n += run_file(argv[i]);
			continue;
		}
		n += run_directory(argv[i], d);
		closedir(d);
	}
	if (n == 0)
		fprintf(stderr, "no inputs\n");
	else
		printf("%d inputs\n", n);
	return n == 0;
}
