/*
 * holdfast recover: a new machine takes over from one that is gone.  In this order,
 * so that it can be run again after any failure: keys, caches, checks, the
 * configuration, and last a new admin.
 */
#include "server/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "server/authority.h"
#include "server/config.h"
#include "storage/store.h"
#include "storage/store_rebuild.h"

#define ADMINS_MAX 100

struct plan {
	const char *dir, *keys, *passphrase_file, *listen, *advertise, *operator_dir,
	    *admin, *config;
	char dir_whole[CONFIG_PATH_MAX], operator_whole[CONFIG_PATH_MAX],
	    config_path[CONFIG_PATH_MAX + 32];
	char name[CERT_NAME_MAX];
	struct config settings;
	struct buf text; /* Of the configuration. */
};

/* --------------------------------------------------------------- configuration -- */

/* The file that the store came with, if there is one. */
static int
read_config(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "r");
	uint8_t *to;
	size_t n;

	if (f == NULL)
		return errno == ENOENT ? 0 : err_os(err, errno, "%.150s", path);
	while ((to = buf_room(out, 4096, err)) != NULL && (n = fread(to, 1, 4096, f)) > 0)
		out->len += n;
	if (to != NULL && ferror(f))
		(void)err_os(err, errno, "%.150s", path);
	(void)fclose(f);
	return err->code == ERR_NONE ? 0 : -1;
}

/* Is this a line "KEY = ..." ? */
static int
sets(const char *line, size_t len, const char *key)
{
	size_t n = strlen(key);

	if (len < n || strncmp(line, key, n) != 0)
		return 0;
	line += n;
	line += strspn(line, " \t");
	return *line == '=';
}

static int
add_line(struct buf *out, const char *key, const char *value, struct err *err)
{
	char line[CONFIG_PATH_MAX + 32];
	int n = snprintf(line, sizeof(line), "%s = %s\n", key, value);

	return buf_add(out, line, (size_t)n, err);
}

/* What the old one says, but for what is different here. */
static int
make_config(struct plan *p, struct err *err)
{
	struct buf old = BUF_INIT(CONFIG_TEXT_MAX);
	const char *line;
	int rc = -1;

	if (read_config(p->config_path, &old, err) != 0 || buf_add_u8(&old, 0, err) != 0)
		goto out;
	if (add_line(&p->text, "store", p->dir_whole, err) != 0 ||
	    (p->listen != NULL && add_line(&p->text, "listen", p->listen, err) != 0) ||
	    (p->advertise != NULL &&
		add_line(&p->text, "advertise", p->advertise, err) != 0))
		goto out;
	for (line = (const char *)old.p; *line != '\0';) {
		size_t n = strcspn(line, "\n");

		if (!sets(line, n, "store") &&
		    !(p->listen != NULL && sets(line, n, "listen")) &&
		    !(p->advertise != NULL && sets(line, n, "advertise")) &&
		    (buf_add(&p->text, line, n, err) != 0 ||
			buf_add_u8(&p->text, '\n', err) != 0))
			goto out;
		line += n + (line[n] == '\n');
	}
	rc = config_parse(
	    p->config_path, (const char *)p->text.p, p->text.len, &p->settings, err);
out:
	buf_free(&old);
	return rc;
}

/* What was there stays, under a name that nothing has. */
static int
keep_config(const char *path, struct err *err)
{
	char before[CONFIG_PATH_MAX + 64];

	for (int i = 1; i <= ADMINS_MAX; i++) {
		(void)snprintf(before, sizeof(before),
		    i == 1 ? "%s.before" : "%s.before-%d", path, i);
		if (link(path, before) == 0 || errno == ENOENT)
			return 0;
		/* Not every file system has links. */
		if (errno != EEXIST && access(before, F_OK) != 0)
			return rename(path, before) == 0
				   ? 0
				   : err_os(err, errno, "%.150s", path);
	}
	return err_set(err, ERR_EXISTS, "%.150s: remove some of its .before", path);
}

