#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"
#include "services/detection/domain/indicators.h"
#include "services/detection/domain/product_presence.h"
#include "services/detection/domain/windows.h"
#include "yagura/detection/internal/v1/hunts.pb.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::detection {

// What a hunt looks for in one tenant. The events of each pass's filter are shown to it in order of
// receipt, pass after pass; it counts every event once, whatever passes show it. Not thread-safe.
class HuntProbe {
 public:
  using Events = google::protobuf::RepeatedPtrField<event::v1::Event>;
  virtual ~HuntProbe() = default;

  // AIP-160; a pass shows at least the events that it is for.
  const std::vector<std::string>& filters() const { return filters_; }
  // Whether later events complete earlier ones: then the result alone is not all that it knows.
  virtual bool has_state() const { return false; }
  // What it knows beside the result, and what another probe of the same question goes on with,
  // shown the events that follow; to be called before the first Look.
  virtual internal::v1::HuntProbeState State() { return {}; }
  virtual void GoOn(internal::v1::HuntProbeState /*state*/) {}
  virtual absl::Status Look(size_t pass, const Events& events, v1::HuntResult& result) = 0;
  // After the last event, once.
  virtual void Finish(v1::HuntResult& /*result*/) {}

 protected:
  explicit HuntProbe(std::vector<std::string> filters) : filters_(std::move(filters)) {}

 private:
  std::vector<std::string> filters_;
};

// Events that one of the texts' single-event rules matches; of a text with correlations the
// findings that there would be. `limits`: of the windows.
std::unique_ptr<HuntProbe> NewRuleProbe(std::string_view tenant, ParsedRule rule,
                                        const Windows::Limits& limits);

// Events that name an indicator.
std::unique_ptr<HuntProbe> NewIndicatorProbe(std::vector<Indicator> indicators);

// Events that tell of a CVE: that name it where attacks are named, or that one of `rules`, which
// are tagged with it and have no correlations, matches. Those that name the product alone are
// related.
std::unique_ptr<HuntProbe> NewVulnerabilityProbe(std::string_view tenant, const std::string& cve,
                                                 std::vector<ParsedRule> rules,
                                                 const std::vector<WantedProduct>& products);

}  // namespace yagura::detection
