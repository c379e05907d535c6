#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "yagura/detection/internal/v1/hits.pb.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// 26 characters of [0-9a-v] from what makes a thing unique.
std::string ShortDigest(const std::vector<std::string_view>& parts);

// What findings of one rule and group have in common: the group's key and the findings' dedup_key.
std::string GroupKey(std::string_view tenant, const internal::v1::RuleSummary& rule,
                     const internal::v1::Hit& hit);

inline constexpr int kMaxEntities = 40;

// A finding without times, count and evidence.
v1::Finding DescribeFinding(std::string_view tenant, std::string_view finding_id,
                            const internal::v1::RuleSummary& rule, const internal::v1::Hit& hit);

// Adds evidence and what it says: entities, and the action where more was let through.
void AddEvidence(const google::protobuf::RepeatedPtrField<v1::Evidence>& evidence,
                 v1::Finding& finding);

// Names somebody or something once. False where that is so already, or nothing more can be named.
bool AddEntity(const v1::Entity& entity, v1::Finding& finding);

// Brings a kept finding up to what `update` tells; in any order, any number of times, with the same
// result. False where nothing changed.
bool MergeFinding(const v1::Finding& update, v1::Finding& kept);

// "More groups than can be counted" for a rule of a tenant; one an hour of event time.
v1::Finding OverflowFinding(std::string_view tenant, const internal::v1::RuleSummary& rule,
                            const internal::v1::Hit& hit, size_t cap);

bool IsOverflowFinding(const v1::Finding& finding);

// What a reader of a stream gave up within an hour of one tenant.
struct GivenUp {
  std::string tenant;
  std::string topic;   // "events"
  std::string reader;  // "archive"
  int64_t hour = 0;    // since 1970
  uint64_t count = 0;  // so far
  std::string error;   // of the latest
  int64_t first = 0;   // nanoseconds since 1970
  int64_t last = 0;
};
// "Yagura could not process ...": one finding a tenant, stream, reader and hour.
v1::Finding DeadLetterFinding(const GivenUp& given_up);
// Whether a finding is one of those: that it cannot be processed either is told nobody.
bool IsDeadLetterFinding(const v1::Finding& finding);

}  // namespace yagura::detection
