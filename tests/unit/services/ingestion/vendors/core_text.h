#pragma once

#include <string>
#include <string_view>

#include "fmt/format.h"

#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {

// One end: "10.1.0.5:443 nat 203.0.113.5:1024 host pc5 if port2 zone trust mac .. country Japan".
inline std::string EndText(const event::v1::Endpoint& end) {
  std::string text = end.ip().empty() ? "" : Ip(end.ip());
  if (end.port() != 0) text += fmt::format(":{}", end.port());
  if (!end.translated_ip().empty()) text += " nat " + Ip(end.translated_ip());
  if (end.translated_port() != 0) text += fmt::format(":{}", end.translated_port());
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format(" {} {}", name, value);
  };
  add("host", end.host());
  add("if", end.interface());
  add("zone", end.zone());
  add("mac", end.mac());
  add("country", end.country());
  return text.starts_with(' ') ? text.substr(1) : text;
}

// The typed core of an event in one line, so that an expectation says all that was understood, and
// nothing that was not: what is unset does not appear.
inline std::string CoreText(const event::v1::Event& event) {
  std::string text = event.product();
  const auto add = [&text](std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format(" {}={}", name, value);
  };
  const auto count = [&text](std::string_view name, uint64_t value) {
    if (value != 0) text += fmt::format(" {}={}", name, value);
  };
  add("category", event.category());
  if (event.severity() != 0) add("severity", event::v1::Severity_Name(event.severity()));
  if (event.action() != 0) add("action", event::v1::Action_Name(event.action()));
  if (const std::string end = EndText(event.src()); !end.empty()) text += " src=[" + end + "]";
  if (const std::string end = EndText(event.dst()); !end.empty()) text += " dst=[" + end + "]";
  add("protocol", event.protocol());
  add("app", event.app());
  count("out", event.bytes_out());
  count("in", event.bytes_in());
  count("packets_out", event.packets_out());
  count("packets_in", event.packets_in());
  if (event.has_duration()) {
    text += fmt::format(" duration={}ms",
                        event.duration().seconds() * 1000 + event.duration().nanos() / 1'000'000);
  }
  add("rule", event.rule());
  add("signature_id", event.signature_id());
  add("signature", event.signature());
  add("user", event.user());
  add("url", event.url());
  add("session", event.session());
  add("context", event.virtual_context());
  add("direction", event.direction());
  add("program", event.program());
  add("host", event.host());
  add("id", event.vendor_event_id());
  text += " at " + EventTime(event);
  for (const int flaw : event.flaws()) {
    text += " " + event::v1::Flaw_Name(static_cast<event::v1::Flaw>(flaw));
  }
  return text;
}

// The core of a line received on 2026-11-21T00:15:45Z from a source in Asia/Tokyo.
inline std::string CoreOf(std::string_view line) { return CoreText(ParseLine(line)); }

}  // namespace yagura::ingestion
