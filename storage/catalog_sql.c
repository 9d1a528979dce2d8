#include "storage/catalog_db.h"

/* `live` is a database in memory beside the main one. */
const char catalog_schema[] =
    "CREATE TABLE IF NOT EXISTS applied(one INTEGER PRIMARY KEY CHECK(one=1),"
    " version INTEGER, store BLOB, offset INTEGER, sequence INTEGER, time_us INTEGER,"
    " hash BLOB);"
    "CREATE TABLE IF NOT EXISTS secrets(name TEXT PRIMARY KEY, wrapped BLOB) WITHOUT "
    "ROWID;"
    "CREATE TABLE IF NOT EXISTS peers(name TEXT PRIMARY KEY, role INTEGER, grp TEXT,"
    " serial BLOB, key_hash BLOB, machine BLOB, revoked INTEGER, enrolled_us INTEGER,"
    " seen_us INTEGER, cert_ends_us INTEGER, program TEXT, alarm TEXT) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS peers_key ON peers(key_hash);"
    "CREATE TABLE IF NOT EXISTS certs(serial BLOB PRIMARY KEY, name TEXT, key_hash BLOB,"
    " revoked INTEGER) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS certs_name ON certs(name);"
    "CREATE TABLE IF NOT EXISTS tokens(hash BLOB PRIMARY KEY, uses_left INTEGER,"
    " ends_us INTEGER, grp TEXT, replace_host TEXT, networks TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS enrolments(token BLOB, name TEXT, key_hash BLOB, cert "
    "BLOB,"
    " PRIMARY KEY(token,name,key_hash)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS points(host TEXT, sequence INTEGER, time_us INTEGER,"
    " record BLOB, logical INTEGER, body BLOB, backup BLOB,"
    " PRIMARY KEY(host,sequence));"
    "CREATE INDEX IF NOT EXISTS points_backup ON points(host,backup)"
    " WHERE backup IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS points_time ON points(time_us);"
    "CREATE TABLE IF NOT EXISTS volumes(host TEXT, name TEXT, sequence INTEGER,"
    " root_id BLOB, size INTEGER, data INTEGER, PRIMARY KEY(host,name,sequence))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS records(record BLOB PRIMARY KEY, host TEXT) WITHOUT "
    "ROWID;"
    "CREATE TABLE IF NOT EXISTS hosts(name TEXT PRIMARY KEY, points INTEGER,"
    " point_us INTEGER, sequence INTEGER, head BLOB) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS audit(sequence INTEGER PRIMARY KEY, time_us INTEGER,"
    " who TEXT, what TEXT);"
    "CREATE TABLE IF NOT EXISTS leases(id INTEGER PRIMARY KEY, host TEXT,"
    " opened_us INTEGER);"
    "CREATE TABLE IF NOT EXISTS packs(no INTEGER PRIMARY KEY, kind INTEGER,"
    " chunks INTEGER, groups INTEGER, plain INTEGER, stored INTEGER);"
    "CREATE TABLE IF NOT EXISTS bad_groups(pack INTEGER, offset INTEGER,"
    " PRIMARY KEY(pack,offset)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS notices(kind INTEGER PRIMARY KEY, text TEXT,"
    " time_us INTEGER, trusted_us INTEGER);"
    "CREATE TABLE IF NOT EXISTS policies(scope INTEGER, name TEXT, who TEXT,"
    " since_us INTEGER, last INTEGER, hourly INTEGER, daily INTEGER, weekly INTEGER,"
    " monthly INTEGER, yearly INTEGER, within_s INTEGER, min_points INTEGER,"
    " min_verified INTEGER, verified_s INTEGER, PRIMARY KEY(scope,name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS holds(host TEXT, sequence INTEGER, who TEXT,"
    " reason TEXT, since_us INTEGER, PRIMARY KEY(host,sequence)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS locks(host TEXT, sequence INTEGER, until_us INTEGER,"
    " who TEXT, PRIMARY KEY(host,sequence)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS verified(host TEXT, sequence INTEGER, when_us INTEGER,"
    " PRIMARY KEY(host,sequence)) WITHOUT ROWID;"
    /* The last brake of a host; text '' once it is cleared. */
    "CREATE TABLE IF NOT EXISTS brakes(host TEXT PRIMARY KEY, sequence INTEGER,"
    " who TEXT, text TEXT, since_us INTEGER) WITHOUT ROWID;"
    /* What a host's last backups were like; outlives the points. */
    "CREATE TABLE IF NOT EXISTS history(host TEXT, sequence INTEGER, logical INTEGER,"
    " fresh INTEGER, stored INTEGER, PRIMARY KEY(host,sequence)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS escrows(hash BLOB PRIMARY KEY, time_us INTEGER,"
    " kind INTEGER, who TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS live.seen(name TEXT PRIMARY KEY, seen_us INTEGER,"
    " program TEXT) WITHOUT ROWID;";

