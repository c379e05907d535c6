"""What the benches of whole processes share: children that end by their pid, metrics, CPU and memory."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")


class TooLate(RuntimeError):
    """What was waited for did not come about in time."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP to a server at a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask_store(path, sql, timeout):
    """The answer of the event store at that socket, as text."""
    with contextlib.closing(UnixConnection(path, timeout)) as connection:
        connection.request("POST", "/", body=sql.encode())
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        if response.status != 200:
            raise RuntimeError(text.strip())
        return text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, seconds=15.0):
    """Polls until `condition` answers something true, and answers that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answer := condition():
                return answer
        time.sleep(0.02)
    raise TooLate(f"{what} did not come about within {seconds} s")


def connectable(port):
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True


@contextlib.contextmanager
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="yagura-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def child(arguments, log):
    with open(log, "ab") as output:
        process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def metrics(address):
    """Sums by metric name, whatever the labels."""
    sums = {}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        for line in response.read().decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
    return sums


@contextlib.contextmanager
def redis(path, name):
    """A redis-server with AOF as `yagura up` starts it: writes before it answers, synced every second
    from outside. Answers (socket, process)."""
    data = path / name
    data.mkdir()
    address = path / f"{name}.sock"
    arguments = ["redis-server", "--port", "0", "--unixsocket", address, "--dir", data,
                 "--appendonly", "yes", "--appendfsync", "no", "--rdbcompression", "no", "--save", "",
                 "--maxmemory-policy", "noeviction"]
    done = threading.Event()

    def sync():
        while not done.wait(1):
            for file in data.glob("appendonlydir/*.incr.aof"):
                with contextlib.suppress(OSError), open(file, "rb") as log:
                    os.fdatasync(log.fileno())

    with child(arguments, path / f"{name}.log") as process:
        def answers():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(address))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        wait_until(name, answers)
        thread = threading.Thread(target=sync)
        thread.start()
        try:
            yield address, process
        finally:
            done.set()
            thread.join()


def lines_file(build, path, count):
    file = path / "lines"
    with open(file, "wb") as out:
        subprocess.run([str(build / "bench" / "fortigate-lines"), str(count)], stdout=out, check=True)
    return file


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def machine():
    return {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}


def keep(results, name, value):
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
