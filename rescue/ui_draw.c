#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/host/progress.h"
#include "rescue/rate.h"
#include "rescue/ui_parts.h"

#define LEFT 2u
#define TOP 2u

/* ----------------------------------------------------------------- the frame -- */

static void
frame(struct ui *u, const char *title, const char *hints)
{
	unsigned w = screen_width(u->s), h = screen_height(u->s);
	char line[SCREEN_WIDTH_MAX];

	screen_fill(u->s, 0, 0, w, SCREEN_REVERSE, ' ');
	screen_put(u->s, 0, LEFT, SCREEN_REVERSE | SCREEN_BOLD, "Holdfast rescue");
	screen_put(u->s, 0, 22, SCREEN_REVERSE, title);
	if (u->page != UI_ENTER && u->job != NULL && u->task != UI_CONNECT) {
		snprintf(line, sizeof(line), "host %.30s", job_facts(u->job)->host);
		if (strlen(line) + LEFT < w)
			screen_put(u->s, 0, w - LEFT - (unsigned)strlen(line),
			    SCREEN_REVERSE, line);
	}
	screen_fill(u->s, h - 1, 0, w, SCREEN_REVERSE, ' ');
	screen_put(u->s, h - 1, LEFT, SCREEN_REVERSE, hints);
}

/* Text in lines of the screen's width, from row `y` on; the row after it. */
static unsigned
paragraph(struct ui *u, unsigned y, unsigned x, unsigned look, const char *text)
{
	size_t width = screen_width(u->s) - LEFT - x, n;
	char line[SCREEN_WIDTH_MAX + 1];

	while (*text != '\0') {
		n = strlen(text);
		if (n > width) {
			for (n = width; n > 0 && text[n] != ' '; n--)
				;
			n = n == 0 ? width : n;
		}
		memcpy(line, text, n);
		line[n] = '\0';
		screen_put(u->s, y++, x, look, line);
		text += n;
		text += strspn(text, " ");
	}
	return y;
}

/* The last failure. */
static void
show_why(struct ui *u, unsigned y)
{
	if (u->why.code != ERR_NONE)
		(void)paragraph(u, y, LEFT, SCREEN_BOLD, u->why.text);
}

/* The task's latest lines, in rows y to the last but one. */
static void
show_lines(struct ui *u, unsigned y)
{
	unsigned h = screen_height(u->s), room = h > y + 2 ? h - y - 2 : 0, i, first;
	struct ui_news *n = &u->news;

	pthread_mutex_lock(&n->lock);
	first = n->lines_count > UI_LINES ? n->lines_count - UI_LINES : 0;
	if (n->lines_count - first > room)
		first = n->lines_count - room;
	for (i = first; i < n->lines_count; i++)
		screen_put(u->s, y++, LEFT, SCREEN_PLAIN, n->lines[i % UI_LINES]);
	pthread_mutex_unlock(&n->lock);
}

/* --------------------------------------------------------------------- pages -- */

static void
field(struct ui *u, unsigned y, const char *name, const char *text, int here)
{
	size_t len = strlen(text), room = screen_width(u->s) - 14 - LEFT - 1;
	const char *shown = len > room ? text + (len - room) : text;

	screen_put(u->s, y, LEFT, here ? SCREEN_BOLD : SCREEN_PLAIN, name);
	screen_fill(u->s, y, 14, (unsigned)room + 1, SCREEN_REVERSE, ' ');
	screen_put(u->s, y, 14, SCREEN_REVERSE, shown);
	if (here)
		screen_cursor(u->s, y, 14 + (unsigned)strlen(shown));
}

static void
show_code(struct ui *u, const char *code)
{
	char line[80];

	screen_put(u->s, TOP, LEFT, SCREEN_PLAIN,
	    "An operator must let this machine in.  Its code:");
	screen_big(u->s, TOP + 2, LEFT + 2, code);
	snprintf(line, sizeof(line), "On the server:  holdfast rescue confirm %s", code);
	screen_put(u->s, TOP + 9, LEFT, SCREEN_BOLD, line);
	screen_put(u->s, TOP + 11, LEFT, SCREEN_PLAIN,
	    "Compare the codes: a machine that shows another one is not this machine.");
}

static void
draw_enter(struct ui *u)
{
	char code[RESTORE_CODE_TEXT_MAX];

	if (u->task != UI_IDLE) {
		frame(u, "connecting", "Esc  stop");
		pthread_mutex_lock(&u->news.lock);
		memcpy(code, u->news.code, sizeof(code));
		pthread_mutex_unlock(&u->news.lock);
		if (code[0] != '\0')
			show_code(u, code);
		else
			screen_put(u->s, TOP, LEFT, SCREEN_PLAIN, "Connecting ...");
		show_lines(u, TOP + 13);
		return;
	}
	frame(u, "server and token", "Tab  other field   Enter  go on   Esc  leave");
	field(u, TOP, "Server", u->server, u->field == 0);
	field(u, TOP + 2, "Token", u->token, u->field == 1);
	(void)paragraph(u, TOP + 4, LEFT, SCREEN_PLAIN,
	    "The server as HOST:PORT; the token from 'holdfast restore-token HOST'.  "
	    "Without a token this machine shows a code, and waits until an operator has "
	    "armed its network card ('holdfast rescue arm') and confirmed the code.");
	show_why(u, TOP + 9);
}

