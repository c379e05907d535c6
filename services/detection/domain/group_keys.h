#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

// As of GroupKey; remembers the keys of groups that were asked for, as hits of the same groups come
// again and again: within kMostBytes, which count in no budget. Not thread-safe.
class GroupKeys {
 public:
  static constexpr size_t kMostBytes = 1 << 20;
  std::string Of(std::string_view tenant, const internal::v1::RuleSummary& rule,
                 const internal::v1::Hit& hit);
  // About what it takes.
  size_t bytes() const { return bytes_; }

 private:
  std::unordered_map<std::string, std::string> keys_;  // by all that makes one
  std::string text_;
  size_t bytes_ = 0;
};

}  // namespace yagura::detection
