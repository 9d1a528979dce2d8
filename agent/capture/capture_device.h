/*
 * capture_device.h - what the system tells of a device.
 */
#ifndef AGENT_CAPTURE_CAPTURE_DEVICE_H
#define AGENT_CAPTURE_CAPTURE_DEVICE_H

struct layout_disk;

/* Is it a block device, on Windows a volume or disk? */
int capture_device_is(const char *path);

/* Of a device: its physical sectors, model and serial, as far as is known. */
void capture_device_describe(const char *path, struct layout_disk *d);

#endif /* AGENT_CAPTURE_CAPTURE_DEVICE_H */
