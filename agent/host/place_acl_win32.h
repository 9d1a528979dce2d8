/*
 * place_acl_win32.h - owner and access list of a file or directory; for place_win32.c.
 *
 * Trusted are SYSTEM, Administrators, TrustedInstaller, and who runs this program: what
 * he may change he can hurt himself with only.  The service runs as SYSTEM, so there
 * that is nobody more.
 */
#ifndef AGENT_HOST_PLACE_ACL_WIN32_H
#define AGENT_HOST_PLACE_ACL_WIN32_H

#include <windows.h>

struct err;

#define PLACE_ACL_WHO_MAX 160

/* Non-zero if `sid` is trusted; by `strictly` who runs this program does not count. */
int place_acl_trusted(PSID sid, int strictly);

/* Does it belong to somebody who is trusted strictly? */
int place_acl_official(HANDLE h);

/* "DOMAIN\name", or the SID in letters. */
void place_acl_name(PSID sid, char out[PLACE_ACL_WHO_MAX]);

/*
 * Does the object behind `h` (opened with READ_CONTROL) belong to somebody trusted, and
 * is none of the rights in `mask` (of a file object, no generic ones) given to others?
 * 0; *out tells which, `who` whose it is or who has them.  -1 with `err` set if it cannot
 * be told.
 */
enum place_acl_end { PLACE_ACL_FINE, PLACE_ACL_OWNER, PLACE_ACL_OTHERS };

#define PLACE_ACL_BELOW 1u /* Count entries for what will be made below, too. */
#define PLACE_ACL_OWN 2u   /* Do not count what it has from the directory above. */

int place_acl_look(HANDLE h, DWORD mask, unsigned which, enum place_acl_end *out,
    char who[PLACE_ACL_WHO_MAX], struct err *err);

/* Does its access list take nothing from the directory above? */
int place_acl_protected(HANDLE h);

/* SYSTEM and Administrators all, others nothing, owner Administrators; LocalFree(). */
PSECURITY_DESCRIPTOR place_acl_private(void);

/*
 * Give it that (opened with WRITE_DAC and WRITE_OWNER too).  SetSecurityInfo() passes it
 * on to what lies below, which must be known to be ours by then: so first _close(), that
 * touches nothing else and leaves it unprotected, as a sign that this is not done.
 */
DWORD place_acl_close(HANDLE h);
DWORD place_acl_set_private(HANDLE h);

#endif /* AGENT_HOST_PLACE_ACL_WIN32_H */