/* The whole file or none has its name, and the old one has another first. */
static int
write_config(const struct plan *p, struct err *err)
{
	char new[CONFIG_PATH_MAX + 48];
	FILE *f;
	int bad;

	(void)snprintf(new, sizeof(new), "%s.new", p->config_path);
	(void)unlink(new);
	if ((f = fopen(new, "wx")) == NULL)
		return err_os(err, errno, "%.150s", new);
	bad = fwrite(p->text.p, 1, p->text.len, f) != p->text.len;
	bad = fflush(f) != 0 || fsync(fileno(f)) != 0 || bad;
	bad = fclose(f) != 0 || bad;
	if (bad)
		return err_os(err, errno, "%.150s", new);
	if (keep_config(p->config_path, err) != 0)
		return -1;
	return rename(new, p->config_path) == 0
		   ? 0
		   : err_os(err, errno, "%.150s", p->config_path);
}

/* ---------------------------------------------------------------------- checks -- */

struct checking {
	struct store_lease *lease;
	uint64_t points, broken;
	char hosts[STORE_TEXT_MAX]; /* Of those that are broken. */
};

/* Can the roots of its trees be read?  What lies below is for verify. */
static int
check_point(void *arg, const struct store_point *p)
{
	struct buf node = BUF_INIT(1u << 20);
	struct checking *k = arg;
	struct err err = ERR_INIT;
	size_t n = strlen(k->hosts);
	int bad = 0;

	for (uint32_t i = 0; i < p->volumes_count && !bad; i++)
		bad = store_node(k->lease, &p->volumes[i].root_id, &node, &err) != 0;
	buf_free(&node);
	k->points++;
	if (bad && k->broken++ < 3)
		(void)snprintf(k->hosts + n, sizeof(k->hosts) - n, " %s/%llu", p->host,
		    (unsigned long long)p->sequence);
	return 0;
}

static int
check_points(struct store *s, struct err *err)
{
	struct checking k = { 0 };
	struct store_stats st;
	int rc;

	if (store_lease_open(s, "recover", STORE_READ, &k.lease, err) != 0)
		return -1;
	rc = store_points(s, NULL, INT64_MAX, check_point, &k, err);
	store_lease_close(k.lease);
	if (rc != 0 || store_stats(s, &st, err) != 0)
		return -1;
	(void)printf("%s hosts, %s points, %s in %s packs\n", cli_number(st.hosts),
	    cli_number(st.points), cli_size(st.stored_bytes), cli_number(st.packs));
	if (store_opened(s)[0] != '\0')
		(void)printf("%s\n", store_opened(s));
	if (k.broken > 0)
		(void)fprintf(stderr,
		    "holdfast: recover: %llu points cannot be read:%s%s; go on, and run "
		    "`holdfast verify --trees`\n",
		    (unsigned long long)k.broken, k.hosts, k.broken > 3 ? " ..." : "");
	return 0;
}

/* ----------------------------------------------------------------------- people -- */

/* A name that nobody has or had: someone may hold the key of an old one. */
static int
choose_admin(struct plan *p, struct store *s, struct err *err)
{
	struct store_peer known;

	for (int i = 1; i <= ADMINS_MAX; i++) {
		if (p->admin != NULL)
			(void)snprintf(p->name, sizeof(p->name), "%s", p->admin);
		else
			(void)snprintf(p->name, sizeof(p->name), "recovered-%d", i);
		if (store_peer_by_name(s, p->name, &known, err) != 0) {
			if (err->code != ERR_NOTFOUND)
				return -1;
			err_clear(err);
			return 0;
		}
		if (p->admin != NULL)
			break;
	}
	return err_set(
	    err, ERR_EXISTS, "the name '%s' is taken: say another by --admin", p->name);
}

static int
choose_directory(struct plan *p, struct err *err)
{
	char path[CONFIG_PATH_MAX + 32];

	if (p->operator_dir != NULL)
		return cli_identity_prepare(p->operator_dir, err) == 0
			   ? cli_whole_path(p->operator_dir, p->operator_whole, err)
			   : -1;
	for (int i = 1; i <= ADMINS_MAX; i++) {
		(void)snprintf(path, sizeof(path),
		    i == 1 ? "%s/operator" : "%s/operator-%d", p->dir_whole, i);
		if (cli_identity_prepare(path, err) == 0)
			return cli_whole_path(path, p->operator_whole, err);
		if (err->code != ERR_EXISTS)
			return -1;
		err_clear(err);
	}
	return err_set(err, ERR_EXISTS, "say by --operator-dir where the new admin goes");
}

