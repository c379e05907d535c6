#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "yagura/detection/v1/dead_letter.pb.h"

// What can be told from the payload of a dead letter, by the stream that it was in.
namespace yagura::detection {

// The tenant as far as it can be read, else empty. Nothing for a finding about dead letters: that
// is told nobody.
std::optional<std::string> TenantOfLetter(std::string_view topic, const std::string& payload);

// Adds the events that it speaks of, as v1::DeadLetter says; none where they cannot be read.
void AddEventsOfLetter(std::string_view topic, const std::string& payload, v1::DeadLetter& letter);

}  // namespace yagura::detection
