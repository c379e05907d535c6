#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/text/printable.h"

// Text that came from outside, made fit for messages to people.
namespace yagura::notification {

using yagura::Printable;

// SHA-256 in lower-case hex.
std::string Sha256Hex(std::string_view text);

}  // namespace yagura::notification
