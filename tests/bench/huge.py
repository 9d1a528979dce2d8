#!/usr/bin/env python3
"""huge.py [PART...] - a huge volume through the real agent and server, over TLS.

	map	in the program `huge` alone, no server: 64 TB in clusters of 64 KiB, and the
		volume of the other parts in the usual memory and in less, with the same cuts;
		and again with what the map reads kept (agent/map/metacache.h)
	zeros	the volume as a sparse image whose files are holes, but for a sample:
		backed up twice, restored and compared
	data	the same image, but every cluster has content of its own (huge_content.c):
		backed up twice; metadata as a real volume of that size has it

Memory of agent and server is judged, the rest is told: one line of JSON a step, then
one for each miss.  Exits 1 where something was missed, 2 where a step failed.
Environment: PROGRAMS (bin), CONTENT (huge_content.so), WORK (a folder of ours, with
room), and SIZE, CLUSTER, FILES of the volume.
"""
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

from holdfast import Holdfast
from measure import Failed, stored

AGENT_MIB = 96
MAP_MEMORY, LESS_MEMORY = 36 << 20, 3 << 20
TB = 1 << 40
# The map's own limit and the program; and, whatever the limit, the rest.
MAP_MIB = 36 + 12


class Huge(Holdfast):
    def __init__(self, work, programs, content, volume, misses):
        super().__init__(work, SimpleNamespace(hosts=[], folder=work), programs)
        self.work, self.content, self.volume = work, content, volume
        self.image = work + "/huge.img"
        self.misses = misses

    @staticmethod
    def tell(step, **facts):
        print(json.dumps(dict(step=step, **facts)), flush=True)
        return facts

    def judge(self, what, mib, most):
        if mib > most:
            self.misses.append(f"{what} took {mib} MiB, {most:.1f} are allowed")

    def tool(self, *arguments):
        p = subprocess.run([self.programs + "/huge", *map(str, arguments)], capture_output=True, text=True, check=False)
        if p.returncode != 0:
            raise Failed(f"huge {arguments}: {p.stderr}")
        return json.loads(p.stdout) if p.stdout else {}

    def map_alone(self):
        spill = self.work + "/spill"
        os.makedirs(spill, exist_ok=True)
        hashes = set()
        for volume, memory in ((self.volume, MAP_MEMORY), (self.volume, LESS_MEMORY), ((64 * TB, 65536, self.volume[2]), MAP_MEMORY)):
            got = self.tell("map", size=volume[0], cluster=volume[1], memory=memory, **self.tool("map", *volume, memory, spill))
            self.judge("the map", got["rss_kib"] // 1024, MAP_MIB)
            if os.listdir(spill):
                raise Failed("the map left files behind")
            if volume is self.volume:
                hashes.add(got["hash"])
        if len(hashes) != 1:
            raise Failed("less memory makes other cuts")

    def map_again(self):
        """With what it read kept: a million files at most, since each is a kilobyte of the cache."""
        spill = self.work + "/spill"
        volume = (self.volume[0], self.volume[1], min(self.volume[2], 1000000))
        p = subprocess.run([self.programs + "/huge", "again", *map(str, volume), str(MAP_MEMORY), spill, "100"], capture_output=True, text=True, check=False)
        if p.returncode != 0:
            raise Failed(f"huge again: {p.stderr}")
        steps = {step["map"]: step for step in map(json.loads, p.stdout.splitlines())}
        for step in steps.values():
            self.tell("again", **step)
            self.judge("the map", step["rss_kib"] // 1024, MAP_MIB)
        if steps["unchanged"]["read"] > 0:
            self.misses.append(f"{steps['unchanged']['read']} bytes were read though nothing changed")
        if os.listdir(spill):
            raise Failed("the map left files behind")

    def make(self):
        facts = self.tool("make", self.image, *self.volume)
        self.tell("make", **facts)
        return facts["data"]

    def point(self, step, preload=""):
        command = f"{preload} {self.backup_image('big', self.image)} > {self.answer}"
        took = self.step(command)
        sizes = dict(tree_bytes=os.path.getsize(f"{self.folder}/big/cache/vol"), store_bytes=stored(self.repo))
        facts = self.tell(step, **{**took, **self.said(), **self.memory(), **sizes})
        with open(self.log, errors="replace") as f:
            print([line for line in f if line.startswith("cpu:")][-1].strip(), flush=True)
        self.judge(step + ": the agent", facts["rss_mib"], AGENT_MIB)
        self.judge(step + ": the server", facts["server_rss_mib"], facts["server_limit_mib"])
        return facts

    def twice(self, part, preload=""):
        """A first and an unchanged point: the second stores nearly nothing."""
        first = self.point(part + "-first", preload)
        second = self.point(part + "-again", preload)
        if first["new_bytes"] == 0 or second["new_bytes"] > first["new_bytes"] / 100:
            raise Failed("an unchanged volume was stored again")

    def zeros(self):
        self.make()
        self.twice("zeros")
        took = self.step(f"{self.agent('big')} --quiet restore latest --volume vol --to {self.out}")
        self.tell("zeros-restore", **took)
        self.judge("the restore", took["rss_mib"], AGENT_MIB)
        self.tool("check", self.out, *self.volume)
        os.remove(self.out)

    def data(self):
        begin = self.make()
        self.twice("data", f"HUGE_CONTENT={self.image}:{self.volume[1]}:{begin} LD_PRELOAD={self.content}")


def main(parts):
    work = os.environ["WORK"]
    volume = tuple(int(os.environ.get(k, v)) for k, v in (("SIZE", 2 * TB), ("CLUSTER", 4096), ("FILES", 5000000)))
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    misses = []
    try:
        for part in parts or ["map", "zeros", "data"]:
            it = Huge(work, os.environ["PROGRAMS"], os.environ["CONTENT"], volume, misses)
            if part == "map":
                it.map_alone()
                it.map_again()
                continue
            it.begin()
            try:
                it.enrol("big")
                {"zeros": it.zeros, "data": it.data}[part]()
            finally:
                it.end()
    except Failed as e:
        print(f"huge: {e}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for miss in misses:
        print(f"missed: {miss}", flush=True)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
