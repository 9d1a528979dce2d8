#!/usr/bin/env python3
"""tsan_reports.py DIR - print what ThreadSanitizer wrote to files in DIR; exit 1
if there is anything but one known ghost: Debian's libuv closes sockets by a bare
system call that TSan does not see, so when a file of ours gets the number next,
closing it looks like a race on the file descriptor."""
import os, re, sys

bad = ghosts = 0
for name in sorted(os.listdir(sys.argv[1])):
    text = open(os.path.join(sys.argv[1], name), errors="replace").read()
    for report in re.split(r"(?m)^=+$", text):
        if not re.search("(WARNING|ERROR|FATAL): ThreadSanitizer", report):
            continue
        if "data race" in report and "Location is file descriptor" in report:
            ghosts += 1
            continue
        bad += 1
        print(name + ":" + report)
print("ThreadSanitizer: %d reports, and %d of the known ghost" % (bad, ghosts))
sys.exit(bad > 0)
