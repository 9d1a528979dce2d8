/* Many hosts at once: nothing is stored twice, nobody waits for the dead. */
#include <pthread.h>

#include "tests/unit/storage/store_rig.h"

#define HOSTS 8u
#define BLOCKS 1100u

struct host {
	pthread_t thread;
	struct store *s;
	char name[20];
	struct rig_volume v;
	struct store_point *p;
	struct err err;
	int ret;
};

static void *
back_up(void *arg)
{
	struct host *h = arg;

	h->ret = rig_backup(h->s, h->name, &h->v, h->p, &h->err);
	return NULL;
}

static uint64_t
stored(struct store *s)
{
	struct store_stats stats;
	struct err err = ERR_INIT;

	/* Sealed packs are what is counted. */
	rig_ok(
	    store_verify(s, 0, 0, NULL, NULL, &(struct store_verify_report){ 0 }, &err),
	    &err);
	rig_ok(store_stats(s, &stats, &err), &err);
	return stats.stored_bytes;
}

/* Hosts that are alike but for a few blocks each; bytes stored. */
static uint64_t
run_hosts(int at_once)
{
	static uint32_t blocks[HOSTS][BLOCKS];
	struct host hosts[HOSTS];
	struct err err = ERR_INIT;
	struct store *s;
	uint64_t bytes;
	char dir[64];

	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &s, &err), &err);
	memset(hosts, 0, sizeof(hosts));
	for (uint32_t i = 0; i < HOSTS; i++) {
		struct host *h = &hosts[i];

		rig_fill(blocks[i], BLOCKS, 1);
		blocks[i][5 + i] = 70000000u + i;
		(void)snprintf(h->name, sizeof(h->name), "host-%u", i);
		h->s = s;
		h->v = (struct rig_volume){ blocks[i], BLOCKS };
		h->p = calloc(1, sizeof(*h->p));
		assert_non_null(h->p);
		if (at_once)
			assert_int_equal(pthread_create(&h->thread, NULL, back_up, h), 0);
		else
			(void)back_up(h);
	}
	for (uint32_t i = 0; i < HOSTS; i++) {
		if (at_once)
			pthread_join(hosts[i].thread, NULL);
		rig_ok(hosts[i].ret, &hosts[i].err);
	}
	bytes = stored(s);
	for (uint32_t i = 0; i < HOSTS; i++) {
		if (i < 2)
			rig_ok(rig_verify(s, hosts[i].p, 0, &hosts[i].v, &err), &err);
		free(hosts[i].p);
	}
	store_close(s);
	rig_remove(dir);
	return bytes;
}

static void
test_eight_like_hosts_at_once_store_what_one_after_another_would(void **state)
{
	uint64_t in_turn = run_hosts(0), at_once = run_hosts(1);

	(void)state;
	print_message("in turn %llu, at once %llu: %.4f\n", (unsigned long long)in_turn,
	    (unsigned long long)at_once, (double)at_once / (double)in_turn);
	assert_true((double)at_once <= 1.05 * (double)in_turn);
}

static void
test_a_claim_is_pending_for_others_and_handed_over_at_its_end(void **state)
{
	struct err err = ERR_INIT;
	uint8_t content[RIG_BLOCK], answer;
	struct store_lease *a, *b;
	struct rig_agent agent;
	struct store *s;
	struct chunk_id id;
	char dir[64];

	(void)state;
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &s, &err), &err);
	rig_ok(store_lease_open(s, "alpha", STORE_BACKUP, &a, &err), &err);
	rig_ok(store_lease_open(s, "beta", STORE_BACKUP, &b, &err), &err);
	rig_content(99, content);
	chunk_id_of(store_keys(s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_have(a, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_NEED);
	rig_ok(store_have(a, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_NEED);
	rig_ok(store_have(b, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_PENDING);
	store_lease_close(a);
	rig_ok(store_have(b, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_NEED);

	/* Put but not synced: whoever asks makes it count. */
	assert_int_equal(rig_agent_start(&agent, s, b), 0);
	rig_ok(group_builder_add(agent.data, &id, content, RIG_BLOCK, &err), &err);
	rig_ok(rig_flush(&agent, agent.data, &err), &err);
	rig_agent_end(&agent);
	rig_ok(store_have(b, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_HAVE);
	rig_ok(store_lease_open(s, "alpha", STORE_BACKUP, &a, &err), &err);
	rig_ok(store_have(a, CHUNK_DATA, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_HAVE);
	/* The same id as a node is another thing. */
	rig_ok(store_have(a, CHUNK_META, &id, 1, &answer, &err), &err);
	assert_int_equal(answer, STORE_NEED);
	store_lease_close(a);
	store_lease_close(b);
	store_close(s);
	rig_remove(dir);
}

/* Sessions that come and go while others commit: for TSan and the pack turnover. */
static void *
many_small(void *arg)
{
	struct host *h = arg;
	uint32_t blocks[16];
	struct rig_volume v = { blocks, 16 };

	h->ret = 0;
	for (uint32_t n = 0; n < 6 && h->ret == 0; n++) {
		struct store_verify_report report;

		rig_fill(blocks, 16, n);
		blocks[3] = (uint32_t)(h->name[5] - '0') * 1000u + n + 80000000u;
		h->ret = rig_backup(h->s, h->name, &v, h->p, &h->err);
		if (h->ret == 0)
			h->ret = rig_verify(h->s, h->p, 0, &v, &h->err);
		/* Seals the packs under everybody's feet. */
		if (h->ret == 0 && n % 2 == 1)
			h->ret = store_verify(h->s, 0, 0, NULL, NULL, &report, &h->err);
	}
	return NULL;
}

static void
test_packs_turn_over_while_all_work(void **state)
{
	struct host hosts[HOSTS];
	struct store_verify_report report;
	struct err err = ERR_INIT;
	struct store *s;
	char dir[64];

	(void)state;
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &s, &err), &err);
	memset(hosts, 0, sizeof(hosts));
	for (uint32_t i = 0; i < HOSTS; i++) {
		(void)snprintf(hosts[i].name, sizeof(hosts[i].name), "host-%u", i);
		hosts[i].s = s;
		hosts[i].p = calloc(1, sizeof(*hosts[i].p));
		assert_non_null(hosts[i].p);
		assert_int_equal(
		    pthread_create(&hosts[i].thread, NULL, many_small, &hosts[i]), 0);
	}
	for (uint32_t i = 0; i < HOSTS; i++) {
		pthread_join(hosts[i].thread, NULL);
		rig_ok(hosts[i].ret, &hosts[i].err);
		free(hosts[i].p);
	}
	rig_ok(store_verify(s, 0, 1, NULL, NULL, &report, &err), &err);
	assert_int_equal(report.bad_groups, 0);
	assert_int_equal(report.points_checked, HOSTS * 6);
	store_close(s);
	rig_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_eight_like_hosts_at_once_store_what_one_after_another_would),
		cmocka_unit_test(
		    test_a_claim_is_pending_for_others_and_handed_over_at_its_end),
		cmocka_unit_test(test_packs_turn_over_while_all_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
