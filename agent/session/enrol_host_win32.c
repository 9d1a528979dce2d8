#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "agent/session/enrol.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/*
 * The DNS name's first part and not the NetBIOS name, which is cut at 15 characters.
 */
int
enrol_host_name(char out[ENROL_HOST_MAX], struct err *err)
{
	wchar_t name[ENROL_HOST_MAX];
	DWORD n = ENROL_HOST_MAX;
	char *utf8;

	if (!GetComputerNameExW(ComputerNameDnsHostname, name, &n) || n == 0)
		return err_set(err, ERR_NOTFOUND, "this host has no name; give --name");
	if ((utf8 = winapi_utf8(name)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	strncpy(out, utf8, ENROL_HOST_MAX - 1);
	out[ENROL_HOST_MAX - 1] = '\0';
	free(utf8);
	return 0;
}
