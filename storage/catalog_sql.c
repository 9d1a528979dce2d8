#include "storage/catalog_db.h"

/*
 * A table: its columns and what follows them.  `names` are its columns once more, in
 * the same order: the MAC is of them all (catalog_guard.c).
 */
#define TABLE(table, names, columns, end)                                              \
	"CREATE TABLE IF NOT EXISTS " table "(" columns ",mac BLOB AS(row_mac('" table \
	"'," names "))STORED" end ";"
#define KEY(columns) ",PRIMARY KEY(" columns "))"
#define ONLY_KEY(columns) KEY(columns) " WITHOUT ROWID"
#define INDEX(index, on) "CREATE INDEX IF NOT EXISTS " index " ON " on ";"

/* `live` is a database in memory beside the main one. */
/* clang-format off */
const char *const catalog_schema[] = {
    "CREATE TABLE IF NOT EXISTS applied(one INTEGER PRIMARY KEY CHECK(one=1),"
    " version INTEGER, store BLOB, offset INTEGER, sequence INTEGER, time_us INTEGER,"
    " hash BLOB, sum BLOB, mac BLOB);",
    TABLE("secrets",
	"name,wrapped",
	"name TEXT,wrapped BLOB",
	ONLY_KEY("name")),
    TABLE("peers",
	"name,role,grp,serial,key_hash,machine,revoked,enrolled_us,seen_us,cert_ends_us,"
	"program,alarm",
	"name TEXT,role INTEGER,grp TEXT,serial BLOB,key_hash BLOB,machine BLOB,"
	"revoked INTEGER,enrolled_us INTEGER,seen_us INTEGER,cert_ends_us INTEGER,"
	"program TEXT,alarm TEXT",
	ONLY_KEY("name")),
    INDEX("peers_key", "peers(key_hash)"),
    TABLE("certs",
	"serial,name,key_hash,revoked",
	"serial BLOB,name TEXT,key_hash BLOB,revoked INTEGER",
	ONLY_KEY("serial")),
    INDEX("certs_name", "certs(name)"),
    TABLE("tokens",
	"hash,uses_left,ends_us,grp,replace_host,networks",
	"hash BLOB,uses_left INTEGER,ends_us INTEGER,grp TEXT,replace_host TEXT,networks TEXT",
	ONLY_KEY("hash")),
    TABLE("enrolments",
	"token,name,key_hash,cert",
	"token BLOB,name TEXT,key_hash BLOB,cert BLOB",
	ONLY_KEY("token,name,key_hash")),
    TABLE("points",
	"host,sequence,time_us,record,logical,body,backup",
	"host TEXT,sequence INTEGER,time_us INTEGER,record BLOB,logical INTEGER,body BLOB,"
	"backup BLOB",
	KEY("host,sequence")),
    INDEX("points_backup", "points(host,backup) WHERE backup IS NOT NULL"),
    INDEX("points_time", "points(time_us)"),
    TABLE("volumes",
	"host,name,sequence,root_id,size,data",
	"host TEXT,name TEXT,sequence INTEGER,root_id BLOB,size INTEGER,data INTEGER",
	ONLY_KEY("host,name,sequence")),
    TABLE("records",
	"record,host",
	"record BLOB,host TEXT",
	ONLY_KEY("record")),
    TABLE("hosts",
	"name,points,point_us,sequence,head",
	"name TEXT,points INTEGER,point_us INTEGER,sequence INTEGER,head BLOB",
	ONLY_KEY("name")),
    TABLE("audit",
	"sequence,time_us,who,what",
	"sequence INTEGER PRIMARY KEY,time_us INTEGER,who TEXT,what TEXT",
	")"),
    TABLE("leases",
	"id,host,opened_us",
	"id INTEGER PRIMARY KEY,host TEXT,opened_us INTEGER",
	")"),
    TABLE("packs",
	"no,kind,chunks,groups,plain,stored,sealed",
	"no INTEGER PRIMARY KEY,kind INTEGER,chunks INTEGER,groups INTEGER,plain INTEGER,"
	"stored INTEGER,sealed INTEGER",
	")"),
    TABLE("removed",
	"no",
	"no INTEGER PRIMARY KEY",
	")"),
    TABLE("bad_groups",
	"pack,offset",
	"pack INTEGER,offset INTEGER",
	ONLY_KEY("pack,offset")),
    TABLE("notices",
	"kind,text,time_us,trusted_us",
	"kind INTEGER PRIMARY KEY,text TEXT,time_us INTEGER,trusted_us INTEGER",
	")"),
    TABLE("policies",
	"scope,name,who,since_us,last,hourly,daily,weekly,monthly,yearly,within_s,min_points,"
	"min_verified,verified_s",
	"scope INTEGER,name TEXT,who TEXT,since_us INTEGER,last INTEGER,hourly INTEGER,"
	"daily INTEGER,weekly INTEGER,monthly INTEGER,yearly INTEGER,within_s INTEGER,"
	"min_points INTEGER,min_verified INTEGER,verified_s INTEGER",
	ONLY_KEY("scope,name")),
    TABLE("holds",
	"host,sequence,who,reason,since_us",
	"host TEXT,sequence INTEGER,who TEXT,reason TEXT,since_us INTEGER",
	ONLY_KEY("host,sequence")),
    TABLE("locks",
	"host,sequence,until_us,who",
	"host TEXT,sequence INTEGER,until_us INTEGER,who TEXT",
	ONLY_KEY("host,sequence")),
    TABLE("verified",
	"host,sequence,when_us",
	"host TEXT,sequence INTEGER,when_us INTEGER",
	ONLY_KEY("host,sequence")),
    /* The last brake of a host; text '' once it is cleared. */
    TABLE("brakes",
	"host,sequence,who,text,since_us",
	"host TEXT,sequence INTEGER,who TEXT,text TEXT,since_us INTEGER",
	ONLY_KEY("host")),
    /* What a host's last backups were like; outlives the points. */
    TABLE("history",
	"host,sequence,logical,fresh,stored",
	"host TEXT,sequence INTEGER,logical INTEGER,fresh INTEGER,stored INTEGER",
	ONLY_KEY("host,sequence")),
    TABLE("escrows",
	"hash,time_us,kind,who",
	"hash BLOB,time_us INTEGER,kind INTEGER,who TEXT",
	ONLY_KEY("hash")),
    TABLE("checks",
	"pack,when_us",
	"pack INTEGER PRIMARY KEY,when_us INTEGER",
	")"),
    TABLE("hurt",
	"host,sequence,when_us,text",
	"host TEXT,sequence INTEGER,when_us INTEGER,text TEXT",
	ONLY_KEY("host,sequence")),
    /* Points that may not be what their volume was. */
    TABLE("suspects",
	"host,sequence,volume,when_us,text",
	"host TEXT,sequence INTEGER,volume TEXT,when_us INTEGER,text TEXT",
	ONLY_KEY("host,sequence,volume")),
    TABLE("restores",
	"id,host,who,by_mac,ether,token,lone,sequence,ends_us,made_us,state,machine,key_hash,"
	"serial,cert_ends_us,redeems,begun_us,ended_us,text",
	"id INTEGER PRIMARY KEY,host TEXT,who TEXT,by_mac INTEGER,ether BLOB,token BLOB,"
	"lone INTEGER,sequence INTEGER,ends_us INTEGER,made_us INTEGER,state INTEGER,"
	"machine BLOB,key_hash BLOB,serial BLOB,cert_ends_us INTEGER,redeems INTEGER,"
	"begun_us INTEGER,ended_us INTEGER,text TEXT",
	")"),
    INDEX("restores_host", "restores(host,sequence)"),
    INDEX("restores_token", "restores(token)"),
    INDEX("restores_serial", "restores(serial)"),
    "CREATE TABLE IF NOT EXISTS live.seen(name TEXT PRIMARY KEY, seen_us INTEGER,"
    " program TEXT) WITHOUT ROWID;",
    NULL
};
/* clang-format on */

