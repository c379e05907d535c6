#include "services/notification/domain/routing.h"

#include <algorithm>
#include <map>

namespace yagura::notification {
namespace {

template <typename Values, typename Value>
bool Has(const Values& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

template <typename Texts>
bool EmptyOrHas(const Texts& texts, const std::string& text) {
  return texts.empty() || Has(texts, text);
}

}  // namespace

bool Fits(const v1::Route& route, const v1::Alert& alert) {
  if (route.disabled() || alert.severity() < route.min_severity()) return false;
  if (!EmptyOrHas(route.rule_ids(), alert.rule_id())) return false;
  if (!EmptyOrHas(route.sites(), alert.site())) return false;
  if (!EmptyOrHas(route.devices(), alert.device())) return false;
  return route.tags().empty() ||
         std::any_of(route.tags().begin(), route.tags().end(),
                     [&alert](const std::string& tag) { return Has(alert.tags(), tag); });
}

std::vector<Target> TargetsOf(const v1::Contact& contact,
                              const google::protobuf::RepeatedField<int>& wanted) {
  std::vector<Target> targets;
  if (contact.disabled()) return targets;
  const auto wants = [&wanted](v1::Channel channel) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), channel) != wanted.end();
  };
  if (!contact.email().empty() && wants(v1::EMAIL)) {
    targets.push_back({contact.name(), v1::EMAIL, contact.email()});
  }
  if (!contact.webhook_url().empty() && wants(v1::WEBHOOK)) {
    targets.push_back({contact.name(), v1::WEBHOOK, WithoutQuery(contact.webhook_url())});
  }
  return targets;
}

std::vector<Target> Targets(const std::vector<v1::Route>& routes,
                            const std::vector<v1::Contact>& contacts, const v1::Alert& alert) {
  std::map<std::string_view, const v1::Contact*> by_name;
  for (const v1::Contact& contact : contacts) by_name[contact.name()] = &contact;
  std::vector<Target> targets;
  for (const v1::Route& route : routes) {
    if (!Fits(route, alert)) continue;
    for (const std::string& name : route.contacts()) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) continue;
      for (Target& target : TargetsOf(*found->second, route.channels())) {
        if (!Has(targets, target)) targets.push_back(std::move(target));
      }
    }
  }
  return targets;
}

std::string WithoutQuery(const std::string& url) { return url.substr(0, url.find_first_of("?#")); }

}  // namespace yagura::notification
