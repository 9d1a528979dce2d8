#!/usr/bin/env python3
"""tables.py MSI EXE PACKAGE-CODE - put into the tables what wixl 0.101 cannot say or says wrong.

Each table is exported as text, changed, and imported again.  A row that is not there
as expected is an error: another wixl may need another script."""
import os
import struct
import subprocess
import sys
import tempfile
import time

# The actions in their order: name, entry of actions_win32.c, type, condition, sequence.
# Types ("Custom Action Types", Microsoft Learn): 1 a DLL in the table Binary, 64 failing is no
# failure, 256 in rollback only, 1024 deferred, 2048 as the system, 8192 its data in no log.
NOW, DO, UNDO, SECRETLY = 1, 1 + 1024 + 2048, 1 + 64 + 256 + 1024 + 2048, 1 + 1024 + 2048 + 8192
GENTLY = 1 + 64 + 1024 + 2048
# Any user may have an installed product repaired, by the system and with the properties of
# PUBLIC: what says who gets this machine's data counts when an administrator installs, only.
COMES = "NOT REMOVE AND NOT Installed"
RUNNING, GOES = 'HOLDFAST_SERVICE = "running"', 'REMOVE ~= "ALL" AND NOT UPGRADINGPRODUCTCODE'
ACTIONS = [
    ("Plan", "actions_plan", NOW, "", 1001),  # Behind CostFinalize, which knows INSTALLDIR.
    # Before files go or are replaced (RemoveFiles, 3500).  An upgrade stops the old service, and
    # takes the old version away but for its registration.
    ("StopServiceUndo", "actions_run", UNDO, RUNNING, 1610),
    ("StopService", "actions_run", DO, RUNNING, 1620),
    ("UnregisterServiceUndo", "actions_run", UNDO, GOES, 1630),
    ("UnregisterService", "actions_run", DO, GOES, 1640),
    # Afterwards nothing here could. What it cannot do stays safe, and in the log.
    ("RemoveDriver", "actions_run", GENTLY, GOES, 1645),
    ("ForgetHost", "actions_run", DO, GOES + ' AND REMOVE_IDENTITY = "1"', 1650),
    # Behind InstallFiles (4000).
    ("RegisterServiceUndo", "actions_run", UNDO, 'NOT REMOVE AND HOLDFAST_SERVICE = "absent"', 4010),
    ("RegisterService", "actions_run", DO, "NOT REMOVE", 4020),
    ("CopyConfig", "actions_configure", DO, COMES + " AND CONFIG", 4030),
    ("EnrollHost", "actions_run", SECRETLY, COMES + " AND (TOKEN OR TOKENFILE)", 4040),
    # What a person stopped stays stopped.
    ("StartService", "actions_run", DO, f'NOT REMOVE AND ({RUNNING} OR HOLDFAST_SERVICE = "absent")', 6500),
]
PUBLIC = ["TOKEN", "TOKENFILE", "SERVER", "NAME", "CONFIG", "ENROLL", "REMOVE_IDENTITY"]


def file_version(path):
    """Version in the resource VS_FIXEDFILEINFO, which Windows Installer compares."""
    data = open(path, "rb").read()
    at = data.find(struct.pack("<II", 0xFEEF04BD, 0x10000))
    if at < 0:
        sys.exit(f"{path}: no version resource")
    high, low = struct.unpack_from("<II", data, at + 8)
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"


