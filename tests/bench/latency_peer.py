#!/usr/bin/env python3
"""From a line in to a finding out, while the suite takes in other lines at a steady rate.

Starts `yagura up` in a temporary folder, sends FortiGate lines over syslog TCP at --rate, and over a connection of its
own --probes lines of a firewall that found malware, each about another host, so that each is a finding of its own.
A probe's time runs from the write of its line to the entry of its finding in the stream "findings", where notification reads
it. At --rate 0 nothing else is sent.
"""

import argparse
import contextlib
import json
import math
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import time

import bench_support as support

SERIAL = "FGT60FTK00000777"
LINE = ('<188>date=2026-01-15 time=09:50:00 devname="fw-probe" devid="{serial}" eventtime={nanos} tz="+0000" '
        'logid="0211008192" type="utm" subtype="virus" eventtype="infected" level="warning" vd="root" '
        'msg="File is infected." action="blocked" service="HTTP" sessionid={number} srcip=10.{a}.{b}.{c} '
        'dstip=198.51.100.99 srcport=51515 dstport=80 policyid=3 proto=6 filename="probe-{number}.exe" '
        'virus="EICAR_TEST_FILE" dtype="Virus" virusid=2172 profile="default" user="probe{number}"\n')
DELIVERED = "yagura_ingestion_delivered_lines_total"
MARK = re.compile(rb"probe-(\d+)\.exe")


class Findings(threading.Thread):
    """Reads the findings of all shards as they are appended, and notes when each probe's came."""

    def __init__(self, path, shards):
        super().__init__(daemon=True)
        self.seen, self.stop = {}, False
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        self.last = {f"y:{{s{k}}}:stream:findings": "$" for k in range(shards)}
        for key in self.last:  # what was there before is none of ours
            reply = self.ask("XINFO", "STREAM", key)
            if isinstance(reply, list):
                names = [item for item in reply[::2]]
                self.last[key] = reply[2 * names.index(b"last-generated-id") + 1].decode()
            else:
                self.last[key] = "0-0"

    def ask(self, *words):
        text = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(text)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in text))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind in b"+-:":
            return rest
        if int(rest) < 0:
            return None
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2]
        return [self.reply() for _ in range(int(rest))]

    def run(self):
        while not self.stop:
            reply = self.ask("XREAD", "BLOCK", "500", "STREAMS", *self.last, *self.last.values())
            now = time.monotonic()
            for key, entries in reply or []:
                for entry, fields in entries:
                    self.last[key.decode()] = entry.decode()
                    for mark in MARK.findall(b" ".join(fields)):
                        self.seen.setdefault(int(mark), now)


@contextlib.contextmanager
def suite(build, path):
    program = build / "bin" / "yagura"

    def run(*arguments):
        subprocess.run([program, "--data-dir", path, *arguments], check=True, stdout=subprocess.DEVNULL)

    run("up", "--detach", "--grpc", "127.0.0.1:0", "--health", "", "--syslog-udp", "", "--syslog-tcp",
        "127.0.0.1:0", "--syslog-tls", "", "--http", "", "--otlp", "", "--metrics", "127.0.0.1:0")
    try:
        ends = json.loads((path / "endpoints.json").read_text(encoding="utf-8"))
        run("tenant", "create", "bench", "--display-name", "bench")
        run("source", "create", "probe", "--tenant", "bench", "--serial", SERIAL, "--device", "probe")
        run("source", "create", "load", "--tenant", "bench", "--cidr", "127.0.0.0/8", "--device", "load")
        yield ends, program
    finally:
        subprocess.run([program, "--data-dir", path, "down"], check=False, stdout=subprocess.DEVNULL)


def share(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, math.ceil(part * len(sorted_values)) - 1)]


def probe(findings, connection, numbers, pause, patience):
    sent = {}
    for number in numbers:
        line = LINE.format(serial=SERIAL, nanos=time.time_ns(), number=number, a=number >> 16 & 255,
                           b=number >> 8 & 255, c=number & 255)
        sent[number] = time.monotonic()
        connection.sendall(line.encode())
        time.sleep(random.uniform(0.5, 1.5) * pause)
    with contextlib.suppress(RuntimeError):
        support.wait_until("all findings", lambda: all(n in findings.seen for n in sent), patience)
    return {n: (findings.seen[n] - at) * 1000 for n, at in sent.items() if n in findings.seen}, len(sent)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--rate", type=float, default=20_000, help="other lines a second")
    parser.add_argument("--probes", type=int, default=500)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between probes, on average")
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    machine = support.machine()
    print(f"\nlatency_peer: yagura up, {arguments.rate:,.0f} FortiGate lines/s by syslog TCP beside "
          f"{arguments.probes} probes, load of the machine before {machine['load_before']:.1f}")
    with support.folder() as path, suite(build, path / "suite") as (ends, program), \
            open(path / "sender.log", "wb") as log:
        host, port = ends["syslog_tcp"].rsplit(":", 1)
        findings = Findings(path / "suite" / "run" / "flow.sock", 4)
        findings.start()
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Until the sources and rules are in force.
            support.wait_until("a first finding", lambda: probe(
                findings, connection, [random.randrange(1 << 23, 1 << 24)], 0.1, 1)[0], 60)
            sender = None
            if arguments.rate > 0:
                with open(path / "lines", "wb") as out:
                    subprocess.run([str(build / "bench" / "fortigate-lines"), "100000", "1"], stdout=out,
                                   check=True)
                seconds = arguments.probes * arguments.pause + 60
                sender = subprocess.Popen(
                    [program, "send", "--address", ends["syslog_tcp"], "--rate", str(arguments.rate),
                     "--repeat", str(math.ceil(arguments.rate * seconds / 100_000)), path / "lines"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                # Until the load runs: five seconds' worth of it has been delivered.
                support.wait_until("the other lines", lambda: support.metrics(ends["metrics"]).get(
                    DELIVERED, 0) >= 5 * arguments.rate, 60)
            try:
                times, sent = probe(findings, connection, range(1, arguments.probes + 1),
                                    arguments.pause, 30)
            finally:
                if sender is not None:
                    sender.kill()
                    sender.wait()
        findings.stop = True
    values = sorted(times.values())
    if not values:
        raise RuntimeError("no finding came")
    result = {"machine": machine, "rate": arguments.rate, "probes": sent, "found": len(values),
              "ms": {"p50": share(values, 0.5), "p90": share(values, 0.9), "p99": share(values, 0.99),
                     "max": values[-1]}}
    print(f"  {result['found']} of {sent} found;  ms: " +
          "  ".join(f"{name} {value:.1f}" for name, value in result["ms"].items()))
    support.keep(arguments.results or build / "bench" / "results", "latency_peer", result)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
