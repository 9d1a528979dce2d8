/*
 * ui_parts.h - the inside of the pages; for ui*.c only.
 *
 * The terminal's thread draws and takes keys; a task (one at a time) is a thread that
 * does a job's steps.  While it runs, the job is the task's alone.
 */
#ifndef RESCUE_UI_PARTS_H
#define RESCUE_UI_PARTS_H

#include <pthread.h>

#include "proto/base/err.h"
#include "rescue/job.h"
#include "rescue/screen.h"
#include "rescue/ui.h"

#define UI_POINTS_MAX 500u
#define UI_LINES 64u
#define UI_LINE_MAX 160u
#define UI_TYPED_MAX 72u

enum ui_page { UI_ENTER, UI_POINTS, UI_DISKS, UI_CONFIRM, UI_RUN, UI_DONE };
enum ui_task { UI_IDLE, UI_CONNECT, UI_LIST, UI_CHOOSE, UI_LOOK, UI_RESTORE };

struct ui_point {
	uint64_t sequence, bytes;
	int64_t time_us;
	char note[64];
};

/* What a task tells; guarded by `lock`. */
struct ui_news {
	pthread_mutex_t lock;
	int ended, rc;
	struct err why;
	char code[RESTORE_CODE_TEXT_MAX]; /* "": nobody is waited for. */
	int has_progress;
	struct job_progress progress;
	char name[LAYOUT_NAME_MAX], device[MACHINE_NAME_MAX + 8]; /* Of `progress`. */
	unsigned lines_count;
	char lines[UI_LINES][UI_LINE_MAX]; /* A ring. */
};

struct ui {
	const struct options *o;
	struct cmdline c;
	enum ui_page page;
	int end_asked; /* `end` is how. */
	enum ui_end end;
	struct screen *s;
	struct job *job;
	struct err why; /* The last failure; shown until something begins. */

	char server[CMDLINE_ADDRESS_MAX], token[CMDLINE_TOKEN_MAX];
	unsigned field; /* Of the first page: 0 server, 1 token. */
	unsigned points_count, point;
	struct ui_point points[UI_POINTS_MAX];
	unsigned disk;		  /* Of the point, where the cursor is. */
	char typed[UI_TYPED_MAX]; /* On the page that confirms. */
	unsigned confirmed;	  /* Disks whose names were typed. */
	int asks_abort;

	enum ui_task task;
	pthread_t thread;
	struct stop *stop;
	struct ui_news news;
};

/* ---------------------------------------------------------------- ui_draw.c -- */

/* Draw the page. */
void ui_draw(struct ui *u);

/* ---------------------------------------------------------------- ui_keys.c -- */

/* A key, enum keys_code. */
void ui_key(struct ui *u, int key);

/* The `n`-th disk of the machine that is to be overwritten, or NULL. */
const struct machine_disk *ui_victim(const struct ui *u, unsigned n);

/* ---------------------------------------------------------------- ui_task.c -- */

/* Begin it; nothing may be running. */
void ui_begin(struct ui *u, enum ui_task task);

/* Has it ended?  Then the page that follows is there. */
void ui_poll(struct ui *u);

/* Ask it to end, and wait for that. */
void ui_abort(struct ui *u);

#endif /* RESCUE_UI_PARTS_H */
