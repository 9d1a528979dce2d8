/*
 * vss_slots.h - where each method stands that is called, in its interface's table.
 *
 * The documentation gives each method a page (learn.microsoft.com/windows/win32/ and what
 * stands beside it here), but its lists of methods are sorted by name; the place in the
 * table is the order of declaration in the Windows SDK's headers.  For each table two
 * transcripts of these that know nothing of each other were compared, method by method:
 * mingw-w64's (its own IDL) with winapi-rs 0.3.9 (um/vsbackup.rs, um/vswriter.rs,
 * um/vss.rs); of vsmgmt.h, which that does not have, IVssDifferentialSoftwareSnapshotMgmt
 * with Microsoft's windows-rs, made from the headers (Win32/Storage/Vss), the other two
 * with a public C# transcript only.  None of these classes has overloaded methods,
 * whose order C++ compilers choose; all of them begin with IUnknown.  vss_com_win32.c
 * holds the compiler's offsets against these numbers; the test double of vssapi.dll is
 * built from the numbers alone.
 *
 * Places 0 to 2 are IUnknown's everywhere: QueryInterface, AddRef, Release
 * (api/unknwn/nn-unknwn-iunknown).
 */
#ifndef AGENT_VSS_VSS_SLOTS_H
#define AGENT_VSS_VSS_SLOTS_H

/* clang-format off */
/*
 * IVssBackupComponents, a class of 48 methods after IUnknown's.
 * Pages: api/vsbackup/nf-vsbackup-ivssbackupcomponents-NAME
 */
#define VSS_SLOTS_BACKUP(X) \
	X(IVssBackupComponents, 5, InitializeForBackup) /* -initializeforbackup */ \
	X(IVssBackupComponents, 6, SetBackupState) /* -setbackupstate */ \
	X(IVssBackupComponents, 9, GatherWriterMetadata) /* -gatherwritermetadata */ \
	X(IVssBackupComponents, 10, GetWriterMetadataCount) /* -getwritermetadatacount */ \
	X(IVssBackupComponents, 11, GetWriterMetadata) /* -getwritermetadata */ \
	X(IVssBackupComponents, 12, FreeWriterMetadata) /* -freewritermetadata */ \
	X(IVssBackupComponents, 13, AddComponent) /* -addcomponent */ \
	X(IVssBackupComponents, 14, PrepareForBackup) /* -prepareforbackup */ \
	X(IVssBackupComponents, 15, AbortBackup) /* -abortbackup */ \
	X(IVssBackupComponents, 16, GatherWriterStatus) /* -gatherwriterstatus */ \
	X(IVssBackupComponents, 17, GetWriterStatusCount) /* -getwriterstatuscount */ \
	X(IVssBackupComponents, 18, FreeWriterStatus) /* -freewriterstatus */ \
	X(IVssBackupComponents, 19, GetWriterStatus) /* -getwriterstatus */ \
	X(IVssBackupComponents, 20, SetBackupSucceeded) /* -setbackupsucceeded */ \
	X(IVssBackupComponents, 27, BackupComplete) /* -backupcomplete */ \
	X(IVssBackupComponents, 35, SetContext) /* -setcontext */ \
	X(IVssBackupComponents, 36, StartSnapshotSet) /* -startsnapshotset */ \
	X(IVssBackupComponents, 37, AddToSnapshotSet) /* -addtosnapshotset */ \
	X(IVssBackupComponents, 38, DoSnapshotSet) /* -dosnapshotset */ \
	X(IVssBackupComponents, 39, DeleteSnapshots) /* -deletesnapshots */ \
	X(IVssBackupComponents, 42, GetSnapshotProperties) /* -getsnapshotproperties */ \
	X(IVssBackupComponents, 43, Query) /* -query */ \
	X(IVssBackupComponents, 44, IsVolumeSupported) /* -isvolumesupported */

/*
 * IVssExamineWriterMetadata: what a writer says of itself.
 * Pages: api/vsbackup/nf-vsbackup-ivssexaminewritermetadata-NAME
 */
#define VSS_SLOTS_EXAMINE(X) \
	X(IVssExamineWriterMetadata, 3, GetIdentity) /* -getidentity */ \
	X(IVssExamineWriterMetadata, 4, GetFileCounts) /* -getfilecounts */ \
	X(IVssExamineWriterMetadata, 7, GetComponent) /* -getcomponent */

/*
 * IVssWMComponent: one of its components.
 * Pages: api/vsbackup/nf-vsbackup-ivsswmcomponent-NAME
 */
#define VSS_SLOTS_COMPONENT(X) \
	X(IVssWMComponent, 3, GetComponentInfo) /* -getcomponentinfo */ \
	X(IVssWMComponent, 4, FreeComponentInfo) /* -freecomponentinfo */ \
	X(IVssWMComponent, 5, GetFile) /* -getfile */ \
	X(IVssWMComponent, 6, GetDatabaseFile) /* -getdatabasefile */ \
	X(IVssWMComponent, 7, GetDatabaseLogFile) /* -getdatabaselogfile */

/*
 * IVssWMFiledesc: files of a component.
 * Pages: api/vswriter/nf-vswriter-ivsswmfiledesc-NAME
 */
#define VSS_SLOTS_FILEDESC(X) \
	X(IVssWMFiledesc, 3, GetPath) /* -getpath */ \
	X(IVssWMFiledesc, 4, GetFilespec) /* -getfilespec */ \
	X(IVssWMFiledesc, 5, GetRecursive) /* -getrecursive */ \
	X(IVssWMFiledesc, 6, GetAlternateLocation) /* -getalternatelocation */

/*
 * IVssAsync: a call that goes on.
 * Pages: api/vss/nf-vss-ivssasync-NAME
 */
#define VSS_SLOTS_ASYNC(X) \
	X(IVssAsync, 3, Cancel) /* -cancel */ \
	X(IVssAsync, 4, Wait) /* -wait */ \
	X(IVssAsync, 5, QueryStatus) /* -querystatus */

/*
 * IVssEnumObject: shadow copies and providers.
 * Pages: api/vss/nf-vss-ivssenumobject-NAME
 */
#define VSS_SLOTS_ENUM(X) \
	X(IVssEnumObject, 3, Next) /* -next */

/*
 * IVssSnapshotMgmt: the way to a provider's management.
 * Pages: api/vsmgmt/nf-vsmgmt-ivsssnapshotmgmt-NAME
 */
#define VSS_SLOTS_MGMT(X) \
	X(IVssSnapshotMgmt, 3, GetProviderMgmtInterface) /* -getprovidermgmtinterface */

/*
 * IVssDifferentialSoftwareSnapshotMgmt: difference areas.
 * Pages: api/vsmgmt/nf-vsmgmt-ivssdifferentialsoftwaresnapshotmgmt-NAME
 */
#define VSS_SLOTS_DIFF(X) \
	/* -querydiffareasforvolume */ \
	X(IVssDifferentialSoftwareSnapshotMgmt, 6, QueryDiffAreasForVolume)

/*
 * IVssEnumMgmtObject
 * Pages: api/vsmgmt/nf-vsmgmt-ivssenummgmtobject-NAME
 */
#define VSS_SLOTS_ENUM_MGMT(X) \
	X(IVssEnumMgmtObject, 3, Next) /* -next */
/* clang-format on */

/* Of the whole table of IVssBackupComponents. */
#define VSS_SLOTS_BACKUP_COUNT 51

#endif /* AGENT_VSS_VSS_SLOTS_H */
