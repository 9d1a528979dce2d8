#include "agent/vss/vss_doctor.h"
#include "proto/base/err.h"

int
vss_doctor_look(struct vss_report **out, struct err *err)
{
	(void)out;
	return err_set(
	    err, ERR_UNSUPPORTED, "vss: the Volume Shadow Copy Service is Windows'");
}
