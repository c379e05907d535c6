#pragma once

#include <array>
#include <string_view>

#include "common/event/batch_codec.h"

// The core columns in the order of their numbers; private to common/event.
namespace yagura::event {

struct CoreRow {
  std::string_view name;
  ColumnKind kind;
  bool utf8;  // a `string` field of the message: must be valid UTF-8
};

inline constexpr std::array<CoreRow, kMaxCore> kCoreTable{{
    {"site", ColumnKind::kText, true},
    {"device", ColumnKind::kText, true},
    {"receive_time", ColumnKind::kTime, false},
    {"event_time", ColumnKind::kTime, false},
    {"product", ColumnKind::kText, true},
    {"category", ColumnKind::kText, true},
    {"severity", ColumnKind::kNumber, false},
    {"action", ColumnKind::kNumber, false},
    {"src.ip", ColumnKind::kText, false},
    {"src.port", ColumnKind::kNumber, false},
    {"src.translated_ip", ColumnKind::kText, false},
    {"src.translated_port", ColumnKind::kNumber, false},
    {"src.host", ColumnKind::kText, true},
    {"src.interface", ColumnKind::kText, true},
    {"src.zone", ColumnKind::kText, true},
    {"src.mac", ColumnKind::kText, true},
    {"src.country", ColumnKind::kText, true},
    {"dst.ip", ColumnKind::kText, false},
    {"dst.port", ColumnKind::kNumber, false},
    {"dst.translated_ip", ColumnKind::kText, false},
    {"dst.translated_port", ColumnKind::kNumber, false},
    {"dst.host", ColumnKind::kText, true},
    {"dst.interface", ColumnKind::kText, true},
    {"dst.zone", ColumnKind::kText, true},
    {"dst.mac", ColumnKind::kText, true},
    {"dst.country", ColumnKind::kText, true},
    {"message", ColumnKind::kText, false},
    {"protocol", ColumnKind::kText, true},
    {"app", ColumnKind::kText, true},
    {"bytes_out", ColumnKind::kNumber, false},
    {"bytes_in", ColumnKind::kNumber, false},
    {"packets_out", ColumnKind::kNumber, false},
    {"packets_in", ColumnKind::kNumber, false},
    {"duration", ColumnKind::kTime, false},
    {"rule", ColumnKind::kText, true},
    {"signature_id", ColumnKind::kText, true},
    {"signature", ColumnKind::kText, true},
    {"user", ColumnKind::kText, true},
    {"url", ColumnKind::kText, true},
    {"session", ColumnKind::kText, true},
    {"virtual_context", ColumnKind::kText, true},
    {"direction", ColumnKind::kText, true},
    {"program", ColumnKind::kText, true},
    {"host", ColumnKind::kText, true},
    {"origin", ColumnKind::kText, true},
    {"flaws", ColumnKind::kNumber, false},
    {"parse_error", ColumnKind::kText, true},
    {"vendor_event_id", ColumnKind::kText, true},
}};

inline const CoreRow& RowOf(Core column) { return kCoreTable[static_cast<size_t>(column) - 1]; }

}  // namespace yagura::event
