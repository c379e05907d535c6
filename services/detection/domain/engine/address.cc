#include "services/detection/domain/engine/address.h"

#include <arpa/inet.h>

#include <cstring>

namespace yagura::detection {

std::optional<Address> ParseAddress(std::string_view text) {
  if (text.size() < 2 || text.size() > 45) return std::nullopt;
  std::array<char, 46> buffer{};
  std::memcpy(buffer.data(), text.data(), text.size());
  Address address;
  if (inet_pton(AF_INET, buffer.data(), address.bytes.data() + 12) == 1) {
    address.bytes[10] = address.bytes[11] = 0xff;
    address.v4 = true;
    return address;
  }
  if (inet_pton(AF_INET6, buffer.data(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

}  // namespace yagura::detection
