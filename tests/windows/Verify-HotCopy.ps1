<#
.SYNOPSIS
Proves on this Windows, with Driver Verifier, what the tests of hotcopy.sys cannot prove without one.

.DESCRIPTION
Never ran: nobody of the project had a Windows. For a machine that you can lose, with a signed or
test-signed hotcopy.sys (docs/driver.md) and a full memory dump set. Elevated, in this order:

    .\Verify-HotCopy.ps1 -Step arm                  Driver Verifier on hotcopy.sys; then restart
    .\Verify-HotCopy.ps1 -Step run -Volume D:,E:    freezes, dumps, kills, tracks, under load
    .\Verify-HotCopy.ps1 -Step agent -Volume D: -Token hf1....   the agent's own backups through it
    .\Verify-HotCopy.ps1 -Step starve               as arm, allocations fail; restart, -Step run -Starved
    .\Verify-HotCopy.ps1 -Step disarm               Driver Verifier off; then restart

`run` writes one file of -Megabytes into the root of each volume and takes it away again; images
go below -Scratch, which must lie on none of the volumes. A crash is a failure: keep the dump.
`agent` enrols this machine as a host of its own (`holdfast enroll-token` on the server; -Server as
the agent takes it) with its state below -Scratch, and backs the first volume up: by hotcopy, by
VSS with the driver's list, by hotcopy while VSS holds (hotcopy-flush), each read whole as well and
compared (--check-changes), killed in between. -Kills says how often the agent is killed.
Prints a line for each check, PASS or FAIL. Exit code 0: nothing failed, 1: something did.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('arm', 'starve', 'run', 'agent', 'disarm')][string]$Step,
    [string]$Ctl = '.\hotcopyctl.exe',
    [string]$Agent = '.\holdfast-agent.exe',
    [string]$Token = '',
    [string]$Server = '',
    [int]$Kills = 5,
    [string[]]$Volume = @(),
    [string]$Scratch = $env:TEMP,
    [int]$Rounds = 10,
    [int]$Megabytes = 256,
    [switch]$Starved
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$script:Failed = 0

# To the host, not to the output: that is the value of the function that asks.
function Confirm-That([bool]$Holds, [string]$What) {
    if ($Holds) { Write-Host "PASS $What" } else { $script:Failed++; Write-Host "FAIL $What" }
}

# Start-Process puts blanks between words and nothing around them.
function Start-Hidden([string]$Path, [string[]]$Words) {
    $quoted = @($Words | ForEach-Object { if ($_ -match '\s') { '"' + $_ + '"' } else { $_ } })
    return Start-Process $Path -ArgumentList $quoted -PassThru -WindowStyle Hidden
}

# Killed at once; $true if it was gone within so many milliseconds.
function Stop-Hidden($Process, [int]$Milliseconds) {
    Stop-Process -Id $Process.Id -Force -ErrorAction SilentlyContinue
    return $Process.WaitForExit($Milliseconds)
}

# Standard settings hold special pool, IRQL, pool tracking, I/O, deadlocks, DMA, security, misuse.
if ($Step -ne 'run' -and $Step -ne 'agent') {
    switch ($Step) {
        'arm' { & verifier.exe /standard /driver hotcopy.sys }
        'starve' { & verifier.exe /flags 0x9BF /driver hotcopy.sys }
        'disarm' { & verifier.exe /reset }
    }
    Write-Output 'Restart the machine now.'
    exit 0
}

