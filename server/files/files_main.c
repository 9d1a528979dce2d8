/*
 * holdfast-files - the inside of `holdfast ls` and `holdfast cp`.
 *
 * A program of its own because it links libntfs-3g, which is under the GPL, and
 * because it parses foreign volumes: `holdfast` starts it (server/cli/cli_files.c) and
 * nobody else does.  Arguments, each always there:
 *	ls|cp OPERATOR SERVER HOST SEQUENCE VOLUME PATH FLAGS RETRY [DESTINATION]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "agent/tree/tree_reader.h"
#include "proto/base/err.h"
#include "server/cli/cli.h"
#include "server/files/files_copy.h"
#include "server/files/files_fs.h"
#include "server/files/files_list.h"

enum { COMMAND = 1, OPERATOR, SERVER, HOST, SEQUENCE, VOLUME, PATH, FLAGS, RETRY, TO };

static unsigned
flags_of(const char *text, const char *letters)
{
	unsigned flags = 0;

	for (unsigned i = 0; letters[i] != '\0'; i++)
		flags |= (unsigned)(strchr(text, letters[i]) != NULL) << i;
	return flags;
}

static void
cancel(void *arg)
{
	tree_point_cancel(arg);
}

static int
stopped(void *arg)
{
	return stop_asked(arg);
}

/* 0, 1 if some files could not be copied, -1. */
static int
copy(struct files_fs *fs, char **argv, struct stop *stop, struct err *err)
{
	struct files_copy_job job = { fs, argv[PATH], argv[TO],
		flags_of(argv[FLAGS], "rfs"),
		strchr(argv[FLAGS], 'q') != NULL ? PROGRESS_SILENT : PROGRESS_AUTO,
		stopped, stop };
	struct files_copy_result r;
	int rc = files_copy(&job, &r, err), printed = strcmp(argv[TO], "-") == 0;

	if (printed || (rc != 0 && r.files == 0))
		return rc;
	(void)printf("%s %llu files in %llu directories, %s",
	    rc == 0 ? "copied" : "so far", (unsigned long long)r.files,
	    (unsigned long long)r.dirs, cli_size(r.bytes));
	if (r.same > 0)
		(void)printf("; %llu were there", (unsigned long long)r.same);
	if (r.linked > 0)
		(void)printf("; %llu are further names", (unsigned long long)r.linked);
	if (r.skipped > 0)
		(void)printf("; %llu links left out", (unsigned long long)r.skipped);
	if (r.failed > 0)
		(void)printf("; %llu not copied", (unsigned long long)r.failed);
	(void)putchar('\n');
	return rc != 0 ? -1 : r.failed > 0;
}

static int
read_volume(void *arg, uint64_t offset, void *out, size_t len, struct err *err)
{
	return tree_reader_read(arg, offset, out, len, err);
}

static int
open_fs(struct tree_reader *r, struct files_fs **out, struct err *err)
{
	const struct files_bytes bytes = { read_volume, r, tree_reader_size(r) };

	if (files_fat_open(&bytes, out, err) != 0)
		return -1;
	return *out != NULL ? 0 : files_ntfs_open(r, out, err);
}

static int
with_volume(struct tree_point *p, char **argv, struct stop *stop, struct err *err)
{
	struct tree_reader *r;
	struct files_fs *fs;
	int rc;

	if (tree_reader_open(p, argv[VOLUME], &r, err) != 0)
		return -1;
	rc = open_fs(r, &fs, err);
	if (rc == 0) {
		rc = strcmp(argv[COMMAND], "ls") == 0
			 ? files_list(fs, argv[PATH], flags_of(argv[FLAGS], "ljsR"), err)
			 : copy(fs, argv, stop, err);
		fs->ops->close(fs);
	}
	tree_reader_close(r);
	return rc;
}

static int
run(char **argv, struct err *err)
{
	struct cli who = { .operator_dir = argv[OPERATOR],
		.server = argv[SERVER][0] != '\0' ? argv[SERVER] : NULL };
	struct tree_point_config config = { .dial = cli_dial,
		.arg = &who,
		.host = argv[HOST],
		.sequence = strtoull(argv[SEQUENCE], NULL, 10),
		.retry_for_ms = (uint32_t)strtoul(argv[RETRY], NULL, 10) * 1000 };
	struct stop *stop = stop_new(); /* Stays: a thread has it. */
	struct tree_point *p;
	int rc;

	if (stop == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	/* Before there are threads, each of which could take a signal. */
	if (stop_on_signals(stop, err) != 0 || tree_point_open(&config, &p, err) != 0)
		return -1;
	if (tree_point_suspect(p)[0] != '\0')
		(void)fprintf(
		    stderr, "holdfast: %s: %s\n", argv[COMMAND], tree_point_suspect(p));
	stop_attach(stop, cancel, p);
	rc = with_volume(p, argv, stop, err);
	stop_attach(stop, NULL, NULL);
	tree_point_close(p);
	if (rc < 0 && stop_asked(stop)) {
		err_clear(err);
		err_set(err, ERR_CANCELED, "interrupted");
	}
	return rc;
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int rc;

	if (argc <= RETRY || (strcmp(argv[COMMAND], "cp") == 0 && argc <= TO)) {
		(void)fputs(
		    "holdfast-files: started by `holdfast ls` and `holdfast cp`\n",
		    stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	rc = run(argv, &err);
	if (fflush(stdout) != 0 && rc == 0)
		rc = err_set(&err, ERR_IO, "cannot write to standard output");
	if (rc < 0)
		(void)fprintf(stderr, "holdfast: %s: %s\n", argv[COMMAND], err.text);
	return rc != 0;
}
