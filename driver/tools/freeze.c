/* The process is the set's owner: what it prints tells another program when the cut was,
   and a line on its input asks it for more. */
#include <windows.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/tools/call.h"
#include "driver/tools/commands.h"
#include "driver/tools/dump.h"
#include "driver/tools/list.h"
#include "driver/tools/parse.h"
#include "driver/tools/say.h"
#include "driver/tools/set.h"

#define LINE_MAX 1024

/* Ctrl-C and lines of input come from threads of their own. */
static HANDLE stop, line_ready, line_taken;
static char line[LINE_MAX];
static BOOL line_end; /* of the input */

static BOOL WINAPI
on_control(DWORD type)
{
	(void)type;
	SetEvent(stop);
	return TRUE;
}

static DWORD WINAPI
read_lines(void *arg)
{
	HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
	DWORD got, n = 0;
	char c;

	(void)arg;
	for (;;) {
		if (!ReadFile(in, &c, 1, &got, NULL) || got == 0) {
			line_end = TRUE;
			SetEvent(line_ready);
			return 0;
		}
		if (c == '\r' || (c != '\n' && n == LINE_MAX - 1))
			continue;
		if (c != '\n') {
			line[n++] = c;
			continue;
		}
		line[n] = 0;
		n = 0;
		SetEvent(line_ready);
		WaitForSingleObject(line_taken, INFINITE);
	}
}

/* Tells events as they come, until the set ends. */
static DWORD WINAPI
tell_events(void *arg)
{
	const struct set *s = arg;
	struct hotcopy_event e;
	uint32_t given;

	while (call_device(s->owner, HOTCOPY_IOCTL_WAIT_EVENT, NULL, 0, &e, sizeof e,
		   &given) == CALL_OK &&
	       given == sizeof e)
		say_out(L"event %u volume #%I64u argument %I64u sequence %I64u\r\n",
		    e.code, e.volume, e.argument, e.sequence);
	return 0;
}

static int
dump_one(struct set *s, uint32_t index, const wchar_t *file)
{
	struct hotcopy_volume facts;
	HANDLE image = set_bind(s->number, index);
	int r = -1;

	if (image == NULL)
		return -1;
	if (list_find(image, s->ask.volume[index], &facts) == 0)
		r = dump_image(image, facts.length, file);
	CloseHandle(image);
	return r;
}

static int
changed_one(struct set *s, uint32_t index)
{
	struct hotcopy_volume facts;

	if (list_find(s->owner, s->ask.volume[index], &facts) != 0)
		return -1;
	return set_changed(s->owner, s->number, index, facts.length, false);
}

static int
end_generation(struct set *s, uint32_t index, uint32_t code, const wchar_t *what)
{
	struct hotcopy_generation g = { .volume = s->ask.volume[index],
		.generation = s->frozen.generation[index] };

	memcpy(g.nonce, s->freeze.nonce, sizeof g.nonce);
	call_header(&g.h, sizeof g);
	return call_do(s->owner, code, &g, sizeof g, NULL, 0, what);
}

/* "dump 0 FILE", "changed 0", "stats 0", "commit 0", "abort 0", "release".  1: the end.
 */
static int
obey(struct set *s, wchar_t *words)
{
	wchar_t *number = wcschr(words, L' '), *file = NULL;
	uint32_t index = 0;
	int r;

	if (wcscmp(words, L"release") == 0)
		return 1;
	if (number != NULL) {
		*number++ = 0;
		file = wcschr(number, L' ');
		if (file != NULL)
			*file++ = 0;
		if (parse_number(number, s->ask.volumes - 1, &index) != 0)
			return -1;
	}
	if (wcscmp(words, L"dump") == 0 && file != NULL)
		r = dump_one(s, index, file);
	else if (wcscmp(words, L"changed") == 0)
		r = changed_one(s, index);
	else if (wcscmp(words, L"stats") == 0)
		r = set_stats(s->owner, s->number, index);
	else if (wcscmp(words, L"commit") == 0)
		r = end_generation(s, index, HOTCOPY_IOCTL_COMMIT, L"commit");
	else if (wcscmp(words, L"abort") == 0)
		r = end_generation(s, index, HOTCOPY_IOCTL_ABORT, L"abort");
	else
		r = say_error(L"'%ls': dump N FILE, changed N, stats N, commit N, abort "
			      L"N or release",
		    words);
	return r;
}

