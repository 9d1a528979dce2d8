#include "agent/host/state_machine.h"

#include "proto/base/buf.h"
#include "proto/base/err.h"

const char state_machine_place[] = "/etc/machine-id";

int
state_machine_system(struct buf *id, struct err *err)
{
	static const char *const places[] = { state_machine_place,
		"/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid" };
	int found = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && found == 0; i++)
		found = state_machine_file(places[i], id, err);
	return found;
}
