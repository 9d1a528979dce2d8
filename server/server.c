#include "server/server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/net/conn.h"
#include "proto/net/listener.h"
#include "proto/net/loop.h"
#include "proto/net/workers.h"
#include "proto/tls/tls.h"
#include "server/authority.h"
#include "server/config.h"
#include "server/netboot.h"
#include "server/policy.h"
#include "server/preflight.h"
#include "server/registry.h"
#include "server/rescues.h"
#include "server/scratch.h"
#include "server/session.h"
#include "server/upkeep.h"
#include "storage/store.h"
#include "storage/store_options.h"

#define DISK_WORKERS 4u
/* A copy that takes hours lets an admin verify and collect meanwhile. */
#define SLOW_WORKERS 3

struct server {
	struct config config;
	struct session_world world;
	struct store *store;
	struct authority *authority;
	struct registry *registry;
	struct rescues *rescues;
	struct policy *policy;
	struct scratch_pool *scratch;
	struct workers *cpu, *disk, *slow, *count;
	struct loop **loops;
	unsigned loops_count;
	struct tls_config *tls;
	struct listener *listener;
	struct upkeep *upkeep;
	struct preflight *preflight; /* NULL: no rescue-dir. */
	struct netboot *netboot;     /* NULL: not asked for. */
	pthread_mutex_t people;
	pthread_mutex_t starting; /* Held until the addresses below are known. */
	atomic_size_t ingest;
	char address[CONFIG_ADDRESS_MAX + 8], advertise[CONFIG_ADDRESS_MAX + 8];
};

static unsigned
cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned)n;
}

static void
on_accept(struct conn *c, unsigned loop_no, void *arg)
{
	struct server *s = arg;

	/* The first peer may come before the port it came to is written down. */
	(void)pthread_mutex_lock(&s->starting);
	(void)pthread_mutex_unlock(&s->starting);
	session_accept(&s->world, s->loops[loop_no], c);
}

/* "host:port" with the port that was found free. */
static void
name_addresses(struct server *s)
{
	const char *listen = s->config.listen;
	int host_len = (int)(strrchr(listen, ':') - listen);
	unsigned port = listener_port(s->listener);
	char host[128] = "localhost";

	(void)snprintf(s->address, sizeof(s->address), "%.*s:%u", host_len, listen, port);
	if (s->config.advertise[0] != '\0') {
		(void)snprintf(
		    s->advertise, sizeof(s->advertise), "%s", s->config.advertise);
	} else if (strncmp(listen, "0.0.0.0:", 8) == 0 ||
		   strncmp(listen, "[::]:", 5) == 0) {
		(void)gethostname(host, sizeof(host));
		host[sizeof(host) - 1] = '\0';
		(void)snprintf(s->advertise, sizeof(s->advertise), "%s:%u", host, port);
	} else {
		(void)snprintf(s->advertise, sizeof(s->advertise), "%s", s->address);
	}
}

static int
start_threads(struct server *s, struct err *err)
{
	const struct config *c = &s->config;
	unsigned loops = c->threads > 0 ? (unsigned)c->threads : cores();
	unsigned cpu = c->workers > 0 ? (unsigned)c->workers : cores();
	unsigned disk = c->disk_workers > 0 ? (unsigned)c->disk_workers : DISK_WORKERS;
	char name[16];

	if (workers_start("cpu", cpu, &s->cpu, err) != 0 ||
	    workers_start("disk", disk, &s->disk, err) != 0 ||
	    workers_start("verify", SLOW_WORKERS, &s->slow, err) != 0 ||
	    workers_start("count", 1, &s->count, err) != 0)
		return -1;
	s->loops = calloc(loops, sizeof(*s->loops));
	if (s->loops == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u loops", loops);
	for (; s->loops_count < loops; s->loops_count++) {
		(void)snprintf(name, sizeof(name), "loop%u", s->loops_count);
		if (loop_start(name, &s->loops[s->loops_count], err) != 0)
			return -1;
	}
	return 0;
}

static int
start_listening(struct server *s, struct err *err)
{
	int rc;

	/* Silence is for the session to judge: it knows whose turn it is. */
	const struct conn_limits limits = {
		.handshake_ms = (uint32_t)(s->config.handshake_s * 1000),
		.sndbuf = (int)s->config.socket_buffer,
		.rcvbuf = (int)s->config.socket_buffer,
	};

	s->world = (struct session_world){
		.store = s->store,
		.authority = s->authority,
		.registry = s->registry,
		.rescues = s->rescues,
		.policy = s->policy,
		.scratch = s->scratch,
		.cpu = s->cpu,
		.disk = s->disk,
		.slow = s->slow,
		.count = s->count,
		.upkeep = s->upkeep,
		.preflight = s->preflight,
		.advertise = s->advertise,
		.copy_to = s->config.copy_to,
		.copy_rate = s->config.copy_rate,
		.people = &s->people,
		.ingest = &s->ingest,
		.ingest_max = s->config.ingest_memory,
	};
	if (tls_config_server(authority_server(s->authority), authority_ca(s->authority),
		&s->tls, err) != 0)
		return -1;
	(void)pthread_mutex_lock(&s->starting);
	rc = listener_start(s->config.listen, s->loops, s->loops_count, s->tls, &limits,
	    (unsigned)s->config.sessions, on_accept, s, &s->listener, err);
	if (rc == 0)
		name_addresses(s);
	(void)pthread_mutex_unlock(&s->starting);
	return rc;
}

static int
open_store(const struct config *c, struct store **out, struct err *err)
{
	const struct store_options o = {
		.read_only = c->read_only,
		.reserve = c->read_only ? 0 : c->reserve,
		.low_water = { c->low_water.bytes, (uint32_t)c->low_water.percent * 10 },
		.clock_jump_us = (int64_t)c->clock_jump_s * 1000000,
		.parity = (uint32_t)c->pack_parity,
	};

	return store_open_with(c->store, &o, out, err);
}

static int
start_rescue(struct server *s, struct err *err)
{
	const struct config *c = &s->config;

	if (c->rescue_dir[0] != '\0' &&
	    preflight_open(c->rescue_dir, &s->preflight, err) != 0)
		return -1;
	if (c->rescue_listen[0] == '\0')
		return 0;
	if (netboot_start(c->rescue_dir, c->rescue_listen, &s->netboot, err) != 0)
		return -1;
	log_event(LOG_INFO, "netboot: serving %s on http://%s/boot.ipxe", c->rescue_dir,
	    netboot_address(s->netboot));
	return 0;
}

int
server_start(const struct config *config, struct server **out, struct err *err)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a server");
	s->config = *config;
	(void)pthread_mutex_init(&s->people, NULL);
	(void)pthread_mutex_init(&s->starting, NULL);
	s->registry = registry_new();
	s->rescues = rescues_new();
	s->policy = policy_new(config);
	s->scratch = scratch_pool_new();
	if (s->registry == NULL || s->rescues == NULL || s->policy == NULL ||
	    s->scratch == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a server");
	} else if (open_store(config, &s->store, err) == 0 &&
		   upkeep_start(s->store, config, &s->upkeep, err) == 0 &&
		   authority_open(s->store, &s->authority, err) == 0 &&
		   start_threads(s, err) == 0 && start_rescue(s, err) == 0 &&
		   start_listening(s, err) == 0) {
		*out = s;
		return 0;
	}
	server_stop(s);
	return -1;
}

