/* Many threads, one config: handshakes, tickets and bulk do not meet (TSan looks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tls/tls_pair.h"

#define THREADS 4
#define ROUNDS 12
#define BULK ((size_t)300000)

static struct pair_ca ca;
static struct pair_id server_id, agent_ids[THREADS];
static struct tls_config *server, *agents[THREADS];
static _Atomic int64_t now = PAIR_NOW;

static int64_t
shared_clock(void *arg)
{
	(void)arg;
	return atomic_load(&now);
}

static void
send_bulk(struct tls *from, struct tls *to, uint8_t fill)
{
	uint8_t *out = malloc(BULK), in[9000];
	struct err err = ERR_INIT;
	size_t got, seen = 0, i;

	PAIR_MUST(out != NULL);
	memset(out, fill, BULK);
	PAIR_MUST(tls_write(from, out, BULK, &err) == 0);
	(void)pair_move(from, to);
	while (tls_read(to, in, sizeof(in), &got, &err) == TLS_DATA) {
		for (i = 0; i < got; i++)
			PAIR_MUST(in[i] == fill);
		seen += got;
	}
	PAIR_MUST(seen == BULK && err.code == ERR_NONE);
	free(out);
}

static void *
work(void *arg)
{
	int me = *(int *)arg, i;
	uint8_t ticket[8192];
	const uint8_t *p;
	size_t len = 0;

	for (i = 0; i < ROUNDS; i++) {
		struct pair pair;

		/* One config of each thread's own, and one that all share. */
		pair_start(&pair, agents[i % 3 ? me : 0], server);
		if (len > 0 && i % 3 == 2)
			tls_resume(pair.client, ticket, len);
		pair_run(&pair);
		PAIR_MUST(tls_open(pair.server) && tls_open(pair.client));
		PAIR_MUST(tls_peer(pair.server)->trust == TLS_TRUSTED);
		PAIR_MUST(strcmp(tls_peer(pair.server)->cert.name,
			      agent_ids[i % 3 ? me : 0].facts.name) == 0);
		send_bulk(pair.client, pair.server, (uint8_t)(me * 16 + i));
		send_bulk(pair.server, pair.client, (uint8_t)(me * 16 + i));
		PAIR_MUST((p = tls_ticket(pair.client, &len)) != NULL);
		memcpy(ticket, p, len);
		pair_end(&pair);
		/* Keys are rotated under the others. */
		if (i == ROUNDS / 2 && me == 0)
			atomic_store(&now, PAIR_NOW + 43201);
	}
	return NULL;
}

static void
test_threads_share_a_config(void **state)
{
	struct err err = ERR_INIT;
	pthread_t threads[THREADS];
	int me[THREADS], i;
	char name[16];

	(void)state;
	pair_ca_make(&ca, "backup-ca");
	pair_id_make(
	    &server_id, &ca, CERT_SERVER, "backup1", PAIR_NOW, PAIR_NOW + PAIR_DAY);
	PAIR_MUST(tls_config_server(&server_id.id, &ca.cert, &server, &err) == 0);
	tls_config_clock(server, shared_clock, NULL);
	for (i = 0; i < THREADS; i++) {
		(void)snprintf(name, sizeof(name), "host-%d", i);
		pair_id_make(
		    &agent_ids[i], &ca, CERT_AGENT, name, PAIR_NOW, PAIR_NOW + PAIR_DAY);
		PAIR_MUST(tls_config_client(
			      &agent_ids[i].id, &ca.cert, NULL, &agents[i], &err) == 0);
		tls_config_clock(agents[i], shared_clock, NULL);
	}
	for (i = 0; i < THREADS; i++) {
		me[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &me[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (i = 0; i < THREADS; i++) {
		tls_config_free(agents[i]);
		cert_key_free(agent_ids[i].key);
	}
	tls_config_free(server);
	cert_key_free(server_id.key);
	cert_key_free(ca.key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_share_a_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
