#include "services/archive/domain/audit_page.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/page_token.h"
#include "yagura/archive/internal/v1/archive_state.pb.h"

namespace yagura::archive {

StatusOr<AuditPage> AuditPage::Parse(std::string_view token, std::string_view parent,
                                     std::string_view filter) {
  AuditPage page;
  page.digest_ = DigestOf({parent, filter, "audit"});
  if (token.empty()) return page;
  internal::v1::AuditPosition position;
  const auto bytes = Base64UrlDecode(token);
  if (!bytes || !position.ParseFromString(*bytes) || position.request_digest() != page.digest_) {
    return InvalidField("page_token", "is not a token of this list");
  }
  page.before_.insert(position.before().begin(), position.before().end());
  return page;
}

std::optional<uint64_t> AuditPage::Before(const std::string& tenant) const {
  const auto it = before_.find(tenant);
  return it == before_.end() ? std::nullopt : std::optional(it->second);
}

std::string AuditPage::ToToken() const {
  internal::v1::AuditPosition position;
  position.set_request_digest(digest_);
  for (const auto& [tenant, before] : before_) (*position.mutable_before())[tenant] = before;
  return Base64UrlEncode(position.SerializeAsString());
}

}  // namespace yagura::archive
