<#
.SYNOPSIS
Proves on this Windows what the tests of Holdfast cannot prove without one.

.DESCRIPTION
For a machine that you can lose, Server 2012 or later. Needs an elevated Windows PowerShell (3.0
or later), a Holdfast server, and a token of it with three uses:

    holdfast enroll-token --uses 3 --group verify

    .\Verify-Holdfast.ps1 -Agent .\holdfast-agent.exe -Token hf1.... [-Server HOST:PORT]
                          [-Msi .\holdfast-agent-0.2.0-x64.msi [-OlderMsi ...0.1.0-x64.msi]]

It makes scratch disks (VHD files below -ScratchDirectory), never writes to another one, and takes
them away at the end, also after Ctrl+C. `service`, `eventlog` and `msi` touch the machine's own
installation, and are skipped if there is one.

-WithDriver has `msi` install the hot-copy driver, too, which both packages must have beside the
program, and see it stay over the upgrade and go with the agent. Windows is not restarted, so it never
runs; were it restarted in between with a driver that is not signed, it might not start.

-Only and -Skip choose checks by name. -Refusals adds attempts that must be refused before
a byte is written (a restore onto C:): if the agent is wrong there, this machine is lost.

Prints a line for each check, PASS, FAIL or SKIP, and a summary. Exit code 0: nothing failed, 1:
something did, 2: it could not begin.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Token,
    [string]$Server = '',
    [string]$Agent = '',
    [string]$Msi = '',
    [string]$OlderMsi = '',
    [string]$ScratchDirectory = '',
    [ValidateRange(128, 65536)][int]$ScratchVhdSize = 256,
    [string[]]$Only = @(),
    [string[]]$Skip = @(),
    [switch]$WithDriver,
    [switch]$Refusals
)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$script:Results = New-Object System.Collections.ArrayList
$script:Vhds = New-Object System.Collections.ArrayList
$script:Scratch = $null
$script:State = $null
$script:Programs = $null
$script:ServiceName = 'Holdfast'

# ------------------------------------------------------------------ running

# One word of a command line.
function Format-Word([string]$Word) {
    if ($Word -match '[\s"]' -or $Word -eq '') {
        return '"' + ($Word -replace '(\\*)"', '$1$1\"' -replace '(\\+)$', '$1$1') + '"'
    }
    return $Word
}

# Run a program to its end: an object with Code, Out, Err.
function Invoke-Program([string]$Path, [string[]]$Words, [int]$Seconds = 900, [string]$Text = '') {
    $info = New-Object System.Diagnostics.ProcessStartInfo
    $info.FileName = $Path
    $info.Arguments = (@($Words | ForEach-Object { Format-Word $_ }) -join ' ')
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    $info.RedirectStandardOutput = $true
    $info.RedirectStandardError = $true
    $info.RedirectStandardInput = $true
    # Ours speaks UTF-8, Windows' own tools the console's code page.
    if ($Path -like '*holdfast-agent.exe') { $info.StandardOutputEncoding = $info.StandardErrorEncoding = [System.Text.Encoding]::UTF8 }
    $process = [System.Diagnostics.Process]::Start($info)
    $out = $process.StandardOutput.ReadToEndAsync()
    $err = $process.StandardError.ReadToEndAsync()
    if ($Text -ne '') { $process.StandardInput.WriteLine($Text) }
    $process.StandardInput.Close()
    if (-not $process.WaitForExit($Seconds * 1000)) {
        $process.Kill()
        throw "$Path $($info.Arguments): no end after $Seconds s"
    }
    $process.WaitForExit()
    return New-Object PSObject -Property @{ Code = $process.ExitCode; Out = $out.Result; Err = $err.Result }
}

# The agent, with the state of this run.
function Invoke-Agent([string[]]$Words, [string]$Text = '') {
    return Invoke-Program $script:Agent (@('--state', $script:State) + $Words) 3600 $Text
}

# The same, and it must succeed.
function Use-Agent([string[]]$Words, [string]$Text = '') {
    $result = Invoke-Agent $Words $Text
    if ($result.Code -ne 0) {
        throw "holdfast-agent $($Words[0]) ended with $($result.Code): $(Get-LastLine $result.Err)"
    }
    return $result
}

# ... or must be refused, in words that match.
function Assert-Refused([string[]]$Words, [string]$Pattern) {
    $result = Invoke-Agent $Words
    if ($result.Code -eq 0) { throw "accepted: holdfast-agent $($Words -join ' ')" }
    $line = Get-LastLine $result.Err
    if ($line -notmatch $Pattern) { throw "refused, but not by /$Pattern/: $line" }
    return $line
}

function Get-LastLine([string]$Text) {
    $lines = @($Text -split '\r?\n' | Where-Object { $_.Trim() -ne '' })
    if ($lines.Count -eq 0) { return '(no word)' }
    return $lines[$lines.Count - 1]
}

# The JSON objects of an output, one a line.
function Read-JsonLines([string]$Text) {
    return @($Text -split '\r?\n' | Where-Object { $_.StartsWith('{') } | ForEach-Object { ConvertFrom-Json $_ })
}

function Assert-True($Condition, [string]$Claim) {
    if (-not $Condition) { throw $Claim }
}

function Skip-Check([string]$Why) {
    throw "SKIP: $Why"
}

# Wait until a condition holds.
function Wait-Until([int]$Seconds, [scriptblock]$Condition, [string]$Claim) {
    $end = (Get-Date).AddSeconds($Seconds)
    while (-not (& $Condition)) {
        if ((Get-Date) -gt $end) { throw "not within $Seconds s: $Claim" }
        Start-Sleep -Milliseconds 500
    }
}

function Write-Result([string]$Verdict, [string]$Name, [string]$Detail) {
    [void]$script:Results.Add((New-Object PSObject -Property @{ Verdict = $Verdict; Name = $Name }))
    Write-Host ('{0} {1,-15} {2}' -f $Verdict, $Name, $Detail)
}

# Run one check: a script block that throws when its claim does not hold, and returns words.
function Test-Claim([string]$Name, [scriptblock]$Body) {
    if (($Only.Count -gt 0 -and $Only -notcontains $Name) -or $Skip -contains $Name) { return }
    try {
        $words = @(& $Body)
        Write-Result 'PASS' $Name ($words -join '; ')
    } catch {
        $why = $_.Exception.Message
        if ($why.StartsWith('SKIP: ')) { Write-Result 'SKIP' $Name $why.Substring(6) }
        else { Write-Result 'FAIL' $Name ('{0} (line {1})' -f $why, $_.InvocationInfo.ScriptLineNumber) }
    }
}

