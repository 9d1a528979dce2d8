#include "agent/host/place_acl_win32.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/winapi.h"

/* Names of the well-known: learn.microsoft.com/windows/win32/secauthz/sid-strings. */
#define OURS L"(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
#define PRIVATE L"O:BAG:BAD:P" OURS
#define NOT_YET L"O:BAG:BAD:" OURS
#define TRUSTED_INSTALLER \
	L"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
#define OWNER_RIGHTS L"S-1-3-4"

static int
is_sid(PSID sid, const wchar_t *text)
{
	PSID other = NULL;
	int same;

	if (!ConvertStringSidToSidW(text, &other))
		return 0;
	same = EqualSid(sid, other);
	LocalFree(other);
	return same;
}

static int
is_us(PSID sid)
{
	union {
		TOKEN_USER user;
		BYTE bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} u;
	HANDLE token;
	DWORD len;
	int same;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return 0;
	same = GetTokenInformation(token, TokenUser, &u, sizeof(u), &len) &&
	       EqualSid(sid, u.user.User.Sid);
	CloseHandle(token);
	return same;
}

int
place_acl_trusted(PSID sid, int strictly)
{
	return IsWellKnownSid(sid, WinLocalSystemSid) ||
	       IsWellKnownSid(sid, WinBuiltinAdministratorsSid) ||
	       is_sid(sid, TRUSTED_INSTALLER) || is_sid(sid, OWNER_RIGHTS) ||
	       (!strictly && is_us(sid));
}

void
place_acl_name(PSID sid, char out[PLACE_ACL_WHO_MAX])
{
	wchar_t name[256], domain[256], both[520], *text = NULL;
	DWORD n = 256, d = 256;
	SID_NAME_USE use;
	char *utf8 = NULL;

	if (LookupAccountSidW(NULL, sid, name, &n, domain, &d, &use)) {
		wcscpy(both, domain);
		if (domain[0] != L'\0')
			wcscat(both, L"\\");
		wcscat(both, name);
		utf8 = winapi_utf8(both);
	} else if (ConvertSidToStringSidW(sid, &text)) {
		utf8 = winapi_utf8(text);
		LocalFree(text);
	}
	(void)snprintf(out, PLACE_ACL_WHO_MAX, "%s", utf8 != NULL ? utf8 : "somebody");
	free(utf8);
}

/* The rights of a file that generic ones stand for. */
static DWORD
mapped(DWORD mask)
{
	GENERIC_MAPPING m = { FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE,
		FILE_ALL_ACCESS };

	MapGenericMask(&mask, &m);
	return mask;
}

/*
 * Who has one of `mask` and should not; NULL: nobody.  What is denied is not weighed
 * against it: who should have nothing needs no entry.
 */
static PSID
find_other(PACL acl, DWORD mask, unsigned which)
{
	ACE_HEADER *h;

	for (DWORD i = 0; i < acl->AceCount; i++) {
		ACCESS_ALLOWED_ACE *ace;

		if (!GetAce(acl, i, (void **)&h))
			continue;
		if (h->AceType != ACCESS_ALLOWED_ACE_TYPE &&
		    h->AceType != ACCESS_ALLOWED_CALLBACK_ACE_TYPE)
			continue;
		if ((h->AceFlags & INHERIT_ONLY_ACE) != 0 &&
		    (which & PLACE_ACL_BELOW) == 0)
			continue;
		if ((h->AceFlags & INHERITED_ACE) != 0 && (which & PLACE_ACL_OWN) != 0)
			continue;
		ace = (ACCESS_ALLOWED_ACE *)h;
		if ((mapped(ace->Mask) & mask) == 0)
			continue;
		if (!place_acl_trusted(&ace->SidStart, 0) &&
		    !IsWellKnownSid(&ace->SidStart, WinCreatorOwnerSid))
			return &ace->SidStart;
	}
	return NULL;
}

int
place_acl_look(HANDLE h, DWORD mask, unsigned which, enum place_acl_end *out,
    char who[PLACE_ACL_WHO_MAX], struct err *err)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	PSID owner = NULL, other;
	PACL acl = NULL;
	DWORD os;

	os = GetSecurityInfo(h, SE_FILE_OBJECT,
	    OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner, NULL, &acl,
	    NULL, &sd);
	if (os != ERROR_SUCCESS)
		return winapi_err(err, os, "access list");
	*out = PLACE_ACL_FINE;
	who[0] = '\0';
	if (owner == NULL || !place_acl_trusted(owner, 0)) {
		*out = PLACE_ACL_OWNER;
		if (owner != NULL)
			place_acl_name(owner, who);
	} else if (acl == NULL) {
		*out = PLACE_ACL_OTHERS;
		strcpy(who, "everybody (no access list)");
	} else if ((other = find_other(acl, mask, which)) != NULL) {
		*out = PLACE_ACL_OTHERS;
		place_acl_name(other, who);
	}
	LocalFree(sd);
	return 0;
}

int
place_acl_official(HANDLE h)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	PSID owner = NULL;
	int is;

	is = GetSecurityInfo(h, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL,
		 NULL, NULL, &sd) == ERROR_SUCCESS &&
	     owner != NULL && place_acl_trusted(owner, 1);
	LocalFree(sd);
	return is;
}

int
place_acl_protected(HANDLE h)
{
	SECURITY_DESCRIPTOR_CONTROL control = 0;
	PSECURITY_DESCRIPTOR sd = NULL;
	DWORD revision;
	int is = 0;

	if (GetSecurityInfo(h, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL,
		NULL, NULL, &sd) == ERROR_SUCCESS)
		is = GetSecurityDescriptorControl(sd, &control, &revision) &&
		     (control & SE_DACL_PROTECTED) != 0;
	LocalFree(sd);
	return is;
}

static PSECURITY_DESCRIPTOR
descriptor(const wchar_t *text)
{
	PSECURITY_DESCRIPTOR sd = NULL;

	return ConvertStringSecurityDescriptorToSecurityDescriptorW(
		   text, SDDL_REVISION_1, &sd, NULL)
		   ? sd
		   : NULL;
}

PSECURITY_DESCRIPTOR
place_acl_private(void)
{
	return descriptor(PRIVATE);
}

DWORD
place_acl_close(HANDLE h)
{
	PSECURITY_DESCRIPTOR sd = descriptor(NOT_YET);
	DWORD os = ERROR_SUCCESS;

	if (sd == NULL)
		return GetLastError();
	if (!SetKernelObjectSecurity(
		h, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, sd))
		os = GetLastError();
	LocalFree(sd);
	return os;
}

DWORD
place_acl_set_private(HANDLE h)
{
	PSECURITY_DESCRIPTOR sd = place_acl_private();
	BOOL present, defaulted;
	PSID owner = NULL;
	PACL acl = NULL;
	DWORD os;

	if (sd == NULL)
		return GetLastError();
	if (!GetSecurityDescriptorOwner(sd, &owner, &defaulted) ||
	    !GetSecurityDescriptorDacl(sd, &present, &acl, &defaulted))
		os = GetLastError();
	else
		os = SetSecurityInfo(h, SE_FILE_OBJECT,
		    OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION |
			PROTECTED_DACL_SECURITY_INFORMATION,
		    owner, NULL, acl, NULL);
	LocalFree(sd);
	return os;
}
