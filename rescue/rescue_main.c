/* holdfast-rescue: brings an empty machine back. */
#include <stdio.h>
#include <string.h>

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("holdfast-rescue " HOLDFAST_VERSION);
		return 0;
	}
	fputs("holdfast-rescue: nothing can be restored by this build yet\n", stderr);
	return 2;
}
