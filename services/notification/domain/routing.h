#pragma once

#include <string>
#include <vector>

#include "yagura/notification/v1/alert.pb.h"
#include "yagura/notification/v1/contact.pb.h"
#include "yagura/notification/v1/route.pb.h"

// Who is to be told of an alert.
namespace yagura::notification {

bool Fits(const v1::Route& route, const v1::Alert& alert);

// One contact by one channel.
struct Target {
  std::string contact;  // resource name
  v1::Channel channel = v1::CHANNEL_UNSPECIFIED;
  std::string address;  // mail address, or URL without query
  bool operator==(const Target&) const = default;
};

// The channels that a contact has an address for, out of `wanted` (none: all). Empty where the
// contact is disabled.
std::vector<Target> TargetsOf(const v1::Contact& contact,
                              const google::protobuf::RepeatedField<int>& wanted);

// Everyone whom the routes that fit name, each once by a channel, in the order of the routes.
std::vector<Target> Targets(const std::vector<v1::Route>& routes,
                            const std::vector<v1::Contact>& contacts, const v1::Alert& alert);

// Scheme, host and path: the query of a webhook often is a secret.
std::string WithoutQuery(const std::string& url);

}  // namespace yagura::notification