# ------------------------------------------------------------------ scratch disks

function Invoke-Diskpart([string[]]$Lines) {
    $file = Join-Path $script:Scratch 'diskpart.txt'
    # Also what is said in vain is no reason to go on.
    [System.IO.File]::WriteAllLines($file, $Lines)
    $result = Invoke-Program (Join-Path $env:SystemRoot 'System32\diskpart.exe') @('/s', $file) 300
    if ($result.Code -ne 0) { throw "diskpart: $(Get-LastLine $result.Out)" }
}

function Get-FreeLetter {
    $used = @([System.IO.DriveInfo]::GetDrives() | ForEach-Object { $_.Name.Substring(0, 1) })
    foreach ($c in 'RSTUVWXYZPQONMLKJIHGFE'.ToCharArray()) {
        if ($used -notcontains [string]$c) { return [string]$c }
    }
    throw 'no drive letter is free'
}

# The disk number of an attached VHD.
function Get-VhdDisk([string]$File) {
    $disk = Get-Disk | Where-Object { $_.Location -eq $File }
    if (-not $disk) {
        $image = Get-DiskImage -ImagePath $File
        $disk = $image | Get-Disk
    }
    return $disk
}

# A disk of its own with one NTFS volume: an object with File, Letter, Number.
function New-ScratchVolume([string]$Name, [switch]$Empty) {
    $file = Join-Path $script:Scratch "$Name.vhd"
    $letter = Get-FreeLetter
    [void]$script:Vhds.Add($file)
    Invoke-Diskpart @("create vdisk file=`"$file`" maximum=$ScratchVhdSize type=expandable",
        'attach vdisk', 'convert gpt', 'create partition primary',
        "format fs=ntfs quick label=$Name", "assign letter=$letter")
    Wait-Until 60 { Test-Path "${letter}:\" } "volume ${letter}: is there"
    if (-not $Empty) { Write-Content "${letter}:\" }
    return New-Object PSObject -Property @{ File = $file; Letter = $letter; Number = (Get-VhdDisk $file).Number }
}

function Remove-Vhd([string]$File) {
    if (-not (Test-Path $File)) { return }
    try { Invoke-Diskpart @("select vdisk file=`"$File`"", 'detach vdisk') } catch { Write-Verbose "detach: $_" }
    Remove-Item -Force $File
    if ($script:Vhds.Contains($File)) { $script:Vhds.Remove($File) }
}

# Attach an image that a restore made, read-only: its first volume's letter.
function Mount-Image([string]$File) {
    [void]$script:Vhds.Add($File)
    Invoke-Diskpart @("select vdisk file=`"$File`"", 'attach vdisk readonly')
    Wait-Until 60 { Get-VhdDisk $File } "$File is a disk"
    $number = (Get-VhdDisk $File).Number
    $partition = Get-Partition -DiskNumber $number | Where-Object { $_.Type -eq 'Basic' -or $_.Type -eq 'IFS' } | Select-Object -First 1
    if (-not $partition) { throw "${File}: no partition with data in it" }
    if (-not [char]::IsLetter($partition.DriveLetter)) {
        $letter = Get-FreeLetter
        Invoke-Diskpart @("select disk $number", "select partition $($partition.PartitionNumber)", "assign letter=$letter")
        return $letter
    }
    return [string]$partition.DriveLetter
}

# Files of many kinds: large, small, compressed, sparse, with streams, with long names.
function Write-Content([string]$Root) {
    $random = New-Object System.Random 42
    foreach ($size in 10, 700, 5000, 70000, 1300000, 9000000) {
        $bytes = New-Object byte[] $size
        $random.NextBytes($bytes)
        [System.IO.File]::WriteAllBytes((Join-Path $Root "random-$size.bin"), $bytes)
    }
    [void](New-Item -ItemType Directory -Force (Join-Path $Root 'text\deep\er'))
    $line = 'the quick brown fox jumps over the lazy dog. ' * 40
    for ($i = 0; $i -lt 200; $i++) {
        [System.IO.File]::WriteAllText((Join-Path $Root "text\deep\er\$('n' * 60)-$i.txt"), "$i $line")
    }
    $packed = Join-Path $Root 'packed.txt'
    [System.IO.File]::WriteAllText($packed, $line * 1000)
    [void](Invoke-Program (Join-Path $env:SystemRoot 'System32\compact.exe') @('/c', $packed) 60)
    $sparse = Join-Path $Root 'sparse.bin'
    [System.IO.File]::WriteAllBytes($sparse, (New-Object byte[] 0))
    [void](Invoke-Program (Join-Path $env:SystemRoot 'System32\fsutil.exe') @('sparse', 'setflag', $sparse) 60)
    $stream = [System.IO.File]::OpenWrite($sparse)
    $stream.Position = 30MB
    $stream.WriteByte(7)
    $stream.Close()
    Set-Content -Path (Join-Path $Root 'random-10.bin') -Stream 'second' -Value 'a stream'
}

# Path and SHA-256 of every file, as text.
function Get-Sums([string]$Root) {
    $sha = [System.Security.Cryptography.SHA256]::Create()
    $lines = @()
    foreach ($file in Get-ChildItem -Path $Root -Recurse -Force -ErrorAction SilentlyContinue) {
        if ($file.PSIsContainer -or $file.FullName -match '\\(System Volume Information|\$RECYCLE\.BIN)\\') { continue }
        $stream = New-Object System.IO.FileStream($file.FullName, 'Open', 'Read', 'ReadWrite, Delete')
        try { $lines += '{0} {1}' -f $file.FullName.Substring(3), [System.BitConverter]::ToString($sha.ComputeHash($stream)) }
        finally { $stream.Close() }
    }
    return (($lines | Sort-Object) -join "`n")
}

function Assert-SameFiles([string]$A, [string]$B, [string]$Claim) {
    $count = @($A -split "`n").Count
    Assert-True ($count -gt 100) "only $count files: this proves nothing"
    if ($A -ne $B) {
        $different = @(Compare-Object ($A -split "`n") ($B -split "`n") | Select-Object -First 1)
        throw "${Claim}: files differ, the first: $($different[0].InputObject)"
    }
}

# A restore onto a scratch volume, which may have the letter of one that was backed up before.
function Restore-Scratch([string[]]$Words) {
    [void](Use-Agent (@('restore', '--overwrite-source') + $Words))
}

# GUIDs in an output of vssadmin, whatever its language.
function Get-ShadowIds {
    $result = Invoke-Program (Join-Path $env:SystemRoot 'System32\vssadmin.exe') @('list', 'shadows') 120
    return @([regex]::Matches($result.Out, '\{[0-9a-fA-F-]{36}\}') | ForEach-Object { $_.Value } | Sort-Object -Unique)
}

function Assert-NoNewShadows([string[]]$Before) {
    $new = @(Get-ShadowIds | Where-Object { $Before -notcontains $_ })
    Assert-True ($new.Count -eq 0) "left behind: $($new -join ' ')"
}

# The newest point, as `points --json` has it.
function Get-NewestPoint {
    $points = @(Read-JsonLines (Use-Agent @('points', '--json')).Out | Sort-Object sequence)
    Assert-True ($points.Count -gt 0) 'the server has no point of this host'
    return $points[$points.Count - 1]
}

function Test-ServiceThere {
    return [bool](Get-Service -Name $script:ServiceName -ErrorAction SilentlyContinue)
}

# ------------------------------------------------------------------ the program itself

# Names of the DLLs in a 64-bit PE file's import table, and its DllCharacteristics.
function Read-Imports([string]$File) {
    $data = [System.IO.File]::ReadAllBytes($File)
    $pe = [System.BitConverter]::ToInt32($data, 0x3c)
    $sections = [System.BitConverter]::ToUInt16($data, $pe + 6)
    $optional = $pe + 24
    Assert-True ([System.BitConverter]::ToUInt16($data, $optional) -eq 0x20b) 'not a 64-bit program'
    $flags = [System.BitConverter]::ToUInt16($data, $optional + 70)
    $first = $optional + [System.BitConverter]::ToUInt16($data, $pe + 20)
    $offset = {
        param([uint32]$Address)
        for ($i = 0; $i -lt $sections; $i++) {
            $at = $first + 40 * $i
            $begin = [System.BitConverter]::ToUInt32($data, $at + 12)
            $length = [System.BitConverter]::ToUInt32($data, $at + 8)
            if ($Address -ge $begin -and $Address -lt $begin + $length) {
                return $Address - $begin + [System.BitConverter]::ToUInt32($data, $at + 20)
            }
        }
        throw 'an address outside of all sections'
    }
    $names = @()
    $at = & $offset ([System.BitConverter]::ToUInt32($data, $optional + 120))
    while (($name = [System.BitConverter]::ToUInt32($data, $at + 12)) -ne 0) {
        $begin = & $offset $name
        $end = [System.Array]::IndexOf($data, [byte]0, [int]$begin)
        $names += [System.Text.Encoding]::ASCII.GetString($data, $begin, $end - $begin)
        $at += 20
    }
    return New-Object PSObject -Property @{ Names = $names; Flags = $flags }
}

function Test-Exe {
    $version = (Invoke-Program $script:Agent @('--version') 60).Out.Trim()
    Assert-True ($version -match '^holdfast-agent (\d+\.\d+\.\d+)') "--version says '$version'"
    $info = (Get-Item $script:Agent).VersionInfo
    Assert-True ($info.FileVersion -like "$($Matches[1])*") "the file's version is $($info.FileVersion)"
    $imports = Read-Imports $script:Agent
    foreach ($name in $imports.Names) {
        Assert-True (Test-Path (Join-Path $env:SystemRoot "System32\$name")) "$name is not the system's"
    }
    # IMAGE_DLLCHARACTERISTICS: HIGH_ENTROPY_VA, DYNAMIC_BASE, NX_COMPAT.
    Assert-True (($imports.Flags -band 0x160) -eq 0x160) ('ASLR or DEP is off: {0:x}' -f $imports.Flags)
    # What lies beside it in a download directory is not loaded.
    $downloads = Join-Path $script:Scratch 'downloads'
    [void](New-Item -ItemType Directory $downloads)
    Copy-Item $script:Agent $downloads
    foreach ($dll in 'userenv', 'crypt32', 'iphlpapi', 'bcrypt', 'version', 'dbghelp', 'profapi', 'cryptbase') {
        [System.IO.File]::WriteAllText((Join-Path $downloads "$dll.dll"), 'no program')
    }
    $result = Invoke-Program (Join-Path $downloads (Split-Path -Leaf $script:Agent)) @('--state', (Join-Path $downloads 'state'), 'status') 60
    Assert-True ($result.Err -match 'not enrolled') "beside other DLLs it says '$($result.Err)'"
    $signature = Get-AuthenticodeSignature $script:Agent
    "$version, $($imports.Names.Count) system DLLs, signature: $($signature.Status)"
}

function Test-Acl {
    $trusted = 'S-1-5-18', 'S-1-5-32-544'
    foreach ($path in $script:State, (Join-Path $script:State 'key')) {
        $acl = Get-Acl $path
        foreach ($rule in $acl.GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])) {
            Assert-True ($trusted -contains $rule.IdentityReference.Value) "$path is open to $($rule.IdentityReference)"
        }
        $owner = $acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value
        Assert-True ($trusted -contains $owner) "$path belongs to $owner"
    }
    Assert-True (Get-Acl $script:State).AreAccessRulesProtected 'the directory inherits access from above'
    # Somebody was there first.
    $theirs = Join-Path $script:Scratch 'theirs'
    [void](New-Item -ItemType Directory $theirs)
    [System.IO.File]::WriteAllText((Join-Path $theirs 'agent.conf'), "[agent]`r`n")
    [void](Invoke-Program (Join-Path $env:SystemRoot 'System32\icacls.exe') @($theirs, '/setowner', '*S-1-5-32-545', '/t') 60)
    $result = Invoke-Program $script:Agent @('--state', $theirs, 'status') 60
    Assert-True ($result.Code -ne 0 -and $result.Err -match 'not to administrators') 'a directory of somebody else is taken without a word'
    "only SYSTEM and Administrators; somebody else's directory: $(Get-LastLine $result.Err)"
}

