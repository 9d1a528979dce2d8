/*
 * vssapi_double.h - what stands in for vssapi.dll, and what it tells its tests.
 *
 * It is told what to do by variables of the environment, read at
 * CreateVssBackupComponentsInternal():
 *
 * VSSD_LOG=FILE		append each call's name
 * VSSD_FAIL=N:HRESULT[:async]	the N-th call since the reset, or its async, ends so
 * VSSD_VETO=PHASE:HRESULT	SqlServerWriter fails after PrepareForBackup,
 *				DoSnapshotSet or BackupComplete
 * VSSD_PENDING=N		an async ends when it was asked about N times; -1: never
 * VSSD_COPY_S=PATH ...		the device object of drive S's shadow copy
 * VSSD_LOST=N			copies of the first N sets are not known any more once
 *				each was asked for
 * VSSD_GATE=CALL:FILE		the async that CALL begins goes on while FILE exists
 */
#ifndef TESTS_WINDOWS_VSSAPI_DOUBLE_H
#define TESTS_WINDOWS_VSSAPI_DOUBLE_H

/* What is alive, and what was wrong; all zero but `calls` once a backup is over. */
struct vssd_ledger {
	unsigned calls; /* Since the reset. */
	int begins;	/* The one that was to fail begins an async. */
	int sets;	/* Of shadow copies. */
	int objects;	/* Of COM, by their references. */
	int loans;	/* Structures that have to be given back. */
	int broken;	/* Rules of the documentation. */
	int aborted, completed;
	char last[48];	/* Call. */
	char rule[160]; /* The first that was broken. */
};

/* Exported as VssDoubleLedger and VssDoubleReset. */
typedef void(__stdcall *vssd_ledger_fn)(struct vssd_ledger *out);
typedef void(__stdcall *vssd_reset_fn)(void);

#endif /* TESTS_WINDOWS_VSSAPI_DOUBLE_H */
