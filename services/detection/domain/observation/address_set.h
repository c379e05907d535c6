#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/detection/domain/engine/address.h"

namespace yagura::detection {

// Networks and addresses that a placeholder's values name. Immutable.
class AddressSet {
 public:
  AddressSet() = default;
  // "10.0.0.0/8", "192.0.2.1", IPv6 alike; what is neither is left out.
  explicit AddressSet(const std::vector<std::string>& values);

  bool empty() const { return networks_.empty(); }
  // 4 or 16 bytes.
  bool Contains(std::string_view address) const;
  // The networks as text, for filters.
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  struct Network {
    AddressBytes bytes;
    int bits;  // of 128
  };
  std::vector<Network> networks_;
  std::vector<std::string> texts_;
};

// Whether an address may be anybody's outside: neither private, local nor reserved.
bool IsPublicAddress(std::string_view address);

}  // namespace yagura::detection
