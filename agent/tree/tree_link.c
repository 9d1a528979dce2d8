#include "agent/tree/tree_link.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/session/dial.h"
#include "agent/tree/tree_reader.h"
#include "proto/base/err.h"
#include "proto/base/wait.h"
#include "proto/net/channel.h"

#define WAIT_MOST_MS 5000u /* Between two attempts: somebody waits for a read. */

struct slot {
	struct dial dial;
	int busy, open;
	int64_t used_ms;
};

struct tree_link {
	struct tree_link_config config;
	struct chunk_keys keys;
	char host[CERT_NAME_MAX];
	pthread_t waker;

	pthread_mutex_t dialing; /* One call of config.dial; before `lock`. */
	pthread_mutex_t lock;	 /* Guards all below. */
	pthread_cond_t changed;
	struct slot slots[TREE_READER_SESSIONS_MAX];
	uint64_t sessions, sequence;
	int canceled, held;
};

static int64_t
now_ms(void)
{
	return (int64_t)(wait_now_us() / 1000);
}

/* Wait with the lock held, for `ms` at most. */
static void
pause_ms(struct tree_link *l, int64_t ms)
{
	(void)wait_until(&l->changed, &l->lock, wait_now_us() + (uint64_t)ms * 1000);
}

static int
canceled(struct err *err)
{
	err_clear(err);
	return err_set(err, ERR_CANCELED, "interrupted");
}

/* --------------------------------------------------------------- sessions -- */

/* A slot that is free, an open one if there is; with `ahead` not the last one. */
static struct slot *
free_slot(struct tree_link *l, int ahead)
{
	struct slot *found = NULL;
	unsigned busy = 0;

	for (unsigned i = 0; i < l->config.sessions; i++) {
		struct slot *s = &l->slots[i];

		busy += s->busy != 0;
		if (!s->busy && (found == NULL || (s->open && !found->open)))
			found = s;
	}
	if (ahead && l->config.sessions > 1 && busy + 1 >= l->config.sessions)
		return NULL;
	return found;
}

/* Take a slot for us; NULL if it was canceled. */
static struct slot *
acquire(struct tree_link *l, int ahead)
{
	struct slot *s = NULL;

	pthread_mutex_lock(&l->lock);
	while (!l->canceled && (s = free_slot(l, ahead)) == NULL)
		pthread_cond_wait(&l->changed, &l->lock);
	if (l->canceled)
		s = NULL;
	if (s != NULL)
		s->busy = 1;
	pthread_mutex_unlock(&l->lock);
	return s;
}

/* Give it back; what is not worth keeping is hung up. */
static void
release(struct tree_link *l, struct slot *s, int keep)
{
	struct dial gone = { .ch = NULL };

	pthread_mutex_lock(&l->lock);
	if (s->open && !keep) {
		gone = s->dial;
		memset(&s->dial, 0, sizeof(s->dial));
		s->open = 0;
	}
	s->busy = 0;
	s->used_ms = now_ms();
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (gone.ch != NULL) {
		channel_cancel(gone.ch);
		dial_close(&gone);
	}
}

