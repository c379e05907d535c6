#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace yagura::directory {

// Canonical text of an IPv4 or IPv6 address, or of a network in CIDR notation (host bits must be
// zero). Nothing where the text is neither.
std::optional<std::string> CanonicalAddress(std::string_view text);
// The same, but always with a prefix length: "10.0.0.1" becomes "10.0.0.1/32".
std::optional<std::string> CanonicalNetwork(std::string_view text);

}  // namespace yagura::directory