function Test-Seal {
    $key = [System.IO.File]::ReadAllBytes((Join-Path $script:State 'key'))
    $head = [System.Text.Encoding]::ASCII.GetString($key, 0, 8)
    Assert-True ($head -eq 'HFSEALED') 'the private key is not sealed by DPAPI'
    [void](Use-Agent @('status'))
    "sealed, $($key.Length) bytes; copy it to another machine by hand: it must be refused there"
}

# ------------------------------------------------------------------ service, Event Log

function Test-Service {
    if (Test-ServiceThere) { Skip-Check 'Holdfast is installed on this machine' }
    $key = "HKLM:\SYSTEM\CurrentControlSet\Services\$($script:ServiceName)"
    [void](Use-Agent @('service', 'install'))
    try {
        [void](Use-Agent @('service', 'install'))
        $service = Get-WmiObject Win32_Service -Filter "Name='$($script:ServiceName)'"
        Assert-True ($service.StartMode -eq 'Auto') "start mode $($service.StartMode)"
        Assert-True ($service.StartName -eq 'LocalSystem') "runs as $($service.StartName)"
        Assert-True ($service.PathName.StartsWith('"')) "its path has no quotes: $($service.PathName)"
        $values = Get-ItemProperty $key
        Assert-True ($values.DelayedAutostart -eq 1) 'not a delayed start'
        Assert-True ($values.FailureActions.Length -ge 20) 'no recovery actions'
        Assert-True ($values.PreshutdownTimeout -ge 60000) 'no preshutdown time-out'
        $privileges = @($values.RequiredPrivileges)
        Assert-True ($privileges -contains 'SeBackupPrivilege') 'no list of privileges'
        Assert-True ($privileges -notcontains 'SeDebugPrivilege') 'more privileges than it needs'
        [void](Use-Agent @('service', 'start'))
        Wait-Until 60 { (Get-Service $script:ServiceName).Status -eq 'Running' } 'the service runs'
        $id = (Get-WmiObject Win32_Service -Filter "Name='$($script:ServiceName)'").ProcessId
        Stop-Process -Id $id -Force
        Wait-Until 300 {
            $now = Get-WmiObject Win32_Service -Filter "Name='$($script:ServiceName)'"
            $now.State -eq 'Running' -and $now.ProcessId -ne $id
        } 'a killed service is started again'
        $began = Get-Date
        [void](Use-Agent @('service', 'stop'))
        Assert-True ((Get-Service $script:ServiceName).Status -eq 'Stopped') 'the service still runs'
        $seconds = [int]((Get-Date) - $began).TotalSeconds
    } finally {
        [void](Invoke-Agent @('service', 'stop'))
        [void](Invoke-Agent @('service', 'uninstall'))
    }
    Wait-Until 60 { -not (Test-ServiceThere) } 'the service is gone'
    "installed twice, killed and restarted, stopped in $seconds s, removed"
}