class Tables:
    """Tables of an MSI as text, changed one after the other, put back together."""

    def __init__(self, msi):
        self.msi, self.texts = msi, {}

    def change(self, name, how):
        """Replace a table's rows by how(its columns, its rows)."""
        if name not in self.texts:
            text = subprocess.run(["msiinfo", "export", self.msi, name], check=True, stdout=subprocess.PIPE).stdout.decode()
            lines = [line.split("\t") for line in text.replace("\r\n", "\n").rstrip("\n").split("\n")]
            self.texts[name] = lines[:3], lines[3:]
        head, rows = self.texts[name]
        self.texts[name] = head, how(head[0], rows)

    def write(self):
        with tempfile.TemporaryDirectory() as d:
            paths = []
            for name, (head, rows) in self.texts.items():
                paths += [os.path.join(d, name + ".idt")]
                with open(paths[-1], "w", newline="") as f:
                    f.write("".join("\t".join(map(str, r)) + "\r\n" for r in head + rows))
            subprocess.run(["msibuild", self.msi, "-i", *paths], check=True)


def set_cell(key, column, value):
    def change(columns, rows):
        hits = [r for r in rows if r[0] == key or key in r[-1:]]
        if len(hits) != 1:
            sys.exit(f"{column} of {key}: {len(hits)} rows")
        hits[0][columns.index(column)] = value
        return rows
    return change


def add(*new):
    return lambda columns, rows: rows + [list(r) for r in new]


def properties(columns, rows):
    rows = [r for r in rows if r[0] not in ("SecureCustomProperties", "MsiHiddenProperties")]
    # Public ones reach the half that runs as the system only if they are named here.
    secure = ["WIX_DOWNGRADE_DETECTED", "WIX_UPGRADE_DETECTED"] + PUBLIC
    return rows + [["SecureCustomProperties", ";".join(secure)],
                   # Not in the log, nor what carries the token to the deferred action.
                   ["MsiHiddenProperties", "TOKEN;EnrollHost"]]


def summary(msi, code):
    """The package's own code, and SOURCE_DATE_EPOCH in place of the clock."""
    subprocess.run(["msibuild", msi, "-s", "Holdfast backup agent", "Holdfast", "x64;1033", code], check=True)
    data = bytearray(open(msi, "rb").read())
    want = struct.pack("<Q", (int(os.environ["SOURCE_DATE_EPOCH"]) + 11644473600) * 10**7)
    now, at, found = time.time(), -1, 0
    # A property of type 64, VT_FILETIME: "created" and "saved".
    while (at := data.find(b"\x40\0\0\0", at + 1)) >= 0 and at + 12 <= len(data):
        seconds = struct.unpack_from("<Q", data, at + 4)[0] / 1e7 - 11644473600
        if abs(seconds - now) < 86400:
            data[at + 4:at + 12] = want
            found += 1
    if found != 2:
        sys.exit(f"{msi}: {found} times in the summary, not 2")
    open(msi, "wb").write(data)


def main(msi, exe, code):
    tables = Tables(msi)
    tables.change("CustomAction", add(*([name, kind, "Actions", entry, ""] for name, entry, kind, _, _ in ACTIONS)))
    tables.change("Property", properties)
    # The old version goes first, within the transaction (InstallInitialize is 1500).
    tables.change("InstallExecuteSequence", set_cell("RemoveExistingProducts", "Sequence", "1501"))
    tables.change("InstallExecuteSequence", add(*([name, when, at] for name, _, _, when, at in ACTIONS)))
    # Another build of the same version takes the older one's place, too (1 + 512: MigrateFeatures, VersionMaxInclusive).
    tables.change("Upgrade", set_cell("WIX_UPGRADE_DETECTED", "Attributes", "513"))
    tables.change("LaunchCondition", add(["Installed OR VersionNT >= 602",
                                       "The Holdfast backup agent needs Windows 8, Windows Server 2012 or later."]))
    tables.change("Error", add(["25001", "Holdfast: [2]"]))
    # A file with a version is compared by it, not by its hash.
    tables.change("File", set_cell("AgentExe", "Version", file_version(exe)))
    tables.change("File", set_cell("AgentExe", "Language", "1033"))
    tables.change("MsiFileHash", lambda columns, rows: [r for r in rows if r[0] != "AgentExe"])
    tables.write()
    summary(msi, code)


main(*sys.argv[1:])