/* clang-format off */
#define WIPE(table) "DELETE FROM main." table ";"
const char *const catalog_wipe[] = {
    WIPE("applied"),
    WIPE("secrets"),
    WIPE("peers"),
    WIPE("certs"),
    WIPE("tokens"),
    WIPE("enrolments"),
    WIPE("points"),
    WIPE("volumes"),
    WIPE("records"),
    WIPE("hosts"),
    WIPE("audit"),
    WIPE("leases"),
    WIPE("packs"),
    WIPE("removed"),
    WIPE("bad_groups"),
    WIPE("notices"),
    WIPE("policies"),
    WIPE("holds"),
    WIPE("locks"),
    WIPE("verified"),
    WIPE("brakes"),
    WIPE("history"),
    WIPE("escrows"),
    WIPE("checks"),
    WIPE("hurt"),
    WIPE("suspects"),
    WIPE("restores"),
    NULL
};
/* clang-format on */

#define PEER                                                                            \
	"SELECT "                                                                       \
	"p.name,p.role,p.grp,p.serial,p.key_hash,p.machine,p.revoked,p.enrolled_us,"    \
	"coalesce(s.seen_us,p.seen_us),p.cert_ends_us,coalesce(s.program,p.program),p." \
	"alarm,"                                                                        \
	"coalesce(h.points,0),coalesce(h.point_us,0)"
