#include "server/cli/cli.h"

#include <string.h>

int
cli_alarm(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	Wire__ClearAlarm m = WIRE__CLEAR_ALARM__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, "alarm", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("alarm", argc, argv, 1, 2, "clear")) != 0)
		return rc;
	if (strcmp(argv[optind], "clear") != 0)
		return cli_usage("alarm", "'%s': only clear is known", argv[optind]);
	if (argc - optind == 2)
		m.host = argv[optind + 1];
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_CLEAR_ALARM, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("alarm", &err);
	msg_free(reply);
	(void)printf("cleared\n");
	return 0;
}