const char catalog_wipe[] =
    "DELETE FROM applied; DELETE FROM secrets; DELETE FROM peers; DELETE FROM certs;"
    "DELETE FROM tokens; DELETE FROM enrolments; DELETE FROM points; DELETE FROM volumes;"
    "DELETE FROM records; DELETE FROM hosts; DELETE FROM audit; DELETE FROM leases;"
    "DELETE FROM packs; DELETE FROM bad_groups; DELETE FROM notices;"
    "DELETE FROM policies; DELETE FROM holds;"
    "DELETE FROM locks; DELETE FROM verified; DELETE FROM brakes; DELETE FROM history;"
    "DELETE FROM escrows;";

#define PEER                                                                            \
	"SELECT "                                                                       \
	"p.name,p.role,p.grp,p.serial,p.key_hash,p.machine,p.revoked,p.enrolled_us,"    \
	"coalesce(s.seen_us,p.seen_us),p.cert_ends_us,coalesce(s.program,p.program),p." \
	"alarm,"                                                                        \
	"coalesce(h.points,0),coalesce(h.point_us,0)"
#define PEER_JOINS \
	" LEFT JOIN live.seen s ON s.name=p.name LEFT JOIN hosts h ON h.name=p.name"
#define POLICY                                                                   \
	"SELECT scope,name,who,since_us,last,hourly,daily,weekly,monthly,yearly," \
	"within_s,min_points,min_verified,verified_s FROM policies"
#define KEPT                                                                          \
	"SELECT p.sequence,p.time_us,h.who,h.reason,h.since_us,l.until_us,l.who,"     \
	"v.when_us FROM points p LEFT JOIN holds h USING(host,sequence)"              \
	" LEFT JOIN locks l USING(host,sequence) LEFT JOIN verified v USING(host,"    \
	"sequence)"
#define POINT "SELECT time_us,record,body FROM points WHERE "

