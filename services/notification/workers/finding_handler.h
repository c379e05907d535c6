#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "services/notification/domain/delivery.h"
#include "services/notification/storage/stores.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::notification {

// Turns findings into alerts and what is to be sent of them. Every write has a deterministic name
// and the alert comes first: a finding that is handled again, by whomever, changes nothing.
class FindingHandler {
 public:
  struct Options {
    std::chrono::seconds group_window{24 * 3600};
    std::string fallback_email;  // told where no route fits; empty: nobody
    std::string portal_url;      // for links; empty: none
    std::string id_domain;       // right side of Message-IDs
    RetryPolicy retry;
  };
  FindingHandler(Stores stores, std::shared_ptr<const Clock> clock, Options options);

  // Whether an entry of the stream with this key tells how a finding has grown, "<id>/<events>",
  // and not that it began.
  static bool TellsGrowth(std::string_view key, const detection::v1::Finding& finding);

  // INVALID_ARGUMENT for a finding that names no tenant; UNAVAILABLE while the state Redis is away.
  absl::Status Handle(const detection::v1::Finding& finding);
  // The finding as it has grown: counts and times of the alert that has it; nobody is told.
  absl::Status HandleGrowth(const detection::v1::Finding& finding);

 private:
  struct Routing {
    std::vector<v1::Route> routes;
    std::vector<v1::Contact> contacts;
  };
  absl::StatusOr<Routing> LoadRouting(const std::string& tenant) const;
  absl::StatusOr<v1::Alert> Place(const std::string& tenant, const Routing& routing,
                                  const detection::v1::Finding& finding);
  absl::StatusOr<v1::Alert> PlaceOnce(const std::string& tenant, const Routing& routing,
                                      const detection::v1::Finding& finding);
  absl::Status Deliver(const std::string& tenant, const Routing& routing, const v1::Alert& alert);

  Stores stores_;
  std::shared_ptr<const Clock> clock_;
  const Options options_;
};

}  // namespace yagura::notification
