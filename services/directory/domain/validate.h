#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"

#include "yagura/directory/v1/api_key.pb.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"
#include "yagura/directory/v1/source.pb.h"
#include "yagura/directory/v1/tenant.pb.h"
#include "yagura/directory/v1/user.pb.h"

// What may stand in a resource. Each brings texts into their canonical form first (addresses, host
// names, mail addresses) and then answers INVALID_ARGUMENT naming every wrong field.
namespace yagura::directory {

absl::Status Normalize(v1::Tenant& tenant);
absl::Status Normalize(v1::Site& site);
absl::Status Normalize(v1::User& user);
absl::Status Normalize(v1::ApiKey& key);
absl::Status Normalize(v1::Asset& asset);
absl::Status Normalize(v1::Source& source);

// Ids of the sites that a resource refers to.
std::set<std::string> SitesOf(const v1::Asset& asset);
std::set<std::string> SitesOf(const v1::Source& source);

// 12 to 256 bytes, and not the user's own id or mail address.
absl::Status CheckPassword(std::string_view password, const v1::User& user);

}  // namespace yagura::directory
