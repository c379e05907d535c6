#include "services/ingestion/domain/http_bodies.h"

#include <zlib.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/json_text.h"

namespace yagura::ingestion {
namespace {

constexpr double kLatestSeconds = 4e9;  // the year 2096
constexpr size_t kMaxFields = 1000;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

Status Malformed(size_t event, std::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "DATA_MALFORMED", why,
                   {{"event", std::to_string(event)}});
}

Status NoObject(size_t line) {
  return MakeError(absl::StatusCode::kInvalidArgument, "DATA_MALFORMED",
                   fmt::format("line {} is not a JSON object", line),
                   {{"line", std::to_string(line)}});
}

Status TooMany() {
  return MakeError(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
                   fmt::format("a request may have at most {} records", kMaxRecords));
}

Status NoData() {
  return MakeError(absl::StatusCode::kInvalidArgument, "NO_DATA", "the request has no records",
                   {{"event", "0"}});
}

// Seconds since 1970, as a number or its text.
std::optional<TimePoint> TimeOf(std::string_view value) {
  const std::string text = JsonValueText(value);
  const auto number = ParseNumber<double>(Trim(text));
  if (!number) return std::nullopt;
  const double seconds = *number;
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kLatestSeconds) return std::nullopt;
  // Microseconds: a double does not hold more of a time of today.
  return TimePoint(std::chrono::microseconds(std::llround(seconds * 1e6)));
}

Status AddFields(std::string_view value, size_t number, Record& record) {
  if (value == "null") return absl::OkStatus();
  bool fits = true;
  const bool is_object = ForEachJsonPair(value, [&](std::string name, std::string_view field) {
    fits = record.fields.size() < kMaxFields;
    if (fits) record.fields.emplace_back(std::move(name), JsonValueText(field));
  });
  if (!is_object) return Malformed(number, "\"fields\" must be an object");
  if (!fits) {
    return Malformed(number, fmt::format("an event may have at most {} fields", kMaxFields));
  }
  return absl::OkStatus();
}

bool IsJsonObject(std::string_view text) {
  const std::string_view value = TakeJsonValue(text);
  return Trim(text).empty() && ForEachJsonPair(value, [](const std::string&, std::string_view) {});
}

StatusOr<Record> ReadHecEvent(std::string_view object, size_t number) {
  Record record;
  bool has_event = false;
  Status status;
  const auto take = [&](std::string name, std::string_view value) {
    if (name == "event") {
      has_event = value != "null";
      record.line = has_event ? JsonValueText(value) : "";
      record.is_text = value.starts_with('"');
    } else if (name == "time") {
      if (value == "null") return;
      record.event_time = TimeOf(value);
      if (!record.event_time) status = Malformed(number, "\"time\" is not in seconds since 1970");
    } else if (name == "host") {
      record.host = JsonValueText(value);
    } else if (name == "source" || name == "sourcetype" || name == "index") {
      record.fields.emplace_back(fmt::format("hec.{}", name), JsonValueText(value));
    } else if (name == "fields") {
      status.Update(AddFields(value, number, record));
    }
  };
  if (!ForEachJsonPair(object, take)) return Malformed(number, "an event must be a JSON object");
  YAGURA_RETURN_IF_ERROR(status);
  while (!record.line.empty() && (record.line.back() == '\n' || record.line.back() == '\r')) {
    record.line.pop_back();
  }
  if (record.line.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     has_event ? "EVENT_EMPTY" : "EVENT_MISSING",
                     has_event ? "the event must not be blank" : "the field \"event\" is required",
                     {{"event", std::to_string(number)}});
  }
  return record;
}

}  // namespace

StatusOr<std::string> Inflate(std::string_view body, size_t limit) {
  struct Stream : z_stream {
    Stream() : z_stream{} {}
    ~Stream() { inflateEnd(this); }
  } stream;
  constexpr int kGzipOrZlib = 15 + 32;
  if (inflateInit2(&stream, kGzipOrZlib) != Z_OK) return Internal("zlib does not start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  std::string text;
  std::array<char, 64 * 1024> part;
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(part.data());
    stream.avail_out = part.size();
    const int result = inflate(&stream, Z_NO_FLUSH);
    text.append(part.data(), part.size() - stream.avail_out);
    if (text.size() > limit) {
      return MakeError(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
                       fmt::format("the body is larger than {} bytes", limit));
    }
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) return text;
      if (inflateReset(&stream) == Z_OK) continue;  // another one behind it
    } else if (result == Z_OK) {
      continue;
    }
    return Malformed(0, "the body is not what Content-Encoding says");
  }
}

StatusOr<std::vector<Record>> ReadLines(std::string_view body,
                                        const std::shared_ptr<const MultiLineRule>& rule) {
  std::vector<Record> records;
  bool too_many = false;
  const auto take = [&](std::string_view event, bool truncated) {
    too_many = records.size() >= kMaxRecords;
    if (too_many) return;
    records.emplace_back().line = event;
    records.back().truncated = truncated;
  };
  LineJoiner joiner(rule);
  ForEachLineOf(body, [&](std::string_view line) {
    if (!too_many) joiner.Add(line, false, take);
  });
  if (!too_many) joiner.Flush(take);
  if (too_many) return TooMany();
  if (records.empty()) return NoData();
  return records;
}

StatusOr<std::vector<Record>> ReadNdjson(std::string_view body) {
  if (body.starts_with(kByteOrderMark)) body.remove_prefix(kByteOrderMark.size());
  std::vector<Record> records;
  Status status;
  size_t number = 0;
  ForEachLineOf(body, [&](std::string_view line) {
    ++number;
    if (!status.ok() || line.empty()) return;
    if (records.size() >= kMaxRecords) {
      status = TooMany();
      return;
    }
    Record& record = records.emplace_back();
    record.line = line;
    if (!IsJsonObject(line)) status = NoObject(number);
  });
  YAGURA_RETURN_IF_ERROR(status);
  if (records.empty()) return NoData();
  return records;
}

StatusOr<std::vector<Record>> ReadHecEvents(std::string_view body) {
  std::vector<Record> records;
  body = Trim(body);
  if (body.empty()) return NoData();
  while (!body.empty()) {
    const std::string_view object = TakeJsonValue(body);
    if (object.empty()) {
      return Malformed(records.size(),
                       fmt::format("event {} (from 0) is not whole", records.size()));
    }
    if (records.size() >= kMaxRecords) return TooMany();
    YAGURA_ASSIGN_OR_RETURN(Record record, ReadHecEvent(object, records.size()));
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace yagura::ingestion
