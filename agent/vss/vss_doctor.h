/*
 * vss_doctor.h - `vss doctor`: would a backup by VSS work here, and what to do if not.
 *
 * vss_doctor_look() asks the system (Windows); the judgement is portable.
 *
 *	vss_doctor_look -> vss_doctor_judge -> (print) -> vss_report_free
 */
#ifndef AGENT_VSS_VSS_DOCTOR_H
#define AGENT_VSS_VSS_DOCTOR_H

#include <stddef.h>
#include <stdint.h>

#include "agent/vss/vss.h"

struct err;

#define VSS_REPORT_MAX 512 /* Of each sort; what is more is not told. */
#define VSS_ADVICE_MAX 32

enum vss_service_state { VSS_SERVICE_ABSENT, VSS_SERVICE_STOPPED, VSS_SERVICE_RUNNING };

struct vss_report_service {
	char name[32];
	enum vss_service_state state;
	int disabled;
};

struct vss_report_provider {
	char id[39], name[128], version[64];
	int type; /* VSS_PROVIDER_TYPE: 1 system, 2 software, 3 hardware */
};

struct vss_report_writer {
	char id[39], name[96];
	int state; /* VSS_WRITER_STATE */
	vss_code failure;
	int database; /* As vss_is_database() has it. */
};

/* A shadow copy that there is. */
struct vss_report_copy {
	char id[39], volume[128];
	int64_t made_us;     /* Microseconds since 1970-01-01 UTC. */
	uint32_t attributes; /* VSS_VOLUME_SNAPSHOT_ATTRIBUTES */
};

/* Where the blocks of a volume's copies go; bytes. */
struct vss_report_area {
	char volume[128], on[128];
	uint64_t used, allocated, maximum; /* `maximum` UINT64_MAX: no limit. */
	uint64_t free, total;		   /* Of the volume that it is on. */
};

struct vss_advice {
	int bad; /* A backup would fail; else it may, one day. */
	char text[200];
};

struct vss_report {
	unsigned services_count, providers_count, writers_count, copies_count,
	    areas_count, advice_count;
	struct vss_report_service services[4];
	struct vss_report_provider providers[16];
	struct vss_report_writer writers[VSS_REPORT_MAX];
	struct vss_report_copy copies[VSS_REPORT_MAX];
	struct vss_report_area areas[VSS_REPORT_MAX];
	struct vss_advice advice[VSS_ADVICE_MAX];
	int64_t now_us;
	char trouble[240]; /* What kept VSS from answering; or "". */
	char areas_trouble[240];
};

/* Ask.  What does not answer is in `trouble`; ERR_UNSUPPORTED: no Windows. */
int vss_doctor_look(struct vss_report **out, struct err *err);

/* Add the advice; non-zero if a backup would fail. */
int vss_doctor_judge(struct vss_report *r);

/* Names of the databases' writers, joined: 1; 0: not all writers could be asked. */
int vss_doctor_databases(const struct vss_report *r, char *out, size_t cap);

void vss_report_free(struct vss_report *r);

#endif /* AGENT_VSS_VSS_DOCTOR_H */
