#!/usr/bin/env python3
"""Endurance: what the suite acknowledged is stored once, and memory stays flat, whatever is killed for half an hour.

Starts `yagura up` in a temporary folder and sends FortiGate lines, each with a number of its own, at --rate for --minutes.
At random moments one of --victims is killed with SIGKILL: `suite` (all services; it is started again at once), `state`,
`flow` (the two Redis) or `store`, which the suite starts again by itself. Over grpc every line is acknowledged, so all may be killed; over
syslog-tcp nobody would send again what a killed listener had read, so there the suite is spared. At the end, once archive
has taken everything, the event store must hold each number exactly once. --seed repeats victims and moments.

Ends with 1 where a line is missing or doubled, a sender fails, or something does not come back.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import bench_support as support

VICTIMS = {"grpc": ["suite", "state", "flow", "store"], "syslog-tcp": ["state", "flow", "store"]}
PARTS = ("state", "flow", "store")


class Suite:
    """`yagura up` on ports that stay the same however often it is started."""

    def __init__(self, build, path):
        self.program, self.folder, self.output = build / "bin" / "yagura", path / "suite", path / "suite.log"
        self.ports = {"--grpc": support.free_port(), "--syslog-tcp": support.free_port(),
                      "--metrics": support.free_port()}
        self.process = None

    def start(self):
        arguments = [str(self.program), "--data-dir", str(self.folder), "up", "--health", "", "--syslog-udp", "",
                     "--syslog-tls", "", "--http", "", "--otlp", ""]
        for flag, port in self.ports.items():
            arguments += [flag, f"127.0.0.1:{port}"]
        with open(self.output, "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        support.wait_until("the suite", lambda: support.connectable(self.ports["--grpc"])
                           and support.connectable(self.ports["--metrics"]), 60)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def run(self, *arguments):
        return subprocess.run([str(self.program), "--data-dir", str(self.folder), *arguments], check=True, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True).stdout

    def pids(self):
        """Of the suite and of the children that run now."""
        found = {"suite": self.process.pid}
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        for children in tasks.glob("*/children"):
            with contextlib.suppress(OSError):
                for pid in children.read_text().split():
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
                    for part in PARTS:
                        if str(self.folder / "run" / f"{part}.sock") in words:
                            found[part] = int(pid)
        return found

    def query(self, sql):
        return support.ask_store(self.folder / "run" / "store.sock", sql, 120).split()


class Sender:
    """One `yagura send`, which is given numbered lines at a rate until it is told to end."""

    def __init__(self, suite, way, number, lines, rate, log):
        arguments = [str(suite.program), "--data-dir", str(suite.folder), "send", "--to", way]
        if way == "grpc":
            arguments += ["--tenant", "soak", "--parser", "fortigate", "--source", f"fw-{number}"]
        self.process = subprocess.Popen([*arguments, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.number, self.lines, self.rate = number, lines, rate
        self.written, self.failed = 0, False
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.feed)
        self.thread.start()

    def feed(self):
        begin, at = time.monotonic(), 0
        with contextlib.suppress(BrokenPipeError):
            while not self.ending.is_set():
                due = int((time.monotonic() - begin) * self.rate) - self.written
                # After a pause no flood: what was not sent then is not made up for.
                if due > 2 * self.rate:
                    begin += (due - self.rate) / self.rate
                    continue
                chunk = []
                for _ in range(due):
                    chunk.append(self.lines[at] + b" soak=%d-%d\n" % (self.number, self.written))
                    self.written += 1
                    at = (at + 1) % len(self.lines)
                self.process.stdin.write(b"".join(chunk))
                self.ending.wait(0.02)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self, seconds):
        self.ending.set()
        self.thread.join()
        return self.process.wait(seconds)


def sample(suite, begin, samples):
    row = {"second": round(time.monotonic() - begin)}
    for name, pid in suite.pids().items():
        with contextlib.suppress(OSError, AttributeError):
            row[name] = round(support.memory_mb(pid))
    with contextlib.suppress(OSError):
        sums = support.metrics(f"127.0.0.1:{suite.ports['--metrics']}")
        row["spooled"] = round(sums.get("yagura_ingestion_spool_bytes", 0) / 1e6)
    samples.append(row)


def kill(suite, victim):
    """Answers how long it took to be there again, in seconds."""
    before = suite.pids().get(victim)
    if before is None:
        before = support.wait_until(victim, lambda: suite.pids().get(victim), 60)
    begin = time.monotonic()
    os.kill(before, signal.SIGKILL)
    if victim == "suite":
        suite.process.wait()
        suite.start()
    else:
        support.wait_until(victim, lambda: suite.pids().get(victim) not in (None, before), 60)
    return time.monotonic() - begin


def stored(suite):
    """(events, different numbers)"""
    with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
        answer = suite.query("SELECT count(), uniqExact(extract(raw, 'soak=([0-9]+-[0-9]+)')) FROM yagura.events "
                             "WHERE tenant = 'soak' AND position(raw, ' soak=') > 0 FORMAT TSV")
        return int(answer[0]), int(answer[1])
    return 0, 0


def quarters(samples, name):
    """The most memory of each quarter of the time, in MB."""
    values = [row[name] for row in samples if name in row]
    if len(values) < 4:
        return values
    return [max(values[len(values) * i // 4:len(values) * (i + 1) // 4]) for i in range(4)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--to", choices=VICTIMS, default="grpc")
    parser.add_argument("--rate", type=float, default=15_000, help="lines a second, of both senders")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--pause", type=float, default=30, help="seconds between two kills, on average")
    parser.add_argument("--victims", nargs="*", choices=("suite", *PARTS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    victims = arguments.victims if arguments.victims is not None else VICTIMS[arguments.to]
    chance = random.Random(arguments.seed)
    machine = support.machine()
    print(f"\nsoak: {arguments.rate:,.0f} lines/s over {arguments.to} for {arguments.minutes:g} minutes, seed "
          f"{arguments.seed}, load of the machine before {machine['load_before']:.1f}", flush=True)

    samples, kills, wrong = [], [], []
    with support.folder() as path, open(path / "senders.log", "wb") as log:
        text = support.lines_file(build, path, 50_000).read_bytes().split(b"\n")[:-1]
        suite = Suite(build, path)
        suite.start()
        try:
            suite.run("tenant", "create", "soak", "--display-name", "soak")
            suite.run("site", "create", "hq", "--tenant", "soak", "--display-name", "hq")
            suite.run("source", "create", "all", "--tenant", "soak", "--site", "hq", "--device", "fw",
                      "--listener", "syslog_tcp")
            begin = time.monotonic()
            senders = [Sender(suite, arguments.to, i, text, arguments.rate / 2, log) for i in range(2)]
            due = begin + chance.uniform(0, 2 * arguments.pause)
            while time.monotonic() - begin < 60 * arguments.minutes:
                time.sleep(min(5, max(0.01, due - time.monotonic())))
                sample(suite, begin, samples)
                if suite.process.poll() is not None:
                    raise RuntimeError(f"the suite ended by itself with {suite.process.returncode}")
                if any(sender.process.poll() is not None for sender in senders):
                    raise RuntimeError("a sender ended early: " + (path / "senders.log").read_text()[-2000:])
                if victims and time.monotonic() >= due:
                    victim = chance.choice(victims)
                    kills.append((victim, round(kill(suite, victim), 2)))
                    due = time.monotonic() + chance.uniform(0, 2 * arguments.pause)
            codes = [sender.end(300) for sender in senders]
            if any(codes):
                wrong.append(f"the senders ended with {codes}: " + (path / "senders.log").read_text()[-2000:])
            sent = sum(sender.written for sender in senders)
            ended = time.monotonic()
            events, numbers = 0, 0
            with contextlib.suppress(RuntimeError):
                support.wait_until("all lines in the store", lambda: stored(suite)[0] >= sent, 900)
            time_behind = time.monotonic() - ended
            events, numbers = stored(suite)
            if not events == numbers == sent:
                wrong.append(f"{sent:,} lines were sent, {events:,} events are stored, of {numbers:,} lines")
        finally:
            code = suite.stop()
        if code:
            wrong.append(f"the suite ended with {code}")
        if wrong:
            print((path / "suite.log").read_text(errors="replace")[-4000:], file=sys.stderr)

    per_victim = {name: sum(1 for victim, _ in kills if victim == name) for name in victims}
    memory = {name: quarters(samples, name) for name in ("suite", *PARTS)}
    print(f"  {sent:,} lines sent, {events:,} events stored, {numbers:,} different; all stored "
          f"{time_behind:.0f} s after the last was sent")
    print(f"  killed: {per_victim}; there again after {max((s for _, s in kills), default=0):.1f} s at most")
    print(f"  most memory in each quarter, MB: {memory}")
    for line in wrong:
        print(f"  WRONG: {line}")
    support.keep(arguments.results or build / "bench" / "results", f"soak-{arguments.to}",
                 {"machine": machine, "seed": arguments.seed, "rate": arguments.rate, "minutes": arguments.minutes,
                  "sent": sent, "stored": events, "different": numbers, "kills": kills, "memory_mb": memory,
                  "samples": samples, "wrong": wrong})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
