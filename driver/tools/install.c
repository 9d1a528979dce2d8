#include <windows.h>

#include <stdlib.h>
#include <wchar.h>

#include "driver/setup/setup.h"
#include "driver/tools/commands.h"
#include "driver/tools/say.h"

static void
tell(void *arg, int bad, const wchar_t *text)
{
	(void)arg;
	if (bad)
		say_error(L"%ls", text);
	else
		say_out(L"%ls\r\n", text);
}

int
install_add(int argc, wchar_t **argv)
{
	struct setup_report r = { .line = tell };
	wchar_t path[SETUP_PATH_MAX];
	const wchar_t *directory = NULL;
	enum setup_result done = SETUP_FAILED;

	if (argc == 2 && wcscmp(argv[0], L"--dir") == 0)
		directory = argv[1];
	else if (argc != 0)
		return COMMANDS_USAGE;
	if (setup_source(directory, path, &r) == 0)
		done = setup_install(path, &r);
	if (done == SETUP_FAILED) {
		say_error(L"%ls", r.error);
		return 1;
	}
	say_out(done == SETUP_DONE
		    ? L"installed; restart the machine: volumes get the "
		      L"filter when they start\r\n"
		    : L"the driver that runs is replaced while the machine "
		      L"starts the next time, and used from the start "
		      L"after that\r\n");
	return 0;
}

int
install_remove(int argc, wchar_t **argv)
{
	struct setup_report r = { .line = tell };

	(void)argv;
	if (argc != 0)
		return COMMANDS_USAGE;
	switch (setup_remove(&r)) {
	case SETUP_FAILED:
		say_error(L"%ls", r.error);
		return 1;
	case SETUP_LATER:
		say_out(L"removed; the driver runs until the machine is restarted\r\n");
		return 0;
	case SETUP_NOTHING:
		say_out(L"there was nothing of it\r\n");
		return 0;
	default:
		say_out(L"removed\r\n");
		return 0;
	}
}
