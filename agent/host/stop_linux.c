#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"

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
