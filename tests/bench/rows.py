"""rows.py - from the steps that were measured to the rows that are judged.

A step is a dict: round, tool, step, host or day or point, and its figures.  Every
figure of a row is the median over the rounds of one figure a round, so that a
disturbed round does not count.  A row is ours beside a peer's; `must` bounds their
ratio: from above, or from below where more is better.
"""
import json
from statistics import mean, median

OURS, RESTIC, MAP = "holdfast", "restic-0.19-tls", "borg2-map-cdc128K"
AGENT_MIB = 96
WIRE_MB, WIRE_AIM_MB = 85, 75  # Of a volume of 1 GiB.
QUIET = 0.5


class Steps:
    """The steps of a run, asked for figures; None where there is none."""

    def __init__(self, steps):
        self.steps = steps

    def of(self, tool, step, **more):
        return [s for s in self.steps if s["tool"] == tool and s["step"] == step and all(s.get(k) == v for k, v in more.items())]

    def figure(self, steps, key, over=mean):
        """The median over the rounds of `over` the figures of a round."""
        rounds = {}
        for s in steps:
            rounds.setdefault(s["round"], []).append(s[key])
        return median(over(v) for v in rounds.values()) if rounds else None

    def first(self, tool, key):
        return self.figure(self.of(tool, "full", host=1), key)

    def later(self, tool, key, over=mean):
        return self.figure([s for s in self.of(tool, "full") if s["host"] > 1], key, over)

    def fleet(self, tool):
        """What the store holds after the last host's full backup, in MB."""
        last = max((s["host"] for s in self.of(tool, "full")), default=0)
        return self.figure(self.of(tool, "full", host=last), "repo_mb")

    def day(self, tool, key):
        return self.figure(self.of(tool, "day"), key)

    def one(self, tool, step, key, **more):
        return self.figure(self.of(tool, step, **more), key)

    def best(self, figure, stock=False):
        """The peer whose figure is least: (name, figure)."""
        known = {}
        for s in self.steps:
            if s["step"] == "full" and s["tool"] != OURS and (s["stock"] or not stock):
                known[s["tool"]] = figure(s["tool"])
        known = {k: v for k, v in known.items() if v is not None}
        return min(known.items(), key=lambda kv: kv[1]) if known else (None, None)


def loaded(*groups):
    """What there is to say of a machine that was not quiet, or nothing."""
    all_steps = [s for g in groups for s in g]
    load, others = max((s["load"] for s in all_steps), default=0), max((s["others"] for s in all_steps), default=0)
    return f"NOT QUIET: load {load:.1f} before, others kept {others:.1f} cores busy" if load >= QUIET or others >= 0.3 else ""


def row(name, unit, ours, peer, peer_name, must, aim=None, more_is_better=False, note=""):
    ratio = ok = None
    if ours is not None and peer:
        ratio = round(ours / peer, 3)
        ok = None if must is None else ratio >= must if more_is_better else ratio <= must
    return dict(name=name, unit=unit, ours=ours and round(ours, 3), peer=peer and round(peer, 3), peer_name=peer_name,
                ratio=ratio, must=must, ok=ok, aim=aim, bound="at least" if more_is_better else "at most", note=note)


def rows(steps, facts):
    return [*full_rows(steps), *fleet_rows(steps, facts), *day_rows(steps), *back_rows(steps), *agent_rows(steps),
            *tls_rows(steps), *memory_rows(steps)]


def full_rows(s):
    wall = loaded(s.of(OURS, "full", host=1), s.of(MAP, "full", host=1))
    yield row("full of host-01, stored", "MB", s.first(OURS, "repo_mb"), s.first(RESTIC, "repo_mb"), RESTIC, 0.60)
    yield row("full of host-01, stored", "MB", s.first(OURS, "repo_mb"), s.first(MAP, "repo_mb"), MAP, 1.05, 1.0)
    yield row("full of host-01, CPU", "s", s.first(OURS, "cpu"), s.first(RESTIC, "cpu"), RESTIC, 0.40, 0.30)
    yield row("full of host-01, wall", "s", s.first(OURS, "wall"), s.first(MAP, "wall"), MAP, 0.70, 0.50, note=wall)


def fleet_rows(s, facts):
    hosts = facts["hosts"]
    stock, most = s.best(s.fleet, stock=True)
    scale = facts["volume_bytes"] / (1 << 30)
    map_cpu = s.later(MAP, "map_cpu")
    yield row(f"{hosts} hosts, store", "MB", s.fleet(OURS), most, f"best stock tool: {stock}", 0.36)
    yield row(f"{hosts} hosts, store", "MB", s.fleet(OURS), s.fleet(MAP), MAP, 0.82)
    yield row(f"{hosts} hosts, store", "MB", s.fleet(OURS), facts.get("ideal_mb"), "ideal", 1.12, 1.03)
    yield row(f"hosts 2-{hosts}, CPU each", "s", s.later(OURS, "cpu"), s.later(MAP, "cpu"), MAP, 0.65, 0.50,
              note=f"its map: {map_cpu:.2f} s" if map_cpu else "")
    yield row(f"hosts 2-{hosts}, on the wire, the most", "MB", s.later(OURS, "wire_mb", max), WIRE_MB * scale, "limit", 1.0,
              round(WIRE_AIM_MB / WIRE_MB, 2), note="TLS records both ways, as the agent's sockets counted them")


