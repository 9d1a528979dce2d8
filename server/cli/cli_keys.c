#include "server/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "storage/fs.h"
#include "storage/escrow.h"
#include "storage/store_escrow.h"
#include "storage/store_keys.h"

/* --------------------------------------------------------------- passphrases -- */

/* One line of `fd` without its end; what is typed is not shown. */
static int
read_line(int fd, char out[ESCROW_PASSPHRASE_MAX + 2], struct err *err)
{
	struct termios was, quiet;
	int hidden = isatty(fd) && tcgetattr(fd, &was) == 0, failed = 0;
	size_t n = 0;
	ssize_t got = 0;

	if (hidden) {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(fd, TCSAFLUSH, &quiet);
	}
	while (n < ESCROW_PASSPHRASE_MAX + 1 && (got = read(fd, out + n, 1)) == 1 &&
	       out[n] != '\n')
		n++;
	if (got < 0)
		failed = err_os(err, errno, "the passphrase");
	out[n] = '\0';
	if (hidden) {
		(void)tcsetattr(fd, TCSAFLUSH, &was);
		(void)fputc('\n', stderr);
	}
	return failed;
}

int
cli_passphrase(
    const char *file, int twice, char out[ESCROW_PASSPHRASE_MAX + 2], struct err *err)
{
	char again[ESCROW_PASSPHRASE_MAX + 2];
	int fd = STDIN_FILENO, rc;

	if (file != NULL && strcmp(file, "-") != 0 &&
	    (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		return err_os(err, errno, "%.150s", file);
	if (file == NULL && !isatty(fd))
		return err_set(err, ERR_NOTFOUND,
		    "no terminal to ask for a passphrase: --passphrase-file FILE");
	if (file == NULL)
		(void)fputs("Passphrase: ", stderr);
	rc = read_line(fd, out, err);
	if (rc == 0 && file == NULL && twice) {
		(void)fputs("Once more: ", stderr);
		rc = read_line(fd, again, err);
		if (rc == 0 && strcmp(out, again) != 0)
			rc = err_set(err, ERR_DENIED, "the two are not the same");
		sodium_memzero(again, sizeof(again));
	}
	if (fd != STDIN_FILENO)
		(void)close(fd);
	return rc;
}

/* --------------------------------------------------------------------- files -- */

static int
read_file(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *to;
	ssize_t n = 0;

	if (fd < 0)
		return err_os(err, errno, "%.150s", path);
	while ((to = buf_room(out, 512, err)) != NULL && (n = read(fd, to, 512)) > 0)
		out->len += (size_t)n;
	if (to != NULL && n < 0)
		(void)err_os(err, errno, "%.150s", path);
	(void)close(fd);
	return to == NULL || n < 0 ? -1 : 0;
}

/* The name of a new file, on disk like the file. */
static int
sync_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd, os = 0;

	if (slash == NULL)
		(void)snprintf(dir, sizeof(dir), ".");
	else
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return errno;
	/* Some file systems have no such thing. */
	if (fsync(fd) != 0 && errno != EINVAL)
		os = errno;
	(void)close(fd);
	return os;
}

/* A new file, whole and on disk when it returns; none otherwise. */
static int
write_file(const char *path, const uint8_t *p, size_t len, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int os = 0;

	if (fd < 0)
		return err_os(err, errno, "%.150s", path);
	errno = EIO;
	if (write(fd, p, len) != (ssize_t)len || fsync(fd) != 0)
		os = errno;
	if (close(fd) != 0 && os == 0)
		os = errno;
	if (os == 0)
		os = sync_name(path);
	if (os == 0)
		return 0;
	(void)unlink(path);
	return err_os(err, os, "%.150s", path);
}

int
cli_keys_read(const char *path, const char *passphrase_file, struct store_keys_of *out,
    struct err *err)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	char passphrase[ESCROW_PASSPHRASE_MAX + 2];
	int rc = read_file(path, &b, err);

	if (rc == 0 && !escrow_is_sealed(b.p, b.len)) {
		rc = store_keys_decode(b.p, b.len, out, err);
	} else if (rc == 0) {
		rc = cli_passphrase(passphrase_file, 0, passphrase, err);
		if (rc == 0)
			rc = escrow_unseal(
			    b.p, b.len, passphrase, strlen(passphrase), out, err);
		sodium_memzero(passphrase, sizeof(passphrase));
	}
	if (b.p != NULL)
		sodium_memzero(b.p, b.len);
	buf_free(&b);
	return rc == 0 ? 0 : err_context(err, "%.100s", path);
}

/* -------------------------------------------------------------------- export -- */

struct export
{
	const char *dir, *to, *passphrase_file;
	int plain;
};

