#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace yagura::detection {

using AddressBytes = std::array<uint8_t, 16>;

struct Address {
  AddressBytes bytes{};
  bool v4 = false;
};

// IPv4 addresses are mapped into IPv6. Nothing for a text that is no address.
std::optional<Address> ParseAddress(std::string_view text);

}  // namespace yagura::detection
