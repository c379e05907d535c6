#!/usr/bin/env python3
"""Syslog over TCP: yagura-ingestion beside rsyslog, the same FortiGate lines, interleaved runs.

  yagura  yagura-ingestion alone, with two redis-servers of its own (AOF on) and no readers: framed, parsed,
          normalised, and acknowledged by the flow Redis; ends when the last line is counted as delivered.
  raw     rsyslogd imtcp -> omfile with the raw lines; ends with the last write to the file.
  json    rsyslogd imtcp -> mmnormalize (every name=value pair) -> omfile with all fields as JSON; without
          mmnormalize a template of the header's properties.

Everything runs on loopback from a temporary folder. Besides lines a second, lines a CPU second are told, over all
receiving processes: others on the machine disturb these less.
"""

import argparse
import contextlib
import pathlib
import re
import socket
import subprocess
import time

import bench_support as support

RSYSLOG = """\
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp")
{modules}
{template}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="bench")
ruleset(name="bench" queue.type="fixedArray" queue.size="200000" queue.dequeueBatchSize="4096"
        queue.workerThreads="1") {{
  {action}
  action(type="omfile" file="{folder}/out" template="out" ioBufferSize="256k")
}}
"""
RAW = 'template(name="out" type="string" string="%rawmsg%\\n")'
JSON = 'template(name="out" type="string" string="%$!all-json%\\n")'
HEADER_JSON = """template(name="out" type="list" option.jsonf="on") {
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="received" name="timegenerated" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="tag" name="syslogtag" format="jsonf")
  property(outname="message" name="rawmsg" format="jsonf")
}"""
# Not the type name-value-list: up to liblognorm 2.0.6 it refuses quoted values with spaces.
RULES = """version=2
rule=:<%pri:number%>%{"name": "fields", "type": "repeat", "parser": [\
{"type": "char-to", "name": "name", "extradata": "="}, {"type": "literal", "text": "="}, \
{"type": "op-quoted-string", "name": "value"}], "while": {"type": "literal", "text": " "}}%
"""


def mmnormalize():
    return any(pathlib.Path("/usr/lib").glob("**/rsyslog/mmnormalize.so"))


def proto(number, value):
    """One length-delimited field of a protobuf message."""
    value = value.encode() if isinstance(value, str) else value
    size, length = b"", len(value)
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value