static void
point_line(const struct ui_point *p, char out[SCREEN_WIDTH_MAX])
{
	time_t t = (time_t)(p->time_us / 1000000);
	char when[32], size[24];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	progress_bytes(p->bytes, size);
	snprintf(out, SCREEN_WIDTH_MAX, "%8llu   %s UTC   %10s   %s",
	    (unsigned long long)p->sequence, when, size, p->note);
}

static void
draw_points(struct ui *u)
{
	unsigned h = screen_height(u->s), rows = h - TOP - 4, first, i;
	char line[SCREEN_WIDTH_MAX];

	frame(u, "recovery point", "Up, Down  choose   Enter  take it   Esc  back");
	if (u->task == UI_LIST) {
		screen_put(u->s, TOP, LEFT, SCREEN_PLAIN, "Asking the server ...");
		show_lines(u, TOP + 2);
		return;
	}
	screen_put(u->s, TOP, LEFT, SCREEN_BOLD,
	    "   point   taken                        size   note");
	first = u->point >= rows ? u->point - rows + 1 : 0;
	for (i = first; i < u->points_count && i < first + rows; i++) {
		point_line(&u->points[i], line);
		screen_put(u->s, TOP + 1 + i - first, LEFT,
		    i == u->point ? SCREEN_REVERSE : SCREEN_PLAIN, line);
	}
	if (u->task == UI_CHOOSE)
		show_lines(u, h - 3);
	show_why(u, h - 3);
}

/* "disk0   10.0 GiB  GPT  -> /dev/sda (same serial)" */
static void
disk_line(struct ui *u, unsigned i, char out[SCREEN_WIDTH_MAX])
{
	static const char *const tables[] = { "-", "MBR", "GPT" };
	const struct layout_disk *d = &job_point(u->job)->layout.disks[i];
	const struct match *m = job_matched(u->job);
	char size[24], to[MACHINE_NAME_MAX + 48];

	progress_bytes(d->size, size);
	if (m->to[i] < 0)
		snprintf(to, sizeof(to), "not restored");
	else
		snprintf(to, sizeof(to), "-> %s  (%s)",
		    job_machine(u->job)->disks[m->to[i]].name, match_words(m->why[i]));
	snprintf(out, SCREEN_WIDTH_MAX, "%-14.14s %10s  %s  %-20.20s  %s", d->name, size,
	    tables[d->table <= LAYOUT_GPT ? d->table : 0], d->serial, to);
}

/* Each disk of the machine, and why it cannot take the one under the cursor. */
static unsigned
show_machine(struct ui *u, unsigned y)
{
	const struct machine *m = job_machine(u->job);
	char line[MACHINE_TEXT_MAX], why[MATCH_TEXT_MAX];
	unsigned i, h = screen_height(u->s);

	screen_put(u->s, y++, LEFT, SCREEN_BOLD, "Disks of this machine");
	for (i = 0; i < m->disks_count && y + 5 < h; i++) {
		machine_describe(&m->disks[i], line);
		screen_put(u->s, y++, LEFT + 2, SCREEN_PLAIN, line);
		if (m->disks[i].medium)
			strcpy(why, "the rescue system came from it");
		else if (job_fits(u->job, u->disk, &m->disks[i], why))
			continue;
		screen_put(u->s, y++, LEFT + 6, SCREEN_PLAIN, "cannot take it:");
		y = paragraph(u, y, LEFT + 8, SCREEN_PLAIN, why);
	}
	if (m->disks_count == 0)
		screen_put(
		    u->s, y++, LEFT + 2, SCREEN_PLAIN, "none is seen; r looks again");
	return y;
}

static void
show_flags(struct ui *u, unsigned y)
{
	const struct {
		const char *name;
		int on;
	} flags[] = { { "e extend", u->c.extend }, { "s shrink", u->c.shrink },
		{ "a adapt", u->c.adapt }, { "f fallback", u->c.fallback_loader },
		{ "v verify", u->c.verify } };
	unsigned i, x = LEFT;
	char text[32];

	for (i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "[%c] %s", flags[i].on ? 'x' : ' ',
		    flags[i].name);
		screen_put(u->s, y, x, SCREEN_PLAIN, text);
		x += (unsigned)strlen(text) + 3;
	}
}

static void
draw_disks(struct ui *u)
{
	const struct layout *l = &job_point(u->job)->layout;
	unsigned i, y = TOP, h = screen_height(u->s);
	char line[SCREEN_WIDTH_MAX], why[200];

	frame(u, "which disk takes which",
	    "Up/Down disk   Left/Right where to   r look again   Enter go on   Esc back");
	snprintf(line, sizeof(line), "Disks of point %llu",
	    (unsigned long long)job_point(u->job)->sequence);
	screen_put(u->s, y++, LEFT, SCREEN_BOLD, line);
	for (i = 0; i < l->disks_count && y + 9 < h; i++) {
		disk_line(u, i, line);
		screen_put(u->s, y++, LEFT + 2,
		    i == u->disk ? SCREEN_REVERSE : SCREEN_PLAIN, line);
	}
	(void)show_machine(u, y + 1);
	if (job_foreign(u->job, why))
		(void)paragraph(u, h - 5, LEFT, SCREEN_BOLD, why);
	show_why(u, h - 5);
	show_flags(u, h - 3);
}

