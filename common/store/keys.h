#pragma once

#include <string>
#include <string_view>

#include "common/store/kind.h"

// Keys of the state Redis. What is in braces is the tenant: its keys may change in one script.
namespace yagura::store {

// `id_path`: the ids behind the tenant, joined by slashes.
std::string DataKey(const Kind& kind, std::string_view tenant, std::string_view id_path);
std::string AllIdsKey(const Kind& kind, std::string_view tenant);
// Which index version the tenant's index entries are complete for.
std::string IndexMarkerKey(const Kind& kind, std::string_view tenant);
std::string ReindexCursorKey(const Kind& kind, std::string_view tenant);
// The set of all index keys that any release has filled, so that a later one can drop them.
std::string IndexKeysKey(const Kind& kind, std::string_view tenant);
std::string IndexKey(const Kind& kind, std::string_view tenant, std::string_view index,
                     int version);
// Who has which claim of the kind.
std::string ClaimsKey(const Kind& kind, std::string_view tenant);
std::string SequenceKey(std::string_view tenant);
std::string FeedKey(std::string_view tenant);
// `hash`: of principal, method and request id.
std::string RequestKey(std::string_view tenant, std::string_view hash);

// The set of all tenants and the stream that tells of new ones; "-" is no tenant's id.
inline constexpr std::string_view kTenantsKey = "y:{-}:tenants";
inline constexpr std::string_view kTenantsFeedKey = "y:{-}:tenants:changes";

}  // namespace yagura::store
