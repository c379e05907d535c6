#include "services/directory/domain/address.h"

#include <arpa/inet.h>

#include <array>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::directory {
namespace {

struct Network {
  int family = AF_INET;
  std::array<unsigned char, 16> bytes{};
  int prefix = -1;  // -1: none given

  int bits() const { return family == AF_INET ? 32 : 128; }
};

bool HostBitsAreZero(const Network& network) {
  for (int bit = network.prefix; bit < network.bits(); ++bit) {
    const int mask = 0x80 >> (bit % 8);
    if ((network.bytes.at(static_cast<size_t>(bit / 8)) & mask) != 0) return false;
  }
  return true;
}

std::optional<Network> Parse(std::string_view text) {
  if (text.size() > 64) return std::nullopt;
  Network network;
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  if (address.find('\0') != std::string::npos) return std::nullopt;
  network.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(network.family, address.c_str(), network.bytes.data()) != 1) return std::nullopt;
  if (slash == std::string_view::npos) return network;
  const auto prefix = ParseNumber<int>(text.substr(slash + 1));
  if (!prefix || *prefix < 0 || *prefix > network.bits()) return std::nullopt;
  network.prefix = *prefix;
  if (!HostBitsAreZero(network)) return std::nullopt;
  return network;
}

std::string Format(const Network& network) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(network.family, network.bytes.data(), text.data(), text.size());
  if (network.prefix < 0) return text.data();
  return fmt::format("{}/{}", text.data(), network.prefix);
}

}  // namespace

std::optional<std::string> CanonicalAddress(std::string_view text) {
  const auto network = Parse(text);
  if (!network) return std::nullopt;
  return Format(*network);
}

std::optional<std::string> CanonicalNetwork(std::string_view text) {
  auto network = Parse(text);
  if (!network) return std::nullopt;
  if (network->prefix < 0) network->prefix = network->bits();
  return Format(*network);
}

}  // namespace yagura::directory
