#include "agent/host/progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/wait.h"

#define REDRAW_MS 250u
#define PLAIN_MS 5000u
#define JSON_MS 1000u

struct progress {
	char what[16];
	int json, terminal, quiet;
	uint64_t total;
	uint64_t started_us;
	atomic_uint_fast64_t position, counts[PROGRESS_COUNTS];
	pthread_t thread;
	pthread_mutex_t lock; /* Guards `ended`. */
	pthread_cond_t wake;
	int ended;
};

void
progress_bytes(uint64_t n, char out[24])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = (double)n;
	unsigned u = 0;

	while (v >= 1024 && u < 5) {
		v /= 1024;
		u++;
	}
	snprintf(out, 24, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

static void
show(struct progress *p)
{
	uint64_t at = atomic_load(&p->position),
		 ms = (wait_now_us() - p->started_us) / 1000;
	uint64_t got = atomic_load(&p->counts[PROGRESS_READ]);
	uint64_t put = atomic_load(&p->counts[PROGRESS_SENT]), rate, eta;
	char a[24], b[24], c[24], d[24], e[24];

	rate = ms == 0 ? 0 : got * 1000 / ms;
	eta = at == 0
		  ? 0
		  : (uint64_t)((double)(p->total - at) * (double)ms / (double)at / 1000);
	if (p->json) {
		printf("{\"event\":\"progress\",\"what\":\"%s\",\"position\":%" PRIu64
		       ",\"total\":%" PRIu64 ",\"read_bytes\":%" PRIu64
		       ",\"sent_bytes\":%" PRIu64 ",\"bytes_per_s\":%" PRIu64
		       ",\"eta_s\":%" PRIu64 "}\n",
		    p->what, at, p->total, got, put, rate, eta);
		fflush(stdout);
		return;
	}
	progress_bytes(at, a);
	progress_bytes(p->total, b);
	progress_bytes(got, c);
	progress_bytes(put, d);
	progress_bytes(rate, e);
	fprintf(stderr, "%s%s: %s of %s (%u%%), %s read, %s %s, %s/s",
	    p->terminal ? "\r\033[K" : "", p->what, a, b,
	    p->total == 0 ? 100u : (unsigned)((double)at * 100 / (double)p->total), c, d,
	    strcmp(p->what, "backup") == 0 ? "sent" : "written", e);
	/* From nothing done no time can be told. */
	if (at > 0)
		fprintf(
		    stderr, ", %" PRIu64 ":%02u left", eta / 60, (unsigned)(eta % 60));
	fputs(p->terminal ? "" : "\n", stderr);
	fflush(stderr);
}

static void *
ticker(void *arg)
{
	struct progress *p = arg;
	uint32_t ms = p->json ? JSON_MS : p->terminal ? REDRAW_MS : PLAIN_MS;
	uint64_t next = wait_now_us();
	int late;

	pthread_mutex_lock(&p->lock);
	while (!p->ended) {
		next += (uint64_t)ms * 1000;
		for (late = 0; !p->ended && !late;)
			late = wait_until(&p->wake, &p->lock, next);
		if (!p->ended)
			show(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int
progress_start(enum progress_mode mode, const char *what, uint64_t total,
    struct progress **out, struct err *err)
{
	struct progress *p = calloc(1, sizeof(*p));
	int os;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	snprintf(p->what, sizeof(p->what), "%s", what);
	p->quiet = mode == PROGRESS_SILENT;
	p->json = mode == PROGRESS_JSON;
	p->terminal = mode == PROGRESS_AUTO && progress_terminal();
	p->total = total;
	p->started_us = wait_now_us();
	pthread_mutex_init(&p->lock, NULL);
	wait_init(&p->wake);
	if (!p->quiet && (os = pthread_create(&p->thread, NULL, ticker, p)) != 0) {
		p->quiet = 1;
		progress_stop(p);
		return err_os(err, os, "thread");
	}
	*out = p;
	return 0;
}

void
progress_stop(struct progress *p)
{
	if (p == NULL)
		return;
	if (!p->quiet) {
		pthread_mutex_lock(&p->lock);
		p->ended = 1;
		pthread_cond_signal(&p->wake);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
		if (p->json)
			show(p);
		if (p->terminal)
			fprintf(stderr, "\r\033[K");
	}
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void
progress_add(struct progress *p, enum progress_count which, uint64_t n)
{
	if (p != NULL)
		atomic_fetch_add(&p->counts[which], n);
}

void
progress_at(struct progress *p, uint64_t position)
{
	if (p != NULL)
		atomic_store(&p->position, position);
}
