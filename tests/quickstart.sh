#!/bin/bash
# quickstart.sh BUILD - the whole path in one go, on loopback and in a private
# directory: a server, an agent enrolled with a one-time token, two real NTFS
# volumes, backups, a changed volume backed up again, and a restore that is
# proven equal by the tools of others.  Leaves nothing running.
HOLDFAST_BUILD=$1
. "$(dirname "$0")/scenario/lib/scenario.bash"

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
shown() { printf '$ %s\n' "$*"; }

step "1. A server with an empty store"
shown "holdfast init $work/store"
server_init
server_start
echo "holdfastd listens on $server (its store is $work/store)"

step "2. A host is enrolled with a one-time token"
shown "holdfast enroll-token"
token=$(operator enroll-token)
echo "${token:0:40}..."
shown "holdfast-agent enroll TOKEN --name web01"
agent web01 enroll "$token" --name web01

step "3. Two NTFS volumes with real files (mkntfs, ntfs-3g)"
ntfs_make "$work/system.img" 256 90 1
ntfs_make "$work/data.img" 256 70 2
ls -lhs "$work"/*.img | awk '{ print $NF ": " $6 ", " $1 " of it written" }' | sed "s#$work/##"

step "4. Both are backed up over TLS, as one recovery point"
shown "holdfast-agent backup system=system.img data=data.img"
agent web01 backup system="$work/system.img" data="$work/data.img"

step "5. A day passes: files change, come and go; and again"
ntfs_change "$work/system.img" 1
shown "holdfast-agent backup system=system.img data=data.img"
agent web01 backup system="$work/system.img" data="$work/data.img"

step "6. What the store has now"
shown "holdfast points"
operator points
shown "holdfast stats"
operator stats

step "7. The newest point of volume system is restored to a new image"
shown "holdfast-agent restore latest --volume system --to restored.img"
agent web01 restore latest --volume system --to "$work/restored.img"

step "8. Proof, by the tools of others"
ntfs_equal "$work/system.img" "$work/restored.img"
echo "ntfsclone: the same image; ntfsfix -n: clean; ntfsinfo: the same"
echo "SHA-256 of $(wc -l < "$work/sums.a") files read through ntfs-3g: all equal"
server_stop

step "Done. What to try next"
cat <<NEXT
  build/release/bin/holdfast --help           the operator's commands
  build/release/bin/holdfast-agent --help     the agent's
  docs/operators-guide.md                     a server and hosts of your own, step by step
  ./dev test                                  every test, also under sanitizers
NEXT
