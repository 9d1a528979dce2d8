#include <windows.h>

#include <string.h>
#include <wincrypt.h>

#include "agent/host/seal.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/*
 * "When this flag is set, it associates the data encrypted with the current computer":
 * learn.microsoft.com/windows/win32/api/dpapi/nf-dpapi-cryptprotectdata.  The service and
 * an administrator's shell are two accounts and must both open it.
 */
#define FLAGS (CRYPTPROTECT_LOCAL_MACHINE | CRYPTPROTECT_UI_FORBIDDEN)

/* Not a secret: keeps what others sealed on this machine from being taken for ours. */
static const char entropy[] = "holdfast agent key 1";

static DATA_BLOB
blob_of(const void *p, size_t len)
{
	DATA_BLOB b;

	b.pbData = (BYTE *)(uintptr_t)p;
	b.cbData = (DWORD)len;
	return b;
}

static void
drop(DATA_BLOB *b)
{
	if (b->pbData != NULL) {
		SecureZeroMemory(b->pbData, b->cbData);
		LocalFree(b->pbData);
	}
	b->pbData = NULL;
}

int
seal_available(void)
{
	return 1;
}

/* Open what was just sealed: a seal that does not give the key back is none. */
static DWORD
seal(const void *key, size_t len, DATA_BLOB *out)
{
	DATA_BLOB in = blob_of(key, len), salt = blob_of(entropy, sizeof(entropy) - 1);
	DATA_BLOB again = { 0, NULL };
	DWORD os = ERROR_SUCCESS;

	if (!CryptProtectData(
		&in, L"Holdfast agent key", &salt, NULL, NULL, FLAGS, out)) {
		out->pbData = NULL;
		return GetLastError();
	}
	if (!CryptUnprotectData(out, NULL, &salt, NULL, NULL, FLAGS, &again)) {
		again.pbData = NULL;
		os = GetLastError();
	} else if (again.cbData != len || memcmp(again.pbData, key, len) != 0) {
		os = ERROR_INVALID_DATA;
	}
	drop(&again);
	return os;
}

int
seal_protect(const void *key, size_t len, struct buf *out, enum seal_kind *kind,
    struct err *why, struct err *err)
{
	uint8_t head[SEAL_HEADER_LEN];
	DATA_BLOB sealed = { 0, NULL };
	DWORD os;
	int rc;

	buf_clear(out);
	os = seal(key, len, &sealed);
	if (os == ERROR_SUCCESS) {
		*kind = SEAL_DPAPI;
		seal_header(head, SEAL_DPAPI, sealed.cbData);
		rc = buf_add(out, head, sizeof(head), err);
		if (rc == 0)
			rc = buf_add(out, sealed.pbData, sealed.cbData, err);
	} else {
		*kind = SEAL_NONE;
		if (why != NULL)
			winapi_err(why, os, "DPAPI");
		rc = buf_add(out, key, len, err);
	}
	drop(&sealed);
	return rc;
}

/* The service behind it is away, or memory is: says nothing about the key. */
static int
is_passing(DWORD os)
{
	return os == ERROR_NOT_ENOUGH_MEMORY || os == ERROR_OUTOFMEMORY ||
	       os == ERROR_NO_SYSTEM_RESOURCES ||
	       (os >= RPC_S_INVALID_STRING_BINDING && os <= RPC_X_BAD_STUB_DATA);
}

int
seal_open(
    const void *file, size_t len, struct buf *out, enum seal_kind *kind, struct err *err)
{
	DATA_BLOB in, salt = blob_of(entropy, sizeof(entropy) - 1), key = { 0, NULL };
	const uint8_t *blob;
	char words[80];
	DWORD os;
	int rc;

	if (seal_parse(file, len, kind, &blob, &len, err) != 0)
		return -1;
	buf_clear(out);
	if (*kind == SEAL_NONE)
		return buf_add(out, blob, len, err);
	in = blob_of(blob, len);
	if (!CryptUnprotectData(&in, NULL, &salt, NULL, NULL, FLAGS, &key)) {
		os = GetLastError();
		if (is_passing(os))
			return winapi_err(err, os, "DPAPI does not answer");
		winapi_words(os, words, sizeof(words));
		return err_set(err, ERR_DENIED,
		    "sealed by another Windows installation (%s); enrol this host again: "
		    "holdfast-agent enroll TOKEN --replace",
		    words);
	}
	rc = buf_add(out, key.pbData, key.cbData, err);
	drop(&key);
	return rc;
}
