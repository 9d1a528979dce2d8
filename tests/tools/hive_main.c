/*
 * hive PATH START - make a SYSTEM hive of a Windows whose driver for AHCI starts so
 * (0: at boot, 3: when asked for).
 * hive PATH - print how it starts.
 */
#include "tests/unit/rescue/hive_image.h"

#define SERVICE "ControlSet001\\Services\\storahci"

static int
print_start(const char *path)
{
	hive_h *h = hivex_open(path, 0);
	hive_value_h value;

	if (h == NULL)
		return 1;
	value = hivex_node_get_value(h, hive_key(h, SERVICE), "Start");
	if (value == 0)
		return 1;
	(void)printf("%d\n", (int)hivex_value_dword(h, value));
	return hivex_close(h) != 0;
}

int
main(int argc, char **argv)
{
	hive_h *h;

	if (argc == 2)
		return print_start(argv[1]);
	if (argc != 3)
		return 2;
	hive_make(argv[1]);
	if ((h = hivex_open(argv[1], HIVEX_OPEN_WRITE)) == NULL)
		return 1;
	hive_number(h, "Select", "Current", 1);
	hive_number(h, SERVICE, "Type", 1);
	hive_number(h, SERVICE, "Start", (uint32_t)atoi(argv[2]));
	return hivex_commit(h, NULL, 0) != 0 || hivex_close(h) != 0;
}
