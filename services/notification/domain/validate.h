#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "yagura/notification/v1/contact.pb.h"
#include "yagura/notification/v1/route.pb.h"

// What may be stored. INVALID_ARGUMENT names every field that is wrong.
namespace yagura::notification {

// `webhook_secret` is looked at where it is set.
absl::Status ValidateContact(const v1::Contact& contact);
// `tenant`: the id that the route's contacts must lie in.
absl::Status ValidateRoute(const v1::Route& route, std::string_view tenant);
// A comment of an acknowledgement or resolution.
absl::Status ValidateComment(std::string_view comment);

}  // namespace yagura::notification