def send(port, payload, connections):
    """All bytes, over so many connections, each with whole lines."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    cuts = [0]
    for i in range(1, connections):
        cuts.append(payload.index(b"\n", len(payload) * i // connections) + 1)
    cuts.append(len(payload))
    parts = [memoryview(payload)[a:b] for a, b in zip(cuts, cuts[1:])]
    step = 256 * 1024
    for at in range(0, max(len(part) for part in parts), step):
        for link, part in zip(sockets, parts):
            link.sendall(part[at:at + step])
    for link in sockets:
        link.close()


class Yagura:
    name = "yagura"

    def __init__(self, build, threads):
        self.build, self.threads = build, threads

    @contextlib.contextmanager
    def running(self, path):
        self.port, metrics_port = support.free_port(), support.free_port()
        self.metrics = f"127.0.0.1:{metrics_port}"
        # The file in which the service keeps the directory's sources: one, for all of loopback.
        source = proto(1, "tenants/bench/sources/fw") + proto(6, proto(2, "127.0.0.0/8"))
        (path / "data" / "ingestion").mkdir(parents=True)
        (path / "data" / "ingestion" / "sources.pb").write_bytes(proto(1, source))
        with support.redis(path, "state") as (state, _), support.redis(path, "flow") as (flow, redis):
            (path / "settings.yaml").write_text(
                f'data_dir: "{path}/data"\n'
                f'state_redis: {{address: "unix:{state}"}}\nflow_redis: {{address: "unix:{flow}"}}\n'
                f'metrics_address: "{self.metrics}"\n'
                'grpc: {address: "127.0.0.1:0"}\n'
                f'ingestion: {{syslog_udp: "", syslog_tcp: "127.0.0.1:{self.port}", '
                f'tcp_threads: {self.threads}}}\n')
            with support.child([self.build / "bin" / "yagura-ingestion", "--settings",
                                path / "settings.yaml"], path / "yagura.log") as process:
                support.wait_until("yagura-ingestion", lambda: support.connectable(self.port))
                self.pids = [process.pid, redis.pid]
                yield

    def taken(self, lines, sent):
        while True:
            sums = support.metrics(self.metrics)
            if sums.get("yagura_ingestion_delivered_lines_total", 0) >= lines:
                parsed = sums.get("yagura_ingestion_parsed_lines_total", 0)
                if parsed != lines:
                    raise RuntimeError(f"{parsed:.0f} of {lines} lines were parsed")
                return time.time()
            if time.time() - sent > 120:
                raise RuntimeError(f"yagura took only {sums} of {lines}")
            time.sleep(0.01)


class Rsyslog:
    def __init__(self, name):
        self.name = name

    @contextlib.contextmanager
    def running(self, path):
        self.port, self.out = support.free_port(), path / "out"
        modules, action, template = "", "", RAW
        if self.name == "json" and mmnormalize():
            (path / "rules").write_text(RULES)
            modules, template = 'module(load="mmnormalize")', JSON
            action = f'action(type="mmnormalize" ruleBase="{path}/rules" useRawMsg="on")'
        elif self.name == "json":
            template = HEADER_JSON
        (path / "rsyslog.conf").write_text(RSYSLOG.format(
            folder=path, port=self.port, modules=modules, action=action, template=template))
        with support.child(["rsyslogd", "-n", "-f", path / "rsyslog.conf", "-i", path / "pid"],
                           path / "rsyslog.log") as process:
            support.wait_until("rsyslogd", lambda: support.connectable(self.port))
            self.pids = [process.pid]
            yield

    def taken(self, lines, sent):
        """Counts only once the file has come to rest: counting costs time of its own."""
        while time.time() - sent < 120:
            time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError):
                state = self.out.stat()
                if time.time() - state.st_mtime > 0.5 and time.time() - sent > 0.5:
                    with open(self.out, "rb") as out:
                        count = sum(block.count(b"\n")
                                    for block in iter(lambda: out.read(1 << 20), b""))
                    if count >= lines:
                        return state.st_mtime
        raise RuntimeError(f"rsyslogd wrote too few lines: {(self.out.parent / 'rsyslog.log').read_text()}")


def run(receiver, payload, lines, connections):
    with support.folder() as path, receiver.running(path):
        before = sum(support.cpu_seconds(pid) for pid in receiver.pids)
        begin = time.time()
        send(receiver.port, payload, connections)
        end = receiver.taken(lines, time.time())
        cpu = sum(support.cpu_seconds(pid) for pid in receiver.pids) - before
        memory = sum(support.memory_mb(pid) for pid in receiver.pids)
        if receiver.name == "json":
            with receiver.out.open(encoding="utf-8") as out:
                receiver.unparsed = sum('"unparsed-data"' in line for line in out) / lines
        return {"lines_per_second": lines / (end - begin), "lines_per_cpu_second": lines / cpu,
                "rss_mb": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--json-lines", type=int, default=100_000,
                        help="of the same lines, for the slower peer")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--tcp-threads", type=int, default=1)
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    results = arguments.results or build / "bench" / "results"
    machine = support.machine()

    with support.folder() as path:
        payload = support.lines_file(build, path, arguments.lines).read_bytes()
    json_end = re.compile(rb"(?:[^\n]*\n){%d}" % arguments.json_lines).match(payload).end()
    receivers = [Yagura(build, arguments.tcp_threads), Rsyslog("raw"), Rsyslog("json")]
    runs = {receiver.name: [] for receiver in receivers}
    for _ in range(arguments.runs):
        for receiver in receivers:
            few = receiver.name == "json"
            runs[receiver.name].append(
                run(receiver, payload[:json_end] if few else payload,
                    arguments.json_lines if few else arguments.lines, arguments.connections))

    figures = {name: {key: support.median([r[key] for r in of]) for key in of[0]}
               for name, of in runs.items()}
    kind = "mmnormalize" if mmnormalize() else "header properties only"
    print(f"\ningest_peer: {arguments.lines:,} FortiGate lines of {len(payload) / arguments.lines:.0f} B "
          f"over {arguments.connections} connections, median of {arguments.runs}, "
          f"load of the machine before {machine['load_before']:.1f}")
    titles = {"yagura": "yagura-ingestion, parsed, in the flow Redis", "raw": "rsyslog raw to file",
              "json": f"rsyslog to JSON ({kind})"}
    for name, figure in figures.items():
        seconds = [r["lines_per_second"] for r in runs[name]]
        print(f"  {titles[name]:<58} {figure['lines_per_second']:>9,.0f} lines/s "
              f"({support.spread(seconds)})  {figure['lines_per_cpu_second']:>9,.0f} lines/CPU s  "
              f"{figure['rss_mb']:.0f} MB")
    for peer in ("raw", "json"):
        by = {key: figures["yagura"][key] / figures[peer][key]
              for key in ("lines_per_second", "lines_per_cpu_second")}
        print(f"  yagura / rsyslog {peer:<41} {by['lines_per_second']:.2f} x by time, "
              f"{by['lines_per_cpu_second']:.2f} x by CPU")
    if receivers[2].unparsed > 0:
        print(f"  rsyslog's rule left {receivers[2].unparsed:.0%} of the lines unparsed (escaped quotes)")
    version = subprocess.run(["rsyslogd", "-v"], capture_output=True, text=True, check=True)
    support.keep(results, "ingest_peer", {
        "machine": machine, "lines": arguments.lines, "bytes": len(payload),
        "connections": arguments.connections, "tcp_threads": arguments.tcp_threads,
        "json_peer": kind, "json_unparsed": receivers[2].unparsed, "json_lines": arguments.json_lines,
        "rsyslog": version.stdout.split()[1], "median": figures, "runs": runs})


if __name__ == "__main__":
    main()
