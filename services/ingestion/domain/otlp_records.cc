#include "services/ingestion/domain/otlp_records.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/http_bodies.h"
#include "services/ingestion/domain/otlp_values.h"
#include "services/ingestion/domain/wire_reader.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

using Type = WireReader::Type;
using Fields = std::vector<event::FieldView>;

// Of all records of a request together; what is said once for many of them is copied for each.
constexpr size_t kMaxRepeatedBytes = 64 << 20;
constexpr size_t kMaxAttributes = 1000;

// Numbers of fields of opentelemetry/proto/logs/v1/logs.proto and what it imports.
namespace number {
constexpr uint32_t kRequestResourceLogs = 1;
constexpr uint32_t kResource = 1;
constexpr uint32_t kScopeLogs = 2;
constexpr uint32_t kResourceAttributes = 1;
constexpr uint32_t kScope = 1;
constexpr uint32_t kLogRecords = 2;
constexpr uint32_t kScopeName = 1;
constexpr uint32_t kScopeVersion = 2;
constexpr uint32_t kScopeAttributes = 3;
constexpr uint32_t kTime = 1;
constexpr uint32_t kSeverityNumber = 2;
constexpr uint32_t kSeverityText = 3;
constexpr uint32_t kBody = 5;
constexpr uint32_t kAttributes = 6;
constexpr uint32_t kDroppedAttributes = 7;
constexpr uint32_t kFlags = 8;
constexpr uint32_t kTraceId = 9;
constexpr uint32_t kSpanId = 10;
constexpr uint32_t kObservedTime = 11;
constexpr uint32_t kEventName = 12;
}  // namespace number

Status Malformed() {
  return MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
                   "the request is no ExportLogsServiceRequest");
}

const char* Why(OtlpFault fault) {
  return fault == OtlpFault::kTooDeep ? "a record has values nested more than 32 deep"
                                      : "a record has more than 10,000 values";
}

// Calls `take` with each nested message of that field. False where the message is broken.
template <typename Take>
bool ForEach(std::string_view message, uint32_t field, const Take& take) {
  WireReader in(message);
  while (in.Next()) {
    if (in.Is(field, Type::kBytes) && !take(in.bytes())) return false;
  }
  return !in.broken();
}

// How many records there are, before anything is made of them.
Status Survey(std::string_view request) {
  size_t records = 0;
  size_t groups = 0;
  const bool whole = ForEach(request, number::kRequestResourceLogs, [&](std::string_view logs) {
    ++groups;
    return ForEach(logs, number::kScopeLogs, [&](std::string_view scope) {
      ++groups;
      return ForEach(scope, number::kLogRecords, [&](std::string_view) {
        ++records;
        return true;
      });
    });
  });
  if (records > kMaxRecords || groups > 2 * kMaxRecords) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TOO_MANY_RECORDS",
                     fmt::format("a request may have at most {} records, resources and scopes each",
                                 kMaxRecords));
  }
  return whole ? absl::OkStatus() : Malformed();
}

int SeverityOf(int64_t number) {
  if (number <= 0) return event::v1::SEVERITY_UNSPECIFIED;
  if (number <= 12) return event::v1::INFORMATIONAL;
  if (number <= 16) return event::v1::MEDIUM;
  return number <= 20 ? event::v1::HIGH : event::v1::CRITICAL;
}

std::optional<TimePoint> TimeOf(uint64_t nanoseconds) {
  constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (nanoseconds == 0 || nanoseconds > kLargest) return std::nullopt;
  return TimePoint(std::chrono::duration_cast<TimePoint::duration>(
      std::chrono::nanoseconds(static_cast<int64_t>(nanoseconds))));
}

// Attributes of one resource, scope or record.
class Attributes {
 public:
  void Clear() {
    pairs_.clear();
    values_ = 0;
    fault_ = OtlpFault::kNone;
  }
  // False where the bytes are no KeyValue. What is too much is noted, and no longer kept.
  bool Add(std::string_view message) {
    OtlpPair pair;
    if (!ReadOtlpPair(message, pair)) return false;
    Check(pair.value);
    if (fault_ != OtlpFault::kBroken && pairs_.size() <= kMaxAttributes) pairs_.push_back(pair);
    return fault_ != OtlpFault::kBroken;
  }
  bool Check(std::string_view value) {
    if (fault_ == OtlpFault::kNone) fault_ = CheckOtlpValue(value, values_);
    return fault_ != OtlpFault::kBroken;
  }
  OtlpFault fault() const { return fault_; }
  const std::vector<OtlpPair>& pairs() const { return pairs_; }

 private:
  std::vector<OtlpPair> pairs_;
  int values_ = 0;
  OtlpFault fault_ = OtlpFault::kNone;
};

