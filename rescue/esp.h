/*
 * esp.h - loaders on an EFI system partition, which is mounted on a directory.
 *
 * Names are looked up as FAT does, whatever their case.
 */
#ifndef RESCUE_ESP_H
#define RESCUE_ESP_H

#include <stddef.h>

struct err;

#define ESP_LOADERS_MAX 8u
#define ESP_TEXT_MAX 256u
#define ESP_FALLBACK "\\EFI\\BOOT\\BOOTX64.EFI"

struct esp_loader {
	char path[ESP_TEXT_MAX];	/* "\EFI\debian\shimx64.efi" */
	char description[ESP_TEXT_MAX]; /* "Windows Boot Manager", "debian" */
};

/*
 * Loaders that a boot entry may name, the likeliest first: Windows', then shims and
 * GRUBs of others.  The fallback loader is not among them: firmware finds it itself.
 */
unsigned esp_loaders(const char *dir, struct esp_loader out[ESP_LOADERS_MAX]);

/*
 * Copy loader `path` to ESP_FALLBACK, durably.  1; 0 if there was one already, which
 * stays; -1: ERR_NOTFOUND, ERR_IO, ERR_NOSPACE.
 */
int esp_fallback(const char *dir, const char *path, struct err *err);

#endif /* RESCUE_ESP_H */
