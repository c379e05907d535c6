#include "services/ingestion/domain/otlp_records.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fmt/format.h"

#include "common/text/text.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

namespace otlp = opentelemetry::proto;
using otlp::common::v1::AnyValue;
using otlp::common::v1::KeyValue;

constexpr int kMaxDepth = 32;
// Of all records of a request together; what is said once for many of them is copied for each.
constexpr size_t kMaxRepeatedBytes = 64 << 20;
constexpr int kMaxAttributes = 1000;

using Attributes = google::protobuf::RepeatedPtrField<KeyValue>;
using Fields = std::vector<std::pair<std::string, std::string>>;

int Depth(const AnyValue& value, int above = 0) {
  if (above >= kMaxDepth) return above + 1;
  int deepest = above + 1;
  for (const auto& inner : value.array_value().values()) {
    deepest = std::max(deepest, Depth(inner, above + 1));
  }
  for (const auto& inner : value.kvlist_value().values()) {
    deepest = std::max(deepest, Depth(inner.value(), above + 1));
  }
  return deepest;
}

bool TooDeep(const Attributes& attributes) {
  return std::any_of(attributes.begin(), attributes.end(),
                     [](const auto& attribute) { return Depth(attribute.value()) > kMaxDepth; });
}

std::string JsonOf(const AnyValue& value);

template <typename Pairs>
std::string JsonObject(const Pairs& pairs) {
  std::string text = "{";
  for (const auto& pair : pairs) {
    if (text.size() > 1) text += ',';
    text += QuoteJson(pair.key()) + ":" + JsonOf(pair.value());
  }
  return text + "}";
}

std::string JsonOf(const AnyValue& value) {
  switch (value.value_case()) {
    case AnyValue::kStringValue:
      return QuoteJson(value.string_value());
    case AnyValue::kBoolValue:
      return value.bool_value() ? "true" : "false";
    case AnyValue::kIntValue:
      return std::to_string(value.int_value());
    case AnyValue::kDoubleValue:
      // JSON has no other numbers.
      return std::isfinite(value.double_value()) ? fmt::format("{}", value.double_value())
                                                 : fmt::format("\"{}\"", value.double_value());
    case AnyValue::kBytesValue:
      return QuoteJson(Base64Encode(value.bytes_value()));
    case AnyValue::kKvlistValue:
      return JsonObject(value.kvlist_value().values());
    case AnyValue::kArrayValue: {
      std::string text = "[";
      for (const auto& inner : value.array_value().values()) {
        if (text.size() > 1) text += ',';
        text += JsonOf(inner);
      }
      return text + "]";
    }
    case AnyValue::VALUE_NOT_SET:
      break;
  }
  return "null";
}

std::string TextOf(const AnyValue& value) {
  if (value.value_case() == AnyValue::VALUE_NOT_SET) return "";
  return value.value_case() == AnyValue::kStringValue ? value.string_value() : JsonOf(value);
}

void AddFields(const Attributes& attributes, std::string_view prefix, Fields& fields) {
  for (const auto& attribute : attributes) {
    fields.emplace_back(fmt::format("{}{}", prefix, attribute.key()), TextOf(attribute.value()));
  }
}

std::string Find(const Attributes& attributes, std::string_view key) {
  for (const auto& attribute : attributes) {
    if (attribute.key() == key) return TextOf(attribute.value());
  }
  return "";
}

int SeverityOf(int number) {
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

// What is the same for all records of a scope.
struct Surroundings {
  std::string host;
  std::string program;
  Fields fields;
  size_t bytes = 0;  // of all
};

Surroundings Around(const otlp::logs::v1::ResourceLogs& logs,
                    const otlp::logs::v1::ScopeLogs& scope) {
  Surroundings around;
  const Attributes& resource = logs.resource().attributes();
  around.host = Find(resource, "host.name");
  around.program = Find(resource, "service.name");
  AddFields(resource, "resource.", around.fields);
  if (!scope.scope().name().empty()) {
    around.fields.emplace_back("scope.name", scope.scope().name());
  }
  if (!scope.scope().version().empty()) {
    around.fields.emplace_back("scope.version", scope.scope().version());
  }
  AddFields(scope.scope().attributes(), "scope.", around.fields);
  around.bytes = around.host.size() + around.program.size();
  for (const auto& [name, value] : around.fields) around.bytes += name.size() + value.size();
  return around;
}

// Empty, or why the record is refused.
std::string Refusal(const otlp::logs::v1::LogRecord& log) {
  if (TextOf(log.body()).empty() && log.attributes().empty()) {
    return "a record has neither body nor attributes";
  }
  if (log.attributes_size() > kMaxAttributes) {
    return fmt::format("a record has more than {} attributes", kMaxAttributes);
  }
  return "";
}

Record ReadRecord(const otlp::logs::v1::LogRecord& log, const Surroundings& around) {
  Record record;
  record.line = TextOf(log.body());
  if (record.line.empty()) record.line = JsonObject(log.attributes());
  record.event_time = TimeOf(log.time_unix_nano());
  if (!record.event_time) record.event_time = TimeOf(log.observed_time_unix_nano());
  record.host = around.host;
  record.program = around.program;
  record.severity = SeverityOf(log.severity_number());
  Fields& fields = record.fields;
  AddFields(log.attributes(), "", fields);
  const auto add = [&fields](const char* name, std::string value) {
    if (!value.empty()) fields.emplace_back(name, std::move(value));
  };
  const auto number = [](uint64_t value) { return value == 0 ? "" : std::to_string(value); };
  add("otel.severity_text", log.severity_text());
  add("otel.severity_number", number(static_cast<uint64_t>(std::max(log.severity_number(), 0))));
  add("otel.event_name", log.event_name());
  add("otel.trace_id", HexEncode(log.trace_id()));
  add("otel.span_id", HexEncode(log.span_id()));
  add("otel.flags", number(log.flags()));
  add("otel.time_unix_nano", number(log.time_unix_nano()));
  add("otel.observed_time_unix_nano", number(log.observed_time_unix_nano()));
  add("otel.dropped_attributes_count", number(log.dropped_attributes_count()));
  fields.insert(fields.end(), around.fields.begin(), around.fields.end());
  return record;
}

}  // namespace

OtlpRecords ReadOtlp(const otlp::collector::logs::v1::ExportLogsServiceRequest& request) {
  OtlpRecords read;
  size_t repeated = 0;  // bytes that each record has of its resource and scope
  const auto refuse = [&read](int64_t count, std::string why) {
    if (read.refused == 0) read.why = std::move(why);
    read.refused += count;
  };
  for (const auto& logs : request.resource_logs()) {
    for (const auto& scope : logs.scope_logs()) {
      const Attributes& resource = logs.resource().attributes();
      const Attributes& library = scope.scope().attributes();
      if (resource.size() + library.size() > kMaxAttributes || TooDeep(resource) ||
          TooDeep(library)) {
        refuse(scope.log_records_size(), "a resource or scope has too many or too deep attributes");
        continue;
      }
      const Surroundings around = Around(logs, scope);
      for (const auto& log : scope.log_records()) {
        repeated += around.bytes;
        std::string why =
            repeated > kMaxRepeatedBytes
                ? "the attributes of the resource and the scope are too large for so many records"
            : Depth(log.body()) > kMaxDepth || TooDeep(log.attributes())
                ? fmt::format("a record has values nested more than {} deep", kMaxDepth)
                : Refusal(log);
        if (why.empty()) {
          read.records.push_back(ReadRecord(log, around));
        } else {
          refuse(1, std::move(why));
        }
      }
    }
  }
  return read;
}

}  // namespace yagura::ingestion