#define PEER_JOINS \
	" LEFT JOIN live.seen s ON s.name=p.name LEFT JOIN hosts h ON h.name=p.name"
#define POLICY                                                                    \
	"SELECT scope,name,who,since_us,last,hourly,daily,weekly,monthly,yearly," \
	"within_s,min_points,min_verified,verified_s FROM policies"
#define KEPT                                                                       \
	"SELECT p.sequence,p.time_us,h.who,h.reason,h.since_us,l.until_us,l.who,"  \
	"v.when_us,u.when_us,(SELECT max(iif(r.state=1,9223372036854775807,"       \
	"r.ends_us)) FROM restores r WHERE r.host=p.host AND r.sequence="          \
	"p.sequence AND r.state<2),(SELECT max(x.when_us) FROM suspects x WHERE "  \
	"x.host=p.host AND x.sequence=p.sequence)"                                 \
	" FROM points p LEFT JOIN holds h USING(host,sequence)"                    \
	" LEFT JOIN locks l USING(host,sequence) LEFT JOIN verified v USING(host," \
	"sequence) LEFT JOIN hurt u USING(host,sequence)"
#define POINT "SELECT time_us,record,body FROM points WHERE "
#define RESTORE                                                                      \
	"SELECT id,host,who,by_mac,ether,token,lone,sequence,ends_us,made_us,state," \
	"machine,key_hash,serial,cert_ends_us,redeems,begun_us,ended_us,text"        \
	" FROM restores WHERE "

/*
 * A table is written by its full name, main.TABLE, and read by its short one, which is
 * a view that checks each row.
 */
