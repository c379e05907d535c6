#pragma once

#include <cstdint>
#include <string_view>

#include "common/event/event_view.h"
#include "services/ingestion/domain/text_arena.h"
#include "yagura/event/v1/event.pb.h"

// Small readings that many parsers share: each leaves its target alone where the text says nothing.
namespace yagura::ingestion {

// More fields of one line than this are not taken apart; the raw line keeps them.
inline constexpr size_t kMaxFields = 1024;
// Of the name of a field that is nested: names of what is around it come before its own.
inline constexpr size_t kMaxNameBytes = 512;

// The unspecified addresses "0.0.0.0" and "::" say nothing.
void SetAddress(std::string_view text, event::IpAddress* address);
void SetPort(std::string_view text, uint32_t* port);
void SetCount(std::string_view text, uint64_t* count);
// "6" and "tcp" become "tcp"; a number without a common name stays.
std::string_view ProtocolName(std::string_view text, TextArena& arena);
// Severity of a syslog priority (0..191).
event::v1::Severity SeverityOfPriority(int priority);
// "emergency", "alert", "critical", "error", "warning", "notice", "information", "debug" and their
// usual short forms, any case.
event::v1::Severity SeverityOfWord(std::string_view word);

// Adds a flaw with its reason; the first reason is kept.
void MarkPartlyParsed(std::string_view reason, event::EventView* event);

}  // namespace yagura::ingestion
