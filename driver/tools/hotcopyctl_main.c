#include <windows.h>

#include <wchar.h>

#include "driver/tools/commands.h"
#include "driver/tools/say.h"
#include "driver/tools/set.h"

static const struct {
	const wchar_t *name;
	int (*run)(int argc, wchar_t **argv);
	const wchar_t *words, *help;
} commands[] = {
	{ L"list", list_volumes, L"",
	    L"the driver's volumes, and what Windows calls them" },
	{ L"attached", list_attached, L"VOLUME", L"the driver's number for it" },
	{ L"freeze", freeze_run, L"[OPTION...] VOLUME...",
	    L"freeze and hold until Ctrl-C; takes commands on its input: dump N FILE, "
	    L"changed N,\r\n"
	    L"      stats N, commit N, abort N, release" },
	{ L"dump", dump_run, L"[OPTION...] VOLUME FILE | --set N --index N VOLUME FILE",
	    L"the frozen image into a new file" },
	{ L"stats", freeze_stats, L"SET INDEX", L"of a set that is held" },
	{ L"release", freeze_release, L"SET", L"" },
	{ L"track", track_begin,
	    L"[--create] [--store FILE | --extents OFFSET+LENGTH...] VOLUME",
	    L"without a store in memory, until the machine stops" },
	{ L"untrack", track_end, L"[--invalidate] VOLUME",
	    L"--invalidate: tracking goes on, but all counts as changed" },
	{ L"changed", track_changed, L"VOLUME",
	    L"what changed since the last committed generation" },
	{ L"commit", track_commit, L"VOLUME GENERATION NONCE", L"the server holds it" },
	{ L"abort", track_abort, L"VOLUME GENERATION NONCE", L"it does not" },
	{ L"install", install_add, L"[--dir DIRECTORY]",
	    L"hotcopy.sys from beside this program; it begins at the next start" },
	{ L"remove", install_remove, L"", L"takes it out of every place that names it" },
};
#define COMMANDS (sizeof commands / sizeof commands[0])

/* Called by the C library, declared by no header. */
int wmain(int argc, wchar_t **argv);

static int
help(void)
{
	size_t i;

	say_out(L"usage: hotcopyctl COMMAND [ARGUMENT...]\r\n");
	for (i = 0; i < COMMANDS; i++)
		say_out(L"  %ls %ls\r\n      %ls\r\n", commands[i].name,
		    commands[i].words, commands[i].help);
	say_out(L"VOLUME: C:, a mount point, \\\\?\\Volume{...}, \\\\.\\DEVICE or #N, "
		L"the driver's number.\r\n");
	say_out(L"%ls", set_help);
	say_out(L"Exit code: 0 done, 1 failed, 2 wrong words.\r\n");
	return 0;
}

int
wmain(int argc, wchar_t **argv)
{
	size_t i;
	int r;

	/* Nothing that lies beside this program is meant. */
	SetDllDirectoryW(L"");
	if (argc < 2 || wcscmp(argv[1], L"--help") == 0 || wcscmp(argv[1], L"-h") == 0 ||
	    wcscmp(argv[1], L"/?") == 0)
		return help();
	for (i = 0; i < COMMANDS; i++) {
		if (wcscmp(argv[1], commands[i].name) != 0)
			continue;
		r = commands[i].run(argc - 2, argv + 2);
		if (r == COMMANDS_USAGE)
			say_error(L"usage: hotcopyctl %ls %ls", commands[i].name,
			    commands[i].words);
		return r;
	}
	say_error(L"no command '%ls': hotcopyctl --help", argv[1]);
	return COMMANDS_USAGE;
}