static int
say_operator(void *arg, const struct store_peer *p)
{
	const struct plan *plan = arg;

	if (!p->revoked && p->role >= CERT_VIEWER && p->role <= CERT_ADMIN &&
	    strcmp(p->name, plan->name) != 0)
		(void)printf(
		    "  %s (%s)\n", p->name, cert_role_name((enum cert_role)p->role));
	return 0;
}

/* --------------------------------------------------------------------- the whole -- */

static int
take_over(struct plan *p, struct store *s, struct err *err)
{
	char server[CONFIG_ADDRESS_MAX], what[STORE_TEXT_MAX];
	struct authority *a = NULL;
	int rc = -1;

	cli_local_server(p->settings.listen, server);
	if (authority_open(s, &a, err) != 0 || check_points(s, err) != 0 ||
	    choose_admin(p, s, err) != 0 || choose_directory(p, err) != 0)
		goto out;
	(void)snprintf(what, sizeof(what), "took the store over, made admin '%s'%s",
	    p->name, p->keys != NULL ? ", put the keys back" : "");
	if (store_audit(s, "recover", what, err) != 0 || write_config(p, err) != 0 ||
	    cli_appoint(s, a, p->name, p->operator_whole, server, err) != 0)
		goto out;
	(void)printf(
	    "\nThe admin '%s' is in %s.  Operators of before, of whom you should "
	    "revoke those\nwhose keys were on the machine that is gone:\n",
	    p->name, p->operator_whole);
	rc = store_peers(s, say_operator, p, err);
out:
	authority_free(a);
	return rc;
}

static int
recover(struct plan *p, struct err *err)
{
	struct store *s = NULL;
	int rc;

	if (cli_whole_path(p->dir, p->dir_whole, err) != 0)
		return -1;
	if (p->config != NULL)
		(void)snprintf(p->config_path, sizeof(p->config_path), "%s", p->config);
	else
		(void)snprintf(p->config_path, sizeof(p->config_path),
		    "%s/holdfastd.conf", p->dir_whole);
	if (make_config(p, err) != 0 ||
	    (p->keys != NULL &&
		cli_keys_import(p->dir_whole, p->keys, p->passphrase_file, err) != 0) ||
	    store_rebuild(p->dir_whole, STORE_CATALOG | STORE_INDEX, &s, err) != 0)
		return -1;
	rc = take_over(p, s, err);
	store_close(s);
	if (rc != 0)
		return -1;
	(void)printf("\nNext:\n"
		     "  holdfastd --config %s &\n"
		     "  export HOLDFAST_OPERATOR=%s\n"
		     "  holdfast hosts\n"
		     "  holdfast verify --trees\n",
	    p->config_path, p->operator_whole);
	return 0;
}

int
cli_recover(struct cli *c, int argc, char **argv)
{
	enum {
		KEYS = CLI_OPT_FIRST,
		PASSPHRASE,
		LISTEN,
		ADVERTISE,
		OPERATOR,
		ADMIN,
		CONFIG
	};
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "keys", required_argument, NULL, KEYS },
		{ "passphrase-file", required_argument, NULL, PASSPHRASE },
		{ "listen", required_argument, NULL, LISTEN },
		{ "advertise", required_argument, NULL, ADVERTISE },
		{ "operator-dir", required_argument, NULL, OPERATOR },
		{ "admin", required_argument, NULL, ADMIN },
		{ "config", required_argument, NULL, CONFIG }, { NULL, 0, NULL, 0 } };
	struct plan p = { .text = BUF_INIT(CONFIG_TEXT_MAX) };
	const char **const to[] = { &p.keys, &p.passphrase_file, &p.listen, &p.advertise,
		&p.operator_dir, &p.admin, &p.config };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt >= KEYS && opt <= CONFIG)
			*to[opt - KEYS] = optarg;
		else if ((rc = cli_option(c, "recover", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("recover", argc, argv, 1, 1, "DIR")) != 0)
		return rc;
	p.dir = argv[optind];
	(void)umask(077);
	rc = (p.admin != NULL && cert_name_check(p.admin, &err) != 0) ||
	     recover(&p, &err) != 0;
	buf_free(&p.text);
	return rc ? cli_fail("recover", &err) : 0;
}
