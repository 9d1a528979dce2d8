/* shim_fail.c - allocations that fail when a test wants them to. */
#include "tests/driver/shim/shim.h"

#include <execinfo.h>
#include <stdio.h>

/* More than the driver has; every one is a run of the test. */
#define SITES_MAX 1024
/* Return addresses that make a site, and those above it that are the shim's own:
   shim_fail_now and the routine that asked. */
#define SITE_DEPTH 6
#define OWN_DEPTH 2

enum mode { OFF, RANDOM, RECORD, ONE, ALL };
struct site {
	uintptr_t key;
	void *stack[SITE_DEPTH];
	int depth;
};
static unsigned mode;
static unsigned per_mille, dice;
static unsigned happened;
static unsigned wanted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct site sites[SITES_MAX];
static unsigned number;
static _Thread_local int immune;

static void
set(enum mode to)
{
	__atomic_store_n(&happened, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&mode, to, __ATOMIC_RELAXED);
}

void
shim_fail_random(unsigned of_1000, unsigned seed)
{
	pthread_mutex_lock(&lock);
	per_mille = of_1000;
	dice = seed;
	pthread_mutex_unlock(&lock);
	set(RANDOM);
}

void
shim_fail_record(void)
{
	pthread_mutex_lock(&lock);
	number = 0;
	pthread_mutex_unlock(&lock);
	set(RECORD);
}

unsigned
shim_fail_sites(void)
{
	return number;
}

void
shim_fail_site(unsigned i)
{
	wanted = i;
	set(ONE);
}

void
shim_fail_all(bool on)
{
	set(on ? ALL : OFF);
}

void
shim_fail_off(void)
{
	__atomic_store_n(&mode, OFF, __ATOMIC_RELAXED);
}

bool
shim_fail_happened(void)
{
	return __atomic_load_n(&happened, __ATOMIC_RELAXED) != 0;
}

void
shim_fail_tell(unsigned i)
{
	if (i < number) {
		fflush(stderr);
		backtrace_symbols_fd(sites[i].stack, sites[i].depth, 2);
	}
}

void
shim_immune(int by)
{
	immune += by;
}

static uintptr_t
here(struct site *s)
{
	void *stack[SITE_DEPTH + OWN_DEPTH + 1];
	int depth = backtrace(stack, SITE_DEPTH + OWN_DEPTH + 1);

	s->depth = 0;
	s->key = 0;
	for (int i = OWN_DEPTH + 1; i < depth; i++) {
		s->stack[s->depth++] = stack[i];
		s->key = s->key * 1000003 + (uintptr_t)stack[i];
	}
	return s->key;
}

static bool
fail_record(void)
{
	struct site s;
	unsigned i;

	here(&s);
	pthread_mutex_lock(&lock);
	for (i = 0; i < number && sites[i].key != s.key; i++)
		;
	if (i == number && number < SITES_MAX)
		sites[number++] = s;
	pthread_mutex_unlock(&lock);
	return false;
}

static bool
fail_one(void)
{
	struct site s;

	return wanted < number && here(&s) == sites[wanted].key &&
	       __atomic_exchange_n(&happened, 1, __ATOMIC_RELAXED) == 0;
}

static bool
fail_random(void)
{
	bool fail;

	pthread_mutex_lock(&lock);
	dice = dice * 1664525 + 1013904223;
	fail = (dice >> 16) % 1000 < per_mille;
	pthread_mutex_unlock(&lock);
	if (fail)
		__atomic_store_n(&happened, 1, __ATOMIC_RELAXED);
	return fail;
}

__attribute__((noinline)) bool
shim_fail_now(void)
{
	unsigned m = __atomic_load_n(&mode, __ATOMIC_RELAXED);

	if (m == OFF || immune > 0)
		return false;
	if (m == RANDOM)
		return fail_random();
	if (m == RECORD)
		return fail_record();
	if (m == ONE)
		return fail_one();
	__atomic_store_n(&happened, 1, __ATOMIC_RELAXED);
	return true;
}
