/*
 * vss_com.h - VSS's calls through its COM interfaces.  Windows only.
 *
 * All of it belongs on a thread that holds COM (com_thread.h).  vssapi.dll is loaded when
 * it is first needed, from the system's directory: a Windows without VSS (or Wine) has
 * the agent run, and says so when VSS is asked for.
 */
#ifndef AGENT_VSS_VSS_COM_H
#define AGENT_VSS_VSS_COM_H

#include "agent/vss/vss.h"
#include "agent/vss/vss_doctor.h"

struct err;

/* One IVssBackupComponents and what it gave. */
struct vss_com;

/* The calls; `arg` is a struct vss_com. */
extern const struct vss_ops vss_com_ops;

/* ERR_UNSUPPORTED: no vssapi.dll, or not its entry points. */
int vss_com_new(struct vss_com **out, struct err *err);

/* Releases everything.  NULL is allowed. */
void vss_com_free(struct vss_com *c);

/* A volume's name as VSS wants it, "\\?\Volume{...}\" or "S:\": of any path on it. */
int vss_com_volume(const char *path, char *out, size_t cap, struct err *err);

/* Non-zero if the running system lies on this volume. */
int vss_com_boots(const char *volume);

/* When the copy was made that device() was asked of last, as vss_com_time(). */
int64_t vss_com_made(const struct vss_com *c);

/* Microseconds since 1970-01-01 UTC of 100 ns since 1601. */
int64_t vss_com_time(int64_t filetime);

/* Call `fn` for all that there are; needs `create`, `init` and VSS_CTX_ALL before. */
vss_code vss_com_copies(struct vss_com *c,
    void (*fn)(void *arg, const struct vss_report_copy *copy), void *arg);
vss_code vss_com_providers(struct vss_com *c,
    void (*fn)(void *arg, const struct vss_report_provider *provider), void *arg);

/* The difference areas of Windows' own provider, at most `cap`. */
int vss_com_areas(
    struct vss_report_area *out, unsigned cap, unsigned *count, struct err *err);

#endif /* AGENT_VSS_VSS_COM_H */
