#!/usr/bin/env python3
"""How long questions take over 10 and 100 million stored events, beside the same questions to the event store alone.

Starts `yagura up` in a temporary folder, fills its event store with FortiGate lines of yesterday as archive stores them, waits
until what it merges by itself has come to rest, and asks each question in turn with `yagura event ...` and, as its peer, in SQL
at the store's own socket. Clock time, medians; ours includes the start of the command, its log-in and the permission.
Among the lines is one needle, in the middle.

Of today no word is indexed: so all is asked before the day has its indexes, and what looks for words once more after the
store has made them, as archive has it do an hour after a day (docs/adr/0014).
"""

import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys
import time

import bench_support as support

NEEDLE_IP, NEEDLE_WORD, NEEDLE_JAPANESE, NOWHERE = "100.64.7.7", "zanzibar", "検疫", "quetzalcoatl"
NEEDLE = (f'date=2026-01-15 time=09:00:00 devname="fw-1" devid="FGT1" eventtime=1768467600000000000 tz="+0000" '
          f'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip={NEEDLE_IP} srcport=4711 '
          f'dstip=198.51.100.9 dstport=443 proto=6 action="deny" policyid=7 msg="{NEEDLE_WORD} {NEEDLE_JAPANESE}"\n').encode()
COPIED = 10_000_000
DAY = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=1)
SINCE = f"toDate(receive_time, 'UTC') = '{DAY}'"


def word(text):
    return (["search", text, "-o", "jsonl"],
            f"SELECT raw FROM yagura.events WHERE tenant = 'acme' AND {SINCE} AND position(raw, '{text}') > 0 "
            "ORDER BY receive_time DESC LIMIT 100", None if text == NOWHERE else text)


# What is asked, with `yagura event`, in SQL at the store, and a line that the answer must have.
QUESTIONS = {
    "count by action and port": (
        ["count", "--by", "action", "--by", "dst.port"],
        f"SELECT action, dst_port, count() AS n FROM yagura.events WHERE tenant = 'acme' AND {SINCE} "
        "GROUP BY action, dst_port ORDER BY n DESC LIMIT 10", None),
    "top source addresses": (
        ["top", "src.ip"],
        f"SELECT src_ip, count() AS n FROM yagura.events WHERE tenant = 'acme' AND {SINCE} "
        "GROUP BY src_ip ORDER BY n DESC LIMIT 10", None),
    "needle by address": (
        ["search", f"src.ip = {NEEDLE_IP}"],
        f"SELECT raw FROM yagura.events WHERE tenant = 'acme' AND {SINCE} AND src_ip = toIPv6('{NEEDLE_IP}') "
        "ORDER BY receive_time DESC LIMIT 100", NEEDLE_IP),
    "needle by a word": word(NEEDLE_WORD),
    "newest 100 of a common word": word("Acunetix"),
    "original field, count": (
        ["count", 'fields.policyid = "7"'],
        f"SELECT count() FROM yagura.events WHERE tenant = 'acme' AND {SINCE} AND position(raw, 'policyid=7 ') > 0", None),
    "histogram of a day": (
        ["histogram"],
        f"SELECT toStartOfHour(receive_time) AS h, count() FROM yagura.events WHERE tenant = 'acme' AND {SINCE} "
        "GROUP BY h ORDER BY h", None),
}
OF_WORDS = {"needle by a word": word(NEEDLE_WORD), "needle by a part of a word": word(NEEDLE_WORD[1:6]),
            "needle by two Japanese characters": word(NEEDLE_JAPANESE), "a word that is nowhere": word(NOWHERE),
            "newest 100 of a common word": word("Acunetix")}


