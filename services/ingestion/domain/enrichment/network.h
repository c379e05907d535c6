#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/event/event_view.h"

namespace yagura::ingestion {

// Addresses as 16 bytes, IPv4 mapped, so that both are compared alike.
using AddressKey = std::array<uint8_t, 16>;
AddressKey KeyOf(const event::IpAddress& address);

struct AddressHash {
  size_t operator()(const AddressKey& key) const;
};

// A network: the address with all bits behind the prefix cleared.
struct Network {
  AddressKey address{};
  int prefix = 128;  // of the 16 bytes

  bool operator==(const Network&) const = default;
};
// "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". Nothing where it is no network.
std::optional<Network> ParseNetwork(std::string_view text);
AddressKey Masked(const AddressKey& address, int prefix);

// Whether an address is of nobody's Internet: RFC 1918, 6598 (shared), loopback, link-local, ULA.
bool IsPrivate(const AddressKey& address);

// What networks stand for; the longest that has an address wins. Immutable once filled: thread-safe
// then.
template <typename Value>
class NetworkMap {
 public:
  // False where the network is there already; its value stays.
  bool Add(const Network& network, Value value) {
    auto& level = levels_[static_cast<size_t>(network.prefix)];
    const bool added = level.emplace(network.address, std::move(value)).second;
    if (added && level.size() == 1) AddPrefix(network.prefix);
    size_ += added;
    return added;
  }
  // Null where no network has the address.
  const Value* Find(const AddressKey& address) const {
    for (const int prefix : prefixes_) {
      const auto& level = levels_[static_cast<size_t>(prefix)];
      const auto found = level.find(Masked(address, prefix));
      if (found != level.end()) return &found->second;
    }
    return nullptr;
  }
  size_t size() const { return size_; }

 private:
  void AddPrefix(int prefix) {
    auto at = prefixes_.begin();
    while (at != prefixes_.end() && *at > prefix) ++at;
    prefixes_.insert(at, prefix);
  }
  std::array<std::unordered_map<AddressKey, Value, AddressHash>, 129> levels_;
  std::vector<int> prefixes_;  // in use, the longest first
  size_t size_ = 0;
};

}  // namespace yagura::ingestion
