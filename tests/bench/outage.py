#!/usr/bin/env python3
"""An event store that is away: what is acknowledged meanwhile, what memory it takes, and how long catching up lasts.

Starts `yagura up` in a temporary folder, sends FortiGate lines, each with a number of its own, at --megabytes a second over grpc, and keeps the
event store away for --minutes: whenever it is started again it is killed. Then the senders end, the store stays, and the time
counts until it has every line once. The flow Redis must stay within ingestion's budget, and the suite's memory
must not grow by more than 200 MB over what it was before.

Ends with 1 where a line is missing or doubled, or a bound is not kept.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import bench_support as support
import soak

FLOW_BUDGET_MB = 2048  # ingestion.flow_memory_budget
GROWTH_MB = 200


def flow_memory_mb(suite):
    out = subprocess.run(["redis-cli", "-s", suite.folder / "run" / "flow.sock", "INFO", "memory"], check=True, text=True,
                         capture_output=True).stdout
    return next(int(line.split(":")[1]) for line in out.splitlines() if line.startswith("used_memory:")) / 2**20


def sample(suite, begin, phase):
    row = {"second": round(time.monotonic() - begin, 1), "phase": phase}
    for name, pid in suite.pids().items():
        with contextlib.suppress(OSError, AttributeError):
            row[name] = round(support.memory_mb(pid))
    with contextlib.suppress(OSError, subprocess.CalledProcessError, StopIteration):
        row["flow_used"] = round(flow_memory_mb(suite))
        sums = support.metrics(f"127.0.0.1:{suite.ports['--metrics']}")
        row["archive_spool"] = round(sums.get("yagura_archive_spool_bytes", 0) / 2**20)
        row["ingestion_spool"] = round(sums.get("yagura_ingestion_spool_bytes", 0) / 2**20)
        row["delivered"] = sums.get("yagura_ingestion_delivered_lines_total", 0)
    return row


def keep_away(suite):
    pid = suite.pids().get("store")
    if pid is None:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return 1


def most(samples, phase, name):
    return max((row[name] for row in samples if row["phase"] == phase and name in row), default=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--megabytes", type=float, default=20, help="of lines, a second")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--before", type=float, default=60, help="seconds with the store, before")
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    machine = support.machine()
    samples, wrong = [], []
    with support.folder() as path, open(path / "senders.log", "wb") as log:
        text = support.lines_file(build, path, 50_000).read_bytes().split(b"\n")[:-1]
        rate = 1e6 * arguments.megabytes / (sum(map(len, text)) / len(text) + len(b" soak=0-1234567\n"))
        print(f"\noutage: the store away for {arguments.minutes:g} minutes at {arguments.megabytes:g} MB/s "
              f"({rate:,.0f} lines/s), load of the machine before {machine['load_before']:.1f}", flush=True)
        suite = soak.Suite(build, path)
        suite.start()
        try:
            suite.run("tenant", "create", "soak", "--display-name", "soak")
            begin = time.monotonic()
            senders = [soak.Sender(suite, "grpc", i, text, rate / 2, log) for i in range(2)]

            following = {}

            def is_due(what, seconds):
                if (now := time.monotonic()) < following.get(what, 0):
                    return False
                following[what] = now + seconds
                return True

            def note(phase):
                if is_due(phase, 5):
                    samples.append(sample(suite, begin, phase))

            def watch(phase, until, every=lambda: None):
                def has_ended():
                    every()
                    note(phase)
                    return suite.process.poll() is not None or any(s.process.poll() is not None for s in senders)
                ended = False
                with contextlib.suppress(support.TooLate):
                    ended = support.wait_until("an end", has_ended, until - time.monotonic())
                if ended:
                    raise RuntimeError("the suite or a sender ended: " + (path / "senders.log").read_text()[-2000:])

            watch("before", begin + arguments.before)
            away = time.monotonic()
            kills = []
            watch("away", away + 60 * arguments.minutes, lambda: kills.append(keep_away(suite)))
            # The store stays from here on.
            codes = [sender.end(300) for sender in senders]
            away = time.monotonic() - away
            if any(codes):
                wrong.append(f"the senders ended with {codes}: " + (path / "senders.log").read_text()[-2000:])
            sent = sum(sender.written for sender in senders)
            back = time.monotonic()

            def all_stored():
                note("behind")
                if not is_due("count", 1):  # counting costs what is measured
                    return False
                with contextlib.suppress(OSError, RuntimeError, ValueError, IndexError):
                    return int(suite.query("SELECT count() FROM yagura.events WHERE tenant = 'soak'")[0]) >= sent

            with contextlib.suppress(support.TooLate):
                support.wait_until("all lines in the store", all_stored, 120 * arguments.minutes + 600)
            behind = time.monotonic() - back
            events, numbers = soak.stored(suite)
            if not events == numbers == sent:
                wrong.append(f"{sent:,} lines were sent, {events:,} events are stored, of {numbers:,} lines")
        finally:
            if suite.stop():
                wrong.append("the suite did not end well")
        grown = most(samples, "away", "suite") - most(samples, "before", "suite")
        if grown > GROWTH_MB:
            wrong.append(f"the suite's memory grew by {grown:,.0f} MB while the store was away")
        flow = max(row.get("flow_used", 0) for row in samples)
        if flow > FLOW_BUDGET_MB:
            wrong.append(f"the flow Redis used {flow:,.0f} MB")
    delivered = [row for row in samples if row["phase"] == "away" and "delivered" in row]
    taken = (delivered[-1]["delivered"] - delivered[0]["delivered"]) / (delivered[-1]["second"] - delivered[0]["second"])
    print(f"  store killed {sum(kills)} times in {away:.0f} s; taken meanwhile {taken:,.0f} lines/s, all acknowledged: "
          f"{'yes' if not any(codes) else 'no'}")
    print(f"  {sent:,} lines sent, {events:,} stored, {numbers:,} different; behind by nothing {behind:.0f} s after the last was sent")
    for phase in ("before", "away", "behind"):
        print(f"  most, {phase}: " + ", ".join(f"{name} {most(samples, phase, name):,.0f} MB" for name in
                                               ("suite", "flow", "flow_used", "state", "store", "archive_spool", "ingestion_spool")))
    for line in wrong:
        print(f"  WRONG: {line}")
    support.keep(arguments.results or build / "bench" / "results", "outage",
                 {"machine": machine, "rate": rate, "away_s": away, "sent": sent, "stored": events, "different": numbers,
                  "taken": taken, "behind_s": behind, "samples": samples, "wrong": wrong})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
