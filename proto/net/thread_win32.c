#include <windows.h>

#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/base/winapi.h"
#include "proto/net/thread.h"

#define NAME_MAX_LEN 16

struct start {
	void (*fn)(void *arg);
	void *arg;
	char name[NAME_MAX_LEN];
};

/* For debuggers; only Windows 10 and Server 2016, and later, know how. */
static void
call_it(const char *name)
{
	typedef HRESULT(WINAPI * describe)(HANDLE, PCWSTR);
	HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
	FARPROC found =
	    kernel != NULL ? GetProcAddress(kernel, "SetThreadDescription") : NULL;
	wchar_t *wide = found != NULL ? winapi_wide(name) : NULL;

	if (wide != NULL)
		(void)((describe)(void (*)(void))found)(GetCurrentThread(), wide);
	free(wide);
}

static void *
run(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	call_it(s.name);
	s.fn(s.arg);
	return NULL;
}

int
thread_start(
    const char *name, void (*fn)(void *arg), void *arg, pthread_t *out, struct err *err)
{
	struct start *s;
	int r;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for thread %s", name);
	s->fn = fn;
	s->arg = arg;
	for (size_t i = 0; i < NAME_MAX_LEN - 1 && name[i] != '\0'; i++)
		s->name[i] = name[i];
	if ((r = pthread_create(out, NULL, run, s)) != 0) {
		free(s);
		return err_os(err, r, "start thread %s", name);
	}
	return 0;
}
