#include "agent/capture/snapshot_provider.h"

const struct snapshot_provider *const snapshot_providers[] = { &snapshot_offline,
	&snapshot_hotcopy, NULL };