def day_rows(s):
    map_cpu = s.day(MAP, "map_cpu")
    yield row("a day by full compare, CPU", "s", s.day(OURS, "cpu"), s.day(MAP, "cpu"), MAP, 0.60, 0.30,
              note=f"its map: {map_cpu:.2f} s; it is told what changed" if map_cpu else "")
    yield row("a day by full compare, stored", "MB", s.day(OURS, "grown_mb"), s.day(MAP, "grown_mb"), MAP, 0.60, 0.40)


def back_rows(s):
    for key, unit, must, aim in (("cpu", "s", 1.0, 0.8), ("wall", "s", 0.8, 0.6)):
        peer, best = s.best(lambda t, k=key: s.one(t, "restore", k))
        yield row(f"restore of the last day to a file, {'CPU' if key == 'cpu' else key}", unit, s.one(OURS, "restore", key), best,
                  f"best peer: {peer}", must, aim,
                  note=loaded(s.of(OURS, "restore"), s.of(peer, "restore")) if key == "wall" else "")
    yield from churn_rows(s)
    peer, best = s.best(lambda t: s.one(t, "check", "cpu"))
    yield row("verify of everything, CPU", "s", s.one(OURS, "check", "cpu"), best, f"best peer: {peer}", 0.60, 0.40)


def churn_rows(s):
    """Which of the two is slow is another matter for a store that never moves a chunk: the newest is spread over it."""
    points = max((x["point"] for x in s.of(OURS, "churn-restore")), default=None)
    oldest, newest = ({k: s.one(OURS, "churn-restore", k, point=p) for k in ("wall", "cpu", "received_mb")} for p in (1, points))
    note = loaded(s.of(OURS, "churn-restore"))
    figures = "".join(f"{n}: CPU {f['cpu']:.2f} s, received {f['received_mb']:.0f} MB; " for n, f in (("oldest", oldest), ("newest", newest)) if f["cpu"])
    yield row(f"restore of the oldest of {points} points after churn, wall", "s", oldest["wall"], newest["wall"],
              f"the newest of {points}", 1.5, 1.1, note=note)
    yield row(f"restore of the newest of {points} points after churn, wall", "s", newest["wall"], oldest["wall"],
              f"the oldest of {points}", None, note=figures + note)


def agent_rows(s):
    one, at_once, after = (s.of(OURS, "agents-" + k) for k in ("one", "at-once", "after"))
    rate, note = {}, ""
    for name, steps in (("one", one), ("at-once", at_once)):
        read, wall = s.figure(steps, "read"), s.figure(steps, "wall")
        rate[name] = read / wall / 1e6 if read else None
    if at_once:
        row_time = s.figure(one, "wall") + s.figure(after, "wall", sum)
        cores = s.figure(one, "cpu") / s.figure(one, "wall")
        note = f"all new; {row_time / s.figure(at_once, 'wall'):.2f} x as fast as one after another; one alone keeps {cores:.2f} cores busy"
        note = "; ".join(n for n in (note, loaded([dict(x, load=0) for x in one + at_once])) if n)
    yield row("4 agents at once, read in all", "MB/s", rate["at-once"], rate["one"], "one agent alone", 1.7, more_is_better=True, note=note)


def tls_rows(s):
    for end in ("send", "receive"):
        ours, plain = s.of(None, "tls_raw_bench"), s.of(None, "tls_raw_plain_bench")
        yield row(f"TLS bulk, {end}", "MB/s", s.figure(ours, end), s.figure(plain, end), "unmodified mbedTLS, its fastest suite",
                  2.5, 3.5, more_is_better=True)


def memory_rows(s):
    agent = max((x["rss_mib"] for x in s.steps if x["tool"] == OURS and "rss_mib" in x and x["step"] != "check"), default=None)
    yield row("agent's memory, the most of all steps", "MiB", agent, AGENT_MIB, "limit", 1.0)
    served = [x for x in s.steps if "server_limit_mib" in x]
    worst = max(served, key=lambda x: x["server_rss_mib"] / x["server_limit_mib"], default={})
    note = f"64 MiB + 20 B for each of {worst['chunks']} chunks + 1 MiB a session; in {worst['step']}" if worst else ""
    yield row("server's memory, the most of all runs", "MiB", worst.get("server_rss_mib"), worst.get("server_limit_mib"), "limit", 1.0, note=note)


# ------------------------------------------------------------------ judging

def judge(found, whole):
    """What is wrong with these rows, one line each; `whole`: a row without a figure is wrong too."""
    out = []
    for r in found:
        if r["ratio"] is None and whole:
            out.append(f"not measured: {r['name']}, against {r['peer_name']}")
        if r["ok"] is False:
            out.append(f"missed: {r['name']}: {r['ratio']:.2f} x {r['peer_name']}, must be {r['bound']} {r['must']}")
    return out


def text(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def table(found):
    head = ("", "row", "ours", "peer", "", "against", "ratio", "must", "aim")
    lines = [head]
    for r in found:
        sign = ">=" if r["bound"] == "at least" else "<="
        lines.append(({True: "ok", False: "MISSED", None: "-"}[r["ok"]], r["name"], text(r["ours"]), text(r["peer"]), r["unit"],
                      r["peer_name"], text(r["ratio"]), f"{sign} {r['must']}" if r["must"] else "-", text(r["aim"])))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = (2, 3, 6, 8)
    out = []
    for n, line in enumerate(lines):
        out.append("  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())
        if n > 0 and found[n - 1]["note"]:
            out.append(" " * (widths[0] + 4) + found[n - 1]["note"])
    return "\n".join(out)


def load_steps(path):
    """(facts, steps) of a run's file: a line of facts, then a line a step."""
    with open(path) as f:
        facts, *steps = map(json.loads, f)
    return facts, steps
