#include "common/filter/values.h"

#include <arpa/inet.h>

#include <cctype>
#include <cmath>
#include <cstring>

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

struct Address {
  IpBytes bytes{};
  bool v4 = false;
};

std::optional<Address> ParseAddress(std::string_view text) {
  if (text.size() > 45) return std::nullopt;
  const std::string zero_terminated(text);
  std::array<char, 16> buffer{};
  if (inet_pton(AF_INET, zero_terminated.c_str(), buffer.data()) == 1) {
    return Address{ToIpBytes({buffer.data(), 4}), true};
  }
  if (inet_pton(AF_INET6, zero_terminated.c_str(), buffer.data()) == 1) {
    return Address{ToIpBytes({buffer.data(), 16}), false};
  }
  return std::nullopt;
}

IpRange Block(const IpBytes& address, unsigned prefix) {
  IpRange range{address, address};
  for (unsigned bit = prefix; bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80U >> (bit % 8));
    range.low[bit / 8] = static_cast<uint8_t>(range.low[bit / 8] & ~mask);
    range.high[bit / 8] = static_cast<uint8_t>(range.high[bit / 8] | mask);
  }
  return range;
}

std::optional<double> UnitNanos(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  if (unit == "m") return 60e9;
  if (unit == "h") return 3600e9;
  if (unit == "d") return 86400e9;
  if (unit == "w") return 7 * 86400e9;
  return std::nullopt;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

IpBytes ToIpBytes(std::string_view bytes) {
  IpBytes ip{};
  if (bytes.size() == 16) {
    std::memcpy(ip.data(), bytes.data(), 16);
  } else if (bytes.size() == 4) {
    ip[10] = ip[11] = 0xff;
    std::memcpy(ip.data() + 12, bytes.data(), 4);
  }
  return ip;
}

std::optional<IpRange> ParseIpRange(std::string_view text) {
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto address = ParseAddress(text.substr(0, slash));
    const auto prefix = ParseNumber<unsigned>(text.substr(slash + 1));
    if (!address || !prefix || *prefix > (address->v4 ? 32U : 128U)) return std::nullopt;
    return Block(address->bytes, *prefix + (address->v4 ? 96U : 0U));
  }
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto low = ParseAddress(text.substr(0, dash));
    const auto high = ParseAddress(text.substr(dash + 1));
    if (!low || !high || low->v4 != high->v4 || low->bytes > high->bytes) return std::nullopt;
    return IpRange{low->bytes, high->bytes};
  }
  const auto address = ParseAddress(text);
  if (!address) return std::nullopt;
  return IpRange{address->bytes, address->bytes};
}

std::optional<int64_t> ParseTimeNanos(std::string_view text, std::optional<TimePoint> now) {
  if (text.starts_with("now")) {
    if (!now) return std::nullopt;
    const auto offset = text.substr(3);
    const int64_t base = now->time_since_epoch().count();
    if (offset.empty()) return base;
    if (offset.front() != '-' && offset.front() != '+') return std::nullopt;
    if (offset.size() < 2 || !IsDigit(offset[1])) return std::nullopt;
    const auto distance = ParseDurationNanos(offset.substr(1));
    int64_t moved = 0;
    if (!distance || (offset.front() == '-' ? __builtin_sub_overflow(base, *distance, &moved)
                                            : __builtin_add_overflow(base, *distance, &moved))) {
      return std::nullopt;
    }
    return moved;
  }
  const auto time =
      ParseTime(text.size() == 10 ? std::string(text) + "T00:00:00Z" : std::string(text));
  if (!time.ok()) return std::nullopt;
  return time->time_since_epoch().count();
}

std::optional<int64_t> ParseDurationNanos(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && (IsDigit(text[digits]) || text[digits] == '.')) ++digits;
    size_t unit_end = digits;
    while (unit_end < text.size() && std::isalpha(static_cast<unsigned char>(text[unit_end]))) {
      ++unit_end;
    }
    const auto amount = ParseNumber<double>(text.substr(0, digits));
    const auto unit = UnitNanos(text.substr(digits, unit_end - digits));
    if (!amount || !unit) return std::nullopt;
    total += *amount * *unit;
    text.remove_prefix(unit_end);
  }
  if (total > 9.2e18) return std::nullopt;
  const auto nanos = static_cast<int64_t>(std::llround(total));
  return negative ? -nanos : nanos;
}

std::optional<int64_t> WholeNumber(std::string_view text) {
  const auto digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || digits.size() > 18) return std::nullopt;
  for (const char c : digits) {
    if (!IsDigit(c)) return std::nullopt;
  }
  return ParseNumber<int64_t>(text);
}

}  // namespace yagura::filter