static void
draw_confirm(struct ui *u)
{
	const struct machine_disk *d = ui_victim(u, u->confirmed);
	char line[MACHINE_TEXT_MAX];
	unsigned i, y = TOP;

	frame(u, "confirm", "Enter  confirm   Esc  back");
	screen_put(
	    u->s, y, LEFT, SCREEN_BOLD, "All that is on these disks will be lost:");
	y += 2;
	for (i = 0; ui_victim(u, i) != NULL; i++) {
		machine_describe(ui_victim(u, i), line);
		screen_put(u->s, y, LEFT, SCREEN_PLAIN, i < u->confirmed ? "ok" : "  ");
		screen_put(u->s, y++, LEFT + 4, SCREEN_PLAIN, line);
	}
	if (d == NULL)
		return;
	snprintf(line, sizeof(line), "To overwrite %s, type its name:", d->name);
	screen_put(u->s, y + 1, LEFT, SCREEN_PLAIN, line);
	screen_fill(u->s, y + 3, LEFT, 30, SCREEN_REVERSE, ' ');
	screen_put(u->s, y + 3, LEFT, SCREEN_REVERSE, u->typed);
	screen_cursor(u->s, y + 3, LEFT + (unsigned)strlen(u->typed));
}

static unsigned
show_progress(struct ui *u, unsigned y)
{
	static const char *const words[] = { "writing", "verifying",
		"waiting for the server", "finishing" };
	struct ui_news *n = &u->news;
	char line[SCREEN_WIDTH_MAX], done[24], total[24], speed[24], left[24];
	const struct job_progress *p = &n->progress;
	double share;

	pthread_mutex_lock(&n->lock);
	if (!n->has_progress) {
		screen_put(u->s, y, LEFT, SCREEN_PLAIN, "Beginning ...");
		pthread_mutex_unlock(&n->lock);
		return y + 2;
	}
	progress_bytes(p->done, done);
	progress_bytes(p->total, total);
	progress_bytes(p->speed, speed);
	rate_clock(p->left_s, left);
	share = p->total == 0 ? 1 : (double)p->done / (double)p->total;
	snprintf(line, sizeof(line), "%s to %s   disk %u of %u   %s", n->name, n->device,
	    p->disk, p->disks, words[p->stage]);
	screen_put(u->s, y, LEFT, SCREEN_BOLD, line);
	screen_bar(u->s, y + 2, LEFT, screen_width(u->s) - 2 * LEFT - 6, share);
	snprintf(line, sizeof(line), "%4u%%", (unsigned)(share * 100));
	screen_put(u->s, y + 2, screen_width(u->s) - LEFT - 5, SCREEN_BOLD, line);
	snprintf(
	    line, sizeof(line), "%s of %s   %s/s   %s left", done, total, speed, left);
	screen_put(u->s, y + 4, LEFT, SCREEN_PLAIN, line);
	pthread_mutex_unlock(&n->lock);
	return y + 6;
}

static void
draw_run(struct ui *u)
{
	unsigned y;

	if (u->task == UI_IDLE) {
		frame(
		    u, "failed", "Enter  try again   Esc  back to the disks   s  shell");
		screen_put(u->s, TOP, LEFT, SCREEN_BOLD, "The restore has failed:");
		show_why(u, TOP + 2);
		(void)paragraph(u, TOP + 6, LEFT, SCREEN_PLAIN,
		    "What was written stays, and is found right the next time.  The "
		    "disks "
		    "do not start as they are.");
		show_lines(u, TOP + 9);
		return;
	}
	frame(u, "restoring",
	    u->asks_abort ? "Stop?  The disks will not start.  y  yes   any other key  no"
			  : "Esc  stop");
	y = show_progress(u, TOP);
	show_lines(u, y);
}

static void
draw_done(struct ui *u)
{
	frame(u, "restored", "Enter  reboot   p  power off   s  shell");
	screen_put(u->s, TOP, LEFT, SCREEN_BOLD,
	    "Restored.  Enter starts the machine from its own disks.");
	show_lines(u, TOP + 2);
}

void
ui_draw(struct ui *u)
{
	static void (*const pages[])(struct ui * u) = { draw_enter, draw_points,
		draw_disks, draw_confirm, draw_run, draw_done };

	screen_clear(u->s);
	/* While a task holds the job nobody else may look at it. */
	if (u->task == UI_LOOK || (u->task == UI_CHOOSE && u->page == UI_ENTER)) {
		frame(u, "", "Esc  stop");
		screen_put(u->s, TOP, LEFT, SCREEN_PLAIN, "Looking at the disks ...");
		show_lines(u, TOP + 2);
		return;
	}
	pages[u->page](u);
}
