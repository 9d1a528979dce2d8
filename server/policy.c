#include "server/policy.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/config.h"

struct policy {
	pthread_mutex_t lock;
	struct policy_values now;
};

struct policy *
policy_new(const struct config *config)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	(void)pthread_mutex_init(&p->lock, NULL);
	policy_set(p, config);
	return p;
}

void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

void
policy_set(struct policy *p, const struct config *config)
{
	(void)pthread_mutex_lock(&p->lock);
	p->now.window = config->window;
	p->now.silence_s = config->silence_s;
	p->now.certificate_s = config->certificate_s;
	p->now.agents_may_restore = config->agents_may_restore;
	(void)pthread_mutex_unlock(&p->lock);
}

struct policy_values
policy_get(struct policy *p)
{
	struct policy_values v;

	(void)pthread_mutex_lock(&p->lock);
	v = p->now;
	(void)pthread_mutex_unlock(&p->lock);
	return v;
}
