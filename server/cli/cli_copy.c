#include "server/cli/cli.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cli/cli_pull.h"
#include "storage/fs.h"
#include "storage/store_copy.h"
#include "storage/store_escrow.h"

struct plan {
	const char *dir, *copy, *keys, *passphrase_file;
	uint64_t max_rate;
	int with_keys, terminal, verify;
};

/* Progress on a terminal, problems always. */
static void
show(const struct plan *p, uint64_t packs, uint64_t total, uint64_t bytes)
{
	if (p->terminal)
		(void)fprintf(stderr, "\r\033[K%s of %s packs, %s", cli_number(packs),
		    cli_number(total), cli_size(bytes));
}

static void
show_problem(const struct plan *p, const char *text)
{
	(void)fprintf(
	    stderr, "%sholdfast: store: %s\n", p->terminal ? "\r\033[K" : "", text);
}

static int
tell(void *arg, const struct store_copy_report *r, const char *problem)
{
	const struct plan *p = arg;

	if (problem != NULL)
		show_problem(p, problem);
	show(p, r->packs, r->packs_total, r->bytes);
	return 0;
}

static int
done(const struct plan *p, const struct store_copy_report *r)
{
	if (p->terminal)
		(void)fprintf(stderr, "\r\033[K");
	if (p->verify)
		(void)printf(
		    "%s packs read, %s", cli_number(r->packs), cli_size(r->bytes));
	else
		(void)printf("%s packs, %s of them new, %s copied, %s removed",
		    cli_number(r->packs_total), cli_number(r->packs_new),
		    cli_size(r->bytes), cli_number(r->packs_removed));
	(void)printf("; the copy is of %s, record %s: %s problems\n",
	    cli_time(r->time_us), cli_number(r->sequence), cli_number(r->problems));
	return r->problems > 0;
}

/* ----------------------------------------------------------- on the server's disk -- */

static int
copy_keys(const struct plan *p, struct err *err)
{
	struct store_keys_of of = { 0 };
	struct fs *from = NULL, *to = NULL;
	int rc;

	rc = fs_open_dir(p->dir, &from, err) != 0 ||
	     store_keys_load(from, &of, err) != 0 ||
	     fs_open_dir(p->copy, &to, err) != 0 ||
	     store_escrow_import(to, &of, err) != 0;
	sodium_memzero(&of, sizeof(of));
	fs_free(from);
	fs_free(to);
	return rc ? -1 : 0;
}

static int
copy_offline(struct plan *p, struct store_copy_report *r, struct err *err)
{
	const struct store_copy_config config = {
		.max_rate = p->max_rate, .tell = tell, .arg = p
	};
	char what[STORE_TEXT_MAX];
	struct store *s = NULL;
	int rc = store_open(p->dir, &s, err);

	if (rc != 0 && err->code == ERR_BUSY)
		(void)err_context(
		    err, "holdfastd copies itself (`copy-to`, `holdfast store copy`)");
	if (rc == 0) {
		(void)snprintf(what, sizeof(what), "began to copy the store%s, to %.150s",
		    p->with_keys ? " and its keys" : "", p->copy);
		rc = store_audit(s, "local", what, err);
	}
	if (rc == 0)
		rc = store_copy_to(s, p->copy, &config, r, err);
	store_close(s);
	return rc == 0 && p->with_keys ? copy_keys(p, err) : rc;
}

static int
verify_offline(struct plan *p, struct store_copy_report *r, struct err *err)
{
	const struct store_copy_config config = {
		.max_rate = p->max_rate, .tell = tell, .arg = p
	};
	struct store_keys_of of = { 0 };
	struct fs *fs = NULL;
	int rc = fs_open_dir(p->copy, &fs, err);

	if (rc == 0)
		rc = p->keys != NULL
			 ? cli_keys_read(p->keys, p->passphrase_file, &of, err)
			 : store_keys_load(fs, &of, err);
	if (rc == 0)
		rc = store_copy_verify(fs, &of, NULL, &config, r, err);
	sodium_memzero(&of, sizeof(of));
	fs_free(fs);
	return rc;
}

/* ------------------------------------------------------------------ by the server -- */

struct watch {
	struct plan *p;
	struct store_copy_report r;
};

