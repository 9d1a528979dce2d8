/*
 * tls_bench [MB [bulk]] - CPU seconds per GB of proto/tls, each end, in one thread; and
 * handshakes per second, full and resumed, both ends together.
 *
 * tls_raw_bench.c is the same over mbedTLS alone, once hooked and once plain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/tls/tls_pair.h"

#define PIECE ((size_t)512 * 1024)
#define READ ((size_t)64 * 1024)
#define IDLE 500

static double
cpu(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
bulk(struct tls_config *client, struct tls_config *server, size_t total)
{
	double sending = 0, receiving = 0, t0;
	uint8_t *from = calloc(1, PIECE), *to = malloc(PIECE);
	struct err err = ERR_INIT;
	const uint8_t *p;
	static _Alignas(64) uint8_t socket_read[READ];
	size_t done, n, at, part, got, seen = 0;
	struct pair pair;

	PAIR_MUST(from != NULL && to != NULL);
	pair_start(&pair, client, server);
	pair_run(&pair);
	PAIR_MUST(tls_open(pair.server) && tls_open(pair.client));
	for (done = 0; done < total; done += PIECE) {
		t0 = cpu();
		PAIR_MUST(tls_write(pair.client, from, PIECE, &err) == 0);
		sending += cpu() - t0;
		n = tls_output(pair.client, &p);
		/* As a loop gives it: what one read of a socket brings, in its buffer. */
		for (at = 0; at < n; at += READ) {
			part = n - at < READ ? n - at : READ;
			memcpy(socket_read, p + at, part);
			t0 = cpu();
			PAIR_MUST(tls_input(pair.server, socket_read, part, &err) == 0);
			while (tls_read(pair.server, to, PIECE, &got, &err) == TLS_DATA)
				seen += got;
			receiving += cpu() - t0;
		}
		t0 = cpu();
		tls_sent(pair.client, n);
		sending += cpu() - t0;
	}
	PAIR_MUST(seen == done);
	printf("proto/tls  %s: send %.3f, receive %.3f CPU s per GB (%.0f, %.0f MB/s)\n",
	    tls_suite(pair.client), sending * 1e9 / (double)done,
	    receiving * 1e9 / (double)done, (double)done / sending / 1e6,
	    (double)done / receiving / 1e6);
	pair_end(&pair);
	free(from);
	free(to);
}

static void
handshakes(struct tls_config *client, struct tls_config *server, int resumed)
{
	uint8_t ticket[8192];
	const uint8_t *next;
	size_t len = 0;
	double t0 = cpu(), all;
	struct pair pair;
	int i, n = 300;

	for (i = 0; i < n; i++) {
		pair_start(&pair, client, server);
		if (resumed && len > 0)
			tls_resume(pair.client, ticket, len);
		pair_run(&pair);
		PAIR_MUST(tls_peer(pair.server)->resumed == (resumed && len > 0));
		next = tls_ticket(pair.client, &len);
		PAIR_MUST(next != NULL && len <= sizeof(ticket));
		memcpy(ticket, next, len);
		pair_end(&pair);
	}
	all = cpu() - t0;
	printf("handshake  %s: %.2f ms CPU, both ends\n", resumed ? "resumed" : "full",
	    all * 1e3 / n);
}

static long
rss(void)
{
	long pages = 0, unused;
	FILE *f = fopen("/proc/self/statm", "r");

	PAIR_MUST(f != NULL && fscanf(f, "%ld %ld", &unused, &pages) == 2);
	(void)fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* Memory of a session that sent `n` bytes each way and waits.  First of all, on a fresh
 * heap. */
static void
idle(struct tls_config *client, struct tls_config *server, size_t n)
{
	static struct pair pairs[IDLE];
	uint8_t *b = calloc(1, n);
	struct err err = ERR_INIT;
	long before = rss();
	int i;

	PAIR_MUST(b != NULL);
	for (i = 0; i < IDLE; i++) {
		pair_start(&pairs[i], client, server);
		pair_run(&pairs[i]);
		PAIR_MUST(tls_write(pairs[i].client, b, n, &err) == 0);
		PAIR_MUST(tls_write(pairs[i].server, b, n, &err) == 0);
		pair_run(&pairs[i]);
	}
	printf("idle       after %zu bytes each way: %ld KiB per session end\n", n,
	    (rss() - before) / 1024 / IDLE / 2);
	for (i = 0; i < IDLE; i++)
		pair_end(&pairs[i]);
	free(b);
}

int
main(int argc, char **argv)
{
	size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 2000) * 1000000;
	struct tls_config *client, *server;
	struct pair_id server_id, agent_id;
	int64_t now = PAIR_NOW;
	struct err err = ERR_INIT;
	struct pair_ca ca;

	pair_ca_make(&ca, "bench-ca");
	pair_id_make(
	    &server_id, &ca, CERT_SERVER, "server", PAIR_NOW, PAIR_NOW + PAIR_DAY);
	pair_id_make(&agent_id, &ca, CERT_AGENT, "agent", PAIR_NOW, PAIR_NOW + PAIR_DAY);
	PAIR_MUST(tls_config_server(&server_id.id, &ca.cert, &server, &err) == 0);
	PAIR_MUST(tls_config_client(&agent_id.id, &ca.cert, NULL, &client, &err) == 0);
	tls_config_clock(server, pair_clock, &now);
	tls_config_clock(client, pair_clock, &now);
	if (argc < 3) {
		idle(client, server, 100000);
		handshakes(client, server, 0);
		handshakes(client, server, 1);
	}
	bulk(client, server, total);
	tls_config_free(client);
	tls_config_free(server);
	cert_key_free(server_id.key);
	cert_key_free(agent_id.key);
	cert_key_free(ca.key);
	return 0;
}
