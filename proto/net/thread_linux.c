#include "proto/net/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "proto/base/err.h"

struct start {
	void (*fn)(void *arg);
	void *arg;
	char name[16];
};

static void *
run(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	(void)prctl(PR_SET_NAME, s.name, 0, 0, 0);
	s.fn(s.arg);
	return NULL;
}

int
thread_start(
    const char *name, void (*fn)(void *arg), void *arg, pthread_t *out, struct err *err)
{
	struct start *s;
	sigset_t all, old;
	int r;

	if ((s = malloc(sizeof(*s))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for thread %s", name);
	s->fn = fn;
	s->arg = arg;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);

	/* A new thread inherits the mask: it never runs without it. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(out, NULL, run, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		free(s);
		return err_os(err, r, "start thread %s", name);
	}
	return 0;
}
