#include "server/cli/cli.h"

#include "storage/store.h"
#include "storage/store_options.h"
#include "storage/store_repair.h"

static int
print(void *arg, const char *line)
{
	(void)arg;
	(void)printf("%s\n", line);
	return 0;
}

int
cli_repair(struct cli *c, int argc, char **argv)
{
	enum { DRY = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "dry-run", no_argument, NULL, DRY }, { NULL, 0, NULL, 0 } };
	struct store_options o = STORE_OPTIONS_INIT;
	struct store_repair_report r;
	struct store *s = NULL;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == DRY)
			o.read_only = 1;
		else if ((rc = cli_option(c, "repair", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("repair", argc, argv, 1, 1, "DIR")) != 0)
		return rc;
	rc = store_open_with(argv[optind], &o, &s, &err);
	/* Before anything is changed; what, says the report. */
	if (rc == 0 && !o.read_only)
		rc = store_audit(s, "local", "began to repair the store", &err);
	if (rc == 0)
		rc = store_repair(s, print, NULL, &r, &err);
	store_close(s);
	if (rc != 0)
		return cli_fail("repair", &err);
	if (r.file[0] != '\0')
		(void)printf("report: %s/%s\n", argv[optind], r.file);
	/* What was sent again, or was whole elsewhere, is not lost. */
	if (r.verify.points_checked == r.verify.points_verified && r.problems == 0)
		return 0;
	(void)err_set(&err, ERR_CORRUPT, "%llu problems: see what is named above",
	    (unsigned long long)r.problems);
	return cli_fail("repair", &err);
}
