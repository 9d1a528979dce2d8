#include "rescue/options.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/err.h"

static const char help[] =
    "usage: holdfast-rescue [OPTION...]\n"
    "Brings a machine back from its Holdfast server.  What is to be done stands in the\n"
    "kernel's command line (docs/bare-metal.md); without holdfast.disk it asks.\n"
    "\n"
    "  --cmdline FILE     read in place of /proc/cmdline\n"
    "  --sys DIR          in place of /sys\n"
    "  --dev DIR          in place of /dev; disks may be plain files there\n"
    "  --ca FILE          the authority's certificate (/etc/holdfast/ca.pem)\n"
    "  --server FILE      holds the server's address (/etc/holdfast/server)\n"
    "  --machine-id FILE  in place of the mainboard's UUID; for tests\n"
    "  --efivars DIR      in place of /sys/firmware/efi/efivars\n"
    "  --esp DIR          in place of the restored EFI system partition's mount\n"
    "  --disks-wait SECONDS  for disks that come late (15)\n"
    "  --help, --version\n";

const char *
options_help(void)
{
	return help;
}

int
options_parse(int argc, char **argv, struct options *out, struct err *err)
{
	const struct {
		const char *name;
		const char **value;
	} values[] = { { "--cmdline", &out->cmdline }, { "--sys", &out->sys },
		{ "--dev", &out->dev }, { "--ca", &out->ca },
		{ "--server", &out->server }, { "--machine-id", &out->machine_id },
		{ "--efivars", &out->efivars }, { "--esp", &out->esp },
		{ "--disks-wait", &out->disks_wait } };
	const struct {
		const char *name;
		int *flag;
	} flags[] = { { "--help", &out->help }, { "--version", &out->version } };
	size_t k;
	int i;

	memset(out, 0, sizeof(*out));
	out->cmdline = "/proc/cmdline";
	out->sys = "/sys";
	out->dev = "/dev";
	out->ca = "/etc/holdfast/ca.pem";
	out->server = "/etc/holdfast/server";
	out->disks_wait = "15";
	for (i = 1; i < argc; i++) {
		int known = 0;

		for (k = 0; k < sizeof(flags) / sizeof(flags[0]) && !known; k++)
			if (strcmp(argv[i], flags[k].name) == 0)
				known = *flags[k].flag = 1;
		for (k = 0; k < sizeof(values) / sizeof(values[0]) && !known; k++) {
			if (strcmp(argv[i], values[k].name) != 0)
				continue;
			if (++i == argc)
				return err_set(
				    err, ERR_UNSUPPORTED, "%s: no value", values[k].name);
			*values[k].value = argv[i];
			known = 1;
		}
		if (!known)
			return err_set(
			    err, ERR_UNSUPPORTED, "no option '%.60s'", argv[i]);
	}
	return 0;
}
