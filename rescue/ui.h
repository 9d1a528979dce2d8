/*
 * ui.h - a restore that a person leads: pages on a terminal.
 *
 *	server and token -> point -> disks -> confirm -> progress -> end
 *
 * Nothing is written before the name of every disk that will be overwritten has been
 * typed.
 */
#ifndef RESCUE_UI_H
#define RESCUE_UI_H

#include "rescue/cmdline.h"
#include "rescue/options.h"

struct err;

/* How it ended. */
enum ui_end { UI_END_RESTORED, UI_END_SHELL, UI_END_POWEROFF };

/*
 * Lead through a restore on standard input and output.  What the command line says
 * stands in the fields already.  ERR_IO: the terminal is gone.
 */
int ui_run(
    const struct options *o, const struct cmdline *c, enum ui_end *end, struct err *err);

#endif /* RESCUE_UI_H */
