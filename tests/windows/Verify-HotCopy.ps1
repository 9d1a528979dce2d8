<#
.SYNOPSIS
Proves on this Windows, with Driver Verifier, what the tests of hotcopy.sys cannot prove without one.

.DESCRIPTION
Never ran: nobody of the project had a Windows. For a machine that you can lose, with a signed or
test-signed hotcopy.sys (docs/driver.md) and a full memory dump set. Elevated, in this order:

    .\Verify-HotCopy.ps1 -Step arm                  Driver Verifier on hotcopy.sys; then restart
    .\Verify-HotCopy.ps1 -Step run -Volume D:,E:    freezes, dumps, kills, tracks, under load
    .\Verify-HotCopy.ps1 -Step starve               as arm, allocations fail; restart, -Step run -Starved
    .\Verify-HotCopy.ps1 -Step disarm               Driver Verifier off; then restart

`run` writes one file of -Megabytes into the root of each volume and takes it away again; images
go below -Scratch, which must lie on none of the volumes. A crash is a failure: keep the dump.
Prints a line for each check, PASS or FAIL. Exit code 0: nothing failed, 1: something did.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('arm', 'starve', 'run', 'disarm')][string]$Step,
    [string]$Ctl = '.\hotcopyctl.exe',
    [string[]]$Volume = @(),
    [string]$Scratch = $env:TEMP,
    [int]$Rounds = 10,
    [int]$Megabytes = 256,
    [switch]$Starved
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$script:Failed = 0

function Confirm-That([bool]$True, [string]$What) {
    if ($True) { Write-Output "PASS $What" } else { $script:Failed++; Write-Output "FAIL $What" }
}

# Standard settings hold special pool, IRQL, pool tracking, I/O, deadlocks, DMA, security, misuse.
if ($Step -ne 'run') {
    switch ($Step) {
        'arm' { & verifier.exe /standard /driver hotcopy.sys }
        'starve' { & verifier.exe /flags 0x9BF /driver hotcopy.sys }
        'disarm' { & verifier.exe /reset }
    }
    Write-Output 'Restart the machine now.'
    exit 0
}

if ($Volume.Count -eq 0) { throw '-Volume: which?' }
foreach ($v in $Volume) {
    if ((Split-Path -Qualifier (Resolve-Path $Scratch).Path) -eq $v) { throw "-Scratch lies on $v" }
}
Confirm-That ((& verifier.exe /querysettings | Out-String) -match 'hotcopy\.sys') 'Driver Verifier looks at hotcopy.sys'
$list = & $Ctl list | Out-String
Confirm-That ($LASTEXITCODE -eq 0 -and $list -notmatch 'without the filter') 'every volume has the filter'

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
$jobs = @($Volume | ForEach-Object { Start-Job $writer -ArgumentList "$_\hotcopy-verify.bin", ($Megabytes * 1MB) })
try {
    for ($round = 1; $round -le $Rounds; $round++) {
        $image = Join-Path $Scratch 'hotcopy-verify.img'
        & $Ctl dump --memory 512M $Volume[0] $image
        Confirm-That ($LASTEXITCODE -eq 0 -or $Starved) "round ${round}: frozen and dumped"
        Remove-Item $image -ErrorAction SilentlyContinue
        # An owner that is killed: its set must go with it.
        $words = @('freeze', '--memory', '256M') + $Volume
        $owner = Start-Process $Ctl -ArgumentList $words -PassThru -WindowStyle Hidden
        Start-Sleep -Seconds (Get-Random -Maximum 5)
        Stop-Process -Id $owner.Id -Force -ErrorAction SilentlyContinue
        $owner.WaitForExit()
        for ($s = 0; $s -lt 60 -and (& $Ctl list | Out-String) -match ', active,'; $s++) { Start-Sleep -Seconds 1 }
        Confirm-That ((& $Ctl list | Out-String) -notmatch ', active,') "round ${round}: a killed owner's set is gone"
        $bad = @($jobs | Where-Object { $_.State -ne 'Running' })
        Confirm-That ($bad.Count -eq 0) "round ${round}: no write of a program failed"
    }
    & $Ctl track $Volume[0]
    Confirm-That ($LASTEXITCODE -eq 0 -or $Starved) 'tracking begins'
    & $Ctl untrack $Volume[0]
} finally {
    $jobs | Stop-Job
    $jobs | Receive-Job -ErrorAction SilentlyContinue
    $jobs | Remove-Job -Force
    $Volume | ForEach-Object { Remove-Item "$_\hotcopy-verify.bin" -ErrorAction SilentlyContinue }
}
Write-Output 'By hand, besides: docs/VERIFIED.md, "The hot-copy driver", its numbered list.'
if ($script:Failed -ne 0) { exit 1 }
exit 0
