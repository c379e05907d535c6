#!/usr/bin/env python3
"""Who may include whom.

common <- services/* <- cli; inside common a library includes only libraries listed before it; a
service knows common and the protos, never another service's folder; domain/ knows neither gRPC nor
Redis; the calls between services form no cycle. Prints every breach and exits 1 where there is one.
"""

import pathlib
import re
import sys

# Lowest first. A library includes itself and what stands before it.
COMMON_ORDER = [
    "text", "digest", "status", "clock", "log", "json", "process", "metrics", "config", "redis", "blob", "seal", "calendar",
    "filter", "auth", "store", "stream", "timer", "event", "eventstore", "rpc", "testing",
]
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
STUB = re.compile(r"^yagura/(\w+)/v1/\w+_service\.grpc\.pb\.h$")
# Names and numbers alone, though they stand in a folder that also talks to Redis.
PURE_HEADERS = {"common/store/resource_name.h", "common/stream/topic.h"}
NOT_IN_DOMAIN = re.compile(r"^(grpc|hiredis|common/(redis|rpc|store|stream|timer)/)|\.grpc\.pb\.h$")


def breaches(path, includes):
    """What is wrong with the includes of the file at `path` (relative, as a tuple of parts)."""
    room = path[0]
    for include in includes:
        parts = include.split("/")
        target = parts[0]
        if room == "common":
            if target in ("services", "cli", "tests"):
                yield f"common includes {include}"
            elif target == "common":
                own, other = path[1], parts[1]
                for library in (own, other):
                    if library not in COMMON_ORDER:
                        yield f"common/{library} has no place in COMMON_ORDER"
                        return
                if COMMON_ORDER.index(other) > COMMON_ORDER.index(own):
                    yield f"common/{own} includes the higher common/{other} ({include})"
        elif room == "services":
            if target in ("cli", "tests"):
                yield f"a service includes {include}"
            elif target == "services" and parts[1] != path[1]:
                yield f"services/{path[1]} includes another service: {include}"
            elif target == "common" and parts[1] == "testing":
                yield f"shipped code includes {include}"
            in_domain = len(path) > 2 and path[2] == "domain" and include not in PURE_HEADERS
            if in_domain and NOT_IN_DOMAIN.search(include):
                yield f"domain/ includes {include}"
        elif room == "cli" and target == "tests":
            yield f"cli includes {include}"


def cycle(edges):
    """Some cycle in {service: {services it calls}}, as a list, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for successor in sorted(edges.get(node, ())):
            if found := visit(successor):
                return found
        path.pop()
        done.add(node)
        return None

    for node in sorted(edges):
        if found := visit(node):
            return found
    return None


def check_the_check():
    """The rules fire on what they forbid and stay quiet on what they allow."""
    def wrong(path, include):
        return list(breaches(tuple(path.split("/")), [include]))

    assert wrong("common/redis/pool.cc", "common/rpc/server.h")
    assert wrong("common/redis/pool.cc", "services/archive/app.h")
    assert wrong("services/archive/app.cc", "services/config/app.h")
    assert wrong("services/archive/domain/plan.cc", "common/redis/pool.h")
    assert wrong("services/archive/app.cc", "common/testing/redis_server.h")
    assert not wrong("services/archive/domain/plan.cc", "common/stream/topic.h")
    assert not wrong("common/rpc/server.cc", "common/redis/pool.h")
    assert not wrong("services/archive/app.cc", "services/archive/settings.h")
    assert not wrong("cli/up.cc", "services/archive/app.h")
    assert cycle({"a": {"b"}, "b": {"a"}})
    assert not cycle({"a": {"b", "c"}, "b": {"c"}})


def main():
    check_the_check()
    root = pathlib.Path(__file__).resolve().parents[2]
    found, calls, files = [], {}, 0
    for room in ("common", "services", "cli"):
        for file in sorted((root / room).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            files += 1
            relative = file.relative_to(root)
            includes = INCLUDE.findall(file.read_text(encoding="utf-8"))
            found += [f"{relative}: {breach}" for breach in breaches(relative.parts, includes)]
            if room == "services":
                for include in includes:
                    if (stub := STUB.match(include)) and stub[1] != relative.parts[1]:
                        calls.setdefault(relative.parts[1], set()).add(stub[1])
    if loop := cycle(calls):
        found.append("services call each other in a circle: " + " -> ".join(loop))
    print("\n".join(found))
    print(f"{files} files, {len(found)} breaches of the dependency rule")
    return 1 if found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
