#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Resource names, "tenants/{tenant}/tickets/{ticket}" (AIP-122).
namespace yagura::store {

// Lower-case letters, digits and hyphens, beginning and ending with a letter or digit, 1 to 63
// long.
bool IsValidId(std::string_view id);

// The id after "tenants/", also "-"; nothing where the name does not begin so.
std::optional<std::string_view> TenantOf(std::string_view name);
// The text behind the last slash.
std::string_view LastId(std::string_view name);

// A pattern such as "tenants/{tenant}/tickets/{ticket}".
class NamePattern {
 public:
  explicit NamePattern(std::string_view pattern);  // aborts where malformed: patterns are constants
  // The ids in order where the name fits and each is a valid id; nothing otherwise.
  std::optional<std::vector<std::string>> Match(std::string_view name) const;
  // Match that explains: INVALID_ARGUMENT for `field`.
  absl::StatusOr<std::vector<std::string>> Parse(std::string_view name,
                                                 std::string_view field) const;
  // The name with these ids; aborts where their number is wrong.
  std::string Format(const std::vector<std::string>& ids) const;
  const std::string& text() const { return pattern_; }
  // "tenants", "{tenant}", "tickets", "{ticket}".
  const std::vector<std::string>& segments() const { return segments_; }

 private:
  std::string pattern_;
  std::vector<std::string> segments_;
};

// 26 lower-case characters, ordered by time (ULID): for ids that the server makes.
std::string NewUlid();

}  // namespace yagura::store