/* What goes into the file; that it can be read again is proven here. */
static int
make(const struct export *x, const struct store_keys_of *of, struct buf *out,
    struct err *err)
{
	static const struct escrow_cost cost = ESCROW_COST_DEFAULT;
	char passphrase[ESCROW_PASSPHRASE_MAX + 2];
	struct store_keys_of again = { 0 };
	uint8_t plain[STORE_KEYS_LEN];
	int rc;

	if (x->plain) {
		store_keys_encode(of, plain);
		rc = buf_add(out, plain, sizeof(plain), err);
		sodium_memzero(plain, sizeof(plain));
		return rc;
	}
	rc = cli_passphrase(x->passphrase_file, 1, passphrase, err);
	if (rc == 0)
		rc = escrow_seal(of, passphrase, strlen(passphrase), &cost, out, err);
	if (rc == 0)
		rc = escrow_unseal(
		    out->p, out->len, passphrase, strlen(passphrase), &again, err);
	if (rc == 0 && memcmp(again.master, of->master, sizeof(of->master)) != 0)
		rc = err_set(err, ERR_CORRUPT, "the sealed keys are not the keys");
	sodium_memzero(passphrase, sizeof(passphrase));
	sodium_memzero(&again, sizeof(again));
	return rc;
}

/* Let the store know, itself or by its server. */
static int
tell(struct cli *c, const struct export *x, struct fs *fs, const struct store_keys_of *of,
    struct err *err)
{
	int kind = x->plain ? STORE_ESCROW_PLAIN : STORE_ESCROW_SEALED;
	Wire__NoteEscrow m = WIRE__NOTE_ESCROW__INIT;
	uint8_t check[STORE_HASH_LEN];
	ProtobufCMessage *reply;

	if (store_escrow_note_fs(fs, kind, "local", NULL, err) == 0)
		return 0;
	if (err->code != ERR_BUSY)
		return -1;
	err_clear(err);
	escrow_check_of(of, check);
	m.kind = (uint32_t)kind;
	m.check.data = check;
	m.check.len = sizeof(check);
	if (cli_connect(c, err) != 0 || cli_can(c, MSG_NOTE_ESCROW, err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, err) != 0)
		return err_context(err, "its server must be told by an admin");
	msg_free(reply);
	return 0;
}

static int
export_keys(struct cli *c, const struct export *x)
{
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of of = { 0 };
	struct err err = ERR_INIT;
	struct fs *fs = NULL;
	int rc;

	rc = fs_open_dir(x->dir, &fs, &err) != 0 || store_keys_load(fs, &of, &err) != 0 ||
	     make(x, &of, &b, &err) != 0 || write_file(x->to, b.p, b.len, &err) != 0;
	if (rc != 0) {
		rc = cli_fail("keys", &err);
	} else {
		(void)printf("The keys are in %s%s.  Keep it where the store is not.\n",
		    x->to, x->plain ? ", NOT SEALED" : ", sealed by the passphrase");
		if (tell(c, x, fs, &of, &err) != 0)
			(void)fprintf(stderr,
			    "holdfast: keys: exported, but the store goes on reminding "
			    "of it: %s\n",
			    err.text);
	}
	if (b.p != NULL)
		sodium_memzero(b.p, b.len);
	buf_free(&b);
	sodium_memzero(&of, sizeof(of));
	fs_free(fs);
	return rc;
}

/* -------------------------------------------------------------------- import -- */

int
cli_keys_import(
    const char *dir, const char *from, const char *passphrase_file, struct err *err)
{
	struct store_keys_of of = { 0 };
	struct fs *fs = NULL;
	int rc;

	rc = cli_keys_read(from, passphrase_file, &of, err) != 0 ||
	     fs_open_dir(dir, &fs, err) != 0 || store_escrow_import(fs, &of, err) != 0;
	fs_free(fs);
	sodium_memzero(&of, sizeof(of));
	return rc ? -1 : 0;
}

int
cli_keys(struct cli *c, int argc, char **argv)
{
	enum { PLAIN = CLI_OPT_FIRST, PASSPHRASE };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "plain", no_argument, NULL, PLAIN },
		{ "passphrase-file", required_argument, NULL, PASSPHRASE },
		{ NULL, 0, NULL, 0 } };
	struct export x = { 0 };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == PLAIN)
			x.plain = 1;
		else if (opt == PASSPHRASE)
			x.passphrase_file = optarg;
		else if ((rc = cli_option(c, "keys", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("keys", argc, argv, 3, 3, "export|import DIR FILE")) != 0)
		return rc;
	x.dir = argv[optind + 1];
	x.to = argv[optind + 2];
	(void)umask(077);
	if (strcmp(argv[optind], "export") == 0)
		return export_keys(c, &x);
	if (strcmp(argv[optind], "import") != 0)
		return cli_usage("keys", "'%s': export or import", argv[optind]);
	if (cli_keys_import(x.dir, x.to, x.passphrase_file, &err) != 0)
		return cli_fail("keys", &err);
	(void)printf("%s has its keys\n", x.dir);
	return 0;
}
