#include "services/detection/domain/observation/address_set.h"

#include <algorithm>
#include <optional>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

std::optional<AddressBytes> Mapped(std::string_view address) {
  AddressBytes bytes{};
  if (address.size() == 16) {
    std::copy(address.begin(), address.end(), bytes.begin());
    return bytes;
  }
  if (address.size() != 4) return std::nullopt;
  bytes[10] = bytes[11] = 0xff;
  std::copy(address.begin(), address.end(), bytes.begin() + 12);
  return bytes;
}

bool IsWithin(const AddressBytes& address, const AddressBytes& network, int bits) {
  const auto whole = static_cast<ptrdiff_t>(bits / 8);
  if (!std::equal(address.begin(), address.begin() + whole, network.begin())) return false;
  if (bits % 8 == 0) return true;
  const auto at = static_cast<size_t>(whole);
  return ((address.at(at) ^ network.at(at)) >> (8 - bits % 8)) == 0;
}

}  // namespace

AddressSet::AddressSet(const std::vector<std::string>& values) {
  for (const std::string& value : values) {
    const size_t slash = value.find('/');
    const auto address = ParseAddress(std::string_view(value).substr(0, slash));
    if (!address) continue;
    int bits = 128;
    if (slash != std::string::npos) {
      const auto prefix = ParseNumber<int>(std::string_view(value).substr(slash + 1));
      const int most = address->v4 ? 32 : 128;
      if (!prefix || *prefix < 0 || *prefix > most) continue;
      bits = *prefix + 128 - most;
    }
    networks_.push_back({address->bytes, bits});
    texts_.push_back(value);
  }
}

bool AddressSet::Contains(std::string_view address) const {
  const auto mapped = Mapped(address);
  return mapped && std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
           return IsWithin(*mapped, network.bytes, network.bits);
         });
}

bool IsPublicAddress(std::string_view address) {
  static const AddressSet kNotPublic(
      {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
       "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"});
  if (address.size() == 4) return !kNotPublic.Contains(address);
  return address.size() == 16 && (static_cast<unsigned char>(address[0]) >> 5) == 1;
}

}  // namespace yagura::detection
