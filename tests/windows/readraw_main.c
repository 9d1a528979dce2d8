/*
 * readraw PATH - a file or volume to standard output, as Windows reads it: unbuffered.
 */
#include <windows.h>

#include <stdio.h>

#define PIECE (64u * 1024)

int
main(int argc, char **argv)
{
	HANDLE file, out = GetStdHandle(STD_OUTPUT_HANDLE);
	void *buf = VirtualAlloc(NULL, PIECE, MEM_COMMIT, PAGE_READWRITE);
	DWORD n = 0, written;
	BOOL ok;

	if (argc != 2 || buf == NULL) {
		fprintf(stderr, "usage: readraw PATH\n");
		return 2;
	}
	file = CreateFileA(argv[1], GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
	    NULL, OPEN_EXISTING, FILE_FLAG_NO_BUFFERING, NULL);
	if (file == INVALID_HANDLE_VALUE) {
		fprintf(stderr, "%s: error %lu\n", argv[1], GetLastError());
		return 1;
	}
	while ((ok = ReadFile(file, buf, PIECE, &n, NULL)) && n > 0)
		if (!WriteFile(out, buf, n, &written, NULL) || written != n)
			return 3;
	if (!ok && GetLastError() != ERROR_HANDLE_EOF) {
		fprintf(stderr, "%s: error %lu while reading\n", argv[1], GetLastError());
		return 1;
	}
	CloseHandle(file);
	return 0;
}
