/*
 * The agent's vss provider against the double of vssapi.dll, call by call: whichever
 * fails, no set of shadow copies, no object and no loan is left, the documented order was
 * kept, and the failure has a line that says what it was.
 *
 *	vss_sweep COPY-OF-S COPY-OF-T SCRATCH
 */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot.h"
#include "agent/host/stop.h"
#include "agent/vss/com_thread.h"
#include "proto/base/err.h"
#include "tests/windows/vssapi_double.h"

#define READ_LEN 65536u

static vssd_ledger_fn ledger_of;
static vssd_reset_fn reset;
static unsigned failures;

static void
check(int holds, const char *what, const char *name, const struct err *err)
{
	struct vssd_ledger l;

	if (holds)
		return;
	ledger_of(&l);
	failures++;
	printf("FAILED %s: %s; call %u %s; '%s'; broken %d %s\n", name, what, l.calls,
	    l.last, err->text, l.broken, l.rule);
}

static void
set(const char *name, const char *value)
{
	char text[600];

	/* Known to both: the C library's copy and the system's. */
	(void)snprintf(text, sizeof(text), "%s=%s", name, value);
	(void)_putenv(text);
}

/* What one backup is to do between freezing and its end. */
struct run {
	struct stop *stop;
	const char *cut; /* A file to cut short after the first read. */
	char method[SNAPSHOT_METHOD_MAX];
};

static int
cut(const char *path)
{
	HANDLE f = CreateFileA(path, GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
	    0, NULL);
	int rc = f != INVALID_HANDLE_VALUE &&
		 SetFilePointer(f, 4096, NULL, FILE_BEGIN) == 4096 && SetEndOfFile(f);

	if (f != INVALID_HANDLE_VALUE)
		(void)CloseHandle(f);
	return rc ? 0 : -1;
}

static int
read_both(struct snapshot_volume *v[2], struct run *r, struct err *err)
{
	static uint8_t buf[READ_LEN];
	uint64_t half = snapshot_info(v[0])->size / 2;

	for (int i = 0; i < 2; i++)
		if (snapshot_read(v[i], 0, buf, sizeof(buf), err) != 0)
			return -1;
	if (r->cut != NULL && cut(r->cut) != 0)
		return err_set(err, ERR_IO, "cannot cut %s", r->cut);
	return snapshot_read(v[0], half, buf, sizeof(buf), err);
}

/* One backup; -1 if it was none.  All that it began is over. */
static int
whole(struct run *r, struct err *err)
{
	const struct snapshot_options options = { .stop = r->stop };
	struct snapshot_volume *v[2];
	struct snapshot *s = NULL;
	int rc;

	r->method[0] = '\0';
	if (snapshot_open(snapshot_provider_find("vss"), &options, &s, err) != 0)
		return -1;
	rc = snapshot_add(s, "S:", &v[0], err) != 0 ||
	     snapshot_add(s, "T:\\", &v[1], err) != 0 ||
	     snapshot_freeze(s, 60000, err) != 0 || read_both(v, r, err) != 0 ||
	     snapshot_confirm(s, err) != 0 || snapshot_finish(s, 1, err) != 0;
	(void)snprintf(r->method, sizeof(r->method), "%s", snapshot_method(s));
	snapshot_close(s);
	return rc ? -1 : 0;
}

static void
expect_nothing_left(const char *name, const struct err *err)
{
	struct vssd_ledger l;

	ledger_of(&l);
	check(l.sets == 0, "a set is left", name, err);
	check(l.objects == 0, "an object is left", name, err);
	check(l.loans == 0, "a loan is left", name, err);
	check(l.broken == 0, "a rule is broken", name, err);
}

static int
plain(const char *name, struct run *r, struct err *err)
{
	int rc;

	reset();
	rc = whole(r, err);
	expect_nothing_left(name, err);
	return rc;
}

/* Every call fails once; those that begin an async, by that as well. */
static unsigned
sweep(unsigned calls, const char *code, const char *words, int may_pass)
{
	unsigned passed = 0;

	for (unsigned n = 1; n <= calls; n++) {
		struct vssd_ledger l = { .begins = 0 };

		for (int async = 0; async == 0 || (async == 1 && l.begins); async++) {
			struct err err = ERR_INIT;
			struct run r = { .stop = NULL };
			char plan[64], name[96];
			int rc;

			(void)snprintf(plan, sizeof(plan), "%u:%s%s", n, code,
			    async ? ":async" : "");
			(void)snprintf(name, sizeof(name), "fail %s", plan);
			set("VSSD_FAIL", plan);
			rc = plain(name, &r, &err);
			ledger_of(&l);
			/* Release cannot fail: it only counts. */
			if (rc == 0 && may_pass && strcmp(l.last, "Release") == 0)
				passed++;
			else if (rc == 0)
				check(n == calls, "it passed", name, &err);
			else
				check(strstr(err.text, "VSS") != NULL &&
					  strstr(err.text, words) != NULL &&
					  strchr(err.text, '\n') == NULL,
				    "it does not say what failed", name, &err);
		}
	}
	set("VSSD_FAIL", "");
	return passed;
}

