#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/store/store.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// The texts that rules had, the latest 50 of each; they stay for a while when the rule is deleted.
// Thread-safe.
class RuleVersions {
 public:
  struct Change {
    std::string by;  // principal
    std::string reason;
    TimePoint at{};
  };
  explicit RuleVersions(store::Store<v1::RuleVersion> versions) : versions_(std::move(versions)) {}

  // Says of a new rule whose its text is, and numbers it behind those that a rule of the name had.
  absl::Status Begin(const Change& change, v1::Rule& rule) const;
  // Puts another text in the place of a rule's, which is kept; to be called within Store::Mutate.
  // Nothing where it is the same.
  absl::Status Replace(const std::string& text, const Change& change, v1::Rule& rule) const;
  // Keeps the text that a rule has. Where its number is another text's, which happens where an
  // earlier release wrote the rule in between, it gets the next one and nobody as its author.
  absl::Status Keep(v1::Rule& rule) const;
  // Where the number, the author and the reason of a rule are those of another text, which an
  // earlier release has replaced: gives it the number behind that one and all that are kept, and
  // nobody as its author.
  absl::Status Settle(v1::Rule& rule) const;
  // Of "tenants/{tenant}/rules/{rule}", the latest first, without the one that is in place.
  absl::StatusOr<std::vector<v1::RuleVersion>> List(std::string_view rule) const;
  // Forgets the texts of the tenant's rules that have been gone for `keep`. A rule is gone from the
  // sweep on that first finds none of its name.
  absl::Status Sweep(std::string_view tenant, const store::Store<v1::Rule>& rules, TimePoint now,
                     std::chrono::hours keep) const;
  // Takes away indexes that earlier releases made of the texts, of all tenants.
  absl::Status Reindex() const { return versions_.raw()->Reindex(); }
  // The text that is in place.
  static v1::RuleVersion Of(const v1::Rule& rule);

 private:
  // Numbers of the texts that are kept of a rule, and since when it has been gone.
  struct Kept {
    std::string rule;  // name
    std::set<int64_t> numbers;
    std::optional<TimePoint> gone_since;
  };
  absl::Status NumberAnew(v1::Rule& rule) const;
  absl::Status SweepOne(const Kept& kept, const store::Store<v1::Rule>& rules, TimePoint now,
                        std::chrono::hours keep) const;

  mutable store::Store<v1::RuleVersion> versions_;
};

}  // namespace yagura::detection
