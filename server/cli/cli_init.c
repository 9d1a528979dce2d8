#include "server/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/authority.h"
#include "server/config.h"
#include "storage/store.h"

#define ADMIN_LIFE_S (5u * 365 * 86400)

_Static_assert(CLI_PATH_MAX == CONFIG_PATH_MAX && CLI_ADDRESS_MAX == CONFIG_ADDRESS_MAX,
    "the command line's limits are the configuration's");

struct plan {
	const char *dir, *listen, *operator_dir, *admin;
	char name[CERT_NAME_MAX];
	char dir_whole[CONFIG_PATH_MAX], operator_whole[CONFIG_PATH_MAX];
	char server[CONFIG_ADDRESS_MAX]; /* Where an operator on this machine finds it. */
};

/* The first part of the host's name, as far as it can be a certificate's. */
static void
default_name(char name[CERT_NAME_MAX])
{
	struct err err = ERR_INIT;

	if (gethostname(name, CERT_NAME_MAX) != 0)
		name[0] = '\0';
	name[CERT_NAME_MAX - 1] = '\0';
	name[strcspn(name, ".")] = '\0';
	if (cert_name_check(name, &err) != 0)
		(void)snprintf(name, CERT_NAME_MAX, "server");
}

static int
write_config(const struct plan *p, struct err *err)
{
	char path[CONFIG_PATH_MAX + 32];
	FILE *f;
	int bad;

	(void)snprintf(path, sizeof(path), "%s/holdfastd.conf", p->dir_whole);
	f = fopen(path, "wx");
	if (f == NULL)
		return err_os(err, errno, "%.150s", path);
	bad = fprintf(f,
		  "; Made by `holdfast init`.  `holdfastd --check-config` shows every "
		  "key.\n"
		  "store = %s\n"
		  "listen = %s\n"
		  "; What tokens name, if hosts reach this server by another name:\n"
		  "; advertise = backup.example.org:" CONFIG_PORT_DEFAULT "\n",
		  p->dir_whole, p->listen) < 0;
	bad = fclose(f) != 0 || bad;
	return bad ? err_os(err, errno, "%.150s", path) : 0;
}

