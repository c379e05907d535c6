#!/usr/bin/env python3
"""The highest rate at which the whole suite keeps up: lines ingested, stored and matched, lag flat.

Starts `yagura up` in a temporary folder and sends FortiGate lines with `yagura send --to grpc` (acknowledged) at
rising rates, one step after the other until a step is not held, then halves the interval. A step is held
when the senders reached the rate, and what the readers archive and detection had not yet taken at its end is no more
than two seconds' worth above what it was after the first quarter. Before the next step the readers catch up.
"""

import argparse
import contextlib
import json
import math
import pathlib
import subprocess
import sys
import time

import bench_support as support

READERS = {"archive": "yagura_archive_events_total", "detection": "yagura_detection_events_total"}
DELIVERED = "yagura_ingestion_delivered_lines_total"


class Suite:
    def __init__(self, build, path):
        self.program, self.path = build / "bin" / "yagura", path / "suite"

    def __enter__(self):
        subprocess.run([self.program, "--data-dir", self.path, "up", "--detach", "--grpc", "127.0.0.1:0",
                        "--health", "", "--syslog-udp", "", "--syslog-tcp", "", "--syslog-tls", "", "--http", "", "--otlp", "",
                        "--metrics", "127.0.0.1:0"], check=True, stdout=subprocess.DEVNULL)
        self.ends = json.loads((self.path / "endpoints.json").read_text(encoding="utf-8"))
        self.pids = {"yagura": int(self.ends["pid"]), "redis flow": int(self.ends["pid_redis_flow"]),
                     "redis state": int(self.ends["pid_redis_state"]),
                     "store": int(self.ends["pid_store"])}
        self.run("tenant", "create", "bench", "--display-name", "bench")
        return self

    def __exit__(self, *unused):
        subprocess.run([self.program, "--data-dir", self.path, "down"], check=False,
                       stdout=subprocess.DEVNULL)

    def run(self, *arguments):
        subprocess.run([self.program, "--data-dir", self.path, *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def sender(self, file, rate, repeat, log):
        return subprocess.Popen([self.program, "--data-dir", self.path, "send", "--to", "grpc",
                                 "--tenant", "bench", "--parser", "fortigate", "--source", file.name,
                                 "--rate", str(rate), "--repeat", str(repeat), file],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def progress(self):
        """Lines delivered, and lines that each reader has not yet taken."""
        sums = support.metrics(self.ends["metrics"])
        delivered = sums.get(DELIVERED, 0)
        return delivered, {r: delivered - sums.get(name, 0) for r, name in READERS.items()}

    def group_lag(self):
        """Entries by reader that Redis itself says are not yet read, over all shards."""
        socket = self.path / "run" / "flow.sock"

        def ask(*command):
            out = subprocess.run(["redis-cli", "-s", socket, *command], check=True, text=True,
                                 capture_output=True)
            return out.stdout.splitlines()

        lag = {}
        for key in ask("--scan", "--pattern", "y:*:stream:events"):
            words = ask("XINFO", "GROUPS", key)
            for group in (dict(zip(words[i:i + 12:2], words[i + 1:i + 12:2]))
                          for i in range(0, len(words), 12)):
                lag[group["name"]] = lag.get(group["name"], 0) + int(group["lag"] or 0)
        return lag

    def memory(self):
        return {name: round(support.memory_mb(pid)) for name, pid in self.pids.items()}

    def cpu(self):
        return {name: support.cpu_seconds(pid) for name, pid in self.pids.items()}


def catch_up(suite):
    def done():
        return all(lag <= 0 for lag in suite.progress()[1].values())
    support.wait_until("the readers' catching up", done, 600)


def step(suite, files, rate, seconds, log):
    lines_each = rate / len(files)
    with open(files[0], "rb") as first:
        in_file = sum(1 for _ in first)
    repeat = math.ceil(lines_each * (seconds + 20) / in_file)
    begin_cpu = suite.cpu()
    begin, start = time.monotonic(), suite.progress()[0]
    samples = []
    senders = [suite.sender(file, lines_each, repeat, log) for file in files]
    try:
        while (now := time.monotonic() - begin) < seconds:
            time.sleep(min(1.0, seconds - now))
            delivered, lag = suite.progress()
            samples.append((time.monotonic() - begin, delivered - start, max(lag.values())))
            if any(sender.poll() is not None for sender in senders):
                raise RuntimeError("a sender ended early; see its log")
        entries = suite.group_lag()
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()
    quarter = max(1, len(samples) // 4)
    settled = support.median([lag for _, _, lag in samples[quarter - 1:quarter + 3]])
    last = support.median([lag for _, _, lag in samples[-4:]])
    reached = (samples[-1][1] - samples[quarter - 1][1]) / (samples[-1][0] - samples[quarter - 1][0])
    held = reached >= 0.97 * rate and last <= settled + 2 * rate
    cpu = {name: round((value - begin_cpu[name]) / samples[-1][0], 2)
           for name, value in suite.cpu().items()}
    result = {"asked": rate, "reached": reached, "seconds": seconds, "lag_begin": settled,
              "lag_end": last, "lag_entries_end": entries, "held": held, "cores": cpu,
              "rss_mb": suite.memory(), "samples": samples}
    print(f"  {rate:>8,.0f} asked  {reached:>8,.0f} lines/s  lag {settled:>9,.0f} -> {last:>9,.0f} lines "
          f"{'held' if held else 'NOT held':<8}  cores {sum(cpu.values()):.2f} {cpu}  "
          f"RSS MB {result['rss_mb']}", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--from", dest="first", type=float, default=20_000)
    parser.add_argument("--step", type=float, default=20_000)
    parser.add_argument("--to", type=float, default=200_000)
    parser.add_argument("--seconds", type=float, default=60, help="of each step")
    parser.add_argument("--minutes", type=float, default=0,
                        help="hold the rate found for so long at the end, as the claim says; where it is not held, "
                             "half a step less, and so on")
    parser.add_argument("--senders", type=int, default=2)
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    results = arguments.results or build / "bench" / "results"
    machine = support.machine()
    print(f"\npipeline_peer: yagura up, FortiGate lines by {arguments.senders} gRPC senders, "
          f"load of the machine before {machine['load_before']:.1f}")
    steps, best, proofs = [], 0.0, []
    with support.folder() as path, Suite(build, path) as suite, open(path / "senders.log", "wb") as log:
        files = []
        for i in range(arguments.senders):
            files.append(path / f"fw-{i}")
            with open(files[-1], "wb") as out:
                subprocess.run([str(build / "bench" / "fortigate-lines"), "100000", str(i + 1)],
                               stdout=out, check=True)

        def try_rate(rate, seconds):
            result = step(suite, files, rate, seconds, log)
            catch_up(suite)
            return result

        rate, interval = arguments.first, arguments.step
        while rate <= arguments.to and rate > 0:
            steps.append(try_rate(rate, arguments.seconds))
            if steps[-1]["held"]:
                best = rate
                if interval < arguments.step:
                    break
                rate += interval
            elif interval == arguments.step:
                interval /= 2
                rate -= interval
            else:
                break
        rate = best
        while arguments.minutes and rate > 0:
            proofs.append(try_rate(rate, 60 * arguments.minutes))
            if proofs[-1]["held"]:
                break
            rate -= arguments.step / 2
    print(f"  held: {best:,.0f} lines/s for {arguments.seconds:.0f} s a step")
    if proofs:
        print(f"  held: {proofs[-1]['asked'] if proofs[-1]['held'] else 0:,.0f} lines/s for {arguments.minutes:g} "
              "minutes")
    support.keep(results, "pipeline_peer", {"machine": machine, "held": best, "steps": steps,
                                            "proofs": proofs, "senders": arguments.senders})


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