/* Have a session in a slot that is ours. */
static int
open_slot(struct tree_link *l, struct slot *s, struct err *err)
{
	struct dial d = { .ch = NULL };
	int rc;

	if (s->open)
		return 0;
	pthread_mutex_lock(&l->dialing);
	rc = l->config.dial(l->config.arg, &d, err);
	pthread_mutex_unlock(&l->dialing);
	if (rc != 0)
		return -1;
	pthread_mutex_lock(&l->lock);
	if (l->sessions == 0)
		l->keys = d.keys;
	s->dial = d;
	s->open = 1;
	l->sessions++;
	if (l->canceled)
		channel_cancel(d.ch);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* --------------------------------------------------------------- requests -- */

/* `again`: the session is gone or worth nothing, and another may do. */
static int
exchange(struct slot *s, const ProtobufCMessage *m, tree_link_each each, void *arg,
    int *again, struct err *err)
{
	struct channel_frame f = { .payload = NULL };
	uint64_t request;
	int rc;

	*again = 1;
	if (each(arg, NULL, err) < 0) {
		*again = 0;
		return -1;
	}
	if (channel_send(s->dial.ch, m, &request, err) != 0)
		return -1;
	do {
		if (channel_wait(s->dial.ch, request, 0, &f, err) != 0) {
			/* A refusal stands; that the server is going away does not. */
			*again = f.kind != MSG_FAILED || err->code == ERR_BUSY ||
				 err->code == ERR_TIMEOUT;
			return -1;
		}
		rc = each(arg, &f, err);
		free(f.payload);
	} while (rc > 0);
	*again = 0;
	return rc;
}

/* One attempt; as exchange(). */
static int
attempt(struct tree_link *l, int ahead, const ProtobufCMessage *m, tree_link_each each,
    void *arg, int *again, struct err *err)
{
	struct slot *s = acquire(l, ahead);
	int rc;

	*again = 0;
	if (s == NULL)
		return canceled(err);
	if (open_slot(l, s, err) != 0) {
		*again = dial_may_retry(err);
		rc = -1;
	} else {
		rc = exchange(s, m, each, arg, again, err);
	}
	release(l, s, rc == 0);
	return rc;
}

int
tree_link_ask(struct tree_link *l, int ahead, const ProtobufCMessage *m,
    tree_link_each each, void *arg, struct err *err)
{
	int64_t until = 0, left;
	uint32_t pause;
	int again, stop;

	for (unsigned n = 0; attempt(l, ahead, m, each, arg, &again, err) != 0; n++) {
		pthread_mutex_lock(&l->lock);
		if (until == 0)
			until = now_ms() + l->config.retry_for_ms;
		left = until - now_ms();
		/* At once at first: the sessions may just have been old. */
		pause =
		    n < l->config.sessions ? 0 : dial_backoff_ms(n - l->config.sessions);
		if (pause > WAIT_MOST_MS)
			pause = WAIT_MOST_MS;
		for (int64_t end = now_ms() + pause;
		     again && left > 0 && !l->canceled && now_ms() < end;)
			pause_ms(l, end - now_ms());
		stop = l->canceled;
		pthread_mutex_unlock(&l->lock);
		if (stop)
			return canceled(err);
		if (!again || left <= 0)
			return -1;
		err_clear(err);
	}
	return 0;
}

/* ------------------------------------------------------------ keeping awake -- */

static int
any_frame(void *arg, const struct channel_frame *f, struct err *err)
{
	(void)arg, (void)err;
	return f == NULL;
}

/* Ask for a root on a session of ours; one that does not answer is hung up. */
static void
wake(struct tree_link *l, struct slot *s)
{
	Wire__GetNodes m = WIRE__GET_NODES__INIT;
	struct err err = ERR_INIT;
	int again, rc = open_slot(l, s, &err);

	m.host = l->host;
	m.sequence = l->sequence;
	m.level = MSG_NODE_LEVEL_ROOT;
	m.count = 1;
	if (rc == 0)
		rc = exchange(s, &m.base, any_frame, NULL, &again, &err);
	release(l, s, rc == 0);
}

/* A session that has been quiet for too long, or if none is open any; or NULL. */
static struct slot *
sleepy(struct tree_link *l)
{
	int64_t before = now_ms() - l->config.awake_ms;
	unsigned alive = 0;

	for (unsigned i = 0; i < l->config.sessions; i++) {
		struct slot *s = &l->slots[i];

		alive += s->open || s->busy;
		if (s->open && !s->busy && s->used_ms <= before)
			return s;
	}
	return alive == 0 && l->slots[0].used_ms <= before ? &l->slots[0] : NULL;
}

static void *
waker(void *arg)
{
	struct tree_link *l = arg;
	struct slot *s;

	pthread_mutex_lock(&l->lock);
	while (!l->canceled) {
		s = l->held ? sleepy(l) : NULL;
		if (s == NULL) {
			pause_ms(l, l->config.awake_ms / 4 + 1);
			continue;
		}
		s->busy = 1;
		pthread_mutex_unlock(&l->lock);
		wake(l, s);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

void
tree_link_hold(struct tree_link *l, const char *host, uint64_t sequence)
{
	pthread_mutex_lock(&l->lock);
	strncpy(l->host, host, sizeof(l->host) - 1);
	l->sequence = sequence;
	l->held = 1;
	pthread_mutex_unlock(&l->lock);
}

/* ---------------------------------------------------------------- the whole -- */

static void
forget(struct tree_link *l)
{
	for (unsigned i = 0; i < l->config.sessions; i++)
		if (l->slots[i].open)
			dial_close(&l->slots[i].dial);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->dialing);
	free(l);
}

int
tree_link_open(
    const struct tree_link_config *config, struct tree_link **out, struct err *err)
{
	struct tree_link *l = calloc(1, sizeof(*l));
	int os;

	if (l == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	l->config = *config;
	if (l->config.sessions > TREE_READER_SESSIONS_MAX)
		l->config.sessions = TREE_READER_SESSIONS_MAX;
	pthread_mutex_init(&l->dialing, NULL);
	pthread_mutex_init(&l->lock, NULL);
	wait_init(&l->changed);
	if (open_slot(l, &l->slots[0], err) != 0) {
		forget(l);
		return -1;
	}
	l->slots[0].used_ms = now_ms();
	if ((os = pthread_create(&l->waker, NULL, waker, l)) != 0) {
		err_os(err, os, "thread");
		forget(l);
		return -1;
	}
	*out = l;
	return 0;
}

void
tree_link_cancel(struct tree_link *l)
{
	pthread_mutex_lock(&l->lock);
	l->canceled = 1;
	for (unsigned i = 0; i < l->config.sessions; i++)
		if (l->slots[i].open && l->slots[i].busy)
			channel_cancel(l->slots[i].dial.ch);
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void
tree_link_close(struct tree_link *l)
{
	if (l == NULL)
		return;
	tree_link_cancel(l);
	pthread_join(l->waker, NULL);
	forget(l);
}

const struct chunk_keys *
tree_link_keys(const struct tree_link *l)
{
	return &l->keys;
}

uint64_t
tree_link_sessions(struct tree_link *l)
{
	uint64_t n;

	pthread_mutex_lock(&l->lock);
	n = l->sessions;
	pthread_mutex_unlock(&l->lock);
	return n;
}
