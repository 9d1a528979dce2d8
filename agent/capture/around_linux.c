#include "agent/capture/around.h"

const struct around_system *const around_system = NULL;
