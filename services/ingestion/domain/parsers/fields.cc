#include "services/ingestion/domain/parsers/fields.h"

#include <algorithm>
#include <array>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/parser.h"

namespace yagura::ingestion {

using event::v1::Severity;

void ParsedLine::Clear() {
  event.Clear();
  device_serial = {};
  zone_used = false;
}

void SetAddress(std::string_view text, event::IpAddress* address) {
  const auto parsed = event::IpAddress::Parse(text);
  if (!parsed) return;
  const std::string_view bytes = parsed->bytes();
  // "::ffff:192.0.2.1" is what Windows and others write for 192.0.2.1.
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.starts_with(kMapped)) {
    const auto plain = event::IpAddress::FromBytes(bytes.substr(kMapped.size()));
    if (plain.bytes() != std::string_view("\0\0\0\0", 4)) *address = plain;
    return;
  }
  if (std::any_of(bytes.begin(), bytes.end(), [](char c) { return c != 0; })) *address = *parsed;
}

void SetPort(std::string_view text, uint32_t* port) {
  if (const auto number = ParseNumber<uint16_t>(text)) *port = *number;
}

void SetCount(std::string_view text, uint64_t* count) {
  if (const auto number = ParseNumber<uint64_t>(text)) *count = *number;
}

std::string_view ProtocolName(std::string_view text, TextArena& arena) {
  struct Name {
    std::string_view number;
    std::string_view name;
  };
  constexpr std::array kNames{Name{"6", "tcp"},    Name{"17", "udp"}, Name{"1", "icmp"},
                              Name{"58", "icmp6"}, Name{"2", "igmp"}, Name{"47", "gre"},
                              Name{"50", "esp"},   Name{"51", "ah"},  Name{"89", "ospf"},
                              Name{"132", "sctp"}};
  for (const Name& name : kNames) {
    if (name.number == text) return name.name;
  }
  return arena.Lower(text);
}

Severity SeverityOfPriority(int priority) {
  constexpr std::array kSeverities{
      event::v1::CRITICAL, event::v1::CRITICAL, event::v1::HIGH,          event::v1::HIGH,
      event::v1::MEDIUM,   event::v1::LOW,      event::v1::INFORMATIONAL, event::v1::INFORMATIONAL};
  return kSeverities[static_cast<size_t>(priority) & 7];
}

Severity SeverityOfWord(std::string_view word) {
  struct Word {
    std::string_view text;
    Severity severity;
  };
  constexpr std::array kWords{
      Word{"notice", event::v1::LOW},
      Word{"information", event::v1::INFORMATIONAL},
      Word{"informational", event::v1::INFORMATIONAL},
      Word{"info", event::v1::INFORMATIONAL},
      Word{"debug", event::v1::INFORMATIONAL},
      Word{"low", event::v1::LOW},
      Word{"warning", event::v1::MEDIUM},
      Word{"warn", event::v1::MEDIUM},
      Word{"medium", event::v1::MEDIUM},
      Word{"error", event::v1::HIGH},
      Word{"err", event::v1::HIGH},
      Word{"high", event::v1::HIGH},
      Word{"critical", event::v1::HIGH},
      Word{"crit", event::v1::HIGH},
      Word{"alert", event::v1::CRITICAL},
      Word{"emergency", event::v1::CRITICAL},
      Word{"emerg", event::v1::CRITICAL},
  };
  for (const Word& known : kWords) {
    if (EqualsIgnoreCase(known.text, word)) return known.severity;
  }
  return event::v1::SEVERITY_UNSPECIFIED;
}

void MarkPartlyParsed(std::string_view reason, event::EventView* event) {
  event->flaws |= uint64_t{1} << event::v1::PARTLY_PARSED;
  if (event->parse_error.empty()) event->parse_error = reason;
}

}  // namespace yagura::ingestion
