#!/usr/bin/env python3
"""check_inf.py - driver/nt/hotcopy.inf is well formed and says what driver/abi/names.h and
hotcopyctl say: sections that are named exist, none lies about, strings are defined.

Directives and flags are of "INF file sections and directives" in Microsoft's documentation
(windows-hardware/drivers/install).  Microsoft's own InfVerif and Inf2Cat are a person's."""
import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
bad = []


def read(path):
    with open(os.path.join(TOP, path), "rb") as f:
        return f.read().decode("ascii")


def parse(text):
    sections, name = {}, None
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r';(?=(?:[^"]*"[^"]*")*[^"]*$).*', "", line).strip()
        if not line:
            continue
        head = re.fullmatch(r"\[([A-Za-z0-9_.]+)\]", line)
        if head:
            name = head.group(1).lower()
            if name in sections:
                bad.append(f"line {number}: section {name} twice")
            sections[name] = []
        elif name is None:
            bad.append(f"line {number}: outside any section")
        else:
            if line.count('"') % 2:
                bad.append(f"line {number}: a quote that does not end")
            sections[name].append(line)
    return sections


def values(sections, section):
    found = {}
    for line in sections.get(section, []):
        key, eq, value = line.partition("=")
        if not eq:
            bad.append(f"[{section}]: no '=' in {line}")
        found[key.strip().lower()] = value.strip().strip('"')
    return found


def need(holds, what):
    if not holds:
        bad.append(what)


def main():
    text = read("driver/nt/hotcopy.inf")
    s = parse(text)
    names = dict(re.findall(r'^#define HOTCOPY_(\w+) L"([^"]*)"', read("driver/abi/names.h"), re.M))
    version = values(s, "version")
    need(version.get("signature") == "$WINDOWS NT$", "Signature")
    need(version.get("class") == "Volume" and version.get("classguid") == names["CLASS"], "Class or ClassGuid")
    need(re.fullmatch(r"\d\d/\d\d/\d{4},\d+\.\d+\.\d+\.\d+", version.get("driverver", "")), "DriverVer is no date and version")
    product = re.search(r"project\(holdfast VERSION (\S+)", read("CMakeLists.txt")).group(1)
    need(version.get("driverver", "").endswith(f",{product}.0"), f"DriverVer is not of version {product}")
    need(version.get("catalogfile") == "hotcopy.cat" and version.get("pnplockdown") == "1", "CatalogFile or PnpLockdown")
    strings = values(s, "strings")
    for token in set(re.findall(r"%(\w+)%", text.replace("%%", ""))):
        need(token.isdigit() or token.lower() in strings, f"string %{token}% is not defined")
    for key in strings:
        need(re.search(rf"%{key}%", text, re.I), f"string {key} is not used")
    # From each root, everything that is named.
    used = {"version", "strings", "destinationdirs", "sourcedisksnames"}
    for arch, directory in (("amd64", "x64"), ("x86", "i686")):
        files = values(s, f"sourcedisksfiles.{arch}")
        need(files == {names["FILE"]: f"1,{directory}"}, f"files of {arch}: {files}")
        used |= {f"sourcedisksfiles.{arch}"}
        for root in ("defaultinstall", "defaultuninstall"):
            section = f"{root}.nt{arch}"
            used.add(section)
            need(section in s, f"no section {section}")
            for key, value in values(s, section).items():
                need(key in ("copyfiles", "addreg", "delreg"), f"[{section}] {key}")
                need(value.lower() in s, f"[{section}] names [{value}], which is not there")
                used.add(value.lower())
        # Nothing may take the file or the service away: see hotcopyctl remove.
        need("delfiles" not in values(s, f"defaultuninstall.nt{arch}"), "DefaultUninstall deletes files")
        need(f"defaultuninstall.nt{arch}.services" not in s, "DefaultUninstall deletes the service")
        services = f"defaultinstall.nt{arch}.services"
        service = [v.strip() for v in values(s, services).get("addservice", "").split(",")]
        need(service == [names["SERVICE"], "", "Service", "Log"], f"[{services}]: {service}")
        used |= {services, "service", "log"}
    service = values(s, "service")
    for key, value in (("servicetype", "1"), ("starttype", "0"), ("errorcontrol", "1"),
                       ("loadordergroup", names["GROUP"]), ("servicebinary", "%12%\\" + names["FILE"])):
        need(service.get(key) == value, f"[Service] {key} is {service.get(key)}, not {value}")
    used.add(service.get("addreg", "").lower())
    key = r"SYSTEM\CurrentControlSet\Control\Class" + "\\" + names["CLASS"]
    for section, flags in (("filter.add", "0x00010008"), ("filter.remove", "0x00018002")):
        need(s.get(section) == [f'HKLM,"{key}","UpperFilters",{flags},"{names["SERVICE"]}"'], f"[{section}]: {s.get(section)}")
    need(s.get("service.parameters") == [
        f'HKR,"{names["KEY_PARAMETERS"]}","{names["VALUE_DISABLED"]}",0x00010003,0',
        f'HKR,"{names["KEY_PARAMETERS"]}","{names["VALUE_FAILED_STARTS"]}",0x00010001,0'], "[Service.Parameters]")
    used.add(values(s, "log").get("addreg", "").lower())
    need(s.get("log.texts") == [
        'HKR,,"EventMessageFile",0x00020000,"%%SystemRoot%%\\System32\\drivers\\' + names["FILE"] + '"',
        'HKR,,"TypesSupported",0x00010001,7'], "[Log.Texts]")
    need(s.get("files") == [names["FILE"]] and values(s, "destinationdirs") == {"defaultdestdir": "12"}, "[Files] or [DestinationDirs]")
    for section in sorted(set(s) - used):
        bad.append(f"section {section} is named by nothing")
    print("\n".join(bad) or f"{len(s)} sections")
    sys.exit(1 if bad else 0)


main()
