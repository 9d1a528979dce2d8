#include "proto/net/address.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

static int
parse_port(const char *text, char out[6])
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || text[n] != '\0' || atoi(text) > 65535)
		return -1;
	memcpy(out, text, n + 1);
	return 0;
}

int
address_parse(const char *text, struct address *out, struct err *err)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t n;

	if (colon == NULL || parse_port(colon + 1, out->port) < 0)
		return err_set(err, ERR_LIMIT, "'%.200s' is not host:port", text);
	n = (size_t)(colon - text);
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n) != NULL) {
		return err_set(
		    err, ERR_LIMIT, "'%.200s': write [address]:port for IPv6", text);
	}
	if (n == 1 && host[0] == '*')
		n = 0;
	if (n >= sizeof(out->host))
		return err_set(err, ERR_LIMIT, "'%.100s...': the name is too long", text);
	memcpy(out->host, host, n);
	out->host[n] = '\0';
	return 0;
}
