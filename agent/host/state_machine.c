#include "agent/host/state_machine.h"

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

int
state_machine_file(const char *path, struct buf *id, struct err *err)
{
	int found = file_load(path, id, err);

	if (found < 0)
		return err_context(err, "machine id");
	if (found == 0)
		return 0;
	while (id->len > 0 && (id->p[id->len - 1] == '\r' || id->p[id->len - 1] == '\n' ||
				  id->p[id->len - 1] == ' '))
		id->len--;
	return id->len > 0;
}
