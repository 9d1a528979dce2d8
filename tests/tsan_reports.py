#!/usr/bin/env python3
"""tsan_reports.py DIR - print what ThreadSanitizer wrote to files in DIR; exit 1
if there is anything but one known ghost: Debian's libuv closes sockets by a bare
system call that TSan does not see, so when a file of ours gets the number next,
closing it looks like a race on the file descriptor."""
import os, re, sys

DESCRIPTORS = {"close", "open", "open64", "openat", "socket", "accept4", "dup", "pipe", "pipe2", "eventfd",
               "epoll_create1", "pread64", "pwrite64", "read", "write", "fstat", "fstat64", "fsync"}

bad = ghosts = 0
for name in sorted(os.listdir(sys.argv[1])):
    text = open(os.path.join(sys.argv[1], name), errors="replace").read()
    for report in re.split(r"(?m)^=+$", text):
        if not re.search("(WARNING|ERROR|FATAL): ThreadSanitizer", report):
            continue
        # Without a location it is known by what both sides do: calls on descriptors.
        calls = re.findall(r"(?:[Rr]ead|[Ww]rite) of size \d+ at .*\n    #0 (\w+) .*_interceptors", report)
        if "data race" in report and ("Location is file descriptor" in report or
                                      calls and len(calls) + report.count("failed to restore the stack") == 2 and all(c in DESCRIPTORS for c in calls)):
            ghosts += 1
            continue
        bad += 1
        print(name + ":" + report)
print("ThreadSanitizer: %d reports, and %d of the known ghost" % (bad, ghosts))
sys.exit(bad > 0)
