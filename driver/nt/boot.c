#include "driver/nt/boot.h"
#include "driver/abi/names.h"
#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/nt/eventlog.h"
#include "driver/nt/registry.h"

#define SECOND 10000000u /* of 100 ns */

static struct {
	uint32_t mode;	  /* enum boot_mode */
	uint32_t counted; /* atomic: the count is raised and not yet taken back */
	struct env_event over;
	struct env_thread thread;
	bool threaded;
} boot;

/*
 * The kernel exports a number of this name since NT 5.0; Wine, something.  Only what the
 * documentation knows as a safe mode is one.
 */
static bool
is_safe_mode(void)
{
	UNICODE_STRING name;
	const ULONG *mode;

	RtlInitUnicodeString(&name, L"InitSafeBootMode");
	mode = MmGetSystemRoutineAddress(&name);
	return mode != NULL && *mode >= 1 && *mode <= 3;
}

static bool
starts_with_the_machine(void)
{
	HANDLE key = registry_open(NULL, false);
	uint32_t start;
	bool is = registry_number(key, L"Start", &start) && start == SERVICE_BOOT_START;

	registry_close(key);
	return is;
}

static enum boot_mode
judge(HANDLE key)
{
	uint32_t value;

	if (is_safe_mode())
		return BOOT_SAFE_MODE;
	if (registry_number(key, HOTCOPY_VALUE_DISABLED, &value) && value != 0)
		return BOOT_SWITCHED_OFF;
	if (registry_number(key, HOTCOPY_VALUE_FAILED_STARTS, &value) &&
	    value >= HOTCOPY_FAILED_STARTS_MAX)
		return BOOT_FAILED_STARTS;
	return BOOT_WORKS;
}

/*
 * Who only passes on sees no write, so what a store says of this time would be wrong:
 * none may be opened at a later start.
 */
static void
forget_stores(void)
{
	HANDLE key =
	    registry_open(HOTCOPY_KEY_PARAMETERS L"\\" HOTCOPY_KEY_VOLUMES, false);

	if (key == NULL)
		return;
	registry_forget_key(key);
	registry_close(key);
}

/*
 * So early the registry is in memory only; Windows writes it back once the session
 * manager has opened its files, and nobody tells us when.  So it is asked for again and
 * again, at growing distances: from then on a crash is counted.
 */
static void
watch(void *arg)
{
	HANDLE key = registry_open(HOTCOPY_KEY_PARAMETERS, false);
	uint64_t wait;

	(void)arg;
	for (wait = 1; wait <= (BOOT_ENOUGH_S + 1) / 2; wait *= 2) {
		if (env_event_wait(&boot.over, wait * SECOND))
			break;
		registry_flush(key);
	}
	boot_up();
	registry_flush(key);
	registry_close(key);
}

static void
count(HANDLE key)
{
	uint32_t failed = 0;

	registry_number(key, HOTCOPY_VALUE_FAILED_STARTS, &failed);
	if (!registry_put_number(key, HOTCOPY_VALUE_FAILED_STARTS, failed + 1))
		return;
	atomic_put(&boot.counted, 1);
	boot.threaded = env_thread_start(&boot.thread, watch, NULL) == 0;
	/* Nobody would take it back: two short starts would switch us off. */
	if (!boot.threaded)
		boot_up();
}

void
boot_begin(void)
{
	HANDLE key = registry_open(HOTCOPY_KEY_PARAMETERS, true);
	enum boot_mode mode = judge(key);

	env_event_init(&boot.over, ENV_STAYS);
	atomic_put(&boot.mode, mode);
	if (mode != BOOT_WORKS) {
		forget_stores();
		eventlog_passing(mode);
	} else if (key != NULL && starts_with_the_machine())
		count(key);
	registry_close(key);
}

void
boot_end(void)
{
	env_event_set(&boot.over);
	if (boot.threaded)
		env_thread_join(&boot.thread);
	boot.threaded = false;
	env_event_done(&boot.over);
}

enum boot_mode
boot_mode(void)
{
	return (enum boot_mode)atomic_get(&boot.mode);
}

void
boot_up(void)
{
	HANDLE key;

	if (atomic_swap(&boot.counted, 0) == 0)
		return;
	key = registry_open(HOTCOPY_KEY_PARAMETERS, false);
	registry_put_number(key, HOTCOPY_VALUE_FAILED_STARTS, 0);
	registry_close(key);
	env_event_set(&boot.over);
}
