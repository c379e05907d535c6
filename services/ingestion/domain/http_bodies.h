#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/multi_line.h"
#include "services/ingestion/domain/record.h"

// Bodies of requests that bring log records over HTTP. Errors are INVALID_ARGUMENT (NO_DATA,
// DATA_MALFORMED, EVENT_MISSING, EVENT_EMPTY; with "event", the number of the record from 0, as HEC
// counts them; of NDJSON with "line", from 1) or RESOURCE_EXHAUSTED (BODY_TOO_LARGE).
namespace yagura::ingestion {

// More in one request are refused.
inline constexpr size_t kMaxRecords = 50'000;

// What gzip or zlib made small, at most `limit` bytes of it.
absl::StatusOr<std::string> Inflate(std::string_view body, size_t limit);

// One record a line, or for the lines that belong together by the rule (null: none do); it is the
// whole of it. Empty lines are skipped.
absl::StatusOr<std::vector<Record>> ReadLines(
    std::string_view body, const std::shared_ptr<const MultiLineRule>& rule = nullptr);

// Like ReadLines, but each line must be a JSON object. A byte order mark before all is skipped.
absl::StatusOr<std::vector<Record>> ReadNdjson(std::string_view body);

// Objects of HEC's event endpoint, one behind the other: "event" (a text, which is the line, or
// JSON, whose text is), "time" (seconds since 1970, a number or a text), "host", and the fields
// "source", "sourcetype", "index" (kept as "hec.source" ...) and those in "fields".
absl::StatusOr<std::vector<Record>> ReadHecEvents(std::string_view body);

}  // namespace yagura::ingestion
