/*
 * hold FILE - makes FILE and waits until it is killed, for half an hour at most: while it
 * runs, Wine's services do.
 */
#include <windows.h>

#include <stdio.h>

int
main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "wb") : NULL;

	if (f == NULL || fclose(f) != 0) {
		fprintf(stderr, "usage: hold FILE\n");
		return 2;
	}
	Sleep(1800 * 1000);
	return 0;
}
