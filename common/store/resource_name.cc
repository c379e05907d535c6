#include "common/store/resource_name.h"

#include <sys/random.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

constexpr size_t kMaxIdLength = 63;

bool IsLetterOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsVariable(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

}  // namespace

bool IsValidId(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdLength) return false;
  if (!IsLetterOrDigit(id.front()) || !IsLetterOrDigit(id.back())) return false;
  for (const char c : id) {
    if (!IsLetterOrDigit(c) && c != '-') return false;
  }
  return true;
}

std::optional<std::string_view> TenantOf(std::string_view name) {
  constexpr std::string_view kPrefix = "tenants/";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  const std::string_view id = name.substr(0, name.find('/'));
  if (id != "-" && !IsValidId(id)) return std::nullopt;
  return id;
}

std::string_view LastId(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

NamePattern::NamePattern(std::string_view pattern) : pattern_(pattern) {
  bool want_variable = false;
  for (const std::string_view segment : Split(pattern, '/')) {
    if (segment.empty() || IsVariable(segment) != want_variable) {
      fmt::print(stderr, "malformed resource name pattern: {}\n", pattern);
      std::abort();
    }
    segments_.emplace_back(segment);
    want_variable = !want_variable;
  }
  if (want_variable) {
    fmt::print(stderr, "resource name pattern must end with an id: {}\n", pattern);
    std::abort();
  }
}

std::optional<std::vector<std::string>> NamePattern::Match(std::string_view name) const {
  const auto parts = Split(name, '/');
  if (parts.size() != segments_.size()) return std::nullopt;
  std::vector<std::string> ids;
  ids.reserve(parts.size() / 2);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i % 2 == 0) {
      if (parts[i] != segments_[i]) return std::nullopt;
    } else {
      if (!IsValidId(parts[i])) return std::nullopt;
      ids.emplace_back(parts[i]);
    }
  }
  return ids;
}

absl::StatusOr<std::vector<std::string>> NamePattern::Parse(std::string_view name,
                                                            std::string_view field) const {
  if (auto ids = Match(name)) return *std::move(ids);
  return InvalidField(
      field, fmt::format("must be a resource name like \"{}\"; ids are 1 to {} lower-case letters, "
                         "digits and inner hyphens",
                         pattern_, kMaxIdLength));
}

std::string NamePattern::Format(const std::vector<std::string>& ids) const {
  if (ids.size() * 2 != segments_.size()) std::abort();
  std::string name;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (i > 0) name += '/';
    name += i % 2 == 0 ? segments_[i] : ids[i / 2];
  }
  return name;
}

std::string NewUlid() {
  static constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::array<unsigned char, 16> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    std::abort();
  }
  std::string id(26, '0');
  auto milliseconds = static_cast<uint64_t>(now.count());
  for (size_t i = 10; i-- > 0; milliseconds >>= 5) id[i] = kAlphabet[milliseconds & 31];
  for (size_t i = 10; i < id.size(); ++i) id[i] = kAlphabet[random[i - 10] & 31];
  return id;
}

}  // namespace yagura::store