static void
serve(struct set *s)
{
	HANDLE waits[2];
	wchar_t words[LINE_MAX];
	int r = 0;

	waits[0] = stop;
	waits[1] = line_ready;
	while (r != 1 &&
	       WaitForMultipleObjects(2, waits, FALSE, INFINITE) == WAIT_OBJECT_0 + 1) {
		if (line_end)
			break;
		MultiByteToWideChar(CP_UTF8, 0, line, -1, words, LINE_MAX);
		SetEvent(line_taken);
		r = obey(s, words);
		/* So that who asked knows that the answer is whole. */
		say_out(r < 0 ? L"failed\r\n" : L"done\r\n");
	}
}

static void
tell_frozen(const struct set *s)
{
	const struct hotcopy_frozen *f = &s->frozen;
	wchar_t nonce[33];
	uint32_t i;

	parse_nonce_text(s->freeze.nonce, nonce);
	for (i = 0; i < s->ask.volumes; i++)
		say_out(L"volume %u #%I64u %ls generation %I64u %ls\r\n", i,
		    s->ask.volume[i], s->name[i], f->generation[i],
		    f->generation[i] != 0 ? nonce : L"-");
	say_out(L"frozen set %I64u chunk %u held %u gate-us %I64u cut-us %I64u\r\n",
	    s->number, 1u << s->chunk_shift, f->held, (f->opened - f->closed) / 10,
	    (f->cut - f->closed) / 10);
}

int
freeze_run(int argc, wchar_t **argv)
{
	static struct set s;
	HANDLE thread;
	int r = -1;

	if (set_options(&s, &argc, argv) != 0)
		return 1;
	if (argc == 0)
		return COMMANDS_USAGE;
	stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	line_ready = CreateEventW(NULL, FALSE, FALSE, NULL);
	line_taken = CreateEventW(NULL, FALSE, FALSE, NULL);
	SetConsoleCtrlHandler(on_control, TRUE);
	if (set_prepare(&s, argc, argv) == 0 && set_freeze(&s) == 0) {
		r = 0;
		tell_frozen(&s);
		/* Both end with the process. */
		thread = CreateThread(NULL, 0, tell_events, &s, 0, NULL);
		if (thread == NULL ||
		    CreateThread(NULL, 0, read_lines, NULL, 0, NULL) == NULL)
			r = say_os_error(GetLastError(), L"no thread");
		else
			serve(&s);
	}
	set_close(&s);
	return r == 0 ? 0 : 1;
}

int
freeze_stats(int argc, wchar_t **argv)
{
	uint32_t set, index;
	HANDLE h;
	int r;

	if (argc != 2)
		return COMMANDS_USAGE;
	if (parse_number(argv[0], UINT32_MAX, &set) != 0 ||
	    parse_number(argv[1], HOTCOPY_VOLUMES_MAX - 1, &index) != 0 ||
	    (h = call_open()) == NULL)
		return 1;
	r = set_stats(h, set, index);
	CloseHandle(h);
	return r == 0 ? 0 : 1;
}

int
freeze_release(int argc, wchar_t **argv)
{
	struct hotcopy_release release = { 0 };
	uint32_t set;
	HANDLE h;
	int r;

	if (argc != 1)
		return COMMANDS_USAGE;
	if (parse_number(argv[0], UINT32_MAX, &set) != 0 || (h = call_open()) == NULL)
		return 1;
	release.set = set;
	call_header(&release.h, sizeof release);
	r = call_do(
	    h, HOTCOPY_IOCTL_RELEASE, &release, sizeof release, NULL, 0, L"release");
	CloseHandle(h);
	return r == 0 ? 0 : 1;
}