function Test-EventLog {
    if (Test-ServiceThere) { Skip-Check 'Holdfast is installed on this machine' }
    [void](Use-Agent @('service', 'install'))
    try {
        $began = (Get-Date).AddSeconds(-2)
        Assert-True ([System.Diagnostics.EventLog]::SourceExists($script:ServiceName)) 'no event source'
        [void](Use-Agent @('service', 'start'))
        [void](Use-Agent @('service', 'stop'))
        $events = @(Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = $script:ServiceName; StartTime = $began })
        Assert-True ($events.Count -gt 0) 'nothing in the Application log'
        foreach ($entry in $events) {
            # Without the message table Get-WinEvent has no text.
            Assert-True ($entry.Message) "event $($entry.Id) has no text"
        }
        $text = ($events | Select-Object -First 1).Message
    } finally {
        [void](Invoke-Agent @('service', 'stop'))
        [void](Invoke-Agent @('service', 'uninstall'))
    }
    Assert-True (-not [System.Diagnostics.EventLog]::SourceExists($script:ServiceName)) 'the event source stayed'
    "$($events.Count) events, the last: $text"
}

# ------------------------------------------------------------------ volumes, VSS

function Test-Volumes {
    $ours = @(Read-JsonLines (Use-Agent @('volumes', '--json')).Out)
    $volumes = @($ours | Where-Object { $_.type -eq 'volume' })
    $disks = @($ours | Where-Object { $_.type -eq 'disk' })
    $compared = 0
    foreach ($volume in Get-WmiObject Win32_Volume -Filter 'DriveType=3') {
        $our = @($volumes | Where-Object { $_.guid -eq $volume.DeviceID })
        Assert-True ($our.Count -eq 1) "$($volume.DeviceID) is listed $($our.Count) times"
        if ($volume.DriveLetter) {
            Assert-True (@($our[0].paths) -contains "$($volume.DriveLetter)\") "$($volume.DriveLetter) is not among the paths of $($volume.DeviceID)"
        }
        if ($volume.FileSystem) {
            Assert-True ($our[0].fs -eq $volume.FileSystem) "$($volume.DeviceID): file system '$($our[0].fs)', not '$($volume.FileSystem)'"
            Assert-True ([string]$our[0].label -eq [string]$volume.Label) "$($volume.DeviceID): label '$($our[0].label)', not '$($volume.Label)'"
        }
        Assert-True ([bool]$our[0].boot -eq [bool]$volume.BootVolume) "$($volume.DeviceID): is Windows there?"
        Assert-True ([bool]$our[0].system -eq [bool]$volume.SystemVolume) "$($volume.DeviceID): does the firmware start from it?"
        $compared++
    }
    foreach ($disk in Get-Disk) {
        $our = @($disks | Where-Object { $_.number -eq $disk.Number })
        Assert-True ($our.Count -eq 1) "disk $($disk.Number) is listed $($our.Count) times"
        Assert-True ($our[0].size -eq $disk.Size) "disk $($disk.Number): size $($our[0].size), not $($disk.Size)"
        Assert-True ($our[0].sector -eq $disk.LogicalSectorSize) "disk $($disk.Number): sectors of $($our[0].sector)"
    }
    foreach ($partition in Get-Partition) {
        $path = @($partition.AccessPaths | Where-Object { $_ -like '\\?\Volume*' })
        if ($path.Count -eq 0) { continue }
        $our = @($volumes | Where-Object { $_.guid -eq $path[0] })
        if ($our.Count -eq 0) { continue }
        $piece = @($our[0].pieces)[0]
        Assert-True ($piece.disk -eq $partition.DiskNumber -and $piece.offset -eq $partition.Offset) "$($path[0]): on disk $($piece.disk) at $($piece.offset)"
    }
    "$compared volumes and $($disks.Count) disks as WMI and Storage have them"
}

function Test-VssDoctor {
    $result = Invoke-Agent @('vss', 'doctor')
    # A writer's name stands in quotes, whatever the language of the words around.
    $listed = Invoke-Program (Join-Path $env:SystemRoot 'System32\vssadmin.exe') @('list', 'writers') 300
    $writers = @([regex]::Matches($listed.Out, "'([^']+)'") | ForEach-Object { $_.Groups[1].Value } | Sort-Object -Unique)
    Assert-True ($writers.Count -gt 3) "vssadmin lists $($writers.Count) writers: this proves nothing"
    $missing = @($writers | Where-Object { -not $result.Out.Contains($_) })
    Assert-True ($missing.Count -eq 0) "not told of: $($missing -join ', ')"
    $listed = Invoke-Program (Join-Path $env:SystemRoot 'System32\vssadmin.exe') @('list', 'providers') 120
    $providers = @([regex]::Matches($listed.Out, "'([^']+)'") | ForEach-Object { $_.Groups[1].Value })
    $missing = @($providers | Where-Object { -not $result.Out.Contains($_) })
    Assert-True ($missing.Count -eq 0) "not told of: $($missing -join ', ')"
    "$($writers.Count) writers, $($providers.Count) providers; verdict $($result.Code): $(Get-LastLine $result.Out)"
}

function Test-VssBackup {
    $a = New-ScratchVolume 'vssa'
    $b = New-ScratchVolume 'vssb'
    $c = New-ScratchVolume 'vssc' -Empty
    try {
        $before = Get-ShadowIds
        $sums = Get-Sums "$($b.Letter):\"
        # A file that nobody else may open, as a database has it.
        $held = New-Object System.IO.FileStream("$($a.Letter):\held.dat", 'Create', 'ReadWrite', 'None')
        try {
            $held.Write((New-Object byte[] 100000), 0, 100000)
            $held.Flush($true)
            [void](Use-Agent @('backup', '--provider', 'vss', "a=$($a.Letter):", "b=$($b.Letter):"))
        } finally { $held.Close() }
        Assert-NoNewShadows $before
        $point = Get-NewestPoint
        Assert-True (@($point.volumes).Count -eq 2) 'not two volumes in one point'
        foreach ($volume in @($point.volumes)) {
            Assert-True ($volume.provider -eq 'vss') "$($volume.name): frozen by $($volume.provider)"
        }
        Restore-Scratch @([string]$point.sequence, '--volume', 'b', '--to', "$($c.Letter):")
        Assert-SameFiles $sums (Get-Sums "$($c.Letter):\") 'restored from a shadow copy'
        # What is refused by VSS, a volume that it does not know, leaves nothing behind either.
        [void](Assert-Refused @('backup', '--provider', 'vss', 'x=Z:\no\such\volume') '.')
        Assert-NoNewShadows $before
    } finally {
        Remove-Vhd $a.File
        Remove-Vhd $b.File
        Remove-Vhd $c.File
    }
    "two volumes in one set: $($point.capture); nothing left behind"
}

# The agent is killed while its shadow copies are there: Windows must end them.
function Test-VssKilled {
    $a = New-ScratchVolume 'vssk'
    try {
        # Enough to be read for a while, and nothing that the server knows.
        $random = New-Object System.Random
        $bytes = New-Object byte[] (40MB)
        for ($i = 0; $i -lt 3; $i++) {
            $random.NextBytes($bytes)
            [System.IO.File]::WriteAllBytes("$($a.Letter):\large-$i.bin", $bytes)
        }
        $before = Get-ShadowIds
        $words = @('--state', $script:State, 'backup', '--provider', 'vss', "k=$($a.Letter):")
        $info = New-Object System.Diagnostics.ProcessStartInfo
        $info.FileName = $script:Agent
        $info.Arguments = (@($words | ForEach-Object { Format-Word $_ }) -join ' ')
        $info.UseShellExecute = $false
        $info.CreateNoWindow = $true
        $process = [System.Diagnostics.Process]::Start($info)
        try {
            $seen = @()
            while ($seen.Count -eq 0 -and -not $process.HasExited) {
                $seen = @(Get-ShadowIds | Where-Object { $before -notcontains $_ })
            }
            if ($process.HasExited) { Skip-Check 'the backup ended before it could be killed' }
        } finally { if (-not $process.HasExited) { $process.Kill(); $process.WaitForExit() } }
        Wait-Until 180 { @(Get-ShadowIds | Where-Object { $before -notcontains $_ }).Count -eq 0 } "shadow copies of an agent that was killed end ($($seen -join ' '))"
        # And the next backup is a good one.
        [void](Use-Agent @('backup', '--provider', 'vss', "k=$($a.Letter):"))
        Assert-NoNewShadows $before
    } finally { Remove-Vhd $a.File }
    'its shadow copies were gone; the next backup is good'
}

# ------------------------------------------------------------------ offline, restore

function Test-Offline {
    $a = New-ScratchVolume 'off'
    try {
        $open = [System.IO.File]::OpenRead("$($a.Letter):\random-700.bin")
        try { $line = Assert-Refused @('backup', '--provider', 'offline', "a=$($a.Letter):") 'lock|use|open' }
        finally { $open.Close() }
        [void](Use-Agent @('backup', '--provider', 'offline', "a=$($a.Letter):"))
        $volume = @((Get-NewestPoint).volumes)[0]
        Assert-True ($volume.provider -eq 'offline') "frozen by $($volume.provider)"
        # Let go of: it is mounted and may be written.
        [System.IO.File]::WriteAllText("$($a.Letter):\after.txt", 'x')
        $system = Assert-Refused @('backup', '--provider', 'offline', "c=$($env:SystemDrive)") 'Windows|page|system|lock'
    } finally { Remove-Vhd $a.File }
    "in use: $line; $($env:SystemDrive) $system"
}

function Test-Restore {
    $a = New-ScratchVolume 'resa'
    $b = New-ScratchVolume 'resb' -Empty
    try {
        $sums = Get-Sums "$($a.Letter):\"
        [void](Use-Agent @('backup', "a=$($a.Letter):"))
        [void](Assert-Refused @('restore', 'latest', '--volume', 'a', '--to', "$($a.Letter):") 'source|backed up|use')
        Restore-Scratch @('latest', '--volume', 'a', '--to', "$($b.Letter):")
        Assert-SameFiles $sums (Get-Sums "$($b.Letter):\") 'restored to a volume'
        [System.IO.File]::WriteAllText("$($b.Letter):\new.txt", 'must go')
        [System.IO.File]::WriteAllText("$($b.Letter):\random-70000.bin", 'must come back')
        Restore-Scratch @('latest', '--volume', 'a', '--to', "$($b.Letter):", '--delta')
        Assert-SameFiles $sums (Get-Sums "$($b.Letter):\") 'restored by --delta'
        $check = Invoke-Program (Join-Path $env:SystemRoot 'System32\chkdsk.exe') @("$($b.Letter):") 900
        Assert-True ($check.Code -eq 0) "chkdsk says $($check.Code)"
        $open = [System.IO.File]::OpenRead("$($b.Letter):\random-700.bin")
        try { [void](Assert-Refused @('restore', 'latest', '--volume', 'a', '--to', "$($b.Letter):", '--delta') 'lock|use|open') }
        finally { $open.Close() }
    } finally {
        Remove-Vhd $a.File
        Remove-Vhd $b.File
    }
    'every file equal, --delta too; chkdsk finds nothing; a volume in use is refused'
}

function Test-Vhdx {
    $a = New-ScratchVolume 'vhdx'
    $file = Join-Path $script:Scratch 'restored.vhdx'
    try {
        $sums = Get-Sums "$($a.Letter):\"
        [void](Use-Agent @('backup', '--disk', "d=\\.\PhysicalDrive$($a.Number)"))
        [void](Use-Agent @('restore', 'latest', '--disk', 'd', '--to', $file, '--format', 'vhdx'))
        # Two disks of one signature cannot be online at once.
        Remove-Vhd $a.File
        $letter = Mount-Image $file
        Assert-SameFiles $sums (Get-Sums "${letter}:\") 'in the VHDX'
        $size = (Get-Item $file).Length
    } finally {
        Remove-Vhd $a.File
        Remove-Vhd $file
    }
    "Windows attaches it, every file equal, $([int]($size / 1MB)) MiB for a disk of $ScratchVhdSize MiB"
}

function Test-Clone {
    $a = New-ScratchVolume 'clonea'
    $b = New-ScratchVolume 'cloneb' -Empty
    $file = Join-Path $script:Scratch 'cloned.vhdx'
    try {
        $sums = Get-Sums "$($a.Letter):\"
        $onto = Assert-Refused @('clone', "$($a.Letter):", "$($a.Letter):\copy.img") 'source itself'
        [void](Assert-Refused @('clone', "$($a.Letter):", "\\.\$($a.Letter):") 'source itself')
        [void](Use-Agent @('clone', "$($a.Letter):", "$($b.Letter):"))
        Assert-SameFiles $sums (Get-Sums "$($b.Letter):\") 'cloned to a volume'
        [System.IO.File]::WriteAllText("$($b.Letter):\new.txt", 'must go')
        [void](Use-Agent @('clone', "$($a.Letter):", "$($b.Letter):", '--delta'))
        Assert-SameFiles $sums (Get-Sums "$($b.Letter):\") 'cloned by --delta'
        $check = Invoke-Program (Join-Path $env:SystemRoot 'System32\chkdsk.exe') @("$($b.Letter):") 900
        Assert-True ($check.Code -eq 0) "chkdsk says $($check.Code)"
        [void](Use-Agent @('clone', '--disk', "\\.\PhysicalDrive$($a.Number)", $file))
        # Two disks of one signature cannot be online at once.
        Remove-Vhd $a.File
        $letter = Mount-Image $file
        Assert-SameFiles $sums (Get-Sums "${letter}:\") 'in the VHDX of a disk'
    } finally {
        Remove-Vhd $a.File
        Remove-Vhd $b.File
        Remove-Vhd $file
    }
    "a volume in use to a volume, --delta, its disk to a VHDX: every file equal; chkdsk finds nothing; $onto"
}

function Test-RunningSystem {
    $line = Assert-Refused @('backup', '--provider', 'offline', "c=$($env:SystemDrive)") 'Windows|page|system|lock'
    if (-not $Refusals) { Skip-Check "offline backup of it is refused ($line); restores onto it: only with -Refusals" }
    $a = New-ScratchVolume 'run'
    try {
        [void](Use-Agent @('backup', "a=$($a.Letter):"))
        $volume = Assert-Refused @('restore', 'latest', '--volume', 'a', '--to', $env:SystemDrive, '--overwrite-source') 'Windows|rescue|page|system|small'
        $number = (Get-Partition -DriveLetter $env:SystemDrive.Substring(0, 1)).DiskNumber
        [void](Use-Agent @('backup', '--disk', "d=\\.\PhysicalDrive$($a.Number)"))
        $disk = Assert-Refused @('restore', 'latest', '--disk', 'd', '--to', "\\.\PhysicalDrive$number", '--overwrite-source') 'Windows|rescue|page|system|use'
    } finally { Remove-Vhd $a.File }
    "$volume; $disk"
}

function Test-Disk {
    $a = New-ScratchVolume 'diska'
    $b = New-ScratchVolume 'diskb' -Empty
    try {
        $sums = Get-Sums "$($a.Letter):\"
        $parts = @(Get-Partition -DiskNumber $a.Number | ForEach-Object { "$($_.Guid) $($_.Offset) $($_.Size)" }) -join "`n"
        [void](Use-Agent @('backup', '--disk', "d=\\.\PhysicalDrive$($a.Number)"))
        $point = Get-NewestPoint
        Remove-Vhd $a.File
        Invoke-Diskpart @("select disk $($b.Number)", 'clean')
        Restore-Scratch @([string]$point.sequence, '--disk', 'd', '--to', "\\.\PhysicalDrive$($b.Number)", '--verify')
        Invoke-Diskpart @('rescan')
        Wait-Until 60 { @(Get-Partition -DiskNumber $b.Number -ErrorAction SilentlyContinue).Count -gt 0 } 'Windows sees the partitions'
        $now = @(Get-Partition -DiskNumber $b.Number | ForEach-Object { "$($_.Guid) $($_.Offset) $($_.Size)" }) -join "`n"
        Assert-True ($now -eq $parts) "partitions differ:`n$parts`n$now"
        $partition = Get-Partition -DiskNumber $b.Number | Sort-Object Size -Descending | Select-Object -First 1
        $letter = Get-FreeLetter
        Invoke-Diskpart @("select disk $($b.Number)", "select partition $($partition.PartitionNumber)", "assign letter=$letter")
        Assert-SameFiles $sums (Get-Sums "${letter}:\") 'on the restored disk'
    } finally {
        Remove-Vhd $a.File
        Remove-Vhd $b.File
    }
    'table, identifiers and files come back on another disk'
}

# ------------------------------------------------------------------ fast incrementals

# Write into a file without a new time of last write: what some databases do.
function Write-Untimed([string]$File, [byte]$Value) {
    if (-not ('HoldfastVerify.Times' -as [type])) {
        Add-Type -Namespace HoldfastVerify -Name Times -MemberDefinition @'
[System.Runtime.InteropServices.DllImport("kernel32.dll", SetLastError = true)]
public static extern bool SetFileTime(Microsoft.Win32.SafeHandles.SafeFileHandle file, System.IntPtr created, ref long accessed, ref long written);
'@
    }
    $stream = New-Object System.IO.FileStream($File, 'Open', 'ReadWrite', 'None')
    try {
        # All ones: this handle changes no times ("SetFileTime function", Microsoft Learn).
        [long]$none = -1
        [long]$same = -1
        if (-not [HoldfastVerify.Times]::SetFileTime($stream.SafeFileHandle, [System.IntPtr]::Zero, [ref]$none, [ref]$same)) { throw 'SetFileTime' }
        $stream.Position = 1000
        $stream.WriteByte($Value)
    } finally { $stream.Close() }
}

function Write-Mapped([string]$File, [byte]$Value) {
    $map = [System.IO.MemoryMappedFiles.MemoryMappedFile]::CreateFromFile($File, 'Open')
    try {
        $view = $map.CreateViewAccessor()
        $view.Write(2000, $Value)
        $view.Flush()
        $view.Dispose()
    } finally { $map.Dispose() }
}

function Test-Fast {
    $a = New-ScratchVolume 'fast'
    $b = New-ScratchVolume 'fastb' -Empty
    $missed = @()
    try {
        $root = "$($a.Letter):\"
        [System.IO.File]::WriteAllText((Join-Path $script:State 'agent.conf'), "[agent]`r`nfast = on`r`nfast-recent = 0`r`n[volume a]`r`npath = $($a.Letter):`r`n")
        [void](Use-Agent @('backup'))
        $all = (Get-NewestPoint).read_bytes
        [void](Use-Agent @('backup'))
        $few = (Get-NewestPoint).read_bytes
        Assert-True ($few -lt $all) "a second backup read $few bytes of $($all): nothing was skipped, this proves nothing"
        $ways = @(
            @('in place', { $s = [System.IO.File]::OpenWrite("${root}random-5000.bin"); $s.Position = 77; $s.WriteByte(1); $s.Close() }),
            @('memory-mapped', { Write-Mapped "${root}random-70000.bin" 2 }),
            @('without a time', { Write-Untimed "${root}random-1300000.bin" 3 }))
        foreach ($way in $ways) {
            & $way[1]
            $sums = Get-Sums $root
            [void](Use-Agent @('backup'))
            Restore-Scratch @('latest', '--volume', 'a', '--to', "$($b.Letter):", '--delta')
            if ($sums -ne (Get-Sums "$($b.Letter):\")) { $missed += $way[0] }
        }
    } finally {
        Remove-Item -Force (Join-Path $script:State 'agent.conf') -ErrorAction SilentlyContinue
        Remove-Vhd $a.File
        Remove-Vhd $b.File
    }
    Assert-True ($missed.Count -eq 0) "missed until its proof comes round: changes $($missed -join ', '); keep 'fast' off where programs write so"
    "changes in place, memory-mapped and without a time are seen; $([int]($few / 1KB)) of $([int]($all / 1KB)) KiB were read"
}

# ------------------------------------------------------------------ MSI

function Invoke-Msi([string[]]$Words, [string]$Log) {
    return (Invoke-Program (Join-Path $env:SystemRoot 'System32\msiexec.exe') ($Words + @('/qn', '/norestart', '/l*v', $Log)) 900).Code
}

# Does Windows start with it: its file and its name?
function Test-DriverThere {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Class\{71A27CDD-812A-11D0-BEC7-08002BE2092F}'
    $named = @((Get-Item $key).GetValue('UpperFilters')) -contains 'hotcopy'
    $placed = Test-Path (Join-Path $env:SystemRoot 'System32\drivers\hotcopy.sys')
    if ($named -and -not $placed) { throw 'the filter is named and has no file: do not restart, say holdfast-agent driver install' }
    return $named -and $placed
}

function Test-Msi {
    if ($Msi -eq '') { Skip-Check 'no -Msi given' }
    if (Test-ServiceThere) { Skip-Check 'Holdfast is installed on this machine' }
    $data = Join-Path $env:ProgramData 'Holdfast'
    if (Test-Path $data) { Skip-Check "$data exists" }
    $exe = Join-Path $env:ProgramFiles 'Holdfast\holdfast-agent.exe'
    $name = ($env:COMPUTERNAME + '-msi').ToLowerInvariant()
    if ($WithDriver -and (Test-DriverThere)) { Skip-Check 'the hot-copy driver is installed on this machine' }
    $log = Join-Path $script:Scratch 'msi.log'
    $first = $Msi
    if ($OlderMsi -ne '') { $first = $OlderMsi }
    try {
        # A refusal fails the installation and leaves nothing.
        $code = Invoke-Msi @('/i', $first, 'TOKEN=hf1.nonsense') $log
        Assert-True ($code -eq 1603) "a wrong token: exit code $code, not 1603"
        Assert-True (-not (Test-Path $exe) -and -not (Test-ServiceThere)) 'a failed installation left something'
        $words = @('/i', $first, "TOKEN=$Token", "NAME=$name", 'ENROLL=required')
        if ($Server -ne '') { $words += "SERVER=$Server" }
        $code = Invoke-Msi $words $log
        Assert-True ($code -eq 0) "msiexec /i: exit code $code, see $log"
        $secret = $Token.Substring([Math]::Max(0, $Token.Length - 40))
        Assert-True (-not (Select-String -Path $log -SimpleMatch $secret -Quiet)) 'the token is in the log'
        foreach ($hive in 'HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer', 'HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall', 'HKLM\SOFTWARE\Classes\Installer') {
            $found = Invoke-Program (Join-Path $env:SystemRoot 'System32\reg.exe') @('query', $hive, '/s', '/f', $secret) 300
            Assert-True (-not $found.Out.Contains($secret)) "the token is in $hive"
        }
        Wait-Until 60 { (Get-Service $script:ServiceName).Status -eq 'Running' } 'the service runs'
        $status = Invoke-Program $exe @('status', '--json') 120
        Assert-True ((ConvertFrom-Json $status.Out).name -eq $name) 'enrolled under another name'
        if ($WithDriver) {
            $result = Invoke-Program $exe @('driver', 'install') 120
            Assert-True ($result.Code -eq 0) "driver install: $(Get-LastLine $result.Err)"
            Assert-True (Test-DriverThere) 'driver install: it is not there'
        }
        $cert = [System.Convert]::ToBase64String([System.IO.File]::ReadAllBytes((Join-Path $data 'cert')))
        if ($OlderMsi -ne '') {
            $code = Invoke-Msi @('/i', $Msi) $log
            Assert-True ($code -eq 0) "upgrade: exit code $code"
            Wait-Until 60 { (Get-Service $script:ServiceName).Status -eq 'Running' } 'the service runs after the upgrade'
            $code = Invoke-Msi @('/i', $OlderMsi) $log
            Assert-True ($code -eq 1603) "downgrade: exit code $code, not 1603"
            Assert-True (-not $WithDriver -or (Test-DriverThere)) 'the upgrade took the driver away'
        }
        # Stopped and disabled by a person: an upgrade or repair leaves it so.
        Set-Service $script:ServiceName -StartupType Disabled
        [void](Invoke-Program $exe @('service', 'stop') 300)
        $code = Invoke-Msi @('/fa', $Msi) $log
        Assert-True ($code -eq 0) "repair: exit code $code"
        $service = Get-WmiObject Win32_Service -Filter "Name='$($script:ServiceName)'"
        Assert-True ($service.State -eq 'Stopped' -and $service.StartMode -eq 'Disabled') "after a repair: $($service.State), $($service.StartMode)"
        $code = Invoke-Msi @('/x', $Msi) $log
        Assert-True ($code -eq 0) "msiexec /x: exit code $code"
        Assert-True (-not (Test-Path $exe) -and -not (Test-ServiceThere)) 'files or service stayed'
        Assert-True (-not $WithDriver -or -not (Test-DriverThere)) 'the driver stayed'
        Assert-True (-not [System.Diagnostics.EventLog]::SourceExists($script:ServiceName)) 'the event source stayed'
        Assert-True ([System.Convert]::ToBase64String([System.IO.File]::ReadAllBytes((Join-Path $data 'cert'))) -eq $cert) 'the identity did not stay'
        $code = Invoke-Msi @('/i', $Msi, "TOKEN=$Token") $log
        Assert-True ($code -eq 0) "installed again: exit code $code"
        Assert-True ([System.Convert]::ToBase64String([System.IO.File]::ReadAllBytes((Join-Path $data 'cert'))) -eq $cert) 'another identity after a new installation'
        $code = Invoke-Msi @('/x', $Msi, 'REMOVE_IDENTITY=1') $log
        Assert-True ($code -eq 0) "msiexec /x REMOVE_IDENTITY=1: exit code $code"
        foreach ($file in 'key', 'cert', 'ticket', 'enroll') {
            Assert-True (-not (Test-Path (Join-Path $data $file))) "$file stayed"
        }
    } finally {
        if (Test-ServiceThere) { [void](Invoke-Msi @('/x', $Msi, 'REMOVE_IDENTITY=1') $log) }
        if (Test-Path $data) { Remove-Item -Recurse -Force $data }
    }
    'refused, installed, upgraded, repaired, removed, installed again, removed with its identity'
}

# ------------------------------------------------------------------ all of it

function Initialize-Run {
    $principal = New-Object System.Security.Principal.WindowsPrincipal([System.Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'not an elevated prompt' }
    if ($Agent -eq '') { $script:Agent = Join-Path (Split-Path -Parent $PSCommandPath) 'holdfast-agent.exe' }
    else { $script:Agent = (Resolve-Path $Agent).Path }
    if (-not (Test-Path $script:Agent)) { throw "no $($script:Agent); say -Agent" }
    $script:Scratch = $ScratchDirectory
    if ($script:Scratch -eq '') { $script:Scratch = Join-Path $env:SystemDrive ('HoldfastVerify-' + [System.Guid]::NewGuid().ToString('N').Substring(0, 8)) }
    if (Test-Path $script:Scratch) { throw "$($script:Scratch) exists: give a directory that does not" }
    [void](New-Item -ItemType Directory $script:Scratch)
    # A service's program must lie where only administrators write.
    $script:Programs = Join-Path $env:ProgramFiles (Split-Path -Leaf $script:Scratch)
    [void](New-Item -ItemType Directory $script:Programs)
    Copy-Item $script:Agent (Join-Path $script:Programs 'holdfast-agent.exe')
    $script:Agent = Join-Path $script:Programs 'holdfast-agent.exe'
    if ($Msi -ne '') { $script:Msi = (Resolve-Path $Msi).Path }
    if ($OlderMsi -ne '') { $script:OlderMsi = (Resolve-Path $OlderMsi).Path }
    $script:State = Join-Path $script:Scratch 'state'
    $words = @('enroll', '-', '--name', ($env:COMPUTERNAME + '-verify').ToLowerInvariant())
    if ($Server -ne '') { $words += @('--server', $Server) }
    [void](Use-Agent $words $Token)
}

function Clear-Run {
    foreach ($file in @($script:Vhds)) {
        try { Remove-Vhd $file } catch { Write-Host "could not remove ${file}: $_" }
    }
    foreach ($directory in $script:Scratch, $script:Programs) {
        if (-not $directory -or -not (Test-Path $directory)) { continue }
        try { Remove-Item -Recurse -Force $directory } catch { Write-Host "could not remove ${directory}: $_" }
    }
}

$os = Get-WmiObject Win32_OperatingSystem
Write-Host "$($os.Caption) $($os.Version), PowerShell $($PSVersionTable.PSVersion)"
try {
    try { Initialize-Run } catch {
        Write-Host "cannot begin: $($_.Exception.Message)"
        exit 2
    }
    Test-Claim 'exe' { Test-Exe }
    Test-Claim 'acl' { Test-Acl }
    Test-Claim 'seal' { Test-Seal }
    Test-Claim 'volumes' { Test-Volumes }
    Test-Claim 'vss-doctor' { Test-VssDoctor }
    Test-Claim 'vss-backup' { Test-VssBackup }
    Test-Claim 'vss-killed' { Test-VssKilled }
    Test-Claim 'offline' { Test-Offline }
    Test-Claim 'restore' { Test-Restore }
    Test-Claim 'vhdx' { Test-Vhdx }
    Test-Claim 'clone' { Test-Clone }
    Test-Claim 'disk' { Test-Disk }
    Test-Claim 'fast' { Test-Fast }
    Test-Claim 'service' { Test-Service }
    Test-Claim 'eventlog' { Test-EventLog }
    Test-Claim 'msi' { Test-Msi }
    Test-Claim 'running-system' { Test-RunningSystem }
} finally {
    Clear-Run
}
$passed = @($script:Results | Where-Object { $_.Verdict -eq 'PASS' }).Count
$failed = @($script:Results | Where-Object { $_.Verdict -eq 'FAIL' }).Count
$skipped = @($script:Results | Where-Object { $_.Verdict -eq 'SKIP' }).Count
Write-Host "$passed passed, $failed failed, $skipped skipped"
if ($failed -gt 0) { exit 1 }
exit 0
