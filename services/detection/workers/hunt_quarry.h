#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "services/detection/domain/hunt_probe.h"
#include "services/detection/domain/surroundings.h"
#include "yagura/detection/internal/v1/hunts.pb.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::detection {

// Reason of an error whose message may be told whoever reads a result: the rule names placeholders
// that the tenant has no values for.
inline constexpr char kNoPlaceholderValue[] = "NO_PLACEHOLDER_VALUE";

// What is looked for in one tenant.
struct HuntQuarry {
  std::unique_ptr<HuntProbe> probe;
  std::vector<WantedProduct> products;
  std::string digest;  // of all that the probe was made of
  std::vector<std::string> remarks;
};

// Makes of a hunt's question what is looked for in a tenant. Thread-safe.
class HuntQuarries {
 public:
  struct Parts {
    std::shared_ptr<const Surroundings> surroundings;
    // What placeholders stand for in rules of a tenant.
    std::function<absl::StatusOr<Placeholders>(const std::string& tenant)> placeholders;
    // Texts of the rules that are tagged with a CVE: the provider's, and the tenant's own.
    std::function<absl::StatusOr<std::vector<std::string>>(const std::string& tenant,
                                                           const std::string& cve)>
        rules_about;
    Logger logger = Logger::Null();
  };
  HuntQuarries(Parts parts, const Windows::Limits& windows)
      : parts_(std::move(parts)), windows_(windows) {}

  // Errors are those of `parts`, and INVALID_ARGUMENT where the question does not fit the tenant.
  absl::StatusOr<HuntQuarry> Make(const v1::Hunt& hunt, const internal::v1::HuntPlan& plan,
                                  const std::string& tenant) const;

 private:
  absl::StatusOr<HuntQuarry> OfRule(const v1::Hunt& hunt, const internal::v1::HuntPlan& plan,
                                    const std::string& tenant) const;
  absl::StatusOr<HuntQuarry> OfVulnerability(const v1::Hunt& hunt, const std::string& tenant) const;

  const Parts parts_;
  const Windows::Limits windows_;
};

}  // namespace yagura::detection
