#include "rescue/ui.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "proto/base/buf.h"
#include "rescue/keys.h"
#include "rescue/ui_parts.h"

#define TICK_MS 250
/* The pages reckon with so much; a terminal that says less shows what it can. */
#define WIDTH_MIN 40u
#define HEIGHT_MIN 12u

/* Bytes as they are typed; a serial line keeps its speed. */
static void
make_raw(struct termios *t)
{
	t->c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IXON | ISTRIP);
	t->c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
}

static int
write_all(const uint8_t *p, size_t len, struct err *err)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = write(STDOUT_FILENO, p, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return err_os(err, errno, "the terminal");
	}
	return 0;
}

static int
show(struct ui *u, struct buf *out, struct err *err)
{
	ui_draw(u);
	buf_clear(out);
	if (screen_flush(u->s, out, err) != 0)
		return -1;
	return write_all(out->p, out->len, err);
}

/* What was typed, or that nothing was for a tick. */
static int
take_keys(struct ui *u, struct keys *k, struct err *err)
{
	struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
	int n = poll(&in, 1, TICK_MS), key;
	uint8_t bytes[64];
	ssize_t got, i;

	if (n < 0 && errno != EINTR)
		return err_os(err, errno, "the terminal");
	if (n <= 0) {
		if ((key = keys_quiet(k)) != KEYS_NONE)
			ui_key(u, key);
		return 0;
	}
	got = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
		return err_set(err, ERR_IO, "the terminal is gone");
	for (i = 0; i < got && !u->end_asked; i++) {
		ui_poll(u);
		if ((key = keys_feed(k, bytes[i])) != KEYS_NONE)
			ui_key(u, key);
	}
	return 0;
}

static int
loop(struct ui *u, struct err *err)
{
	struct buf out = BUF_INIT(SCREEN_FLUSH_MAX);
	struct keys k = { 0, 0, 0 };
	int rc = 0;

	while (rc == 0 && !u->end_asked) {
		ui_poll(u);
		rc = show(u, &out, err);
		if (rc == 0)
			rc = take_keys(u, &k, err);
	}
	buf_free(&out);
	return rc;
}

/* On a terminal of its own kind; its state is given back. */
static int
on_terminal(struct ui *u, struct err *err)
{
	static const char leave[] = "\033[0m\033[2J\033[1;1H\033[?25h";
	struct err ignored = ERR_INIT;
	struct termios before, raw;
	struct winsize size;
	int rc;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return err_os(err, errno, "standard input is no terminal");
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		memset(&size, 0, sizeof(size));
	if (size.ws_col > 0 && size.ws_col < WIDTH_MIN)
		size.ws_col = WIDTH_MIN;
	if (size.ws_row > 0 && size.ws_row < HEIGHT_MIN)
		size.ws_row = HEIGHT_MIN;
	u->s = screen_new(size.ws_col, size.ws_row);
	if (u->s == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	raw = before;
	make_raw(&raw);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	rc = loop(u, err);
	ui_abort(u);
	(void)write_all((const uint8_t *)leave, sizeof(leave) - 1, &ignored);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	screen_free(u->s);
	return rc;
}

int
ui_run(
    const struct options *o, const struct cmdline *c, enum ui_end *end, struct err *err)
{
	struct ui *u = calloc(1, sizeof(*u));
	int rc;

	if (u == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	u->o = o;
	u->c = *c;
	strcpy(u->server, c->server);
	strcpy(u->token, c->token);
	u->field = u->server[0] != '\0';
	pthread_mutex_init(&u->news.lock, NULL);
	rc = on_terminal(u, err);
	*end = u->end;
	job_free(u->job);
	stop_free(u->stop);
	pthread_mutex_destroy(&u->news.lock);
	free(u);
	return rc;
}
