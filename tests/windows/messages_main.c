/* messages.exe PROGRAM: the texts of its message table, "ID LEVEL TEXT" a line. */
#include <windows.h>

#include <stdio.h>

int
main(int argc, char **argv)
{
	static const char *const levels[] = { "success", "information", "warning",
		"error" };
	DWORD_PTR words[1] = { (DWORD_PTR) "WHAT" };
	char text[1024];
	HMODULE m;

	if (argc != 2 ||
	    (m = LoadLibraryExA(argv[1], NULL, LOAD_LIBRARY_AS_DATAFILE)) == NULL)
		return 2;
	for (DWORD id = 1; id < 64; id++)
		for (DWORD level = 0; level < 4; level++)
			if (FormatMessageA(FORMAT_MESSAGE_FROM_HMODULE |
					       FORMAT_MESSAGE_ARGUMENT_ARRAY |
					       FORMAT_MESSAGE_MAX_WIDTH_MASK,
				m, level << 30 | id, 0, text, sizeof(text),
				(va_list *)words) > 0)
				printf("%lu %s %s\n", id, levels[level], text);
	return 0;
}
