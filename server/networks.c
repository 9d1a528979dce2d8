#include "server/networks.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

struct network {
	uint8_t bytes[16];
	unsigned bits; /* That count. */
	unsigned len;  /* Of `bytes`: 4 or 16. */
};

/* Parse an address; an IPv4 one inside IPv6 (::ffff:1.2.3.4) is an IPv4 one. */
static int
parse_address(const char *text, struct network *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET, text, out->bytes) == 1) {
		out->len = 4;
	} else if (inet_pton(AF_INET6, text, out->bytes) == 1) {
		out->len = 16;
		if (memcmp(out->bytes, mapped, sizeof(mapped)) == 0) {
			memmove(out->bytes, out->bytes + 12, 4);
			out->len = 4;
		}
	} else {
		return -1;
	}
	out->bits = out->len * 8;
	return 0;
}

static int
parse(const char *text, size_t n, struct network *out)
{
	char copy[64], *slash;

	if (n >= sizeof(copy))
		return -1;
	memcpy(copy, text, n);
	copy[n] = '\0';
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (parse_address(copy, out) != 0)
		return -1;
	if (slash != NULL) {
		size_t digits = strspn(slash, "0123456789");

		if (digits == 0 || digits > 3 || slash[digits] != '\0' ||
		    strtoul(slash, NULL, 10) > out->bits)
			return -1;
		out->bits = (unsigned)strtoul(slash, NULL, 10);
	}
	return 0;
}

static int
holds(const struct network *n, const struct network *address)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->len != address->len || memcmp(n->bytes, address->bytes, whole) != 0)
		return 0;
	return rest == 0 || (n->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

int
networks_check(const char *network, struct err *err)
{
	struct network n;

	if (parse(network, strlen(network), &n) != 0)
		return err_set(err, ERR_PROTOCOL,
		    "'%.60s' is no network: write 10.0.0.0/8 or 2001:db8::/32", network);
	return 0;
}

int
networks_hold(const char *list, const char *address)
{
	struct network n, who;

	if (list[0] == '\0')
		return 1;
	if (parse_address(address, &who) != 0)
		return 0;
	while (*list != '\0') {
		size_t len = strcspn(list, " ");

		if (len > 0 && parse(list, len, &n) == 0 && holds(&n, &who))
			return 1;
		list += len;
		list += strspn(list, " ");
	}
	return 0;
}
