#include "agent/host/host_alias.h"

#include <stdio.h>
#include <string.h>

#include "proto/layout/layout.h"

uint8_t
host_alias_kind(const char *modalias)
{
	static const struct {
		const char *begin;
		uint8_t kind;
	} known[] = { { "virtio:d00000001v", LAYOUT_NETWORK },
		{ "virtio:d00000002v", LAYOUT_STORAGE },
		{ "virtio:d00000008v", LAYOUT_STORAGE },
		{ "vmbus:635161f83edfc546913ff2d2f965ed0e", LAYOUT_NETWORK },
		{ "vmbus:d96361baa104294db60572e2ffb1dc7f", LAYOUT_STORAGE },
		{ "vmbus:32264132cb86a2449b5c50d1417354f5", LAYOUT_STORAGE },
		{ "xen:vif", LAYOUT_NETWORK }, { "xen:vbd", LAYOUT_STORAGE } };
	const char *class = strstr(modalias, "bc");

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(modalias, known[i].begin, strlen(known[i].begin)) == 0)
			return known[i].kind;
	if (strncmp(modalias, "pci:", 4) != 0 || class == NULL)
		return LAYOUT_OTHER;
	return strncmp(class, "bc01", 4) == 0	? LAYOUT_STORAGE
	       : strncmp(class, "bc02", 4) == 0 ? LAYOUT_NETWORK
						: LAYOUT_OTHER;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The hex digits at `s`, at most 8; how many there are. */
static unsigned
hex(const char *s, uint32_t *out)
{
	unsigned n;

	for (n = 0, *out = 0; n < 8 && hex_digit(s[n]) >= 0; n++)
		*out = *out << 4 | (uint32_t)hex_digit(s[n]);
	return n;
}

struct pci {
	uint32_t vendor, device, subsystem, class;
	unsigned class_digits; /* Of class: 4, or 6 with its interface. */
	int found;
};

/* One id: its parts are parted by '&'. */
static void
take_pci(struct pci *p, const char *id)
{
	uint32_t value;
	unsigned n;

	for (; id != NULL; id = strchr(id, '&')) {
		id += *id == '&';
		if (strncmp(id, "VEN_", 4) == 0 && hex(id + 4, &value) == 4) {
			p->vendor = value;
			p->found = 1;
		} else if (strncmp(id, "DEV_", 4) == 0 && hex(id + 4, &value) == 4) {
			p->device = value;
		} else if (strncmp(id, "SUBSYS_", 7) == 0 && hex(id + 7, &value) == 8) {
			p->subsystem = value;
		} else if (strncmp(id, "CC_", 3) == 0 &&
			   ((n = hex(id + 3, &value)) == 4 || n == 6) &&
			   n > p->class_digits) {
			p->class = n == 4 ? value << 8 : value;
			p->class_digits = n;
		}
	}
}

/* "{ba6163d9-04a1-...}": the first three numbers stand with their low bytes first. */
static int
take_vmbus(const char *id, char *out, size_t cap)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13,
		14, 15 };
	uint8_t b[16], n = 0;

	if (*id++ != '{' || cap < 6 + 32 + 1)
		return 0;
	for (; n < 16; n++, id += 2) {
		id += *id == '-';
		if (hex_digit(id[0]) < 0 || hex_digit(id[1]) < 0)
			return 0;
		b[n] = (uint8_t)(hex_digit(id[0]) << 4 | hex_digit(id[1]));
	}
	strcpy(out, "vmbus:");
	for (n = 0; n < 16; n++)
		(void)snprintf(out + 6 + 2 * n, 3, "%02x", b[order[n]]);
	return *id == '}';
}

int
host_alias_make(const char *ids, size_t len, char *out, size_t cap)
{
	struct pci p = { 0 };
	size_t n;

	for (; len > 0 && *ids != '\0'; ids += n, len -= n) {
		for (n = 0; n < len && ids[n] != '\0';)
			n++;
		if (n++ == len)
			break; /* Cut off. */
		if (strncmp(ids, "VMBUS\\", 6) == 0 && take_vmbus(ids + 6, out, cap))
			return 1;
		if (strncmp(ids, "PCI\\", 4) == 0)
			take_pci(&p, ids + 4);
	}
	if (!p.found)
		return 0;
	return (size_t)snprintf(out, cap, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X",
		   (unsigned)p.vendor, (unsigned)p.device,
		   (unsigned)(p.subsystem & 0xffff), (unsigned)(p.subsystem >> 16),
		   (unsigned)(p.class >> 16 & 0xff), (unsigned)(p.class >> 8 & 0xff),
		   (unsigned)(p.class & 0xff)) < cap;
}
