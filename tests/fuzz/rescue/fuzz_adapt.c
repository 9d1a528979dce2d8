/*
 * What adapt.h takes from a registry that may hold anything: a hive's first sector,
 * names of devices, paths of drivers, and texts in their codings.
 * Input: a byte that says which, then the bytes.
 */
#include <iconv.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rescue/adapt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* Twice through iconv: what came out is well formed. */
static void
there_and_back(const char *coding, const uint8_t *p, size_t len)
{
	char *in = malloc(len + 1), *out = malloc(3 * len + 1), *from = in, *to = out;
	size_t in_left = len, out_left = 3 * len, n;
	iconv_t cd = iconv_open("UTF-8", coding);

	if (in == NULL || out == NULL)
		abort();
	memcpy(in, p, len);
	(void)iconv(cd, &from, &in_left, &to, &out_left);
	iconv_close(cd);
	n = 3 * len - out_left;
	cd = iconv_open(coding, "UTF-8");
	from = out;
	to = in;
	in_left = n;
	out_left = len;
	if (iconv(cd, &from, &in_left, &to, &out_left) != 0)
		abort();
	iconv_close(cd);
	if (memcmp(in, p, len - out_left) != 0)
		abort();
	free(in);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char text[512], out[256];
	const char *why, *bar;

	if (len == 0)
		return 0;
	(void)adapt_hive_header(p + 1, len - 1, &why);
	there_and_back(p[0] % 2 == 0 ? "UTF-16LE" : "LATIN1", p + 1, len - 1);
	there_and_back("UTF-8", p + 1, len - 1);
	if (len > sizeof(text))
		return 0;
	memcpy(text, p + 1, len - 1);
	text[len - 1] = '\0';
	if (adapt_image_path(text, out) == 0 &&
	    (strstr(out, "..") != NULL || out[0] == '/' || out[0] == '\0'))
		abort();
	/* "NAME|MODALIAS" */
	if ((bar = strchr(text, '|')) != NULL) {
		text[bar - text] = '\0';
		(void)adapt_pci_match(text, bar + 1);
		(void)adapt_pci_storage(bar + 1);
	}
	return 0;
}
