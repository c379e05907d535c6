#pragma once

#include <filesystem>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "common/store/store.h"
#include "services/detection/storage/rule_versions.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// Puts the *.yml below `folder` into force under "tenants/provider", each under its Sigma id: new
// ones enabled, changed texts replacing the old, `enabled` left as people set it. What the engine
// refuses is logged. Rules whose placeholders have no value yet are kept, too; they are
// in force for tenants that give them values. How many rules there are; 0 where the folder does not
// exist.
absl::StatusOr<int> LoadContentRules(const std::filesystem::path& folder,
                                     store::Store<v1::Rule>& rules, const RuleVersions& versions,
                                     const Logger& logger);

}  // namespace yagura::detection
