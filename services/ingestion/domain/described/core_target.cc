#include "services/ingestion/domain/described/core_target.h"

#include <algorithm>
#include <array>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"

namespace yagura::ingestion {
namespace {

using event::EndpointView;
using event::EventView;

// "00-1B-21-aa", "001b.21aa.0c3d" and "001B21AA0C3D" as "00:1b:21:aa:0c:3d"; empty where the text
// is no hardware address.
std::string_view MacText(std::string_view text, TextArena& arena) {
  constexpr size_t kDigits = 12;
  constexpr size_t kSize = 17;
  char* const out = arena.Reserve(kSize);
  size_t digits = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    const bool upper = c >= 'A' && c <= 'F';
    if (digit || upper || (c >= 'a' && c <= 'f')) {
      if (digits == kDigits) return {};
      const size_t at = digits + digits / 2;
      if (digits > 0 && digits % 2 == 0) out[at - 1] = ':';
      out[at] = upper ? static_cast<char>(c - 'A' + 'a') : c;
      ++digits;
    } else if (c != ':' && c != '-' && c != '.') {
      return {};
    }
  }
  return digits == kDigits ? std::string_view(out, kSize) : std::string_view();
}

void SetMac(std::string_view text, TextArena& arena, std::string_view* target) {
  if (const std::string_view mac = MacText(text, arena); !mac.empty()) *target = mac;
}

void SetAddressOrHost(std::string_view text, EndpointView* end) {
  if (event::IpAddress::Parse(text)) {
    SetAddress(text, &end->ip);
  } else {
    end->host = text;
  }
}

struct NamedSetter {
  std::string_view name;
  CoreSetter set;
};

template <EndpointView EventView::*kEnd>
constexpr std::array kEndpointSetters{
    NamedSetter{"ip", [](std::string_view text, TextArena&,
                         ParsedLine* parsed) { SetAddress(text, &(parsed->event.*kEnd).ip); }},
    NamedSetter{"address",
                [](std::string_view text, TextArena&, ParsedLine* parsed) {
                  SetAddressOrHost(text, &(parsed->event.*kEnd));
                }},
    NamedSetter{"port", [](std::string_view text, TextArena&,
                           ParsedLine* parsed) { SetPort(text, &(parsed->event.*kEnd).port); }},
    NamedSetter{"translated_ip",
                [](std::string_view text, TextArena&, ParsedLine* parsed) {
                  SetAddress(text, &(parsed->event.*kEnd).translated_ip);
                }},
    NamedSetter{"translated_port",
                [](std::string_view text, TextArena&, ParsedLine* parsed) {
                  SetPort(text, &(parsed->event.*kEnd).translated_port);
                }},
    NamedSetter{"host", [](std::string_view text, TextArena&,
                           ParsedLine* parsed) { (parsed->event.*kEnd).host = text; }},
    NamedSetter{"interface", [](std::string_view text, TextArena&,
                                ParsedLine* parsed) { (parsed->event.*kEnd).interface = text; }},
    NamedSetter{"zone", [](std::string_view text, TextArena&,
                           ParsedLine* parsed) { (parsed->event.*kEnd).zone = text; }},
    NamedSetter{"mac", [](std::string_view text, TextArena& arena,
                          ParsedLine* parsed) { SetMac(text, arena, &(parsed->event.*kEnd).mac); }},
    NamedSetter{"country", [](std::string_view text, TextArena&,
                              ParsedLine* parsed) { (parsed->event.*kEnd).country = text; }},
};

template <std::string_view EventView::*kText>
void SetText(std::string_view text, TextArena&, ParsedLine* parsed) {
  parsed->event.*kText = text;
}

template <std::string_view EventView::*kText>
void SetLower(std::string_view text, TextArena& arena, ParsedLine* parsed) {
  parsed->event.*kText = arena.Lower(text);
}

template <uint64_t EventView::*kCount>
void SetNumber(std::string_view text, TextArena&, ParsedLine* parsed) {
  SetCount(text, &(parsed->event.*kCount));
}

void SetSeverity(std::string_view text, TextArena&, ParsedLine* parsed) {
  if (const auto severity = SeverityOfWord(text)) parsed->event.severity = severity;
}

void SetAction(std::string_view text, TextArena&, ParsedLine* parsed) {
  if (const auto action = ActionOfWord(text)) parsed->event.action = action;
}

void SetProtocol(std::string_view text, TextArena& arena, ParsedLine* parsed) {
  parsed->event.protocol = ProtocolName(text, arena);
}

void SetSerial(std::string_view text, TextArena&, ParsedLine* parsed) {
  parsed->device_serial = text;
}

void SetDirection(std::string_view text, TextArena&, ParsedLine* parsed) {
  struct Word {
    std::string_view text;
    std::string_view direction;
  };
  constexpr std::array kWords{
      Word{"in", "inbound"},        Word{"inbound", "inbound"}, Word{"incoming", "inbound"},
      Word{"ingress", "inbound"},   Word{"out", "outbound"},    Word{"outbound", "outbound"},
      Word{"outgoing", "outbound"}, Word{"egress", "outbound"}, Word{"internal", "internal"},
  };
  for (const Word& word : kWords) {
    if (EqualsIgnoreCase(word.text, text)) parsed->event.direction = word.direction;
  }
}

// Lower case, and no other characters than names of products have.
void SetProduct(std::string_view text, TextArena& arena, ParsedLine* parsed) {
  char* const start = arena.Reserve(text.size());
  std::transform(text.begin(), text.end(), start, [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    return kept ? c : '_';
  });
  parsed->event.product = {start, text.size()};
}

constexpr std::array kSetters{
    NamedSetter{"product", SetProduct},
    NamedSetter{"category", SetLower<&EventView::category>},
    NamedSetter{"severity", SetSeverity},
    NamedSetter{"action", SetAction},
    NamedSetter{"message", SetText<&EventView::message>},
    NamedSetter{"protocol", SetProtocol},
    NamedSetter{"app", SetLower<&EventView::app>},
    NamedSetter{"bytes_out", SetNumber<&EventView::bytes_out>},
    NamedSetter{"bytes_in", SetNumber<&EventView::bytes_in>},
    NamedSetter{"packets_out", SetNumber<&EventView::packets_out>},
    NamedSetter{"packets_in", SetNumber<&EventView::packets_in>},
    NamedSetter{"rule", SetText<&EventView::rule>},
    NamedSetter{"signature_id", SetText<&EventView::signature_id>},
    NamedSetter{"signature", SetText<&EventView::signature>},
    NamedSetter{"user", SetText<&EventView::user>},
    NamedSetter{"url", SetText<&EventView::url>},
    NamedSetter{"session", SetText<&EventView::session>},
    NamedSetter{"virtual_context", SetText<&EventView::virtual_context>},
    NamedSetter{"direction", SetDirection},
    NamedSetter{"program", SetText<&EventView::program>},
    NamedSetter{"host", SetText<&EventView::host>},
    NamedSetter{"vendor_event_id", SetText<&EventView::vendor_event_id>},
    NamedSetter{"device_serial", SetSerial},
};

template <typename Setters>
CoreSetter FindIn(const Setters& setters, std::string_view name) {
  const auto found = std::find_if(setters.begin(), setters.end(),
                                  [name](const NamedSetter& known) { return known.name == name; });
  return found == setters.end() ? nullptr : found->set;
}

}  // namespace

