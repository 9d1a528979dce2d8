#include "agent/disk/volumes.h"
#include "proto/base/err.h"

int
volumes_known(void)
{
	return 0;
}

int
volumes_list(struct volumes **out, struct err *err)
{
	(void)out;
	return err_set(err, ERR_UNSUPPORTED,
	    "volumes are listed and chosen by letter or label on Windows only; name "
	    "devices by their paths");
}
