/*
 * cli_fit.h - `holdfast restore --disk` onto another size of disk or another machine;
 * for cli_restore.c alone.
 */
#ifndef SERVER_CLI_CLI_FIT_H
#define SERVER_CLI_CLI_FIT_H

struct cli;
struct disk_order;
struct err;
struct fit;
struct layout;

/* Zeroed but for `flags` and `machine`. */
struct cli_fit {
	unsigned flags; /* FIT_* (rescue/fit.h) */
	const char
	    *machine; /* File of modaliases of the new machine; NULL: this one's. */
	const struct disk_order *order;
	struct layout *there; /* The machine's controllers. */
	struct fit *fit;
};

/* Have the order, which is filled in, call us.  Nothing without flags. */
int cli_fit_begin(struct cli_fit *f, struct disk_order *o, struct err *err);
void cli_fit_end(struct cli_fit *f);

#endif /* SERVER_CLI_CLI_FIT_H */
