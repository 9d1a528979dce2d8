/*
 * cli_pull.h - the store of a server as a source of copies
 * (storage/store_copy_source.h), read over an operator's connection.
 */
#ifndef SERVER_CLI_CLI_PULL_H
#define SERVER_CLI_CLI_PULL_H

#include "storage/store_copy_source.h"

struct cli;
struct err;

/* The source of a server that cli_connect() has reached. */
int cli_pull_open(struct cli *c, struct store_copy_source **out, struct err *err);

/* NULL is allowed. */
void cli_pull_close(struct store_copy_source *src);

#endif /* SERVER_CLI_CLI_PULL_H */