class Suite:
    def __init__(self, build, data_dir):
        self.program, self.path = build / "bin" / "yagura", data_dir

    def __enter__(self):
        self.run("up", "--detach", "--grpc", "127.0.0.1:0", "--health", "", "--syslog-udp", "", "--syslog-tcp", "",
                 "--syslog-tls", "", "--http", "", "--otlp", "", "--metrics", "")
        self.run("tenant", "create", "acme", "--display-name", "acme")
        return self

    def __exit__(self, *unused):
        subprocess.run([self.program, "--data-dir", self.path, "down"], check=False, stdout=subprocess.DEVNULL)

    def run(self, *arguments):
        return subprocess.run([self.program, "--data-dir", self.path, *arguments], check=True, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True).stdout

    def query(self, sql):
        return support.ask_store(self.path / "run" / "store.sock", sql, 600)

    def fill(self, build, events):
        """The first ten million line by line; what is beyond are copies of these, received later, without the needle."""
        begin = time.monotonic()
        first = min(events, COPIED)
        with subprocess.Popen([build / "bench" / "store-fill", f"unix:{self.path / 'run' / 'store.sock'}", "1"],
                              stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as filler:
            for half in (1, 2):
                subprocess.run([build / "bench" / "fortigate-lines", str(first // 2), str(half)], stdout=filler.stdin,
                               check=True)
                if half == 1:
                    filler.stdin.write(NEEDLE)
                    filler.stdin.flush()
            filler.stdin.close()
        if filler.returncode:
            raise RuntimeError(f"store-fill ended with {filler.returncode}")
        for copy in range(1, events // first):
            self.query(f"INSERT INTO yagura.events SELECT * REPLACE (receive_time + INTERVAL {copy * first // 20_000} SECOND "
                       "AS receive_time) FROM (SELECT * FROM yagura.events WHERE receive_time < toDateTime64('{DAY}', 9, 'UTC') + "
                       f"INTERVAL {first // 20_000} SECOND AND src_ip != toIPv6('{NEEDLE_IP}')) "
                       "SETTINGS max_block_size = 50000, min_insert_block_size_rows = 200000, max_insert_threads = 2")
        return time.monotonic() - begin

    def index_words(self):
        """What archive has the store do once a day is over; the seconds and the store's processor time that it took."""
        names = self.query("SELECT name FROM system.data_skipping_indices WHERE database = 'yagura' AND table = 'events'")
        pid = int(json.loads((self.path / "endpoints.json").read_text(encoding="utf-8"))["pid_store"])
        begin, cpu = time.monotonic(), support.cpu_seconds(pid)
        self.query("ALTER TABLE yagura.events " + ", ".join(
            f"MATERIALIZE INDEX {name} IN PARTITION ID '{DAY:%Y%m%d}'" for name in names.split()) + " SETTINGS mutations_sync = 2")
        return time.monotonic() - begin, support.cpu_seconds(pid) - cpu

    def at_rest(self):
        """Nothing is merged any more, and the texts of the day, which is over, are compressed again (docs/adr/0015)."""
        return self.query("SELECT (SELECT count() FROM system.merges) = 0 AND (SELECT countIf(default_compression_codec != 'ZSTD(9)') "
                          "FROM system.parts WHERE table = 'events' AND active) = 0").strip() == "1"


def timed(call):
    begin = time.monotonic()
    answer = call()
    return 1000 * (time.monotonic() - begin), answer


def ask(suite, name, question, runs):
    arguments, sql, wanted = question
    ours, peers, failed = [], [], ""
    for _ in range(runs):
        try:
            taken, answer = timed(lambda: suite.run("event", *arguments, "--tenant", "acme", "--since", f"{DAY}T00:00:00Z", "--until",
                                                 f"{DAY + datetime.timedelta(days=1)}T00:00:00Z"))
            if wanted and wanted not in answer:
                failed = "WRONG ANSWER"
            ours.append(taken)
        except subprocess.CalledProcessError as error:
            failed = re.sub(r"\s+", " ", error.stderr)[:100]
        peers.append(timed(lambda: suite.query(sql))[0])
    ms = support.median(ours) if ours else None
    shown = f"{ms:>10,.0f} ms ({min(ours):,.0f} to {max(ours):,.0f})" if ours else "         -"
    print(f"  {name:<30} {shown}   store alone {support.median(peers):>8,.0f} ms  {failed}", flush=True)
    return {"ms": ours, "store_alone_ms": peers, "failed": failed}


def ask_all(suite, runs):
    support.wait_until("the store's rest", suite.at_rest, 1800)
    rows, parts, size = suite.query("SELECT sum(rows), count(), formatReadableSize(sum(bytes_on_disk)) FROM system.parts "
                                    "WHERE table = 'events' AND active FORMAT TSV").strip().split("\t")
    print(f"\nsearch_peer: {int(rows):,} events in {parts} parts of {size}, load of the machine "
          f"{support.machine()['load_before']:.1f}", flush=True)
    floor = support.median([timed(lambda: suite.run("tenant", "list"))[0] for _ in range(5)])
    print(f"  {'(the list of tenants)':<30} {floor:>10,.0f} ms")
    return {"rows": int(rows), "size": size, "floor_ms": floor,
            "questions": {name: ask(suite, name, QUESTIONS[name], runs) for name in QUESTIONS}}


def ask_indexed(suite, runs):
    seconds, cpu = suite.index_words()
    support.wait_until("the store's rest", suite.at_rest, 1800)
    print(f"  {'(indexes of the day made)':<30} {seconds:>10.0f} s, {cpu:.0f} s of processor time", flush=True)
    return {"indexing_seconds": seconds, "indexing_cpu_seconds": cpu,
            "indexed_questions": {name: ask(suite, name, OF_WORDS[name], runs) for name in OF_WORDS}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--millions", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--filled", type=pathlib.Path, help="ask a suite that runs already, by its data folder, instead")
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    machine = support.machine()
    if arguments.filled:
        ask_all(Suite(build, arguments.filled), arguments.runs)
        ask_indexed(Suite(build, arguments.filled), arguments.runs)
        return 0
    results = {}
    for millions in arguments.millions:
        with support.folder() as path, Suite(build, path / "suite") as suite:
            seconds = suite.fill(build, millions * 1_000_000)
            results[millions] = {"fill_seconds": seconds, **ask_all(suite, arguments.runs),
                                 **ask_indexed(suite, arguments.runs)}
    support.keep(arguments.results or build / "bench" / "results", "search_peer",
                 {"machine": machine, "results": results})
    wrong = [name for result in results.values() for kind in ("questions", "indexed_questions")
             for name, answer in result[kind].items() if answer["failed"]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