static void
veto(const char *phase, const char *code, const char *words)
{
	struct err err = ERR_INIT;
	struct run r = { .stop = NULL };
	char plan[96];

	(void)snprintf(plan, sizeof(plan), "%s:%s", phase, code);
	set("VSSD_VETO", plan);
	check(plain(plan, &r, &err) == -1, "a veto passed", plan, &err);
	check(strstr(err.text, "SqlServerWriter") != NULL &&
		  strstr(err.text, phase) != NULL && strstr(err.text, words) != NULL &&
		  strstr(err.text, "failed") != NULL,
	    "the writer is not named", plan, &err);
	set("VSSD_VETO", "");
}

static DWORD WINAPI
stop_soon(void *stop)
{
	Sleep(300);
	stop_request(stop);
	return 0;
}

static void
others(const char *scratch)
{
	struct err err = ERR_INIT;
	struct run r = { .stop = stop_new() };
	HANDLE t;

	set("VSSD_PENDING", "-1");
	t = CreateThread(NULL, 0, stop_soon, r.stop, 0, NULL);
	check(plain("stop", &r, &err) == -1 && err.code == ERR_CANCELED,
	    "it was not interrupted", "stop", &err);
	(void)WaitForSingleObject(t, INFINITE);
	(void)CloseHandle(t);
	stop_free(r.stop);
	set("VSSD_PENDING", "");

	r.stop = NULL;
	err_clear(&err);
	set("VSSD_PENDING", "1");
	check(plain("delay", &r, &err) == 0, "asyncs that take a while", "delay", &err);
	set("VSSD_PENDING", "");

	err_clear(&err);
	set("VSSD_LOST", "1");
	check(plain("lost", &r, &err) == -1 && err.code == ERR_SNAPSHOT_LOST,
	    "a lost copy is not noticed", "lost", &err);
	set("VSSD_LOST", "");

	err_clear(&err);
	set("VSSD_COPY_S", scratch);
	r.cut = scratch;
	check(plain("vanish", &r, &err) == -1 && err.code == ERR_SNAPSHOT_LOST,
	    "a copy that vanishes is not noticed", "vanish", &err);
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct run r = { .stop = NULL };
	struct vssd_ledger l;
	HMODULE dll = LoadLibraryExW(L"vssapi.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
	unsigned passed;

	if (argc != 4 || dll == NULL)
		return 2;
	ledger_of =
	    (vssd_ledger_fn)(void (*)(void))GetProcAddress(dll, "VssDoubleLedger");
	reset = (vssd_reset_fn)(void (*)(void))GetProcAddress(dll, "VssDoubleReset");
	if (ledger_of == NULL || reset == NULL) {
		printf("vssapi.dll is not the double\n");
		return 2;
	}
	set("HOLDFAST_VSS_WAIT_MS", "0");
	set("VSSD_COPY_S", argv[1]);
	set("VSSD_COPY_T", argv[2]);
	check(plain("plain", &r, &err) == 0, "a plain backup", "plain", &err);
	ledger_of(&l);
	check(l.completed && !l.aborted, "it was not completed", "plain", &err);
	check(
	    strcmp(r.method, "vss: full, 1 of 2 writers") == 0, r.method, "plain", &err);
	printf("plain: %u calls, %s\n", l.calls, r.method);
	passed = sweep(l.calls, "0x80042314", "VSS_E_HOLD_WRITES_TIMEOUT", 1);
	check(passed > l.calls / 2 - 5, "what may pass did not", "sweep", &err);
	(void)sweep(l.calls, "0x80042308", "VSS_E_OBJECT_NOT_FOUND", 0);
	(void)sweep(l.calls, "0x80012345", "0x80012345", 0);
	printf("sweep: 3 codes, %u calls and their asyncs; %u passed at a second try\n",
	    l.calls, passed);
	veto("PrepareForBackup", "0x800423F4", "VSS_E_WRITERERROR_NONRETRYABLE");
	veto("DoSnapshotSet", "0x800423F3", "VSS_E_WRITERERROR_RETRYABLE");
	veto("BackupComplete", "0x800423F2", "VSS_E_WRITERERROR_TIMEOUT");
	others(argv[3]);
	printf("%u failures\n", failures);
	return failures != 0;
}
