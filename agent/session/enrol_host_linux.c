#include <string.h>
#include <unistd.h>

#include "agent/session/enrol.h"
#include "proto/base/err.h"

int
enrol_host_name(char out[ENROL_HOST_MAX], struct err *err)
{
	if (gethostname(out, ENROL_HOST_MAX) != 0)
		return err_set(err, ERR_NOTFOUND, "this host has no name; give --name");
	out[ENROL_HOST_MAX - 1] = '\0';
	return 0;
}
