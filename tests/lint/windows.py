"""windows.py AGENT - Verify-Holdfast.ps1 and VERIFIED.md's Windows table agree with each
other and with the agent.  There is no PowerShell here: of its syntax only strings, comments
and brackets are looked at."""
import re
import subprocess
import sys

SCRIPT, TABLE = "tests/windows/Verify-Holdfast.ps1", "docs/VERIFIED.md"
bad = []


def code_of(text):
    """The script with strings emptied and comments gone; complains of what does not close."""
    out, i, line = [], 0, 1
    stack = []
    pairs = {")": "(", "]": "[", "}": "{"}
    rules = [("comment", re.compile(r"<#.*?#>", re.S)), ("comment", re.compile(r"#[^\n]*")),
             ("string", re.compile(r"@'\n.*?\n'@", re.S)), ("string", re.compile(r"'(?:[^'\n]|'')*'")),
             ("string", re.compile(r'"(?:[^"`$\n]|`.|""|\$(?!\()|\$\((?:[^()\n]|\((?:[^()\n]|\([^()\n]*\))*\))*\))*"'))]
    while i < len(text):
        for kind, rule in rules:
            m = rule.match(text, i)
            if m:
                out.append("''" if kind == "string" else "")
                line += m.group().count("\n")
                i = m.end()
                break
        else:
            c = text[i]
            if c in "\"'":
                bad.append(f"{SCRIPT}:{line}: a quote that does not end")
                return ""
            if c in "([{":
                stack.append((c, line))
            elif c in ")]}":
                if not stack or stack.pop()[0] != pairs[c]:
                    bad.append(f"{SCRIPT}:{line}: '{c}' closes nothing")
                    return ""
            line += c == "\n"
            out.append(c)
            i += 1
    if stack:
        bad.append(f"{SCRIPT}:{stack[-1][1]}: '{stack[-1][0]}' is not closed")
    return "".join(out)


def check_script(text, help_text):
    if not text.isascii():
        bad.append(f"{SCRIPT}: not ASCII: PowerShell 5.1 would read it by the machine's code page")
    code = code_of(text)
    # Variables of PowerShell's own that a script must not set.
    for name in ("home", "host", "pid", "args", "input", "error", "event", "matches", "pwd", "true", "false", "null"):
        if re.search(rf"\${name}\s*=[^=]", code, re.I):
            bad.append(f"{SCRIPT}: sets ${name}, which is PowerShell's own")
    called = set(re.findall(r"(?<![\w$.:-])([A-Z][a-z]+-[A-Z]\w+)", code))
    own = set(re.findall(r"^function ([\w-]+)", code, re.M))
    known = {"Add-Type", "Compare-Object", "ConvertFrom-Json", "Copy-Item", "ForEach-Object", "Get-Acl", "Get-AuthenticodeSignature",
             "Get-ChildItem", "Get-Date", "Get-Disk", "Get-DiskImage", "Get-Item", "Get-ItemProperty", "Get-Partition",
             "Get-Service", "Get-WinEvent", "Get-WmiObject", "Join-Path", "New-Item", "New-Object", "Remove-Item",
             "Resolve-Path", "Select-Object", "Select-String", "Set-Content", "Set-Service", "Set-StrictMode",
             "Sort-Object", "Split-Path", "Start-Sleep", "Stop-Process", "Test-Path", "Where-Object", "Write-Host",
             "Write-Verbose"}
    for name in sorted(called - own - known):
        bad.append(f"{SCRIPT}: {name} is neither a function of its own nor known here")
    for name in sorted(own - called):
        bad.append(f"{SCRIPT}: nobody calls {name}")
    # What it says to the agent.
    verbs, flags = set(), set()
    for words in re.findall(r"(?:Use-Agent|Invoke-Agent|Assert-Refused|Invoke-Program \$(?:script:Agent|exe)) @\(([^)]*)\)", text):
        quoted = re.findall(r"'([^']*)'", words)
        flags.update(w for w in quoted if w.startswith("--"))
        if quoted and not quoted[0].startswith("--"):
            verbs.add(quoted[0])
    verbs |= set(re.findall(r"\$words = @\('([a-z]+)'", text))
    flags |= {w for w in re.findall(r"'(--[a-z-]+)'", text)}
    if len(verbs) < 8 or len(flags) < 6:
        bad.append(f"{SCRIPT}: found only {len(verbs)} commands and {len(flags)} options of the agent: mend windows.py")
    for verb in sorted(verbs):
        if not re.search(rf"^  {verb}\b", help_text, re.M):
            bad.append(f"{SCRIPT}: the agent has no command {verb}")
    for flag in sorted(flags - {"--version"}):
        if not re.search(rf"{flag}\b", help_text):
            bad.append(f"{SCRIPT}: the agent has no option {flag}")
    return re.findall(r"^\s*Test-Claim '([\w-]+)'", text, re.M)


def check_table(text, checks):
    try:
        section = text.split("\n## Windows\n")[1].split("\n## ")[0]
    except IndexError:
        return bad.append(f"{TABLE}: no section Windows")
    intro, _, table = section.partition("\n|")
    named = re.findall(r"`([\w-]+)`", intro.split("Its checks:")[-1])
    if sorted(named) != sorted(checks):
        bad.append(f"{TABLE}: names the checks {sorted(set(named) ^ set(checks))} that are in one place only")
    rows = [r for r in ("|" + table).splitlines() if r.startswith("|")][2:]
    used = set()
    for row in rows:
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]]
        if len(cells) != 3:
            bad.append(f"{TABLE}: {len(cells)} columns in: {row[:60]}")
            continue
        names = [n for n in re.findall(r"`([\w-]+)`", cells[2]) if n in checks]
        used.update(names)
        if not names and "by hand" not in cells[2]:
            bad.append(f"{TABLE}: neither a check of the script nor \"by hand\" in the last column: {row[:80]}")
    if not rows:
        bad.append(f"{TABLE}: the Windows table is empty")
    for name in sorted(set(checks) - used):
        bad.append(f"{TABLE}: no line of the Windows table names the check {name}")


agent_help = subprocess.run([sys.argv[1], "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
check_table(open(TABLE).read(), check_script(open(SCRIPT).read(), agent_help))
print("\n".join(bad))
sys.exit(1 if bad else 0)