class Reader {
 public:
  explicit Reader(const OtlpTaker& take) : take_(take) {}

  bool ReadResourceLogs(std::string_view logs) {
    resource_.Clear();
    resource_arena_.Clear();
    resource_fields_.clear();
    host_ = program_ = {};
    resource_bytes_ = 0;
    const bool sound = ForEach(logs, number::kResource, [&](std::string_view resource) {
      resource_bytes_ += resource.size();
      return ForEach(resource, number::kResourceAttributes,
                     [&](std::string_view attribute) { return resource_.Add(attribute); });
    });
    if (!sound) return false;
    if (IsFine(resource_, resource_bytes_)) {
      for (const OtlpPair& pair : resource_.pairs()) {
        const std::string_view text = OtlpText(pair.value, resource_arena_);
        if (pair.key == "host.name" && host_.empty()) host_ = text;
        if (pair.key == "service.name" && program_.empty()) program_ = text;
        resource_fields_.push_back({resource_arena_.Join("resource.", pair.key), text});
      }
    }
    return ForEach(logs, number::kScopeLogs,
                   [&](std::string_view scope) { return ReadScopeLogs(scope); });
  }

  OtlpOutcome& outcome() { return outcome_; }

 private:
  static bool IsFine(const Attributes& attributes, size_t bytes) {
    return attributes.fault() == OtlpFault::kNone && attributes.pairs().size() <= kMaxAttributes &&
           bytes <= kMaxOtlpRecordBytes;
  }

  void Refuse(std::string_view why) {
    if (outcome_.refused++ == 0) outcome_.why = why;
  }

  bool ReadScopeLogs(std::string_view logs) {
    scope_.Clear();
    scope_arena_.Clear();
    scope_fields_.clear();
    size_t bytes = 0;
    std::string_view name;
    std::string_view version;
    const bool sound = ForEach(logs, number::kScope, [&](std::string_view scope) {
      bytes += scope.size();
      WireReader in(scope);
      while (in.Next()) {
        if (in.Is(number::kScopeName, Type::kBytes)) name = in.bytes();
        if (in.Is(number::kScopeVersion, Type::kBytes)) version = in.bytes();
        if (in.Is(number::kScopeAttributes, Type::kBytes) && !scope_.Add(in.bytes())) return false;
      }
      return !in.broken();
    });
    if (!sound) return false;
    const bool fine = IsFine(resource_, resource_bytes_) && IsFine(scope_, bytes) &&
                      resource_.pairs().size() + scope_.pairs().size() <= kMaxAttributes;
    if (fine) {
      if (!name.empty()) scope_fields_.push_back({"scope.name", name});
      if (!version.empty()) scope_fields_.push_back({"scope.version", version});
      for (const OtlpPair& pair : scope_.pairs()) {
        scope_fields_.push_back(
            {scope_arena_.Join("scope.", pair.key), OtlpText(pair.value, scope_arena_)});
      }
    }
    repeated_by_each_ = host_.size() + program_.size();
    for (const Fields* fields : {&resource_fields_, &scope_fields_}) {
      for (const auto& field : *fields) repeated_by_each_ += field.name.size() + field.value.size();
    }
    return ForEach(logs, number::kLogRecords, [&](std::string_view record) {
      if (fine) return ReadRecord(record);
      Refuse("a resource or scope has too many, too large or too deep attributes");
      return true;
    });
  }

  bool ReadRecord(std::string_view message) {
    repeated_ += repeated_by_each_;
    if (repeated_ > kMaxRepeatedBytes) {
      Refuse("the attributes of the resource and the scope are too large for so many records");
      return true;
    }
    if (message.size() > kMaxOtlpRecordBytes) {
      Refuse("a record is larger than 1 MiB");
      return true;
    }
    attributes_.Clear();
    arena_.Clear();
    if (!ReadFields(message)) return false;
    if (attributes_.fault() != OtlpFault::kNone) {
      Refuse(Why(attributes_.fault()));
      return true;
    }
    if (attributes_.pairs().size() > kMaxAttributes) {
      Refuse("a record has more than 1,000 attributes");
      return true;
    }
    std::string_view line = OtlpText(body_, arena_);
    envelope_.is_text = ReadOtlpValue(body_).kind == OtlpValue::Kind::kText;
    if (line.empty() && attributes_.pairs().empty()) {
      Refuse("a record has neither body nor attributes");
      return true;
    }
    if (line.empty()) {
      json_ = "{";
      for (const OtlpPair& pair : attributes_.pairs()) WriteOtlpJson(pair, json_);
      json_ += '}';
      line = json_;
    }
    FillEnvelope();
    take_(line, envelope_);
    ++outcome_.taken;
    return true;
  }

