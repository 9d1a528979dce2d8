#include "agent/capture/around.h"

const struct around_system *around_system = NULL;
