#!/usr/bin/env python3
"""Prints the medians of one Google Benchmark JSON file as table rows."""

import json
import pathlib
import sys


def human(value, unit):
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.2f} {prefix}{unit}"
    return f"{value:.2f} {unit}"


def main():
    path = pathlib.Path(sys.argv[1])
    rows = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    standard = {"name", "family_index", "per_family_instance_index", "run_name", "run_type",
                "repetitions", "threads", "aggregate_name", "aggregate_unit", "iterations",
                "real_time", "cpu_time", "time_unit", "label", "repetition_index"}
    print(f"\n{path.stem}")
    for row in rows:
        if row.get("aggregate_name") != "median":
            continue
        figures = [f"{row['real_time']:.1f} {row['time_unit']}"]
        for key, unit in (("items_per_second", "items/s"), ("bytes_per_second", "B/s")):
            if key in row:
                figures.append(human(row[key], unit))
        figures += [f"{key}={row[key]:.4g}" for key in row
                    if key not in standard and not key.endswith("_per_second")]
        print(f"  {row['run_name']:<56} {'  '.join(figures)}")


if __name__ == "__main__":
    main()
