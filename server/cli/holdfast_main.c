/*
 * holdfast - the operator's command line.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/cli.h"

static const struct cli_command commands[] = {
	{ "init",
	    "DIR [--name SERVER] [--listen HOST:PORT] [--operator-dir DIR] [--admin "
	    "NAME]",
	    "make a store, its authority and the first admin (on the server itself)",
	    "DIR must be missing or empty.  Writes DIR/holdfastd.conf, and the first "
	    "admin to\n"
	    "DIR/operator unless --operator-dir says otherwise.\n",
	    cli_init },
	{ "enroll-token",
	    "[--uses N] [--ttl 1h] [--network CIDR]... [--group G] [--replace HOST]",
	    "print a token that enrols hosts",
	    "A token works --uses times (1) within --ttl (1h), from the given networks "
	    "only.\n"
	    "--replace lets it take over the name of a host that exists.\n",
	    cli_enroll_token },
	{ "operator", "add NAME --role viewer|restorer|admin --out DIR [--ttl 365d]",
	    "make an operator",
	    "Writes the new operator's key and certificate to DIR.  A viewer lists, a "
	    "restorer\n"
	    "reads data too, an admin may do everything.\n",
	    cli_operator },
	{ "hosts", "[--backups] [--json]",
	    "who is enrolled, last seen, newest point, alarms",
	    "--backups: of each host's newest point how it was made, when all was last "
	    "read,\nup to which point all is proven, and bytes read, sent and stored.\n",
	    cli_hosts },
	{ "revoke", "NAME", "from now on this host or operator counts no more",
	    "Sessions that are open end at once.  Points stay.\n", cli_revoke },
	{ "points", "[HOST] [--json]", "recovery points, newest first", "", cli_points },
	{ "show", "HOST[/NUMBER] [--json]",
	    "one point in full, with its disks; the newest without NUMBER", "",
	    cli_show },
	{ "restore",
	    "HOST[/NUMBER] [--volume NAME | --disk NAME] --to FILE|DEVICE [--delta]\n"
	    "           [--force] [--zero-holes] [--discard] [--quiet]\n"
	    "           [--extend] [--shrink] [--size 500G] [--verify] [--json]\n"
	    "           [--format raw|vhdx]\n"
	    "           [--adapt | --report-drivers] [--machine FILE]",
	    "write a volume or a whole disk of a point to a file or device",
	    "The newest point without NUMBER; the only volume without --volume.  --delta "
	    "keeps\n"
	    "the target and rewrites only what differs; --force replaces an existing "
	    "file;\n"
	    "--zero-holes makes free space zeros, --discard tells a device what is "
	    "free.\n"
	    "--format vhdx, or a FILE called *.vhdx: a dynamic virtual disk.\n"
	    "With --disk: the table last, until then the disk does not boot; a larger\n"
	    "target is as long as it is (a new file: --size), --extend gives the last "
	    "data\n"
	    "partition and its NTFS the room, --shrink makes NTFS smaller where the "
	    "target\n"
	    "is, --verify reads all back.  --report-drivers says which of Windows' "
	    "drivers\n"
	    "are for the disk controllers of this machine, --adapt makes them start at "
	    "boot;\n"
	    "--machine names a file with another machine's modaliases, one a line.\n",
	    cli_restore },
	{ "ls",
	    "HOST[/NUMBER][:VOLUME[/PATH]] [-l] [-R] [--streams] [--json] [--retry-for "
	    "5m]",
	    "list files of an NTFS volume in a point",
	    "The newest point without NUMBER, the only volume without VOLUME.  -l: kind, "
	    "flags\n"
	    "(r read-only, h hidden, s system, c compressed, p sparse, e encrypted), "
	    "names, bytes,\n"
	    "time; -R: all below; --streams: named streams, too.\n",
	    cli_ls },
	{ "cp",
	    "[-r] HOST[/NUMBER][:VOLUME]/PATH DESTINATION [--force] [--streams] "
	    "[--quiet]\n"
	    "           [--retry-for 5m]",
	    "copy files out of an NTFS volume in a point",
	    "DESTINATION is a directory, a new name, or - for standard output.  A file "
	    "that is\n"
	    "there with the same size and time stays, so the same command goes on where "
	    "it was\n"
	    "interrupted; another is left alone unless --force.  Links are not made; "
	    "what\n"
	    "cannot be read is named.  PATH may end in NAME:STREAM.  Exit 1 if anything "
	    "was\nnot copied.\n",
	    cli_cp },
	{ "mount", "HOST[/NUMBER][:VOLUME[/PATH]] DIR [--background] [--retry-for 5m]",
	    "mount an NTFS volume of a point, or part, read-only",
	    "Until Ctrl-C or `holdfast umount DIR`.  By nbdkit, nbdfuse and ntfs-3g; "
	    "root's.\n",
	    cli_mount },
	{ "umount", "DIR", "end a `holdfast mount`", "", cli_umount },
	{ "export",
	    "HOST[/NUMBER][:VOLUME] [--disk NAME] --to FILE.qcow2|vhdx|vmdk|raw\n"
	    "           [--format FORMAT] [--compress] [--force] [--quiet] [--retry-for "
	    "5m]",
	    "a disk or volume of a point as an image for virtual machines",
	    "Without VOLUME and --disk: the only disk, or if the point holds none the "
	    "only\n"
	    "volume.  By nbdkit and qemu-img; --compress for qcow2 and vmdk.  --force "
	    "replaces\na file.\n",
	    cli_export },
	{ "nbd",
	    "HOST[/NUMBER][:VOLUME] [--disk NAME] [--socket PATH | --listen HOST:PORT\n"
	    "           --tls-psk FILE|--tls-certificates DIR] [--retry-for 5m] [--cache "
	    "128M]",
	    "serve volumes or a disk of a point to NBD clients, read-only",
	    "Until Ctrl-C, by nbdkit; without VOLUME and --disk clients choose by the "
	    "export's\n"
	    "name: that of a volume, or disk/NAME.  A local socket unless --listen, "
	    "which "
	    "is TLS\n"
	    "only: --tls-psk FILE holds a key that clients have too (made if it is "
	    "missing),\n"
	    "--tls-certificates DIR is as nbdkit takes it and clients must show one.\n",
	    cli_nbd },
	{ "restore-token", "HOST [--point NUMBER|latest] [--ttl 24h]",
	    "print a token that lets one machine restore HOST, once",
	    "The first machine that shows it is the one.  It is good until that machine "
	    "is\n"
	    "done, whatever happens in between; --ttl is the time to begin.  --point: "
	    "no other\n"
	    "point may be read; latest is fixed when it begins.\n",
	    cli_restore_token },
	{ "rescue",
	    "check [HOST] [--json]\n"
	    "       holdfast rescue arm HOST --mac MAC [--point NUMBER|latest] [--ttl "
	    "24h]\n"
	    "       holdfast rescue waiting [--json] | confirm CODE\n"
	    "       holdfast rescue list [--all] [--json] | end HOST [--number N]",
	    "machines that boot to be restored",
	    "check: could HOST (or every host) be restored to an empty machine like its "
	    "own with\nthe server's rescue image?  Exit 1 if not.\n"
	    "arm: expect a machine with this MAC address to restore HOST, without a "
	    "token.\n"
	    "waiting: machines that ask; confirm: the one that shows CODE on its screen "
	    "is\n"
	    "the one that was armed.  list: restores that are open and how far they "
	    "are;\n"
	    "end: nothing is let in by them any more.\n",
	    cli_rescue },
	{ "verify", "[--all|--sample SHARE] [--since WHEN] [--trees]",
	    "read the store and check it",
	    "Every group of every pack, or a SHARE of them (0.05), or of those not "
	    "checked\n"
	    "since WHEN (7d, 12h, 2026-11-01); those checked longest ago first.  "
	    "--trees:\n"
	    "also that every point is whole; such points are verified from then on.  "
	    "Where\n"
	    "something is bad, the points that need it are named.  Exit 1 if anything "
	    "is.\n",
	    cli_verify },
	{ "keys", "export|import DIR FILE [--plain] [--passphrase-file FILE]",
	    "keep the store's master key elsewhere, and bring it back",
	    "On the server itself.  Export seals the key of the store in DIR by a "
	    "passphrase\n"
	    "into FILE; --plain does not seal.  Import puts it into a store that lost "
	    "its own.\n"
	    "The passphrase is asked for, or is the first line of --passphrase-file (-: "
	    "standard\ninput).\n",
	    cli_keys },
	{ "store",
	    "copy [[DIR] DEST [--with-keys]] [--max-rate 50M]\n"
	    "           verify-copy [COPY [--keys FILE] [--passphrase-file FILE]]",
	    "a second copy of the store, and whether it is good",
	    "copy: the server copies to its `copy-to` while it works.  DEST: this "
	    "program copies\nto that directory, from the server over the network.  DIR "
	    "DEST: on the server itself,\nwhile holdfastd is stopped.  What is there "
	    "already is not copied again.  Exit 1 if\nanything is wrong.\n",
	    cli_store },
	{ "alarm", "clear [HOST]",
	    "an alarm of a host was seen to; without HOST the store's",
	    "The store's own are that an older copy of it was put back, and that many "
	    "wrong\n"
	    "tokens were tried; others end by themselves.\n",
	    cli_alarm },
	{ "recover",
	    "DIR [--keys FILE] [--passphrase-file FILE] [--listen HOST:PORT]\n"
	    "           [--advertise HOST:PORT] [--config FILE] [--operator-dir DIR] "
	    "[--admin NAME]",
	    "take over a store whose server is gone (on the new server)",
	    "DIR has the store's disk or a copy of it; FILE its exported keys.  Checks, "
	    "makes the\n"
	    "caches anew, writes DIR/holdfastd.conf (or --config) and makes an admin in\n"
	    "DIR/operator (or --operator-dir).\n",
	    cli_recover },
	{ "catalog", "rebuild DIR", "make the catalog anew from the journal",
	    "On the server itself, while holdfastd is stopped.\n", cli_catalog },
	{ "index", "rebuild DIR", "make the index anew from the packs",
	    "On the server itself, while holdfastd is stopped.\n", cli_index },
	{ "policy",
	    "set [--host HOST | --group GROUP [--new]] RULES... | show [HOST] [--json] "
	    "|\n"
	    "           remove [--host HOST | --group GROUP]",
	    "which points are kept",
	    "RULES: --keep-last N, --keep-hourly N, --keep-daily N, --keep-weekly N,\n"
	    "--keep-monthly N, --keep-yearly N, --keep-within 30d, --min-points N (1),\n"
	    "--min-verified N (1: the newest verified point stays), --verified-within "
	    "30d\n"
	    "(prune nothing if the newest verified point is older).  Without --host and\n"
	    "--group: of all hosts.  A host's own policy applies, else its group's, else "
	    "that\n"
	    "of all hosts, as a whole; `show HOST` says which.  A group is made by the "
	    "tokens of\n"
	    "its hosts; --new: set the policy of one that has neither yet.\n",
	    cli_policy },
	{ "prune", "[HOST]... [--dry-run] [--json]",
	    "remove the points that no policy keeps",
	    "All hosts, or those named.  --dry-run only says of each point why it stays "
	    "or\n"
	    "goes.  Exit 1 if a host is braked and was left alone, or could not be "
	    "pruned: it\n"
	    "is named, and the others are pruned all the same.\n",
	    cli_prune },
	{ "hold", "HOST/NUMBER --reason TEXT", "keep a point until it is released", "",
	    cli_hold },
	{ "release", "HOST/NUMBER [--reason TEXT]", "end the hold of a point", "",
	    cli_release },
	{ "lock", "HOST/NUMBER --until DATE|30d",
	    "keep a point until a date, whoever says what",
	    "A lock can be made longer, never shorter, and nobody can undo it.\n",
	    cli_lock },
	{ "forget", "HOST/NUMBER [--reason TEXT]",
	    "remove one point, whatever the policy says",
	    "Not if it is held or locked.\n", cli_forget },
	{ "brake", "clear HOST", "prune a host again that was not pruned any more",
	    "`holdfast hosts` says why it was not.  Look first: it may be encrypted.\n",
	    cli_brake },
	{ "repair", "DIR [--dry-run]", "make the best of a damaged store",
	    "On the server itself, while holdfastd is stopped.  Nothing is deleted: "
	    "damaged "
	    "packs\n"
	    "give what is whole in them to new ones and are set aside, all is verified, "
	    "and "
	    "the\n"
	    "points that lack something are named.  A report is left in DIR.  With "
	    "--dry-run\n"
	    "nothing is written.  Exit 1 if something is lost.\n",
	    cli_repair },
	{ "stats", "[--hosts | --host HOST | --point HOST/NUMBER] [--json]",
	    "what the store holds, and what a deletion would free",
	    "With --hosts, --host or --point all trees are read, which may take minutes: "
	    "what\neach host, that host, or that point uses alone, and would free if it "
	    "were deleted.\n",
	    cli_stats },
	{ "gc", "[--dry-run] [--max-rate 20M] [--json]",
	    "give back the space of what no point needs",
	    "Runs beside backups and restores; Ctrl-C ends it, what was done stays.  "
	    "What "
	    "they\nhold is left for the next time.  --max-rate: bytes a second, instead "
	    "of "
	    "the\nserver's maintenance-rate.\n",
	    cli_gc },
	{ "jobs", "[--json]", "what the server does by itself: when, and how it went", "",
	    cli_jobs },
	{ "store-info", "DIR [--points] [--verify] [--json]",
	    "what lies in a store's directory, without a server",
	    "Writes nothing: DIR may be on a read-only mount.  No holdfastd may have it "
	    "open.\n--verify reads all of it and checks that every point is whole.\n",
	    cli_store_info },
	{ "audit", "[--since 7d|DATE] [--who NAME] [--json] | --check",
	    "who did what, from the journal's chain",
	    "--check proves the chain from its beginning and prints its head: note it "
	    "elsewhere,\nand a journal that was cut or exchanged since can be told.\n",
	    cli_audit },
	{ "clock", "accept", "the server's clock is right, whatever the store thought",
	    "For when the server was off for long, or its clock was wrong when points "
	    "were made.\n",
	    cli_clock },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct cli_command *
find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static void
help_all(FILE *to)
{
	(void)fprintf(
	    to, "usage: holdfast [--operator DIR] [--server HOST:PORT] COMMAND ...\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		(void)fprintf(to, "  %-14s%s\n", commands[i].name, commands[i].what);
	(void)fprintf(to,
	    "\n"
	    "    --operator DIR      who you are; or the environment's "
	    "HOLDFAST_OPERATOR\n"
	    "    --server HOST:PORT  instead of the one named in the operator directory\n"
	    "\n"
	    "`holdfast COMMAND --help` says more.\n");
}

static void
help_one(const struct cli_command *c, FILE *to)
{
	(void)fprintf(to, "usage: holdfast %s %s\n\n%s: %s\n", c->name, c->arguments,
	    c->name, c->what);
	if (c->help[0] != '\0')
		(void)fprintf(to, "\n%s", c->help);
}

int
cli_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "holdfast: %s: ", command);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "; try `holdfast %s --help`\n", command);
	return 2;
}

int
cli_words(
    const char *command, int argc, char **argv, int min, int max, const char *missing)
{
	if (argc - optind < min)
		return cli_usage(command, "%s is missing", missing);
	if (argc - optind > max)
		return cli_usage(
		    command, "'%s' is one word too many", argv[optind + max]);
	return 0;
}

int
cli_fail(const char *command, const struct err *err)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "holdfast: %s: %s\n", command, err->text);
	return 1;
}

int
cli_option(struct cli *c, const char *command, int opt)
{
	switch (opt) {
	case 1:
		c->operator_dir = optarg;
		return 0;
	case 2:
		c->server = optarg;
		return 0;
	case 3:
		help_one(find(command), stdout);
		return 1;
	default:
		/* optopt is the option's number if it is known. */
		return cli_usage(command,
			   optopt == 0 ? "no option '%s'" : "%s: a value is missing",
			   c->argv[optind - 1]) +
		       1;
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "version", no_argument, NULL, 4 }, { NULL, 0, NULL, 0 } };
	const struct cli_command *command;
	struct cli c = { 0 };
	int opt, rc, first;

	(void)signal(SIGPIPE, SIG_IGN);
	opterr = 0; /* We say it, in a line that is like all others. */
	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (opt) {
		case 1:
			c.operator_dir = optarg;
			break;
		case 2:
			c.server = optarg;
			break;
		case 3:
			help_all(stdout);
			return 0;
		case 4:
			(void)puts("holdfast " HOLDFAST_VERSION);
			return 0;
		default:
			(void)fprintf(stderr, "holdfast: %s%s; try `holdfast --help`\n",
			    argv[optind - 1],
			    optopt == 0 ? ": no such option" : ": a value is missing");
			return 2;
		}
	}
	if (optind >= argc) {
		(void)fputs(
		    "holdfast: a command is missing; try `holdfast --help`\n", stderr);
		return 2;
	}
	command = find(argv[optind]);
	if (command == NULL) {
		(void)fprintf(stderr,
		    "holdfast: no command '%s'; `holdfast --help` lists them\n",
		    argv[optind]);
		return 2;
	}
	first = optind;
	c.argv = argv + first;
	optind = 0; /* glibc: start over, with the command as program. */
	rc = command->run(&c, argc - first, argv + first);
	cli_close(&c);
	if (fflush(stdout) != 0 && rc == 0) {
		(void)fprintf(stderr, "holdfast: cannot write to standard output\n");
		rc = 1;
	}
	return rc;
}
