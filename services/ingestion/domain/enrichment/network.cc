#include "services/ingestion/domain/enrichment/network.h"

#include <algorithm>
#include <cstring>

#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMapped = 12;  // bytes before an IPv4 address
constexpr int kMappedBits = kMapped * 8;

bool IsMapped(const AddressKey& key) {
  static constexpr std::array<uint8_t, kMapped> kPrefix = {0, 0, 0, 0, 0,    0,
                                                           0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.end(), key.begin());
}

}  // namespace

AddressKey KeyOf(const event::IpAddress& address) {
  AddressKey key{};
  const std::string_view bytes = address.bytes();
  if (bytes.size() == 4) {
    key[10] = key[11] = 0xff;
    std::memcpy(key.data() + kMapped, bytes.data(), 4);
  } else if (bytes.size() == key.size()) {
    std::memcpy(key.data(), bytes.data(), key.size());
  }
  return key;
}

size_t AddressHash::operator()(const AddressKey& key) const {
  uint64_t high = 0;
  uint64_t low = 0;
  std::memcpy(&high, key.data(), sizeof high);
  std::memcpy(&low, key.data() + sizeof high, sizeof low);
  const auto product =
      static_cast<unsigned __int128>(high ^ 0xa0761d6478bd642full) * (low ^ 0xe7037ed1a0b428dbull);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

AddressKey Masked(const AddressKey& address, int prefix) {
  AddressKey masked{};
  const auto whole = static_cast<size_t>(prefix / 8);
  std::copy_n(address.begin(), whole, masked.begin());
  if (prefix % 8 != 0) {
    masked[whole] = static_cast<uint8_t>(address[whole] & (0xff << (8 - prefix % 8)));
  }
  return masked;
}

std::optional<Network> ParseNetwork(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = event::IpAddress::Parse(text.substr(0, slash));
  if (!address || address->empty()) return std::nullopt;
  const bool is_v4 = address->bytes().size() == 4;
  int prefix = is_v4 ? 32 : 128;
  if (slash != text.npos) {
    const auto number = ParseNumber<int>(text.substr(slash + 1));
    if (!number || *number < 0 || *number > prefix) return std::nullopt;
    prefix = *number;
  }
  if (is_v4) prefix += kMappedBits;
  return Network{Masked(KeyOf(*address), prefix), prefix};
}

bool IsPrivate(const AddressKey& address) {
  if (IsMapped(address)) {
    const uint8_t a = address[12];
    const uint8_t b = address[13];
    return a == 10 || a == 127 || (a == 172 && (b & 0xf0) == 16) || (a == 192 && b == 168) ||
           (a == 169 && b == 254) || (a == 100 && (b & 0xc0) == 64);
  }
  static constexpr AddressKey kLoopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return (address[0] & 0xfe) == 0xfc || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) ||
         address == kLoopback;
}

}  // namespace yagura::ingestion
