#pragma once

#include <memory>

#include "common/store/store.h"
#include "yagura/notification/internal/v1/contact_secret.pb.h"
#include "yagura/notification/v1/alert.pb.h"
#include "yagura/notification/v1/contact.pb.h"
#include "yagura/notification/v1/delivery.pb.h"
#include "yagura/notification/v1/route.pb.h"

namespace yagura::notification {

inline constexpr char kAlertPattern[] = "tenants/{tenant}/alerts/{alert}";
inline constexpr char kContactPattern[] = "tenants/{tenant}/contacts/{contact}";
inline constexpr char kRoutePattern[] = "tenants/{tenant}/routes/{route}";
inline constexpr char kDeliveryPattern[] = "tenants/{tenant}/deliveries/{delivery}";
inline constexpr char kContactSecretPattern[] = "tenants/{tenant}/contactSecrets/{contact}";

// Everything that the service keeps. Cheap to copy: copies share the stores.
struct Stores {
  store::Store<v1::Alert> alerts;
  store::Store<v1::Contact> contacts;
  store::Store<v1::Route> routes;
  store::Store<v1::Delivery> deliveries;
  store::Store<internal::v1::ContactSecret> secrets;
};

Stores OpenStores(const std::shared_ptr<redis::Pool>& state,
                  const std::shared_ptr<const Clock>& clock);

}  // namespace yagura::notification
