#include "agent/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"

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
	pthread_condattr_t attr;

	if (s == NULL)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->asked_now, &attr);
	pthread_condattr_destroy(&attr);
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
	struct timespec end;
	int asked, rc = 0;

	if (s == NULL) {
		end.tv_sec = ms / 1000;
		end.tv_nsec = (long)(ms % 1000) * 1000000;
		nanosleep(&end, NULL);
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += (long)(ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	pthread_mutex_lock(&s->lock);
	while (!s->asked && rc == 0)
		rc = pthread_cond_timedwait(&s->asked_now, &s->lock, &end);
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

static void *
signals(void *arg)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigwait(&set, &sig) == 0) {
		stop_request(arg);
		if (sigwait(&set, &sig) == 0)
			_exit(130);
	}
	return NULL;
}

int
stop_on_signals(struct stop *s, struct err *err)
{
	pthread_t thread;
	sigset_t set;
	int os;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((os = pthread_create(&thread, NULL, signals, s)) != 0)
		return err_os(err, os, "thread");
	pthread_detach(thread);
	return 0;
}