# By `powershell -File` the list comes as one word.
$Volume = @($Volume | ForEach-Object { $_ -split ',' } | ForEach-Object { $_.TrimEnd('\') } | Where-Object { $_ -ne '' })
if ($Volume.Count -eq 0) { throw '-Volume: which?' }
foreach ($v in $Volume) {
    if ((Split-Path -Qualifier (Resolve-Path $Scratch).Path) -eq $v) { throw "-Scratch lies on $v" }
}
Confirm-That ((& verifier.exe /querysettings | Out-String) -match 'hotcopy\.sys') 'Driver Verifier looks at hotcopy.sys'
if ($Step -eq 'run') {
    $list = & $Ctl list | Out-String
    Confirm-That ($LASTEXITCODE -eq 0 -and $list -notmatch 'without the filter') 'every volume has the filter'
} else {
    & $Agent driver status $Volume[0]
    Confirm-That ($LASTEXITCODE -eq 0) 'the agent finds the driver above the volume'
}

# Writes at random places of a file on each volume, until it is stopped; any error ends it.
$writer = {
    param($Path, $Size)
    $random = New-Object Random
    $bytes = New-Object byte[] 65536
    $file = [IO.File]::Open($Path, 'Create', 'ReadWrite', 'Read')
    $file.SetLength($Size)
    while ($true) {
        $random.NextBytes($bytes)
        $file.Position = 4096 * $random.Next([int](($Size - 65536) / 4096))
        $file.Write($bytes, 0, $bytes.Length)
        $file.Flush($true)
    }
}
# ------------------------------------------------------------------ by the agent

$state = Join-Path $Scratch 'hotcopy-verify-state'
$common = @('--state', $state)
if ($Server -ne '') { $common += @('--server', $Server) }

function Set-Configuration([string[]]$Lines) {
    Set-Content -Encoding Ascii (Join-Path $state 'agent.conf') (@('[agent]', 'hotcopy-force = on') + $Lines)
}

# One backup that must go well: its last line. Every tracked one is read whole as well.
function Invoke-Backup([string]$Provider, [string]$What) {
    $text = & $Agent @common backup --json --check-changes --provider $Provider "v=$($Volume[0])"
    Confirm-That ($LASTEXITCODE -eq 0) $What
    if ($LASTEXITCODE -ne 0) { return $null }
    return @($text | Where-Object { $_ -match '"event":"committed"' } | ForEach-Object { ConvertFrom-Json $_ })[0]
}

function Get-Newest {
    return @(& $Agent @common points --json | ForEach-Object { ConvertFrom-Json $_ } | Sort-Object sequence)[-1]
}

function Test-Agent {
    if (-not (Test-Path (Join-Path $state 'key'))) {
        if ($Token -eq '') { throw '-Token: of holdfast enroll-token' }
        & $Agent @common enroll $Token --name "$env:COMPUTERNAME-hotcopy"
        Confirm-That ($LASTEXITCODE -eq 0) 'enrolled'
    }
    Set-Configuration @()
    [void](Invoke-Backup 'hotcopy' 'hotcopy: the first backup, which begins to track')
    for ($i = 1; $i -le 10; $i++) {
        $got = Invoke-Backup 'hotcopy' "hotcopy: incremental $i, equal to a full compare"
        Confirm-That ($null -ne $got -and $got.kept_bytes -gt 0) "hotcopy: incremental $i did not need all"
    }
    for ($i = 1; $i -le $Kills; $i++) {
        $words = $common + @('backup', '--provider', 'hotcopy', "v=$($Volume[0])")
        $victim = Start-Hidden $Agent $words
        Start-Sleep -Milliseconds (Get-Random -Minimum 200 -Maximum 8000)
        Confirm-That (Stop-Hidden $victim 60000) "hotcopy: kill $i ends the agent"
        $got = Invoke-Backup 'hotcopy' "hotcopy: after kill $i, equal to a full compare"
    }
    for ($i = 1; $i -le 5; $i++) {
        $got = Invoke-Backup 'vss' "vss with the driver's list: incremental $i, equal to a full compare"
        Confirm-That ($null -ne $got -and $got.kept_bytes -gt 0) "vss: incremental $i did not need all"
        Confirm-That ((Get-Newest).capture -match 'no auto-recovery') 'vss: nobody repaired files in the copy'
    }
    Set-Configuration @('hotcopy-flush = on')
    for ($i = 1; $i -le 5; $i++) {
        [void](Invoke-Backup 'hotcopy' "hotcopy at VSS' hold: backup $i")
        $point = Get-Newest
        Confirm-That ($point.capture -match 'while VSS held') "hotcopy at VSS' hold: $($point.capture)"
        Confirm-That (@($point.volumes)[0].grade -eq 1) 'its grade is application'
    }
    $left = @(Get-CimInstance Win32_ShadowCopy | Where-Object { $_.ClientAccessible -eq $false })
    Confirm-That ($left.Count -eq 0) 'no shadow copy is left behind'
    & $Agent @common restore latest --volume v --to (Join-Path $Scratch 'hotcopy-verify.vhdx')
    Confirm-That ($LASTEXITCODE -eq 0) 'restored to a virtual disk: attach it and run chkdsk'
    & $Agent driver status $Volume[0]
}

$jobs = @($Volume | ForEach-Object { Start-Job $writer -ArgumentList "$_\hotcopy-verify.bin", ($Megabytes * 1MB) })
try {
    if ($Step -eq 'agent') { Test-Agent; $Rounds = 0 }
    for ($round = 1; $round -le $Rounds; $round++) {
        $image = Join-Path $Scratch 'hotcopy-verify.img'
        & $Ctl dump --memory 512M $Volume[0] $image
        Confirm-That ($LASTEXITCODE -eq 0 -or $Starved) "round ${round}: frozen and dumped"
        Remove-Item $image -ErrorAction SilentlyContinue
        # An owner that is killed: its set must go with it.
        $words = @('freeze', '--memory', '256M') + $Volume
        $owner = Start-Hidden $Ctl $words
        Start-Sleep -Seconds (Get-Random -Maximum 5)
        Confirm-That (Stop-Hidden $owner 60000) "round ${round}: a killed owner ends"
        for ($s = 0; $s -lt 60 -and (& $Ctl list | Out-String) -match ', active,'; $s++) { Start-Sleep -Seconds 1 }
        Confirm-That ((& $Ctl list | Out-String) -notmatch ', active,') "round ${round}: a killed owner's set is gone"
        $bad = @($jobs | Where-Object { $_.State -ne 'Running' })
        Confirm-That ($bad.Count -eq 0) "round ${round}: no write of a program failed"
    }
    if ($Step -eq 'run') {
        # One that waits for file systems to hold, which nobody asks them to.
        $owner = Start-Hidden $Ctl (@('freeze', '--at-hold', '--hold', '10000') + $Volume)
        Start-Sleep -Seconds 2
        Confirm-That (Stop-Hidden $owner 5000) 'an owner that waits for holds ends when it is killed'
        & $Ctl track $Volume[0]
        Confirm-That ($LASTEXITCODE -eq 0 -or $Starved) 'tracking begins'
        & $Ctl untrack $Volume[0]
    }
} finally {
    $jobs | Stop-Job
    $jobs | Receive-Job -ErrorAction SilentlyContinue
    $jobs | Remove-Job -Force
    $Volume | ForEach-Object { Remove-Item "$_\hotcopy-verify.bin" -ErrorAction SilentlyContinue }
}
Write-Output 'By hand, besides: docs/VERIFIED.md, "The hot-copy driver", its numbered list.'
if ($script:Failed -ne 0) { exit 1 }
exit 0
