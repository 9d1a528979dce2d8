/*
 * commands.h - hotcopyctl's commands: argc and argv without the command's own word.  Each
 * gives the exit code: 0 done, 1 failed (said why), 2 wrong words.
 */
#ifndef DRIVER_TOOLS_COMMANDS_H
#define DRIVER_TOOLS_COMMANDS_H

#include <wchar.h>

#define COMMANDS_USAGE 2

int list_volumes(int argc, wchar_t **argv);
int list_attached(int argc, wchar_t **argv);
int freeze_run(int argc, wchar_t **argv);
int freeze_stats(int argc, wchar_t **argv);
int freeze_release(int argc, wchar_t **argv);
int dump_run(int argc, wchar_t **argv);
int track_begin(int argc, wchar_t **argv);
int track_end(int argc, wchar_t **argv);
int track_changed(int argc, wchar_t **argv);
int track_commit(int argc, wchar_t **argv);
int track_abort(int argc, wchar_t **argv);
int install_add(int argc, wchar_t **argv);
int install_remove(int argc, wchar_t **argv);

#endif /* DRIVER_TOOLS_COMMANDS_H */