CoreSetter FindCoreSetter(std::string_view name) {
  if (name.starts_with("src.")) return FindIn(kEndpointSetters<&EventView::src>, name.substr(4));
  if (name.starts_with("dst.")) return FindIn(kEndpointSetters<&EventView::dst>, name.substr(4));
  return FindIn(kSetters, name);
}

event::v1::Action ActionOfWord(std::string_view word) {
  using namespace event::v1;  // NOLINT(google-build-using-namespace): the values of one enum
  struct Word {
    std::string_view text;
    Action action;
  };
  static constexpr std::array kWords{
      Word{"accept", ALLOWED},
      Word{"accepted", ALLOWED},
      Word{"allow", ALLOWED},
      Word{"allowed", ALLOWED},
      Word{"permit", ALLOWED},
      Word{"permitted", ALLOWED},
      Word{"pass", ALLOWED},
      Word{"passed", ALLOWED},
      Word{"bypass", ALLOWED},
      Word{"trust", ALLOWED},
      Word{"forward", ALLOWED},
      Word{"continue", ALLOWED},
      Word{"deny", BLOCKED},
      Word{"denied", BLOCKED},
      Word{"drop", BLOCKED},
      Word{"dropped", BLOCKED},
      Word{"block", BLOCKED},
      Word{"blocked", BLOCKED},
      Word{"reject", BLOCKED},
      Word{"rejected", BLOCKED},
      Word{"discard", BLOCKED},
      Word{"discarded", BLOCKED},
      Word{"reset", BLOCKED},
      Word{"reset-both", BLOCKED},
      Word{"reset-client", BLOCKED},
      Word{"reset-server", BLOCKED},
      Word{"drop-icmp", BLOCKED},
      Word{"prevent", BLOCKED},
      Word{"prevented", BLOCKED},
      Word{"quarantine", BLOCKED},
      Word{"quarantined", BLOCKED},
      Word{"refused", BLOCKED},
      Word{"detect", DETECTED},
      Word{"detected", DETECTED},
      Word{"alert", DETECTED},
      Word{"alerted", DETECTED},
      Word{"monitor", DETECTED},
      Word{"monitored", DETECTED},
      Word{"log", DETECTED},
      Word{"start", STARTED},
      Word{"started", STARTED},
      Word{"open", STARTED},
      Word{"opened", STARTED},
      Word{"create", STARTED},
      Word{"end", ENDED},
      Word{"ended", ENDED},
      Word{"close", ENDED},
      Word{"closed", ENDED},
      Word{"teardown", ENDED},
      Word{"timeout", ENDED},
      Word{"logout", ENDED},
      Word{"logoff", ENDED},
      Word{"login", LOGON},
      Word{"logon", LOGON},
      Word{"logon_failed", LOGON_FAILED},
      Word{"login_failed", LOGON_FAILED},
      Word{"changed", CHANGED},
      Word{"modified", CHANGED},
  };
  for (const Word& known : kWords) {
    if (EqualsIgnoreCase(known.text, word)) return known.action;
  }
  return ACTION_UNSPECIFIED;
}

}  // namespace yagura::ingestion
