/* mountmgr.h - what the driver includes it for stands in ntddk.h and ntioctl.h. */
#ifndef TESTS_DRIVER_SHIM_MOUNTMGR_H
#define TESTS_DRIVER_SHIM_MOUNTMGR_H

#include "tests/driver/shim/ntddk.h"

#endif /* TESTS_DRIVER_SHIM_MOUNTMGR_H */
