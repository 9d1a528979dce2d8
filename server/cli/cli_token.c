#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define NETWORKS_MAX 64

int
cli_enroll_token(struct cli *c, int argc, char **argv)
{
	enum { USES = CLI_OPT_FIRST, TTL, NETWORK, GROUP, REPLACE };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "uses", required_argument, NULL, USES },
		{ "ttl", required_argument, NULL, TTL },
		{ "network", required_argument, NULL, NETWORK },
		{ "group", required_argument, NULL, GROUP },
		{ "replace", required_argument, NULL, REPLACE }, { NULL, 0, NULL, 0 } };
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	char *networks[NETWORKS_MAX];
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	m.networks = networks;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case USES:
			if (strspn(optarg, "0123456789") != strlen(optarg) ||
			    strlen(optarg) > 6 || (m.uses = (uint32_t)atoi(optarg)) == 0)
				return cli_usage("enroll-token",
				    "--uses '%s': a number from 1 to 999999", optarg);
			break;
		case TTL:
			if (cli_duration(optarg, &m.ttl_s) != 0 || m.ttl_s == 0)
				return cli_usage("enroll-token",
				    "--ttl '%s': say 90s, 15m, 6h or 2d", optarg);
			break;
		case NETWORK:
			if (m.n_networks == NETWORKS_MAX)
				return cli_usage("enroll-token",
				    "--network: at most %d of them", NETWORKS_MAX);
			networks[m.n_networks++] = optarg;
			break;
		case GROUP:
			m.group = optarg;
			break;
		case REPLACE:
			m.replace_host = optarg;
			break;
		default:
			if ((rc = cli_option(c, "enroll-token", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("enroll-token", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_TOKEN_TEXT, &reply, &err) != 0)
		return cli_fail("enroll-token", &err);
	(void)puts(((const Wire__TokenText *)reply)->text);
	msg_free(reply);
	return 0;
}

static int
add(struct cli *c, Wire__NewOperator *m, const char *out, struct err *err)
{
	struct cert *csr = calloc(2, sizeof(*csr)), *cert = csr + 1;
	struct cert_key *key = NULL;
	ProtobufCMessage *reply;
	int rc = -1;

	if (csr == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a certificate");
	if (cert_name_check(m->name, err) == 0 && cli_identity_prepare(out, err) == 0 &&
	    cert_key_new(&key, err) == 0 && cert_request(key, m->name, csr, err) == 0) {
		m->csr.data = csr->der;
		m->csr.len = csr->len;
		if (channel_call(c->ch, &m->base, MSG_ENROLLED, &reply, err) == 0) {
			const Wire__Enrolled *e = (const Wire__Enrolled *)reply;

			cert->len = e->cert.len;
			memcpy(cert->der, e->cert.data, e->cert.len);
			rc = cli_identity_write(out, key, cert, &c->ca, c->address, err);
			msg_free(reply);
		}
	}
	cert_key_free(key);
	free(csr);
	return rc;
}

int
cli_operator(struct cli *c, int argc, char **argv)
{
	enum { ROLE = CLI_OPT_FIRST, OUT, TTL };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "role", required_argument, NULL, ROLE },
		{ "out", required_argument, NULL, OUT },
		{ "ttl", required_argument, NULL, TTL }, { NULL, 0, NULL, 0 } };
	Wire__NewOperator m = WIRE__NEW_OPERATOR__INIT;
	enum cert_role role = CERT_NOBODY;
	const char *out = NULL;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case ROLE:
			if (cert_role_parse(optarg, &role) != 0 ||
			    (role != CERT_VIEWER && role != CERT_RESTORER &&
				role != CERT_ADMIN))
				return cli_usage("operator",
				    "--role '%s': viewer, restorer or admin", optarg);
			break;
		case OUT:
			out = optarg;
			break;
		case TTL:
			if (cli_duration(optarg, &m.ttl_s) != 0 || m.ttl_s == 0)
				return cli_usage("operator",
				    "--ttl '%s': say 90s, 15m, 6h or 2d", optarg);
			break;
		default:
			if ((rc = cli_option(c, "operator", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("operator", argc, argv, 2, 2, "add NAME")) != 0)
		return rc;
	if (strcmp(argv[optind], "add") != 0)
		return cli_usage("operator", "'%s': only add is known", argv[optind]);
	if (role == CERT_NOBODY || out == NULL)
		return cli_usage("operator", "%s is missing",
		    out == NULL ? "--out DIR" : "--role viewer|restorer|admin");
	m.name = argv[optind + 1];
	m.role = (uint32_t)role;
	if (cli_connect(c, &err) != 0 || add(c, &m, out, &err) != 0)
		return cli_fail("operator", &err);
	(void)printf("'%s', %s: give them %s\n", m.name, cert_role_name(role), out);
	return 0;
}
