#include "server/upkeep.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/err.h"
#include "proto/base/log.h"
#include "server/config.h"
#include "storage/store.h"
#include "storage/store_space.h"

#define LOOK_EVERY_MS 2000

struct upkeep {
	struct store *store;
	pthread_t watcher;
	int started;

	pthread_mutex_t lock;
	pthread_cond_t stopped;
	int stop;
};

static void
tell(void *arg, int over, const char *line)
{
	(void)arg;
	log_event(over ? LOG_INFO : LOG_WARN, "store: %s", line);
}

/* Wait; non-zero once it is time to end. */
static int
rest(struct upkeep *u, int64_t ms)
{
	struct timespec until;
	int stop, rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&u->lock);
	while (!u->stop && rc == 0)
		rc = pthread_cond_timedwait(&u->stopped, &u->lock, &until);
	stop = u->stop;
	(void)pthread_mutex_unlock(&u->lock);
	return stop;
}

static void *
watch(void *arg)
{
	struct upkeep *u = arg;

	do
		store_tick(u->store, tell, u);
	while (!rest(u, LOOK_EVERY_MS));
	return NULL;
}

int
upkeep_start(struct store *store, const struct config *config, struct upkeep **out,
    struct err *err)
{
	struct upkeep *u = calloc(1, sizeof(*u));
	pthread_condattr_t attr;
	int rc;

	(void)config;
	if (u == NULL)
		return err_set(err, ERR_NOMEM, "no memory for upkeep");
	u->store = store;
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&u->stopped, &attr);
	(void)pthread_condattr_destroy(&attr);
	rc = pthread_create(&u->watcher, NULL, watch, u);
	if (rc != 0) {
		upkeep_stop(u);
		return err_os(err, rc, "cannot start a thread");
	}
	u->started = 1;
	*out = u;
	return 0;
}

void
upkeep_stop(struct upkeep *u)
{
	if (u == NULL)
		return;
	(void)pthread_mutex_lock(&u->lock);
	u->stop = 1;
	(void)pthread_cond_broadcast(&u->stopped);
	(void)pthread_mutex_unlock(&u->lock);
	if (u->started)
		(void)pthread_join(u->watcher, NULL);
	(void)pthread_cond_destroy(&u->stopped);
	(void)pthread_mutex_destroy(&u->lock);
	free(u);
}
