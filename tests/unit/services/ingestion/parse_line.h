#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock/proto_time.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {

inline TimePoint At(std::string_view time) { return ParseTime(time).value(); }

// The described parsers of content/parsers, read once.
inline std::shared_ptr<const ParserCatalogue> ShippedParsers() {
  static const auto kParsers = [] {
    const char* source = std::getenv("YAGURA_SOURCE_DIR");
    return ParserCatalogue::Load(std::filesystem::path(source == nullptr ? "." : source) /
                                 "content" / "parsers")
        .value();
  }();
  return kParsers;
}

// What one line becomes, received at `receive_time` from a source in `zone`.
inline event::v1::Event ParseLine(std::string_view line,
                                  std::string_view receive_time = "2026-11-21T00:15:45Z",
                                  std::string_view zone = "Asia/Tokyo",
                                  std::string_view parser = "auto") {
  LinePipeline pipeline(ShippedParsers());
  LineContext context;
  context.receive_time = At(receive_time);
  context.zone = SourceZone::Find(zone).value();
  context.origin = "192.0.2.1";
  context.parser = parser;
  event::v1::Event event;
  event::ToProto(pipeline.Process(line, context).event, &event);
  return event;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

inline Pairs FieldsOf(const event::v1::Event& event) {
  Pairs pairs;
  for (const auto& field : event.fields()) pairs.emplace_back(field.name(), field.value());
  return pairs;
}

// The first value of a field; "(absent)" where there is none.
inline std::string FieldOf(const event::v1::Event& event, std::string_view name) {
  for (const auto& field : event.fields()) {
    if (field.name() == name) return field.value();
  }
  return "(absent)";
}

inline std::string Ip(const std::string& bytes) {
  return event::IpAddress::FromBytes(bytes).ToString();
}

inline std::string EventTime(const event::v1::Event& event) {
  return FormatTime(FromProto(event.event_time()));
}

inline bool HasFlaw(const event::v1::Event& event, event::v1::Flaw flaw) {
  for (const int found : event.flaws()) {
    if (found == flaw) return true;
  }
  return false;
}

}  // namespace yagura::ingestion
