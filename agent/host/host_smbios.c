#include "agent/host/host_smbios.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/layout/layout.h"

/*
 * Offsets by the SMBIOS specification (DSP0134) 6.1.2, 6.1.3, 7.2 and, of the head,
 * Microsoft's page on GetSystemFirmwareTable.
 */
enum {
	HEAD_MAJOR = 1,
	HEAD_MINOR = 2,
	HEAD_LENGTH = 4,
	HEAD_LEN = 8,
	STRUCTURE_LEN = 1,
	STRUCTURE_MIN = 4,
	SYSTEM_INFORMATION = 1,
	SYSTEM_MAKER = 4,
	SYSTEM_PRODUCT = 5,
	SYSTEM_UUID = 8,
	SYSTEM_WITH_UUID = 24,
	END_OF_TABLE = 127
};

/* Text `number`, from 1, of those between `p` and `end`; trimmed, shown as ASCII. */
static void
take_text(const uint8_t *p, const uint8_t *end, unsigned number, char *out, size_t cap)
{
	size_t n;

	out[0] = '\0';
	for (; number > 1 && p < end && *p != '\0'; number--) {
		while (p < end && *p != '\0')
			p++;
		p++;
	}
	if (number != 1)
		return;
	while (p < end && *p == ' ')
		p++;
	for (n = 0; p < end && *p != '\0' && n + 1 < cap; p++)
		out[n++] = (char)(*p >= ' ' && *p < 0x7f ? *p : '?');
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* Since 2.6 the first three numbers stand with their low bytes first. */
static void
take_uuid(const uint8_t *p, int low_first, uint8_t out[16])
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13,
		14, 15 };
	unsigned zeros = 0, ones = 0;

	for (unsigned i = 0; i < 16; i++) {
		zeros += p[i] == 0;
		ones += p[i] == 0xff;
		out[i] = p[low_first ? order[i] : i];
	}
	/* Not set, or not there. */
	if (zeros == 16 || ones == 16)
		memset(out, 0, 16);
}

/* Behind the texts of the structure whose formatted part ends at `p`; `end` if cut. */
static const uint8_t *
behind_texts(const uint8_t *p, const uint8_t *end)
{
	while (p + 1 < end && (p[0] != 0 || p[1] != 0))
		p++;
	return end - p < 2 ? end : p + 2;
}

void
host_smbios_parse(const uint8_t *p, size_t len, struct layout *l)
{
	const uint8_t *end, *texts;
	uint32_t table;
	int low_first;

	if (len < HEAD_LEN)
		return;
	low_first = (p[HEAD_MAJOR] << 8 | p[HEAD_MINOR]) >= 0x0206;
	table = load_le32(p + HEAD_LENGTH);
	p += HEAD_LEN;
	end = p + (table < len - HEAD_LEN ? table : len - HEAD_LEN);
	while (end - p >= STRUCTURE_MIN && p[0] != END_OF_TABLE) {
		size_t n = p[STRUCTURE_LEN];

		if (n < STRUCTURE_MIN || n > (size_t)(end - p))
			return;
		texts = p + n;
		if (p[0] == SYSTEM_INFORMATION && n > SYSTEM_PRODUCT) {
			take_text(
			    texts, end, p[SYSTEM_MAKER], l->vendor, sizeof(l->vendor));
			take_text(texts, end, p[SYSTEM_PRODUCT], l->product,
			    sizeof(l->product));
			if (n >= SYSTEM_WITH_UUID)
				take_uuid(p + SYSTEM_UUID, low_first, l->uuid);
			return;
		}
		p = behind_texts(texts, end);
	}
}