const char *const catalog_sql[CATALOG_OPS] = {
	[CATALOG_APPLIED_GET] = "SELECT * FROM main.applied",
	[CATALOG_APPLIED_SET] =
	    "INSERT OR REPLACE INTO main.applied VALUES(1,?1,?2,?3,?4,?5,?6,?7,?8)",
	[CATALOG_SECRET_SET] = "INSERT OR REPLACE INTO main.secrets VALUES(?1,?2)",
	[CATALOG_SECRET_GET] = "SELECT wrapped FROM secrets WHERE name=?1",
	/* The group of a known peer stays, and what was seen of it. */
	[CATALOG_PEER_SET] =
	    "INSERT INTO main.peers VALUES(?1,?2,?3,?4,?5,?6,0,?7,0,?8,?9,'')"
	    " ON CONFLICT(name) DO UPDATE SET role=?2,serial=?4,key_hash=?5,machine=?6,"
	    "revoked=0,cert_ends_us=?8,program=?9",
	[CATALOG_PEER_GROUP] =
	    "UPDATE main.peers SET grp=?2,enrolled_us=?3,alarm='' WHERE name=?1",
	[CATALOG_PEER_REVOKED] = "UPDATE main.peers SET revoked=1 WHERE name=?1",
	[CATALOG_PEER_ALARM] = "UPDATE main.peers SET alarm=?2 WHERE name=?1",
	[CATALOG_PEER_SEEN] = "UPDATE main.peers SET seen_us=?2,program=?3 WHERE name=?1",
	[CATALOG_PEER_BY_NAME] = PEER " FROM peers p" PEER_JOINS " WHERE p.name=?1",
	[CATALOG_PEER_BY_SERIAL] =
	    PEER ",c.revoked FROM certs c JOIN peers p ON p.name=c.name" PEER_JOINS
		 " WHERE c.serial=?1",
	[CATALOG_PEER_BY_KEY] =
	    PEER " FROM peers p" PEER_JOINS " WHERE p.key_hash=?1 AND p.name<>?2 LIMIT 1",
	[CATALOG_PEERS] =
	    PEER " FROM peers p" PEER_JOINS " WHERE p.name>?1 ORDER BY p.name LIMIT ?2",
	[CATALOG_LIVE_SET] = "INSERT OR REPLACE INTO live.seen VALUES(?1,?2,?3)",
	[CATALOG_LIVE_DUE] = "SELECT seen_us,program FROM peers WHERE name=?1",
	[CATALOG_CERT_SET] = "INSERT OR REPLACE INTO main.certs VALUES(?1,?2,?3,0)",
	[CATALOG_CERT_REVOKE_ALL] = "UPDATE main.certs SET revoked=1 WHERE name=?1",
	[CATALOG_CERT_REVOKE_OTHERS] =
	    "UPDATE main.certs SET revoked=1 WHERE name=?1 AND key_hash<>?2",
	[CATALOG_TOKEN_SET] =
	    "INSERT OR REPLACE INTO main.tokens VALUES(?1,?2,?3,?4,?5,?6)",
	[CATALOG_TOKEN_USED] =
	    "UPDATE main.tokens SET uses_left=max(uses_left-1,0) WHERE hash=?1",
	[CATALOG_TOKEN_GET] = "SELECT uses_left,ends_us,grp,replace_host,networks FROM "
			      "tokens WHERE hash=?1",
	[CATALOG_ENROLMENT_SET] =
	    "INSERT OR REPLACE INTO main.enrolments VALUES(?1,?2,?3,?4)",
	[CATALOG_ENROLMENT_GET] =
	    "SELECT cert FROM enrolments WHERE token=?1 AND name=?2 AND key_hash=?3",
	[CATALOG_POINT_SET] =
	    "INSERT OR REPLACE INTO main.points VALUES(?1,?2,?3,?4,?5,?6,?7)",
	[CATALOG_VOLUME_SET] =
	    "INSERT OR REPLACE INTO main.volumes VALUES(?1,?2,?3,?4,?5,?6)",
	[CATALOG_VOLUME_NEXT] = "SELECT name FROM volumes WHERE host=?1 AND name>?2"
				" ORDER BY name LIMIT 1",
	[CATALOG_VOLUME_POINT] =
	    "SELECT sequence FROM volumes WHERE host=?1 AND name=?2 AND sequence<=?3"
	    " ORDER BY sequence DESC LIMIT 1",
	[CATALOG_RECORD_SET] = "INSERT OR REPLACE INTO main.records VALUES(?1,?2)",
	[CATALOG_HEAD_SET] =
	    "INSERT INTO main.hosts VALUES(?1,1,?2,?3,?4) ON CONFLICT(name) DO UPDATE SET"
	    " points=points+1,point_us=?2,sequence=?3,head=?4",
	[CATALOG_HEAD_GET] = "SELECT sequence,head FROM hosts WHERE name=?1",
	[CATALOG_POINT_GET] = POINT "host=?1 AND sequence=?2",
	[CATALOG_POINT_OF_BACKUP] = POINT "host=?1 AND backup=?2",
	[CATALOG_POINT_NEWEST] = POINT "host=?1 ORDER BY sequence DESC LIMIT 1",
	[CATALOG_POINTS_HOST] =
	    POINT "host=?1 AND time_us<?2 ORDER BY sequence DESC LIMIT ?3",
	[CATALOG_POINTS_ALL] = POINT "time_us<?1 ORDER BY time_us DESC LIMIT ?2",
	[CATALOG_RECORD_GET] = "SELECT 1 FROM records WHERE record=?1 AND host=?2",
	[CATALOG_BASE_GET] =
	    "SELECT sequence,root_id FROM volumes WHERE host=?1 AND name=?2"
	    " ORDER BY sequence DESC LIMIT 1",
	[CATALOG_AUDIT_SET] = "INSERT OR REPLACE INTO main.audit VALUES(?1,?2,?3,?4)",
	[CATALOG_LEASE_SET] = "INSERT OR REPLACE INTO main.leases VALUES(?1,?2,?3)",
	[CATALOG_LEASE_DROP] = "DELETE FROM main.leases WHERE id=?1",
	[CATALOG_LEASES] =
	    "SELECT id FROM leases WHERE host=?1 AND id<>?2 ORDER BY id LIMIT ?3",
	[CATALOG_PACK_SET] =
	    "INSERT OR REPLACE INTO main.packs VALUES(?1,?2,?3,?4,?5,?6,?7)",
	[CATALOG_PACK_DROP] = "DELETE FROM main.packs WHERE no=?1",
	[CATALOG_PACKS_SEALED] =
	    "SELECT no,sealed FROM packs WHERE no>?1 ORDER BY no LIMIT ?2",
	[CATALOG_REMOVED_SET] = "INSERT OR REPLACE INTO main.removed VALUES(?1)",
	[CATALOG_REMOVED_GET] = "SELECT 1 FROM removed WHERE no=?1",
	[CATALOG_REMOVED_LAST] = "SELECT coalesce(max(no),0) FROM removed",
	[CATALOG_BAD_DROP_PACK] =
	    "DELETE FROM main.bad_groups WHERE pack=?1 AND offset<>0",
	[CATALOG_LEASES_ALL] =
	    "SELECT id,host,opened_us FROM leases WHERE id>?1 ORDER BY id LIMIT ?2",
	[CATALOG_PACKS] = "SELECT no,kind,chunks,groups,plain,stored FROM packs"
			  " WHERE no>?1 ORDER BY no LIMIT ?2",
	/* Not of a pack that is removed: who found it bad was slower than the collector.
	 * (Offset 0 is what recovery lost, which stays lost.) */
	[CATALOG_BAD_SET] =
	    "INSERT OR REPLACE INTO main.bad_groups SELECT ?1,?2 WHERE ?2=0 OR "
	    "NOT EXISTS(SELECT 1 FROM removed WHERE no=?1)",
	[CATALOG_BAD_DROP] = "DELETE FROM main.bad_groups WHERE pack=?1 AND offset=?2",
	[CATALOG_BAD_LIST] =
	    "SELECT pack,offset FROM bad_groups WHERE (pack,offset)>(?1,?2)"
	    " ORDER BY pack,offset LIMIT ?3",
	[CATALOG_NOTICE_SET] = "INSERT OR REPLACE INTO main.notices VALUES(?1,?2,?3,?4)",
	[CATALOG_NOTICE_GET] =
	    "SELECT text,time_us,trusted_us FROM notices WHERE kind=?1",
	/* Counted past the MACs: for people, and there may be many rows. */
	[CATALOG_STATS] = "SELECT (SELECT count(*) FROM peers WHERE role=1),"
			  "(SELECT count(*) FROM main.points),"
			  "(SELECT coalesce(sum(logical),0) FROM main.points),"
			  "coalesce(sum(plain),0),coalesce(sum(stored),0),"
			  "coalesce(sum(chunks),0),count(*) FROM main.packs",

	[CATALOG_POINT_DROP] = "DELETE FROM main.points WHERE host=?1 AND sequence=?2",
	[CATALOG_VOLUMES_DROP] = "DELETE FROM main.volumes WHERE host=?1 AND sequence=?2",
	[CATALOG_HOST_COUNT] =
	    "UPDATE main.hosts SET points=(SELECT count(*) FROM main.points WHERE "
	    "host=?1),"
	    "point_us=coalesce((SELECT time_us FROM points WHERE host=?1"
	    " ORDER BY sequence DESC LIMIT 1),0) WHERE name=?1",
	[CATALOG_POLICY_SET] = "INSERT OR REPLACE INTO main.policies"
			       " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	[CATALOG_POLICY_DROP] = "DELETE FROM main.policies WHERE scope=?1 AND name=?2",
	[CATALOG_POLICY_GET] = POLICY " WHERE scope=?1 AND name=?2",
	[CATALOG_POLICIES] =
	    POLICY " WHERE (scope,name)>(?1,?2) ORDER BY scope,name LIMIT ?3",
	[CATALOG_HOLD_SET] = "INSERT OR REPLACE INTO main.holds VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_HOLD_DROP] = "DELETE FROM main.holds WHERE host=?1 AND sequence=?2",
	/* However records came to be in the journal: no lock is ever shortened. */
	[CATALOG_LOCK_SET] = "INSERT INTO main.locks VALUES(?1,?2,?3,?4) ON "
			     "CONFLICT(host,sequence) DO UPDATE"
			     " SET until_us=?3,who=?4 WHERE until_us<?3",
	[CATALOG_LOCK_DROP] = "DELETE FROM main.locks WHERE host=?1 AND sequence=?2",
	[CATALOG_VERIFIED_SET] =
	    "INSERT OR REPLACE INTO main.verified SELECT ?1,?2,?3 WHERE EXISTS"
	    "(SELECT 1 FROM points WHERE host=?1 AND sequence=?2)",
	[CATALOG_VERIFIED_DROP] =
	    "DELETE FROM main.verified WHERE host=?1 AND sequence=?2",
	[CATALOG_BRAKE_SET] = "INSERT OR REPLACE INTO main.brakes VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_BRAKE_GET] =
	    "SELECT sequence,who,text,since_us FROM brakes WHERE host=?1",
	[CATALOG_HISTORY_SET] =
	    "INSERT OR REPLACE INTO main.history VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_HISTORY_TRIM] =
	    "DELETE FROM main.history WHERE host=?1 AND sequence<=?2",
	[CATALOG_HISTORY] = "SELECT sequence,logical,fresh,stored FROM history"
			    " WHERE host=?1 ORDER BY sequence LIMIT ?2",
	[CATALOG_KEPT] = KEPT " WHERE p.host=?1 AND p.sequence>?2 ORDER BY p.sequence"
			      " LIMIT ?3",
	[CATALOG_KEPT_ONE] = KEPT " WHERE p.host=?1 AND p.sequence=?2",
	[CATALOG_ESCROW_SET] = "INSERT OR REPLACE INTO main.escrows VALUES(?1,?2,?3,?4)",
	[CATALOG_ESCROW_GET] = "SELECT time_us,kind,who FROM escrows WHERE hash=?1",
	[CATALOG_HOSTS] = "SELECT name FROM hosts WHERE name>?1 ORDER BY name LIMIT ?2",
	[CATALOG_CHECK_SET] = "INSERT OR REPLACE INTO main.checks VALUES(?1,?2)",
	[CATALOG_CHECKS] =
	    "SELECT p.no,coalesce(k.when_us,0) w FROM packs p"
	    " LEFT JOIN checks k ON k.pack=p.no WHERE w<?1 AND (w,p.no)>(?2,?3)"
	    " ORDER BY w,p.no LIMIT ?4",
	[CATALOG_HURT_SET] =
	    "INSERT OR REPLACE INTO main.hurt SELECT ?1,?2,?3,?4 WHERE EXISTS"
	    "(SELECT 1 FROM points WHERE host=?1 AND sequence=?2)",
	[CATALOG_HURT_DROP] = "DELETE FROM main.hurt WHERE host=?1 AND sequence=?2",
	[CATALOG_HURT_GET] = "SELECT text FROM hurt WHERE host=?1 AND sequence=?2",
	[CATALOG_HURT_COUNT] = "SELECT count(*) FROM hurt WHERE host=?1",
	[CATALOG_SUSPECT_SET] =
	    "INSERT OR REPLACE INTO main.suspects SELECT host,sequence,name,?5,?6 FROM "
	    "volumes WHERE host=?1 AND name=?2 AND sequence>?3 AND sequence<=?4",
	[CATALOG_SUSPECT_END] =
	    "DELETE FROM main.suspects WHERE host=?1 AND volume=?2 AND sequence>?3 AND "
	    "sequence<=?4",
	[CATALOG_SUSPECT_DROP] =
	    "DELETE FROM main.suspects WHERE host=?1 AND sequence=?2",
	[CATALOG_SUSPECT_GET] =
	    "SELECT volume,text FROM suspects WHERE host=?1 AND sequence=?2 LIMIT 1",
	[CATALOG_GROUPS] =
	    "SELECT grp FROM peers WHERE grp>?1 UNION SELECT grp FROM tokens WHERE "
	    "grp>?1 AND ends_us>?2 AND uses_left>0 ORDER BY grp LIMIT ?3",
	[CATALOG_SUSPECTS] =
	    "SELECT count(DISTINCT sequence),min(sequence),max(sequence),"
	    "min(when_us) FROM suspects WHERE host=?1",
	[CATALOG_SUSPECT_NEW] =
	    "SELECT count(*) FROM volumes v WHERE v.host=?1 AND v.name=?2 AND "
	    "v.sequence>?3 AND v.sequence<=?4 AND NOT EXISTS(SELECT 1 FROM suspects s "
	    "WHERE s.host=v.host AND s.sequence=v.sequence AND s.volume=v.name)",
	[CATALOG_RESTORE_SET] =
	    "INSERT OR REPLACE INTO main.restores VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
	    "0,zeroblob(32),zeroblob(32),zeroblob(16),0,0,0,0,'')",
	/* However records came to be in the journal: what is over stays over. */
	[CATALOG_RESTORE_REDEEMED] =
	    "UPDATE main.restores SET state=1,machine=?2,key_hash=?3,serial=?4,"
	    "cert_ends_us=?5,sequence=?6,redeems=redeems+(?4<>zeroblob(16)),"
	    "begun_us=iif(begun_us=0,?7,begun_us) WHERE id=?1 AND state<2",
	[CATALOG_RESTORE_OVER] =
	    "UPDATE main.restores SET state=?2,ended_us=?3,text=?4 WHERE id=?1 AND "
	    "state<2",
	[CATALOG_RESTORE_BY_ID] = RESTORE "id=?1",
	[CATALOG_RESTORE_BY_TOKEN] = RESTORE "token=?1 AND by_mac=0",
	[CATALOG_RESTORE_BY_SERIAL] = RESTORE "serial=?1 AND serial<>zeroblob(16)",
	[CATALOG_RESTORE_BY_KEY] =
	    RESTORE "state=1 AND by_mac=1 AND key_hash=?1 ORDER BY id DESC LIMIT 1",
	/* What may still begin, or has begun. */
	[CATALOG_RESTORE_BY_MAC] =
	    RESTORE "by_mac=1 AND ether=?1 AND (state=1 OR "
		    "(state=0 AND ends_us>?2)) ORDER BY id LIMIT 1",
	[CATALOG_RESTORES] = RESTORE "id>?1 ORDER BY id LIMIT ?2",
	[CATALOG_RESTORES_COUNT] =
	    "SELECT count(*),coalesce(sum(host=?1),0) FROM restores WHERE state=1 OR "
	    "(state=0 AND ends_us>?2)",
};
