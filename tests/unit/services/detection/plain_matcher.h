#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "services/detection/domain/engine/sigma_rule.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection::testing {

// What rules match, as plainly as it can be said: event by event, rule by rule, test by test,
// without any index or memory. What BatchMatcher finds must be the same.
class PlainMatcher {
 public:
  explicit PlainMatcher(event::BatchReader& batch) : batch_(batch) {}

  // As BatchMatcher::Run.
  std::vector<Match> Run(const RuleSet& rules);

 private:
  struct Value {
    std::string text;
    std::string folded;
  };

  void UseRow(uint32_t row);
  const std::vector<Value>& Values(const std::string& field);
  bool Holds(const Expression& expression);
  bool Refers(const Expression& expression);
  bool HasKeyword(const Matcher& matcher);

  event::BatchReader& batch_;
  uint32_t row_ = 0;
  event::v1::Event event_;
  StringMap<std::vector<Value>> values_;  // by field
  std::vector<Value> words_;              // where keywords are looked for
};

}  // namespace yagura::detection::testing
