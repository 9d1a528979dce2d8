#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/base/bytes.h"
#include "rescue/adapt.h"

/*
 * Offset	Size	A hive's first sector
 * 0		4	"regf"
 * 4		4	sequence number, before a change is written
 * 8		4	the same, after it was
 * 508		4	exclusive or of the 127 numbers before; never 0 or all ones
 */
int
adapt_hive_header(const uint8_t *p, size_t len, const char **why)
{
	uint32_t sum = 0;
	size_t i;

	if (len < 512 || memcmp(p, "regf", 4) != 0) {
		*why = "it is no registry hive";
		return -1;
	}
	for (i = 0; i < 508; i += 4)
		sum ^= load_le32(p + i);
	if (sum == 0xffffffff)
		sum = 0xfffffffe;
	if (sum == 0)
		sum = 1;
	if (load_le32(p + 4) != load_le32(p + 8)) {
		*why = "its logs hold changes that are not in it";
		return 0;
	}
	if (sum != load_le32(p + 508)) {
		*why = "its first sector is damaged";
		return -1;
	}
	return 1;
}

/* ---------------------------------------------------------------------- PCI -- */

struct pci {
	char vendor[5], device[5], subsystem[9], class_code[7];
};

/* `n` hex digits behind `key` in `text` from `*at` on; moves on. */
static int
hex_field(const char **at, const char *key, unsigned skip, unsigned n, char *out)
{
	const char *p = *at;
	unsigned i;

	if (strncmp(p, key, strlen(key)) != 0)
		return 0;
	p += strlen(key);
	for (i = 0; i < skip + n; i++)
		if (!isxdigit((unsigned char)p[i]))
			return 0;
	for (i = 0; i < n; i++)
		out[i] = (char)toupper((unsigned char)p[skip + i]);
	out[n] = '\0';
	*at = p + skip + n;
	return 1;
}

/* "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01" */
static int
parse_modalias(const char *text, struct pci *out)
{
	char vendor[5], device[5];
	const char *at = text;

	if (!hex_field(&at, "pci:v", 4, 4, out->vendor) ||
	    !hex_field(&at, "d", 4, 4, out->device) ||
	    !hex_field(&at, "sv", 4, 4, vendor) || !hex_field(&at, "sd", 4, 4, device) ||
	    !hex_field(&at, "bc", 0, 2, out->class_code) ||
	    !hex_field(&at, "sc", 0, 2, out->class_code + 2) ||
	    !hex_field(&at, "i", 0, 2, out->class_code + 4))
		return 0;
	(void)snprintf(out->subsystem, sizeof(out->subsystem), "%s%s", device, vendor);
	return 1;
}

/* One word of a name: how close it is, 0: another device. */
static int
match_word(const char *word, size_t len, const struct pci *d)
{
	const struct {
		const char *key, *value;
		size_t least;
		int worth;
	} words[] = { { "VEN_", d->vendor, 4, 4 }, { "DEV_", d->device, 4, 8 },
		{ "SUBSYS_", d->subsystem, 8, 16 }, { "CC_", d->class_code, 4, 1 } };
	size_t i, n;

	if (len > 4 && strncasecmp(word, "REV_", 4) == 0)
		return 32;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		n = strlen(words[i].key);
		if (len < n + words[i].least || strncasecmp(word, words[i].key, n) != 0)
			continue;
		if ((len - n != words[i].least && len - n != strlen(words[i].value)) ||
		    strncasecmp(word + n, words[i].value, len - n) != 0)
			return 0;
		return words[i].worth + (len - n == 6);
	}
	return 0;
}

int
adapt_pci_match(const char *name, const char *modalias)
{
	struct pci d;
	int sum = 0, worth;
	size_t len;

	if (!parse_modalias(modalias, &d))
		return 0;
	for (;; name += len + 1) {
		len = strcspn(name, "&");
		if ((worth = match_word(name, len, &d)) == 0)
			return 0;
		sum += worth;
		if (name[len] == '\0')
			break;
	}
	/* A vendor or a revision alone names nothing. */
	return sum == 4 || sum == 32 || sum == 36 ? 0 : sum;
}

int
adapt_pci_storage(const char *modalias)
{
	struct pci d;

	return parse_modalias(modalias, &d) && strncmp(d.class_code, "01", 2) == 0;
}

/* --------------------------------------------------------------- ImagePath -- */

/* What `p` begins with, of any case, or 0. */
static size_t
begins(const char *p, const char *with)
{
	return strncasecmp(p, with, strlen(with)) == 0 ? strlen(with) : 0;
}

int
adapt_image_path(const char *image, char out[256])
{
	const char *p = image;
	size_t n, i;

	if ((n = begins(p, "\\SystemRoot\\")) > 0 ||
	    (n = begins(p, "%SystemRoot%\\")) > 0)
		p += n;
	else if ((n = begins(p, "\\??\\")) > 0 && isalpha((unsigned char)p[4]) &&
		 begins(p + 5, ":\\Windows\\") > 0)
		p += 5 + strlen(":\\Windows\\");
	else if (begins(p, "System32\\") == 0)
		return -1;
	n = strlen(p);
	if (n == 0 || n >= 256 || strstr(p, "..") != NULL)
		return -1;
	for (i = 0; i < n; i++) {
		if ((unsigned char)p[i] < ' ' || p[i] == '/' || p[i] == ':')
			return -1;
		out[i] = p[i] == '\\' ? '/' : p[i];
	}
	out[n] = '\0';
	return out[0] == '/' ? -1 : 0;
}
