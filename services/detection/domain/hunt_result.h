#pragma once

#include <cstdint>
#include <string_view>

#include "common/clock/clock.h"
#include "services/detection/domain/fate.h"
#include "yagura/detection/v1/hunt.pb.h"

// What a hunt finds in a tenant, as it is added up event by event.
namespace yagura::detection {

// Event time, never later than receipt.
TimePoint HuntTimeOf(const event::v1::Event& event);

void AddToTally(TimePoint first, TimePoint last, uint64_t count, v1::HuntTally& tally);

// One attempt.
void AddAttempt(const event::v1::Event& event, v1::HuntResult& result);
// An event that is not among the attempts.
void AddRelated(const event::v1::Event& event, v1::HuntResult& result);
// Why an event matched. Of too many different reasons the latest are left out, with a remark.
void AddMatch(std::string_view value, v1::HuntMatchKind kind, const event::v1::Event& event,
              v1::HuntResult& result);
// An event as evidence, or nothing of it where better ones are there.
void AddEvidence(v1::Evidence evidence, v1::HuntResult& result);
v1::Evidence EvidenceOf(const event::v1::Event& event);

void AddRemark(std::string_view remark, v1::HuntResult& result);

// What is kept for others to read: the matches with the most events alone.
v1::HuntResult Published(v1::HuntResult result);

}  // namespace yagura::detection
