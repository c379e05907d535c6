#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/rule_set.h"

// The public rules and events that tests and benches use where they are at hand.
namespace yagura::detection::testing {

// $YAGURA_DATA, or shared/data beside the source tree.
std::filesystem::path SharedData();
bool HasSharedData();

struct SharedRules {
  std::shared_ptr<const RuleSet> set;
  size_t files = 0;
  std::map<std::string, int> refused;  // how many for which reason
};
// All SigmaHQ rules, `copies` times: under ids and texts of their own, so that nothing is shared
// but what rules have in common anyway.
SharedRules LoadSharedRules(int copies = 1);

// The first `limit` events of each of the recordings, in batches of `per_batch`.
std::vector<std::string> SharedBatches(size_t per_batch, size_t limit);

}  // namespace yagura::detection::testing
