#!/usr/bin/env python3
"""Sigma: our engine beside rsigma, the same rules and events, interleaved runs, one thread each, CPU time.

  yagura  detection_engine_bench, BM_Match: decoded batches in, matches out, a new matcher (nothing remembered) each round.
  rsigma  tools/rsigma_peer: parsed JSON values in, results out. "all" asks every rule about every event, as its engine
          does when it is not told a logsource; "pruned" tells it each event's channel and category; "tuned" also
          switches on its bloom and Aho-Corasick prefilters.

The peer is built with cargo in a temporary folder, which needs a Rust toolchain and crates.io; where there is none, this says so
and measures nothing. --cargo-target keeps its build between runs.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess

import bench_support as support

HERE = pathlib.Path(__file__).parent
EVENTS_PER_FILE = 1000  # as in engine_bench.cc
MODES = ("all", "pruned", "tuned")


def data_folder():
    if told := os.environ.get("YAGURA_DATA"):
        return pathlib.Path(told)
    return HERE.parent.parent.parent / "shared" / "data"


def build_peer(folder, target):
    shutil.copytree(HERE / "tools" / "rsigma_peer", folder / "rsigma_peer")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--ignore-rust-version",
                    "--manifest-path", folder / "rsigma_peer" / "Cargo.toml", "--target-dir", target],
                   check=True)
    return target / "release" / "rsigma_peer"


def write_events(folder):
    """The first events of every recording, unpacked, as the bench takes them."""
    files = []
    for packed in sorted((data_folder() / "windows-events").glob("*.zst")):
        text = subprocess.run(["zstd", "-dc", packed], capture_output=True, check=True).stdout
        lines = text.splitlines(keepends=True)[:EVENTS_PER_FILE]
        files.append(folder / packed.stem)
        files[-1].write_bytes(b"".join(lines))
    return files


def run_rsigma(program, mode, files):
    """Seconds of the second of two rounds: the first warms its caches."""
    done = subprocess.run([program, data_folder() / "sigma", "2", mode, *files],
                          capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    row["events_per_second"] = row["events"] / row["seconds"]
    return row


def run_yagura(build, folder):
    out = folder / "yagura.json"
    subprocess.run([build / "bench" / "detection_engine_bench", "--benchmark_filter=BM_Match/batch:256/rules:1$",
                    f"--benchmark_out={out}", "--benchmark_out_format=json"],
                   capture_output=True, check=True, env={**os.environ, "YAGURA_DATA": str(data_folder())})
    row = json.loads(out.read_text())["benchmarks"][0]
    return {"events_per_second": row["items_per_second"], "matches": row["matches"],
            "rules_mb": row["rules_MB"], "memory_mb": row["memory_MB"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build-dir", default="build/release")
    parser.add_argument("--results")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cargo-target")
    arguments = parser.parse_args()
    for program in ("cargo", "zstd"):
        if not shutil.which(program):
            print(f"\nsigma_peer: not run: there is no {program} on this machine")
            return
    if not (data_folder() / "sigma").exists():
        print("\nsigma_peer: not run: no rules and events, set YAGURA_DATA")
        return

    build = pathlib.Path(arguments.build_dir).resolve()
    with support.folder() as folder:
        target = pathlib.Path(arguments.cargo_target or folder / "target").resolve()
        try:
            peer = build_peer(folder, target)
        except subprocess.CalledProcessError:
            print("\nsigma_peer: not run: rsigma could not be built")
            return
        files = write_events(folder)
        machine = support.machine()
        runs = {"yagura": [], **{mode: [] for mode in MODES}}
        for _ in range(arguments.runs):
            runs["yagura"].append(run_yagura(build, folder))
            for mode in MODES:
                runs[mode].append(run_rsigma(peer, mode, files))

    speeds = {name: [run["events_per_second"] for run in of] for name, of in runs.items()}
    median = {name: support.median(of) for name, of in speeds.items()}
    print(f"\nsigma_peer: {runs['all'][0]['events']:,} Windows events, {runs['all'][0]['rules']:,} rules in rsigma, "
          f"median of {arguments.runs}, load of the machine before {machine['load_before']:.1f}")
    for name, speed in median.items():
        title = "yagura, decoded batches of 256" if name == "yagura" else f"rsigma, {name}"
        by = "" if name == "yagura" else f"   yagura / rsigma {median['yagura'] / speed:.1f} x"
        print(f"  {title:<32} {speed:>11,.0f} events/s ({support.spread(speeds[name])})  "
              f"{runs[name][0]['matches']:,.0f} matches{by}")
    memory = runs["yagura"][0]
    print(f"  yagura: rules {memory['rules_mb']:.0f} MB, memory of values and answers {memory['memory_mb']:.0f} MB; "
          f"rsigma at most {max(run['peak_mb'] for run in runs['all']):.0f} MB, its events included")
    if arguments.results:
        support.keep(pathlib.Path(arguments.results), "sigma_peer",
                     {"machine": machine, "median": median, "runs": runs})


if __name__ == "__main__":
    main()