  bool ReadFields(std::string_view message) {
    body_ = severity_text_ = trace_id_ = span_id_ = event_name_ = {};
    time_ = observed_ = flags_ = dropped_ = 0;
    severity_ = 0;
    WireReader in(message);
    const auto bytes = [&in](std::string_view& value) {
      if (in.type() == Type::kBytes) value = in.bytes();
    };
    const auto number = [&in](uint64_t& value, Type type) {
      if (in.type() == type) value = in.number();
    };
    while (in.Next()) {
      switch (in.field()) {
        case number::kTime:
          number(time_, Type::kFixed64);
          break;
        case number::kSeverityNumber:
          if (in.type() == Type::kVarint) severity_ = static_cast<int32_t>(in.number());
          break;
        case number::kSeverityText:
          bytes(severity_text_);
          break;
        case number::kBody:
          bytes(body_);
          break;
        case number::kAttributes:
          if (in.type() == Type::kBytes && !attributes_.Add(in.bytes())) return false;
          break;
        case number::kDroppedAttributes:
          number(dropped_, Type::kVarint);
          break;
        case number::kFlags:
          number(flags_, Type::kFixed32);
          break;
        case number::kTraceId:
          bytes(trace_id_);
          break;
        case number::kSpanId:
          bytes(span_id_);
          break;
        case number::kObservedTime:
          number(observed_, Type::kFixed64);
          break;
        case number::kEventName:
          bytes(event_name_);
          break;
        default:
          break;
      }
    }
    return !in.broken() && attributes_.Check(body_);
  }

  void FillEnvelope() {
    envelope_.event_time = TimeOf(time_);
    if (!envelope_.event_time) envelope_.event_time = TimeOf(observed_);
    envelope_.host = host_;
    envelope_.program = program_;
    envelope_.severity = SeverityOf(severity_);
    Fields& fields = envelope_.fields;
    fields.clear();
    for (const OtlpPair& pair : attributes_.pairs()) {
      fields.push_back({pair.key, OtlpText(pair.value, arena_)});
    }
    const auto add = [&fields](const char* name, std::string_view value) {
      if (!value.empty()) fields.push_back({name, value});
    };
    const auto number = [&](const char* name, uint64_t value) {
      if (value != 0) fields.push_back({name, arena_.Copy(fmt::format_int(value).c_str())});
    };
    const auto id = [&](const char* name, std::string_view value) {
      if (!value.empty()) fields.push_back({name, arena_.Copy(HexEncode(value))});
    };
    add("otel.severity_text", severity_text_);
    number("otel.severity_number", static_cast<uint64_t>(std::max(severity_, 0)));
    add("otel.event_name", event_name_);
    id("otel.trace_id", trace_id_);
    id("otel.span_id", span_id_);
    number("otel.flags", flags_);
    number("otel.time_unix_nano", time_);
    number("otel.observed_time_unix_nano", observed_);
    number("otel.dropped_attributes_count", static_cast<uint32_t>(dropped_));
    fields.insert(fields.end(), resource_fields_.begin(), resource_fields_.end());
    fields.insert(fields.end(), scope_fields_.begin(), scope_fields_.end());
  }

  const OtlpTaker& take_;
  OtlpOutcome outcome_;
  size_t repeated_ = 0;  // bytes that records have of their resources and scopes

  Attributes resource_;
  TextArena resource_arena_;
  Fields resource_fields_;
  size_t resource_bytes_ = 0;
  std::string_view host_;
  std::string_view program_;

  Attributes scope_;
  TextArena scope_arena_;
  Fields scope_fields_;
  size_t repeated_by_each_ = 0;

  // Of the record that is being read.
  Attributes attributes_;
  TextArena arena_;
  std::string json_;
  LineEnvelope envelope_;
  std::string_view body_;
  std::string_view severity_text_;
  std::string_view trace_id_;
  std::string_view span_id_;
  std::string_view event_name_;
  uint64_t time_ = 0;
  uint64_t observed_ = 0;
  uint64_t flags_ = 0;
  uint64_t dropped_ = 0;
  int severity_ = 0;
};

}  // namespace

StatusOr<OtlpOutcome> ReadOtlp(std::string_view request, const OtlpTaker& take) {
  YAGURA_RETURN_IF_ERROR(Survey(request));
  Reader reader(take);
  const bool sound =
      ForEach(request, number::kRequestResourceLogs,
              [&reader](std::string_view logs) { return reader.ReadResourceLogs(logs); });
  if (!sound) return Malformed();
  return std::move(reader.outcome());
}

}  // namespace yagura::ingestion
