#include <string.h>

#include "rescue/keys.h"
#include "rescue/ui_parts.h"

const struct machine_disk *
ui_victim(const struct ui *u, unsigned n)
{
	const struct match *m = job_matched(u->job);
	unsigned i;

	for (i = 0; i < job_point(u->job)->layout.disks_count; i++)
		if (m->to[i] >= 0 && n-- == 0)
			return &job_machine(u->job)->disks[m->to[i]];
	return NULL;
}

static void
edit(char *text, size_t room, int key)
{
	size_t n = strlen(text);

	if (key == KEYS_BACKSPACE && n > 0)
		text[n - 1] = '\0';
	else if (key > ' ' && key < 127 && n + 1 < room) {
		text[n] = (char)key;
		text[n + 1] = '\0';
	}
}

/* ------------------------------------------------------------------- pages -- */

static void
key_enter(struct ui *u, int key)
{
	switch (key) {
	case KEYS_TAB:
	case KEYS_UP:
	case KEYS_DOWN:
		u->field = !u->field;
		break;
	case KEYS_ENTER:
		if (u->field == 0 && u->token[0] == '\0' && u->server[0] != '\0')
			u->field = 1;
		else if (u->server[0] != '\0')
			ui_begin(u, UI_CONNECT);
		break;
	case KEYS_ESCAPE:
		u->end = UI_END_SHELL;
		u->end_asked = 1;
		break;
	default:
		if (u->field == 0)
			edit(u->server, sizeof(u->server), key);
		else
			edit(u->token, sizeof(u->token), key);
	}
}

static void
key_points(struct ui *u, int key)
{
	unsigned page = screen_height(u->s) / 2;

	switch (key) {
	case KEYS_UP:
		u->point -= u->point > 0;
		break;
	case KEYS_PAGE_UP:
		u->point = u->point > page ? u->point - page : 0;
		break;
	case KEYS_DOWN:
		u->point += u->point + 1 < u->points_count;
		break;
	case KEYS_PAGE_DOWN:
		u->point = u->point + page < u->points_count ? u->point + page
							     : u->points_count - 1;
		break;
	case KEYS_ENTER:
		if (u->points_count > 0)
			ui_begin(u, UI_CHOOSE);
		break;
	case KEYS_ESCAPE:
		u->page = UI_ENTER;
		break;
	}
}

/* The next (or the one before) of the machine's disks that can take this one. */
static void
turn(struct ui *u, int step)
{
	const struct layout_disk *want = &job_point(u->job)->layout.disks[u->disk];
	const struct machine *m = job_machine(u->job);
	int n = (int)m->disks_count, at = job_matched(u->job)->to[u->disk], i;
	struct err err = ERR_INIT;

	(void)job_map(u->job, want->name, NULL, &err);
	for (i = 0; i <= n; i++) {
		/* -1, nothing, is a place between the last and the first. */
		at += step;
		at = at < -1 ? n - 1 : at >= n ? -1 : at;
		err_clear(&err);
		if (at < 0 || job_map(u->job, want->name, m->disks[at].name, &err) == 0)
			return;
	}
}

/* Does a disk that was mapped still fit, with other flags? */
static void
map_again(struct ui *u)
{
	const struct layout *l = &job_point(u->job)->layout;
	struct match before = *job_matched(u->job);
	struct err err = ERR_INIT;
	unsigned i;

	for (i = 0; i < l->disks_count; i++) {
		(void)job_map(u->job, l->disks[i].name, NULL, &err);
		err_clear(&err);
	}
	for (i = 0; i < l->disks_count; i++)
		if (before.to[i] >= 0) {
			(void)job_map(u->job, l->disks[i].name,
			    job_machine(u->job)->disks[before.to[i]].name, &err);
			err_clear(&err);
		}
}

static void
key_disks(struct ui *u, int key)
{
	unsigned count = job_point(u->job)->layout.disks_count;

	switch (key) {
	case KEYS_UP:
		u->disk -= u->disk > 0;
		break;
	case KEYS_DOWN:
		u->disk += u->disk + 1 < count;
		break;
	case KEYS_RIGHT:
	case ' ':
		turn(u, 1);
		break;
	case KEYS_LEFT:
		turn(u, -1);
		break;
	case 'e':
		u->c.extend = !u->c.extend;
		break;
	case 's':
		u->c.shrink = !u->c.shrink;
		map_again(u);
		break;
	case 'a':
		u->c.adapt = !u->c.adapt;
		break;
	case 'f':
		u->c.fallback_loader = !u->c.fallback_loader;
		break;
	case 'v':
		u->c.verify = !u->c.verify;
		break;
	case 'r':
		ui_begin(u, UI_LOOK);
		break;
	case KEYS_ENTER:
		if (ui_victim(u, 0) != NULL) {
			u->page = UI_CONFIRM;
			u->confirmed = 0;
			u->typed[0] = '\0';
		}
		break;
	case KEYS_ESCAPE:
		u->page = job_facts(u->job)->only ? UI_ENTER : UI_POINTS;
		break;
	}
}

static void
key_confirm(struct ui *u, int key)
{
	const struct machine_disk *d = ui_victim(u, u->confirmed);

	switch (key) {
	case KEYS_ESCAPE:
		u->page = UI_DISKS;
		return;
	case KEYS_ENTER:
		if (d == NULL || strcmp(u->typed, d->name) != 0) {
			u->typed[0] = '\0';
			return;
		}
		u->typed[0] = '\0';
		u->confirmed++;
		if (ui_victim(u, u->confirmed) == NULL) {
			u->page = UI_RUN;
			ui_begin(u, UI_RESTORE);
		}
		return;
	}
	edit(u->typed, sizeof(u->typed), key);
}

/* It has failed: nothing runs. */
static void
key_failed(struct ui *u, int key)
{
	if (key == KEYS_ENTER)
		ui_begin(u, UI_RESTORE);
	else if (key == KEYS_ESCAPE)
		u->page = UI_DISKS;
	else if (key == 's') {
		u->end = UI_END_SHELL;
		u->end_asked = 1;
	}
}

static void
key_done(struct ui *u, int key)
{
	if (key != KEYS_ENTER && key != 'p' && key != 's')
		return;
	u->end = key == 'p'   ? UI_END_POWEROFF
		 : key == 's' ? UI_END_SHELL
			      : UI_END_RESTORED;
	u->end_asked = 1;
}

/* While a task runs there is one thing to say: that it shall end. */
static void
key_busy(struct ui *u, int key)
{
	if (u->asks_abort) {
		u->asks_abort = 0;
		if (key == 'y')
			ui_abort(u);
	} else if (key == KEYS_ESCAPE || key == KEYS_INTERRUPT) {
		if (u->task == UI_RESTORE)
			u->asks_abort = 1;
		else
			ui_abort(u);
	}
}

void
ui_key(struct ui *u, int key)
{
	static void (*const pages[])(struct ui * u, int key) = { key_enter, key_points,
		key_disks, key_confirm, key_failed, key_done };

	if (key == KEYS_REDRAW)
		screen_forget(u->s);
	else if (u->task != UI_IDLE)
		key_busy(u, key);
	else
		pages[u->page](u, key);
}