const char *const catalog_sql[CATALOG_OPS] = {
	[CATALOG_APPLIED_GET] =
	    "SELECT version,store,offset,sequence,time_us,hash FROM applied",
	[CATALOG_APPLIED_SET] =
	    "INSERT OR REPLACE INTO applied VALUES(1,?1,?2,?3,?4,?5,?6)",
	[CATALOG_SECRET_SET] = "INSERT OR REPLACE INTO secrets VALUES(?1,?2)",
	[CATALOG_SECRET_GET] = "SELECT wrapped FROM secrets WHERE name=?1",
	/* The group of a known peer stays, and what was seen of it. */
	[CATALOG_PEER_SET] =
	    "INSERT INTO peers VALUES(?1,?2,?3,?4,?5,?6,0,?7,0,?8,?9,'')"
	    " ON CONFLICT(name) DO UPDATE SET role=?2,serial=?4,key_hash=?5,machine=?6,"
	    "revoked=0,cert_ends_us=?8,program=?9",
	[CATALOG_PEER_GROUP] =
	    "UPDATE peers SET grp=?2,enrolled_us=?3,alarm='' WHERE name=?1",
	[CATALOG_PEER_REVOKED] = "UPDATE peers SET revoked=1 WHERE name=?1",
	[CATALOG_PEER_ALARM] = "UPDATE peers SET alarm=?2 WHERE name=?1",
	[CATALOG_PEER_SEEN] = "UPDATE peers SET seen_us=?2,program=?3 WHERE name=?1",
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
	[CATALOG_CERT_SET] = "INSERT OR REPLACE INTO certs VALUES(?1,?2,?3,0)",
	[CATALOG_CERT_REVOKE_ALL] = "UPDATE certs SET revoked=1 WHERE name=?1",
	[CATALOG_CERT_REVOKE_OTHERS] =
	    "UPDATE certs SET revoked=1 WHERE name=?1 AND key_hash<>?2",
	[CATALOG_TOKEN_SET] = "INSERT OR REPLACE INTO tokens VALUES(?1,?2,?3,?4,?5,?6)",
	[CATALOG_TOKEN_USED] =
	    "UPDATE tokens SET uses_left=max(uses_left-1,0) WHERE hash=?1",
	[CATALOG_TOKEN_GET] = "SELECT uses_left,ends_us,grp,replace_host,networks FROM "
			      "tokens WHERE hash=?1",
	[CATALOG_ENROLMENT_SET] = "INSERT OR REPLACE INTO enrolments VALUES(?1,?2,?3,?4)",
	[CATALOG_ENROLMENT_GET] =
	    "SELECT cert FROM enrolments WHERE token=?1 AND name=?2 AND key_hash=?3",
	[CATALOG_POINT_SET] =
	    "INSERT OR REPLACE INTO points VALUES(?1,?2,?3,?4,?5,?6,?7)",
	[CATALOG_VOLUME_SET] = "INSERT OR REPLACE INTO volumes VALUES(?1,?2,?3,?4,?5,?6)",
	[CATALOG_RECORD_SET] = "INSERT OR REPLACE INTO records VALUES(?1,?2)",
	[CATALOG_HEAD_SET] =
	    "INSERT INTO hosts VALUES(?1,1,?2,?3,?4) ON CONFLICT(name) DO UPDATE SET"
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
	[CATALOG_AUDIT_SET] = "INSERT OR REPLACE INTO audit VALUES(?1,?2,?3,?4)",
	[CATALOG_LEASE_SET] = "INSERT OR REPLACE INTO leases VALUES(?1,?2,?3)",
	[CATALOG_LEASE_DROP] = "DELETE FROM leases WHERE id=?1",
	[CATALOG_LEASES] =
	    "SELECT id FROM leases WHERE host=?1 AND id<>?2 ORDER BY id LIMIT ?3",
	[CATALOG_PACK_SET] = "INSERT OR REPLACE INTO packs VALUES(?1,?2,?3,?4,?5,?6)",
	[CATALOG_PACKS] = "SELECT no,kind,chunks,groups,plain,stored FROM packs"
			  " WHERE no>?1 ORDER BY no LIMIT ?2",
	[CATALOG_BAD_SET] = "INSERT OR REPLACE INTO bad_groups VALUES(?1,?2)",
	[CATALOG_BAD_DROP] = "DELETE FROM bad_groups WHERE pack=?1 AND offset=?2",
	[CATALOG_BAD_LIST] =
	    "SELECT pack,offset FROM bad_groups WHERE (pack,offset)>(?1,?2)"
	    " ORDER BY pack,offset LIMIT ?3",
	[CATALOG_NOTICE_SET] = "INSERT OR REPLACE INTO notices VALUES(?1,?2,?3,?4)",
	[CATALOG_NOTICE_GET] = "SELECT text,time_us,trusted_us FROM notices WHERE kind=?1",
	[CATALOG_STATS] = "SELECT (SELECT count(*) FROM peers WHERE role=1),"
			  "(SELECT count(*) FROM points),"
			  "(SELECT coalesce(sum(logical),0) FROM points),"
			  "coalesce(sum(plain),0),coalesce(sum(stored),0),"
			  "coalesce(sum(chunks),0),count(*) FROM packs",

	[CATALOG_POINT_DROP] = "DELETE FROM points WHERE host=?1 AND sequence=?2",
	[CATALOG_VOLUMES_DROP] = "DELETE FROM volumes WHERE host=?1 AND sequence=?2",
	[CATALOG_HOST_COUNT] =
	    "UPDATE hosts SET points=(SELECT count(*) FROM points WHERE host=?1),"
	    "point_us=coalesce((SELECT time_us FROM points WHERE host=?1"
	    " ORDER BY sequence DESC LIMIT 1),0) WHERE name=?1",
	[CATALOG_POLICY_SET] = "INSERT OR REPLACE INTO policies"
			       " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	[CATALOG_POLICY_DROP] = "DELETE FROM policies WHERE scope=?1 AND name=?2",
	[CATALOG_POLICY_GET] = POLICY " WHERE scope=?1 AND name=?2",
	[CATALOG_POLICIES] =
	    POLICY " WHERE (scope,name)>(?1,?2) ORDER BY scope,name LIMIT ?3",
	[CATALOG_HOLD_SET] = "INSERT OR REPLACE INTO holds VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_HOLD_DROP] = "DELETE FROM holds WHERE host=?1 AND sequence=?2",
	/* However records came to be in the journal: no lock is ever shortened. */
	[CATALOG_LOCK_SET] =
	    "INSERT INTO locks VALUES(?1,?2,?3,?4) ON CONFLICT(host,sequence) DO UPDATE"
	    " SET until_us=?3,who=?4 WHERE until_us<?3",
	[CATALOG_LOCK_DROP] = "DELETE FROM locks WHERE host=?1 AND sequence=?2",
	[CATALOG_VERIFIED_SET] =
	    "INSERT OR REPLACE INTO verified SELECT ?1,?2,?3 WHERE EXISTS"
	    "(SELECT 1 FROM points WHERE host=?1 AND sequence=?2)",
	[CATALOG_VERIFIED_DROP] = "DELETE FROM verified WHERE host=?1 AND sequence=?2",
	[CATALOG_BRAKE_SET] = "INSERT OR REPLACE INTO brakes VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_BRAKE_GET] = "SELECT sequence,who,text,since_us FROM brakes WHERE host=?1",
	[CATALOG_HISTORY_SET] = "INSERT OR REPLACE INTO history VALUES(?1,?2,?3,?4,?5)",
	[CATALOG_HISTORY_TRIM] = "DELETE FROM history WHERE host=?1 AND sequence<=?2",
	[CATALOG_HISTORY] = "SELECT sequence,logical,fresh,stored FROM history"
			    " WHERE host=?1 ORDER BY sequence LIMIT ?2",
	[CATALOG_KEPT] = KEPT " WHERE p.host=?1 AND p.sequence>?2 ORDER BY p.sequence"
			      " LIMIT ?3",
	[CATALOG_KEPT_ONE] = KEPT " WHERE p.host=?1 AND p.sequence=?2",
	[CATALOG_ESCROW_SET] = "INSERT OR REPLACE INTO escrows VALUES(?1,?2,?3,?4)",
	[CATALOG_ESCROW_GET] = "SELECT time_us,kind,who FROM escrows WHERE hash=?1",
};
