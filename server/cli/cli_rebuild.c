#include "server/cli/cli.h"

#include <string.h>

#include "storage/store.h"
#include "storage/store_rebuild.h"

static void
say(const char *dir, const struct store_stats *st, const struct store *s)
{
	(void)printf("%s: %s hosts, %s points, %s chunks in %s packs\n", dir,
	    cli_number(st->hosts), cli_number(st->points), cli_number(st->chunks),
	    cli_number(st->packs));
	if (store_opened(s)[0] != '\0')
		(void)printf("%s\n", store_opened(s));
}

static int
rebuild(struct cli *c, int argc, char **argv, const char *command, unsigned caches)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	struct store *s = NULL;
	struct store_stats st;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, command, opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words(command, argc, argv, 2, 2, "rebuild DIR")) != 0)
		return rc;
	if (strcmp(argv[optind], "rebuild") != 0)
		return cli_usage(command, "'%s': only rebuild is known", argv[optind]);
	if (store_rebuild(argv[optind + 1], caches, &s, &err) != 0 ||
	    store_stats(s, &st, &err) != 0) {
		store_close(s);
		return cli_fail(command, &err);
	}
	say(argv[optind + 1], &st, s);
	store_close(s);
	return 0;
}

int
cli_catalog(struct cli *c, int argc, char **argv)
{
	return rebuild(c, argc, argv, "catalog", STORE_CATALOG);
}

int
cli_index(struct cli *c, int argc, char **argv)
{
	return rebuild(c, argc, argv, "index", STORE_INDEX);
}
