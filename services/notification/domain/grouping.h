#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "yagura/detection/v1/finding.pb.h"
#include "yagura/notification/v1/alert.pb.h"

// Which alert a finding belongs to, and what it changes there.
namespace yagura::notification {

// As many findings as may be delivered again after a crash must be remembered: a reader's batch
// times the shards stays below it.
inline constexpr int kRememberedFindings = 256;

// Findings with the same key are one matter. Findings without a dedup_key stand alone.
std::string GroupKey(const detection::v1::Finding& finding);
// Id of the n-th alert of a matter, from 1: the same for every process and every time.
std::string AlertId(std::string_view group_key, uint32_t generation);

enum class Placement {
  kKnown,     // the alert has it already
  kJoins,     // belongs to this alert
  kOpensNext  // the alert is over, or too long ago: the next one of the matter
};
// `window`: how long a matter may pause before a finding opens the next alert; 0 for ever.
Placement Place(const v1::Alert& alert, const detection::v1::Finding& finding,
                std::chrono::seconds window);

// The alert that a finding opens; without etag and times of the store.
v1::Alert OpenAlert(std::string_view tenant, const detection::v1::Finding& finding,
                    uint32_t generation);
// Adds a finding to an alert that does not have it.
void Join(v1::Alert& alert, const detection::v1::Finding& finding);

// Brings an alert up to what one of its findings has grown to; any number of times and in any
// order, with the same result.
void Grow(v1::Alert& alert, const detection::v1::Finding& finding);

}  // namespace yagura::notification