const char *
server_address(const struct server *s)
{
	return s->address;
}

const char *
server_advertised(const struct server *s)
{
	return s->advertise;
}

struct store *
server_store(struct server *s)
{
	return s->store;
}

void
server_reload(struct server *s, const struct config *config)
{
	policy_set(s->policy, config);
	s->config.drain_s = config->drain_s;
}

/* -------------------------------------------------------------------- stopping -- */

struct barrier {
	pthread_mutex_t lock;
	pthread_cond_t passed;
	unsigned left;
};

static void
pass(void *arg)
{
	struct barrier *b = arg;

	(void)pthread_mutex_lock(&b->lock);
	if (--b->left == 0)
		(void)pthread_cond_signal(&b->passed);
	(void)pthread_mutex_unlock(&b->lock);
}

/* Wait until every loop has run what was posted so far. */
static void
settle(struct server *s)
{
	struct barrier b = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
		s->loops_count };

	for (unsigned i = 0; i < s->loops_count; i++)
		loop_post(s->loops[i], pass, &b);
	(void)pthread_mutex_lock(&b.lock);
	while (b.left > 0)
		(void)pthread_cond_wait(&b.passed, &b.lock);
	(void)pthread_mutex_unlock(&b.lock);
}

static void
end_sessions(struct server *s)
{
	struct err why = ERR_INIT;

	(void)err_set(&why, ERR_BUSY, "the server is stopping");
	settle(s);
	(void)registry_tell(s->registry, NULL, 0, session_drain, &why);
	if (registry_wait_empty(s->registry, s->config.drain_s * 1000) == 0)
		return;
	log_event(LOG_WARN, "%zu sessions did not end within %llu s: cut",
	    registry_count(s->registry, NULL), (unsigned long long)s->config.drain_s);
	(void)registry_tell(s->registry, NULL, 0, session_cut, &why);
	while (registry_wait_empty(s->registry, 10000) != 0)
		log_event(LOG_WARN, "waiting for %zu sessions' work on the store",
		    registry_count(s->registry, NULL));
}

void
server_stop(struct server *s)
{
	if (s == NULL)
		return;
	netboot_stop(s->netboot);
	if (s->listener != NULL)
		listener_stop(s->listener);
	end_sessions(s);
	if (s->slow != NULL)
		workers_stop(s->slow);
	if (s->count != NULL)
		workers_stop(s->count);
	if (s->cpu != NULL)
		workers_stop(s->cpu);
	if (s->disk != NULL)
		workers_stop(s->disk);
	upkeep_stop(s->upkeep);
	for (unsigned i = 0; i < s->loops_count; i++)
		loop_stop(s->loops[i]);
	free(s->loops);
	tls_config_free(s->tls);
	authority_free(s->authority);
	store_close(s->store);
	preflight_close(s->preflight);
	scratch_pool_free(s->scratch);
	policy_free(s->policy);
	rescues_free(s->rescues);
	registry_free(s->registry);
	(void)pthread_mutex_destroy(&s->people);
	(void)pthread_mutex_destroy(&s->starting);
	free(s);
}
