#define COBJMACROS
#include "agent/vss/com_thread.h"

#include <windows.h>

#include <initguid.h>
#include <objbase.h>
#include <process.h>
#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/base/winapi.h"

struct com_thread {
	HANDLE thread;
	HANDLE go, done;      /* Events that reset themselves. */
	int (*fn)(void *arg); /* NULL: end. */
	void *arg;
	int rc;
	HRESULT began; /* CoInitializeEx(), CoInitializeSecurity() */
};

/*
 * "Set the COM COMGLB_EXCEPTION_DONOT_HANDLE global options flag" (same page as below): a
 * fault inside of COM ends the agent, and VSS lets go, instead of leaving it undefined.
 * No backup fails because an old COM knows no such option.
 */
static void
no_masking(void)
{
	IGlobalOptions *options = NULL;

	if (FAILED(CoCreateInstance(&CLSID_GlobalOptions, NULL, CLSCTX_INPROC_SERVER,
		&IID_IGlobalOptions, (void **)&options)))
		return;
	(void)IGlobalOptions_Set(
	    options, COMGLB_EXCEPTION_HANDLING, COMGLB_EXCEPTION_DONOT_HANDLE);
	(void)IGlobalOptions_Release(options);
}

/*
 * "Security Considerations for Requesters" (win32/vss/security-considerations-for-
 * requestors), its example without remote file shares.  Who set it before us (RPC_E_
 * TOO_LATE) is left alone.
 */
static HRESULT
secure(void)
{
	HRESULT hr =
	    CoInitializeSecurity(NULL, -1, NULL, NULL, RPC_C_AUTHN_LEVEL_PKT_PRIVACY,
		RPC_C_IMP_LEVEL_IDENTIFY, NULL, EOAC_NONE, NULL);

	return hr == RPC_E_TOO_LATE ? S_OK : hr;
}

static unsigned __stdcall serve(void *arg)
{
	struct com_thread *t = arg;
	int (*fn)(void *arg);
	HRESULT hr = CoInitializeEx(NULL, COINIT_MULTITHREADED);

	t->began = FAILED(hr) ? hr : secure();
	if (SUCCEEDED(t->began))
		no_masking();
	do {
		(void)SetEvent(t->done);
		(void)WaitForSingleObject(t->go, INFINITE);
		fn = t->fn;
		if (fn != NULL)
			t->rc = fn(t->arg);
	} while (fn != NULL);
	if (SUCCEEDED(hr))
		CoUninitialize();
	return 0;
}

int
com_thread_new(struct com_thread **out, struct err *err)
{
	struct com_thread *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a thread");
	t->go = CreateEventW(NULL, FALSE, FALSE, NULL);
	t->done = CreateEventW(NULL, FALSE, FALSE, NULL);
	if (t->go != NULL && t->done != NULL)
		t->thread = (HANDLE)_beginthreadex(NULL, 0, serve, t, 0, NULL);
	if (t->thread == NULL) {
		(void)winapi_err(err, GetLastError(), "a thread for COM");
		com_thread_free(t);
		return -1;
	}
	(void)WaitForSingleObject(t->done, INFINITE);
	if (FAILED(t->began)) {
		(void)winapi_err(err, (unsigned long)t->began, "COM");
		com_thread_free(t);
		return -1;
	}
	*out = t;
	return 0;
}

int
com_thread_call(struct com_thread *t, int (*fn)(void *arg), void *arg)
{
	t->fn = fn;
	t->arg = arg;
	(void)SetEvent(t->go);
	(void)WaitForSingleObject(t->done, INFINITE);
	return t->rc;
}

void
com_thread_free(struct com_thread *t)
{
	if (t == NULL)
		return;
	if (t->thread != NULL) {
		t->fn = NULL;
		(void)SetEvent(t->go);
		(void)WaitForSingleObject(t->thread, INFINITE);
		(void)CloseHandle(t->thread);
	}
	if (t->go != NULL)
		(void)CloseHandle(t->go);
	if (t->done != NULL)
		(void)CloseHandle(t->done);
	free(t);
}
