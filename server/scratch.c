#include "server/scratch.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"

struct scratch_pool {
	pthread_mutex_t lock;
	struct scratch *free; /* The one used last is first: its memory is warm. */
};

struct scratch_pool *
scratch_pool_new(void)
{
	struct scratch_pool *p = calloc(1, sizeof(*p));

	if (p != NULL)
		(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void
drop(struct scratch *s)
{
	if (s == NULL)
		return;
	codec_free(s->codec);
	free(s->plain);
	free(s);
}

void
scratch_pool_free(struct scratch_pool *p)
{
	if (p == NULL)
		return;
	while (p->free != NULL) {
		struct scratch *s = p->free;

		p->free = s->next;
		drop(s);
	}
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

struct scratch *
scratch_take(struct scratch_pool *p)
{
	struct scratch *s;

	(void)pthread_mutex_lock(&p->lock);
	s = p->free;
	if (s != NULL)
		p->free = s->next;
	(void)pthread_mutex_unlock(&p->lock);
	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->codec = codec_new();
	s->plain = malloc(GROUP_PLAIN_MAX);
	if (s->codec == NULL || s->plain == NULL) {
		drop(s);
		return NULL;
	}
	return s;
}

void
scratch_give(struct scratch_pool *p, struct scratch *s)
{
	(void)pthread_mutex_lock(&p->lock);
	s->next = p->free;
	p->free = s;
	(void)pthread_mutex_unlock(&p->lock);
}
