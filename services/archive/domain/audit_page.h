#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::archive {

// Where a list of audit records goes on, tenant by tenant.
class AuditPage {
 public:
  // Empty text: the first page. INVALID_ARGUMENT where the token is broken or belongs to another
  // list.
  static absl::StatusOr<AuditPage> Parse(std::string_view token, std::string_view parent,
                                         std::string_view filter);
  // Only records below this sequence number have not been given yet.
  std::optional<uint64_t> Before(const std::string& tenant) const;
  void Set(const std::string& tenant, uint64_t before) { before_[tenant] = before; }
  std::string ToToken() const;

 private:
  uint64_t digest_ = 0;
  std::map<std::string, uint64_t> before_;
};

}  // namespace yagura::archive
