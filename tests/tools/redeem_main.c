/*
 * redeem - an empty machine, as a test needs it: redeems, reads and reports.
 *
 *	redeem SERVER CA TOKEN|mac:MAC[,MAC] MACHINE ACT...
 *
 * MACHINE is any text: its hash is the machine's id.  The acts, one after another:
 *	begin			be let in; prints "HOST SEQUENCE resumed|first only|any"
 *	points			prints "HOST/SEQUENCE" of each that is listed
 *	restore SEQ VOLUME FILE	restore it over a session of its own; 0: the latest
 *	report STATE SEQ	begun, progress, done or failed
 *	hold			keeps a session and waits for its end; prints why
 *	pause			waits for a line on standard input
 * A failure is said in one line; the exit status is 1 then.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/restore.h"
#include "agent/session/redeem.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/wire/msg.h"

static struct redeem *redeem;
static struct redeem_facts facts;

static void
waits(void *arg, const char *code)
{
	static int said;

	(void)arg;
	if (!said)
		(void)printf("code %s\n", code);
	(void)fflush(stdout);
	said = 1;
}

static int
points(struct err *err)
{
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;
	ProtobufCMessage *reply;
	struct dial d;
	int rc = -1;

	if (redeem_dial(redeem, &d, err) != 0)
		return -1;
	if (channel_call(d.ch, &m.base, MSG_POINTS, &reply, err) == 0) {
		const Wire__Points *p = (const Wire__Points *)reply;

		for (size_t i = 0; i < p->n_points; i++)
			(void)printf("%s/%llu\n", p->points[i]->host,
			    (unsigned long long)p->points[i]->sequence);
		msg_free(reply);
		rc = 0;
	}
	dial_close(&d);
	return rc;
}

static int
restore(uint64_t sequence, const char *volume, const char *file, struct err *err)
{
	struct restore_job job = { .host = "",
		.sequence = sequence != 0 ? sequence : facts.sequence,
		.volume = volume,
		.target = file,
		.flags = RESTORE_FORCE,
		.mode = PROGRESS_SILENT };
	struct restore_result result;
	struct dial d;
	int rc;

	if (redeem_dial(redeem, &d, err) != 0)
		return -1;
	job.ch = d.ch;
	job.keys = &d.keys;
	rc = restore_run(&job, &result, err);
	dial_close(&d);
	if (rc == 0)
		(void)printf("restored %s/%llu\n", result.host,
		    (unsigned long long)result.sequence);
	return rc;
}

static int
report(const char *state, uint64_t sequence, struct err *err)
{
	static const char *const states[] = { "begun", "progress", "done", "failed" };
	struct redeem_report r = {
		.sequence = sequence, .bytes = 512, .total = 1024, .text = "disk0"
	};

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(states[i], state) == 0)
			r.state = (enum redeem_state)(i + 1);
	return redeem_report(redeem, &r, err);
}

/* Until the server ends the session. */
static int
hold(struct err *err)
{
	struct channel_frame f = { 0 };
	struct err why = ERR_INIT;
	struct dial d;

	if (redeem_dial(redeem, &d, err) != 0)
		return -1;
	(void)printf("held\n");
	(void)fflush(stdout);
	(void)channel_wait(d.ch, 0, 120000, &f, &why);
	free(f.payload);
	dial_close(&d);
	(void)printf("over: %s\n", why.text);
	return 0;
}

/* One act; how many words it took, or -1. */
static int
act(char **word, int left, struct err *err)
{
	if (strcmp(word[0], "begin") == 0) {
		if (redeem_begin(redeem, waits, NULL, &facts, err) != 0)
			return -1;
		(void)printf("%s %llu %s %s\n", facts.host,
		    (unsigned long long)facts.sequence,
		    facts.resumed ? "resumed" : "first", facts.only ? "only" : "any");
		return 1;
	}
	if (strcmp(word[0], "points") == 0)
		return points(err) == 0 ? 1 : -1;
	if (strcmp(word[0], "hold") == 0)
		return hold(err) == 0 ? 1 : -1;
	if (strcmp(word[0], "pause") == 0)
		return getchar() != EOF ? 1 : 1;
	if (strcmp(word[0], "restore") == 0 && left >= 4)
		return restore(strtoull(word[1], NULL, 10), word[2], word[3], err) == 0
			   ? 4
			   : -1;
	if (strcmp(word[0], "report") == 0 && left >= 3)
		return report(word[1], strtoull(word[2], NULL, 10), err) == 0 ? 3 : -1;
	return err_set(err, ERR_PROTOCOL, "no such act: %s", word[0]);
}

static unsigned
take_macs(const char *text, uint8_t macs[][REDEEM_MAC_LEN])
{
	unsigned n = 0;
	int used = 0;

	while (
	    n < REDEEM_MACS_MAX && sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n",
				       &macs[n][0], &macs[n][1], &macs[n][2], &macs[n][3],
				       &macs[n][4], &macs[n][5], &used) == 6) {
		n++;
		text += used;
		if (*text++ != ',')
			break;
	}
	return n;
}

int
main(int argc, char **argv)
{
	struct redeem_options o = { 0 };
	uint8_t macs[REDEEM_MACS_MAX][REDEEM_MAC_LEN];
	struct err err = ERR_INIT;
	int rc = 0;

	if (argc < 6) {
		(void)fprintf(
		    stderr, "usage: redeem SERVER CA TOKEN|mac:MAC MACHINE ACT...\n");
		return 2;
	}
	o.server = argv[1];
	o.ca_path = argv[2];
	if (strncmp(argv[3], "mac:", 4) == 0) {
		o.macs_count = take_macs(argv[3] + 4, macs);
		o.macs = (const uint8_t(*)[REDEEM_MAC_LEN])macs;
	} else {
		o.token = argv[3];
	}
	(void)crypto_hash_sha256(o.machine, (const uint8_t *)argv[4], strlen(argv[4]));
	rc = redeem_new(&o, &redeem, &err);
	for (int i = 5; rc >= 0 && i < argc; i += rc) {
		rc = act(argv + i, argc - i, &err);
		(void)fflush(stdout);
	}
	redeem_free(redeem);
	if (rc < 0)
		(void)fprintf(stderr, "redeem: %s\n", err.text);
	return rc < 0;
}