int
cli_appoint(struct store *s, struct authority *a, const char *admin, const char *dir,
    const char *server, struct err *err)
{
	struct cert *csr = calloc(2, sizeof(*csr));
	struct store_peer peer = { .role = CERT_ADMIN };
	struct cert_key *key = NULL;
	struct cert_facts facts;
	int rc = -1;

	if (csr == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a certificate");
	if (cert_key_new(&key, err) == 0 &&
	    cert_request(key, admin, &csr[0], err) == 0 &&
	    authority_sign(a, &csr[0], admin, CERT_ADMIN, ADMIN_LIFE_S, &csr[1],
		&facts, err) == 0) {
		(void)snprintf(peer.name, sizeof(peer.name), "%s", admin);
		memcpy(peer.serial, facts.serial, sizeof(peer.serial));
		memcpy(peer.key_hash, facts.key_hash, sizeof(peer.key_hash));
		peer.enrolled_us = store_now(s);
		peer.cert_ends_us = facts.not_after * 1000000;
		if (store_peer_put(s, &peer, err) == 0)
			rc = cli_identity_write(
			    dir, key, &csr[1], authority_ca(a), server, err);
	}
	cert_key_free(key);
	free(csr);
	return rc;
}

int
cli_whole_path(const char *path, char out[CLI_PATH_MAX], struct err *err)
{
	char *real = realpath(path, NULL);

	if (real == NULL)
		return err_os(err, errno, "%.150s", path);
	if (strlen(real) >= CONFIG_PATH_MAX) {
		free(real);
		return err_set(err, ERR_LIMIT, "%.100s...: the name is too long", path);
	}
	memcpy(out, real, strlen(real) + 1);
	free(real);
	return 0;
}

/* A link to a directory that is not there yet means: make it there. */
static void
follow_link(const char *dir)
{
	char to[CONFIG_PATH_MAX];
	struct stat st;
	ssize_t n;

	if (stat(dir, &st) == 0 || (n = readlink(dir, to, sizeof(to) - 1)) <= 0)
		return;
	to[n] = '\0';
	(void)mkdir(to, 0700);
}

static int
make(struct plan *p, struct err *err)
{
	char inside[CONFIG_PATH_MAX];
	struct authority *a = NULL;
	struct store *s = NULL;
	int rc = -1;

	follow_link(p->dir);
	if (store_init(p->dir, err) != 0 || cli_whole_path(p->dir, p->dir_whole, err) != 0)
		return -1;
	if (p->operator_dir == NULL) {
		if (snprintf(inside, sizeof(inside), "%s/operator", p->dir_whole) >=
		    (int)sizeof(inside))
			return err_set(err, ERR_LIMIT, "the name is too long");
		p->operator_dir = inside;
	}
	if (cli_identity_prepare(p->operator_dir, err) != 0 ||
	    cli_whole_path(p->operator_dir, p->operator_whole, err) != 0)
		return -1;
	if (store_open(p->dir, &s, err) == 0 && authority_create(s, p->name, err) == 0 &&
	    authority_open(s, &a, err) == 0 &&
	    store_audit(s, "init", "made the store and its first admin", err) == 0 &&
	    cli_appoint(s, a, p->admin, p->operator_whole, p->server, err) == 0)
		rc = write_config(p, err);
	authority_free(a);
	store_close(s);
	return rc;
}

void
cli_local_server(const char *listen, char out[CLI_ADDRESS_MAX])
{
	if (strncmp(listen, "0.0.0.0:", 8) == 0)
		(void)snprintf(out, CLI_ADDRESS_MAX, "127.0.0.1:%s", listen + 8);
	else if (strncmp(listen, "[::]:", 5) == 0)
		(void)snprintf(out, CLI_ADDRESS_MAX, "[::1]:%s", listen + 5);
	else
		(void)snprintf(out, CLI_ADDRESS_MAX, "%s", listen);
}

static int
check(struct plan *p, struct err *err)
{
	struct config *c = calloc(1, sizeof(*c));
	char text[300];
	int rc;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a configuration");
	rc = snprintf(text, sizeof(text), "listen = %.240s\n", p->listen);
	rc = config_parse("--listen", text, (size_t)rc, c, err);
	free(c);
	if (rc != 0)
		return -1;
	cli_local_server(p->listen, p->server);
	if (cert_name_check(p->name, err) != 0 || cert_name_check(p->admin, err) != 0)
		return -1;
	/* Before the store is made: then nothing is left half done. */
	return p->operator_dir == NULL ? 0 : cli_identity_prepare(p->operator_dir, err);
}

int
cli_init(struct cli *c, int argc, char **argv)
{
	enum { NAME = CLI_OPT_FIRST, LISTEN, OPERATOR_DIR, ADMIN };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "name", required_argument, NULL, NAME },
		{ "listen", required_argument, NULL, LISTEN },
		{ "operator-dir", required_argument, NULL, OPERATOR_DIR },
		{ "admin", required_argument, NULL, ADMIN }, { NULL, 0, NULL, 0 } };
	struct plan p = { .listen = "0.0.0.0:" CONFIG_PORT_DEFAULT, .admin = "admin" };
	struct err err = ERR_INIT;
	int opt, rc;

	default_name(p.name);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case NAME:
			if (strlen(optarg) >= sizeof(p.name))
				optarg[sizeof(p.name) - 1] = '\0';
			(void)snprintf(p.name, sizeof(p.name), "%s", optarg);
			break;
		case LISTEN:
			p.listen = optarg;
			break;
		case OPERATOR_DIR:
			p.operator_dir = optarg;
			break;
		case ADMIN:
			p.admin = optarg;
			break;
		default:
			if ((rc = cli_option(c, "init", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("init", argc, argv, 1, 1, "DIR")) != 0)
		return rc;
	p.dir = argv[optind];
	(void)umask(077);
	if (check(&p, &err) != 0 || make(&p, &err) != 0)
		return cli_fail("init", &err);
	(void)printf(
	    "The store is in %s, its first admin in %s.\n"
	    "\n"
	    "Keep its keys elsewhere, for without them it cannot be read:\n"
	    "  holdfast keys export %s FILE\n"
	    "\n"
	    "Next:\n"
	    "  holdfastd --config %s/holdfastd.conf &\n"
	    "  export HOLDFAST_OPERATOR=%s\n"
	    "  holdfast enroll-token\n",
	    p.dir_whole, p.operator_whole, p.dir_whole, p.dir_whole, p.operator_whole);
	return 0;
}
