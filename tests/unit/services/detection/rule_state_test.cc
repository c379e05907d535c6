#include "services/detection/domain/rule_state.h"

#include <set>

#include "gtest/gtest.h"

namespace yagura::detection {
namespace {

TEST(RuleState, OnlyTheseMovesAreThere) {
  const std::set<std::pair<v1::RuleState, v1::RuleState>> moves = {
      {v1::DRAFT, v1::TEST},    {v1::DRAFT, v1::ACTIVE}, {v1::DRAFT, v1::RETIRED},
      {v1::TEST, v1::DRAFT},    {v1::TEST, v1::ACTIVE},  {v1::TEST, v1::RETIRED},
      {v1::ACTIVE, v1::TEST},   {v1::ACTIVE, v1::MUTED}, {v1::ACTIVE, v1::RETIRED},
      {v1::MUTED, v1::ACTIVE},  {v1::MUTED, v1::MUTED},  {v1::MUTED, v1::RETIRED},
      {v1::RETIRED, v1::DRAFT}, {v1::RETIRED, v1::TEST}, {v1::RETIRED, v1::ACTIVE},
  };
  for (int from = v1::DRAFT; from <= v1::RETIRED; ++from) {
    for (int to = v1::RULE_STATE_UNSPECIFIED; to <= v1::RETIRED; ++to) {
      const auto move = std::pair(static_cast<v1::RuleState>(from), static_cast<v1::RuleState>(to));
      EXPECT_EQ(CheckMove(move.first, move.second).ok(), moves.contains(move))
          << v1::RuleState_Name(move.first) << " -> " << v1::RuleState_Name(move.second);
    }
  }
}

TEST(RuleState, ARuleOfAnEarlierReleaseIsAsEnabledSays) {
  v1::Rule rule;
  EXPECT_EQ(StateOf(rule), v1::DRAFT);
  rule.set_enabled(true);
  EXPECT_EQ(StateOf(rule), v1::ACTIVE);
  rule.set_state(v1::MUTED);
  EXPECT_EQ(StateOf(rule), v1::MUTED);
}

TEST(RuleState, AMuteEndsAtItsTime) {
  v1::Rule rule;
  const TimePoint now(std::chrono::seconds(1000));
  SetState({v1::MUTED, "noise", "tenants/acme/users/a", now, now + std::chrono::hours(1)}, rule);
  EXPECT_FALSE(MuteHasEnded(rule, now + std::chrono::minutes(59)));
  EXPECT_TRUE(MuteHasEnded(rule, now + std::chrono::hours(1)));
  SetState({v1::ACTIVE, "", "x", now, {}}, rule);
  EXPECT_FALSE(rule.has_mute_expire_time());
  EXPECT_FALSE(MuteHasEnded(rule, now + std::chrono::hours(2)));
}

}  // namespace
}  // namespace yagura::detection
