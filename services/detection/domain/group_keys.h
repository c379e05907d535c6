#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

// As of GroupKey; remembers the keys of groups that were asked for, as hits of the same groups come
// again and again. Bounded. Not thread-safe.
class GroupKeys {
 public:
  std::string Of(std::string_view tenant, const internal::v1::RuleSummary& rule,
                 const internal::v1::Hit& hit);

 private:
  std::unordered_map<std::string, std::string> keys_;  // by all that makes one
  std::string text_;
};

}  // namespace yagura::detection