static int
watch(void *arg, const ProtobufCMessage *m)
{
	const Wire__CopyReport *a = (const Wire__CopyReport *)m;
	struct watch *w = arg;

	for (size_t i = 0; i < a->n_problems; i++)
		show_problem(w->p, a->problems[i]);
	w->r = (struct store_copy_report){ .packs = a->packs,
		.packs_total = a->packs_total,
		.bytes = a->bytes,
		.packs_new = a->packs_new,
		.packs_removed = a->packs_removed,
		.problems = a->bad,
		.sequence = a->sequence,
		.time_us = a->time_us };
	show(w->p, a->packs, a->packs_total, a->bytes);
	return 0;
}

static int
ask_server(struct cli *c, struct plan *p, struct store_copy_report *r, struct err *err)
{
	Wire__CopyStore m = WIRE__COPY_STORE__INIT;
	struct watch w = { .p = p };

	m.verify = p->verify;
	m.max_rate = p->max_rate;
	if (cli_connect(c, err) != 0 ||
	    cli_each(c, &m.base, MSG_COPY_REPORT, watch, &w, err) != 0)
		return -1;
	*r = w.r;
	return 0;
}

/* ---------------------------------------------------------------- from a server -- */

static int
pull(struct cli *c, struct plan *p, struct store_copy_report *r, struct err *err)
{
	const struct store_copy_config config = {
		.max_rate = p->max_rate, .tell = tell, .arg = p
	};
	struct store_copy_source *src = NULL;
	struct fs *to = NULL;
	int rc;

	if (cli_connect(c, err) != 0 || cli_can(c, MSG_COPY_OPEN, err) != 0 ||
	    cli_pull_open(c, &src, err) != 0)
		return -1;
	if (mkdir(p->copy, 0700) != 0 && errno != EEXIST)
		rc = err_os(err, errno, "cannot make %.150s", p->copy);
	else
		rc = fs_open_dir(p->copy, &to, err) != 0
			 ? -1
			 : store_copy_from(src, to, &config, r, err);
	cli_pull_close(src);
	fs_free(to);
	return rc == 0 ? 0 : err_context(err, "copy to %.100s", p->copy);
}

int
cli_store(struct cli *c, int argc, char **argv)
{
	enum { RATE = CLI_OPT_FIRST, KEYS, PASSPHRASE, WITH_KEYS };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "max-rate", required_argument, NULL, RATE },
		{ "keys", required_argument, NULL, KEYS },
		{ "passphrase-file", required_argument, NULL, PASSPHRASE },
		{ "with-keys", no_argument, NULL, WITH_KEYS }, { NULL, 0, NULL, 0 } };
	struct plan p = { .terminal = isatty(STDERR_FILENO) };
	struct store_copy_report r = { 0 };
	struct err err = ERR_INIT;
	int opt, rc, words;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == RATE && cli_rate(optarg, &p.max_rate) != 0)
			return cli_usage("store", "--max-rate '%s': say 50M", optarg);
		if (opt == KEYS)
			p.keys = optarg;
		else if (opt == PASSPHRASE)
			p.passphrase_file = optarg;
		else if (opt == WITH_KEYS)
			p.with_keys = 1;
		else if (opt != RATE && (rc = cli_option(c, "store", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("store", argc, argv, 1, 3, "copy or verify-copy")) != 0)
		return rc;
	words = argc - optind;
	p.verify = strcmp(argv[optind], "verify-copy") == 0;
	if (!p.verify && strcmp(argv[optind], "copy") != 0)
		return cli_usage("store", "'%s': copy or verify-copy", argv[optind]);
	if (p.verify ? words > 2 : p.with_keys && words != 3)
		return cli_usage("store",
		    p.verify ? "verify-copy COPY"
			     : "--with-keys: only with DIR DEST, on the server itself");
	(void)umask(077);
	p.dir = argv[optind + (words > 1)];
	p.copy = argv[argc - 1];
	if (words == 1)
		rc = ask_server(c, &p, &r, &err);
	else if (p.verify)
		rc = verify_offline(&p, &r, &err);
	else
		rc = words == 2 ? pull(c, &p, &r, &err) : copy_offline(&p, &r, &err);
	if (p.terminal && rc != 0)
		(void)fprintf(stderr, "\r\033[K");
	return rc == 0 ? done(&p, &r) : cli_fail("store", &err);
}
