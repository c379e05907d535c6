#include "common/store/claims.h"

#include <algorithm>

#include "fmt/format.h"
#include "google/protobuf/message.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

using google::protobuf::Message;

constexpr size_t kDigestBytes = 16;

std::string Digits(std::string_view text) {
  return HexEncode(Sha256(text).substr(0, kDigestBytes));
}

std::string GroupDigits(const Claim& claim) {
  return claim.group ? Digits(*claim.group) : std::string(2 * kDigestBytes, '-');
}

std::vector<Claim> ClaimsOf(const CompiledKind& kind, const Message& message) {
  return kind.kind().claims ? kind.kind().claims(message) : std::vector<Claim>();
}

}  // namespace

std::vector<std::string> ClaimMembers(const CompiledKind& kind, const Message& message,
                                      std::string_view id_path) {
  std::vector<std::string> members;
  for (const Claim& claim : ClaimsOf(kind, message)) {
    std::string member = Digits(claim.what) + GroupDigits(claim);
    member += '\0';
    member += id_path;
    members.push_back(std::move(member));
  }
  return members;
}

std::vector<ClaimGuard> GuardsOf(const CompiledKind& kind, const Message* before,
                                 const Message& after) {
  const auto had = before != nullptr ? ClaimsOf(kind, *before) : std::vector<Claim>();
  std::vector<ClaimGuard> guards;
  for (Claim& claim : ClaimsOf(kind, after)) {
    const bool is_new = std::none_of(had.begin(), had.end(), [&claim](const Claim& old) {
      return old.what == claim.what && old.group == claim.group;
    });
    if (!is_new) continue;
    ClaimGuard guard{.claim = std::move(claim), .what = {}, .shared = {}};
    guard.what = Digits(guard.claim.what);
    if (guard.claim.group) guard.shared = guard.what + GroupDigits(guard.claim);
    guards.push_back(std::move(guard));
  }
  return guards;
}

absl::Status ClaimedBy(const CompiledKind& kind, std::string_view tenant,
                       const std::vector<ClaimGuard>& guards, std::string_view said) {
  const size_t space = said.find(' ');
  const auto number = ParseNumber<size_t>(said.substr(0, space));
  if (space == std::string_view::npos || !number || *number < 1 || *number > guards.size()) {
    return Internal("the write script gave an unknown answer");
  }
  std::vector<std::string> ids = {std::string(tenant)};
  for (const auto id : Split(said.substr(space + 1), '/')) ids.emplace_back(id);
  const std::string other = kind.pattern().Format(ids);
  const Claim& claim = guards[*number - 1].claim;
  return MakeError(absl::StatusCode::kAlreadyExists, "CLAIMED_BY_ANOTHER",
                   fmt::format("{}: {} ({})", claim.field, claim.refusal, other),
                   {{"field", claim.field}, {"resource", other}});
}

}  // namespace yagura::store
