#include "agent/host/stop.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/base/wait.h"

struct stop {
	pthread_mutex_t lock; /* Guards all below; held while `wake` runs. */
	pthread_cond_t asked_now;
	int asked;
	void (*wake)(void *arg);
	void *arg;
};

struct stop *
stop_new(void)
{
	struct stop *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	wait_init(&s->asked_now);
	return s;
}

void
stop_free(struct stop *s)
{
	if (s == NULL)
		return;
	pthread_cond_destroy(&s->asked_now);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void
stop_request(struct stop *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->asked) {
		s->asked = 1;
		pthread_cond_broadcast(&s->asked_now);
		if (s->wake != NULL)
			s->wake(s->arg);
	}
	pthread_mutex_unlock(&s->lock);
}

int
stop_asked(struct stop *s)
{
	int asked;

	if (s == NULL)
		return 0;
	pthread_mutex_lock(&s->lock);
	asked = s->asked;
	pthread_mutex_unlock(&s->lock);
	return asked;
}

int
stop_wait_ms(struct stop *s, uint32_t ms)
{
	const uint64_t end = wait_now_us() + (uint64_t)ms * 1000;
	int asked, late = 0;

	if (s == NULL) {
		wait_ms(ms);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	while (!s->asked && !late)
		late = wait_until(&s->asked_now, &s->lock, end);
	asked = s->asked;
	pthread_mutex_unlock(&s->lock);
	return asked;
}

void
stop_attach(struct stop *s, void (*wake)(void *arg), void *arg)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->wake = wake;
	s->arg = arg;
	if (wake != NULL && s->asked)
		wake(arg);
	pthread_mutex_unlock(&s->lock);
}
