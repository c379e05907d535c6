#include "services/detection/domain/windows.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/group_keys.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'700'000'000 * kSecond;

// Batches of hits of one rule, "threshold within 60 s", in order.
class WindowsTest : public ::testing::Test {
 protected:
  internal::v1::HitBatch Batch(std::vector<int64_t> seconds, const std::string& group = "g") {
    internal::v1::HitBatch batch;
    batch.set_tenant("acme");
    batch.set_source_shard(1);
    batch.set_source_id(fmt::format("1000-{}", ++sequence_));
    auto* rule = batch.add_rules();
    rule->set_id("4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
    rule->set_version("v1");
    rule->set_title("Many");
    rule->set_threshold(threshold_);
    rule->set_timespan_nanos(60 * kSecond);
    auto* hit = batch.add_hits();
    auto* field = hit->add_group();
    field->set_name("user");
    field->set_value(group);
    int64_t received = 0;
    for (const int64_t second : seconds) {
      const int64_t time = kStart + second * kSecond;
      hit->add_times(time);
      received = std::max(received, time);
      auto* evidence = hit->add_evidence();
      evidence->set_event_id(fmt::format("{}-{}", group, second));
      *evidence->mutable_event_time() = ToProto(TimePoint(std::chrono::nanoseconds(time)));
      *evidence->mutable_receive_time() = evidence->event_time();
    }
    batch.set_received(received);
    return batch;
  }

  uint64_t threshold_ = 3;
  int sequence_ = 0;
  Windows windows_{Windows::Limits{std::chrono::seconds(30), 2}};
};

TEST_F(WindowsTest, EnoughEventsWithinTheSpanMakeOneFinding) {
  EXPECT_THAT(windows_.Apply(Batch({0})), IsEmpty());
  EXPECT_THAT(windows_.Apply(Batch({20})), IsEmpty());
  const auto findings = windows_.Apply(Batch({60}));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].finding.event_count(), 3U);
  EXPECT_THAT(findings[0].finding.evidence(), SizeIs(3));
  EXPECT_EQ(findings[0].finding.evidence(0).event_id(), "g-0");
  EXPECT_EQ(findings[0].finding.matched_fields(0).value(), "g");
  EXPECT_EQ(FromProto(findings[0].finding.last_event_time()) -
                FromProto(findings[0].finding.first_event_time()),
            std::chrono::seconds(60));
}

TEST_F(WindowsTest, EventsApartMakeNone) {
  EXPECT_THAT(windows_.Apply(Batch({0, 31})), IsEmpty());
  EXPECT_THAT(windows_.Apply(Batch({61})), IsEmpty());
  EXPECT_THAT(windows_.Apply(Batch({122})), IsEmpty());
}

TEST_F(WindowsTest, TheWindowSlides) {
  EXPECT_THAT(windows_.Apply(Batch({0, 50})), IsEmpty());
  const auto findings = windows_.Apply(Batch({70, 100}));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].finding.event_count(), 3U);
  EXPECT_EQ(findings[0].finding.evidence(0).event_id(), "g-50");
}

TEST_F(WindowsTest, WhatFollowsFoldsIntoTheFinding) {
  const auto first = windows_.Apply(Batch({0, 1, 2}));
  const auto second = windows_.Apply(Batch({40, 90}));
  ASSERT_THAT(first, SizeIs(1));
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_TRUE(first[0].began);
  EXPECT_FALSE(second[0].began);
  EXPECT_EQ(second[0].finding.name(), first[0].finding.name());
  EXPECT_EQ(second[0].finding.event_count(), 5U);
  EXPECT_THAT(second[0].finding.evidence(), SizeIs(2));
  // A gap of more than the span begins another.
  EXPECT_THAT(windows_.Apply(Batch({151})), IsEmpty());
  const auto third = windows_.Apply(Batch({152, 153}));
  ASSERT_THAT(third, SizeIs(1));
  EXPECT_NE(third[0].finding.name(), first[0].finding.name());
  EXPECT_EQ(third[0].finding.dedup_key(), first[0].finding.dedup_key());
}

TEST_F(WindowsTest, GroupsAreApart) {
  EXPECT_THAT(windows_.Apply(Batch({0, 1}, "a")), IsEmpty());
  EXPECT_THAT(windows_.Apply(Batch({2, 3}, "b")), IsEmpty());
  EXPECT_THAT(windows_.Apply(Batch({4}, "a")), SizeIs(1));
}

TEST_F(WindowsTest, LateEventsCountUpToTheBound) {
  EXPECT_THAT(windows_.Apply(Batch({20, 100})), IsEmpty());
  // The window 20..70 is complete although 100 has been seen.
  EXPECT_THAT(windows_.Apply(Batch({50, 70})), SizeIs(1));
}

TEST_F(WindowsTest, ThresholdOneFoldsRepeats) {
  threshold_ = 1;
  const auto first = windows_.Apply(Batch({0}));
  const auto second = windows_.Apply(Batch({30}));
  ASSERT_THAT(first, SizeIs(1));
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].finding.name(), first[0].finding.name());
  EXPECT_EQ(second[0].finding.event_count(), 2U);
}

TEST_F(WindowsTest, ASingleEventIsNeverTooLateForItsFinding) {
  threshold_ = 1;
  const auto first = windows_.Apply(Batch({0}));
  const auto late = windows_.Apply(Batch({-100'000}));
  ASSERT_THAT(late, SizeIs(1));
  EXPECT_EQ(late[0].finding.name(), first[0].finding.name());
  EXPECT_EQ(late[0].finding.event_count(), 2U);
  EXPECT_EQ(FromProto(late[0].finding.first_event_time()).time_since_epoch().count(),
            kStart - 100'000 * kSecond);
  EXPECT_THAT(late[0].finding.evidence(), SizeIs(1));
  EXPECT_EQ(windows_.late(), 0U);
}

// What was kept somewhere for days comes in beside what happens now.
TEST_F(WindowsTest, OldAndNewEventsOfOneGroupAreOneFinding) {
  threshold_ = 1;
  std::set<std::string> names;
  uint64_t most = 0;
  for (int64_t i = 0; i < 20; ++i) {
    for (const int64_t second : {10 * i, 10 * i - 100'000}) {
      for (const auto& outcome : windows_.Apply(Batch({second}))) {
        names.insert(outcome.finding.name());
        most = std::max(most, outcome.finding.event_count());
      }
    }
  }
  EXPECT_THAT(names, SizeIs(1));
  EXPECT_EQ(most, 40U);
}

TEST_F(WindowsTest, AFindingGoesOnForADayFromTheEventThatItBeganWith) {
  threshold_ = 1;
  std::vector<int64_t> day;
  for (int64_t second = 60; second < 86'400; second += 60) day.push_back(second);
  const auto first = windows_.Apply(Batch({0}));
  windows_.Apply(Batch({-100'000}));
  for (const auto& outcome : windows_.Apply(Batch(day))) {
    EXPECT_EQ(outcome.finding.name(), first[0].finding.name());
  }
  const auto next = windows_.Apply(Batch({86'400}));
  ASSERT_FALSE(next.empty());
  EXPECT_NE(next.back().finding.name(), first[0].finding.name());
}

TEST_F(WindowsTest, WhatComesTooLateForWhatIsPendingIsCounted) {
  EXPECT_THAT(windows_.Apply(Batch({2000})), IsEmpty());
  // By more than a time span and the lateness, though they would be enough among themselves.
  EXPECT_THAT(windows_.Apply(Batch({1000, 1001, 1002})), IsEmpty());
  EXPECT_EQ(windows_.late(), 3U);
  EXPECT_THAT(windows_.Apply(Batch({1950, 1951})), SizeIs(1));
}

TEST_F(WindowsTest, WhatComesTooLateForACorrelationIsCounted) {
  ASSERT_THAT(windows_.Apply(Batch({0, 1, 2})), SizeIs(1));
  EXPECT_THAT(windows_.Apply(Batch({-100'000})), IsEmpty());
  EXPECT_EQ(windows_.late(), 1U);
}

TEST_F(WindowsTest, IgnoresWhatItHasSeen) {
  threshold_ = 1;
  const auto batch = Batch({0});
  EXPECT_THAT(windows_.Apply(batch), SizeIs(1));
  EXPECT_THAT(windows_.Apply(batch), IsEmpty());
  Windows reborn(Windows::Limits{});
  reborn.LoadCheckpoint(1, batch.source_id());
  EXPECT_THAT(reborn.Apply(batch), IsEmpty());
}

TEST_F(WindowsTest, GoesOnFromWhatWasKept) {
  windows_.Apply(Batch({0, 1}));
  Windows reborn(Windows::Limits{});
  for (const auto& [key, group] : windows_.dirty_groups()) reborn.LoadGroup(key, *group);
  for (const auto& [number, block] : windows_.dirty_blocks()) reborn.LoadBlock(number, *block);
  for (const auto& [shard, id] : windows_.dirty_checkpoints()) reborn.LoadCheckpoint(shard, id);
  const auto next = Batch({2});
  const auto expected = windows_.Apply(next);
  const auto actual = reborn.Apply(next);
  ASSERT_THAT(actual, SizeIs(1));
  EXPECT_EQ(actual[0].finding.SerializeAsString(), expected[0].finding.SerializeAsString());
}

// What one shard keeps, as a store has it: fields by their names.
struct KeptWindows {
  std::map<std::string, internal::v1::Group> groups;
  std::map<uint64_t, std::string> blocks;

  void Take(const Windows& windows) {
    for (const auto& [key, group] : windows.dirty_groups()) {
      if (group == nullptr) {
        groups.erase(key);
      } else {
        groups[key] = *group;
      }
    }
    for (const auto& [number, block] : windows.dirty_blocks()) {
      if (block == nullptr) {
        blocks.erase(number);
      } else {
        blocks[number] = *block;
      }
    }
  }
  // Loads all fields in each order that there is, as a hash has none.
  template <typename Check>
  void InEveryOrder(const Check& check) const {
    std::vector<std::string> fields;
    for (const auto& [key, group] : groups) fields.push_back("g:" + key);
    for (const auto& [number, block] : blocks) fields.push_back(fmt::format("e:{}", number));
    std::ranges::sort(fields);
    do {
      Windows windows(Windows::Limits{});
      for (const auto& field : fields) {
        if (field.starts_with("g:")) {
          windows.LoadGroup(field.substr(2), groups.at(field.substr(2)));
        } else {
          const uint64_t number = std::stoull(field.substr(2));
          windows.LoadBlock(number, blocks.at(number));
        }
      }
      check(windows, fmt::format("{}", fmt::join(fields, " ")));
    } while (std::ranges::next_permutation(fields).found);
  }
};

std::vector<std::string> EventsOf(const std::vector<Windows::Outcome>& outcomes) {
  std::vector<std::string> events;
  for (const auto& outcome : outcomes) {
    for (const auto& one : outcome.finding.evidence()) events.push_back(one.event_id());
  }
  return events;
}

// An earlier release kept evidence in its groups; where some of them are written anew, they stand
// beside blocks, and a hash tells either first.
TEST_F(WindowsTest, GroupsWithEvidenceInThemNeverTakeTheNumberOfABlockThatIsKept) {
  KeptWindows kept;
  for (const char* group : {"a", "b"}) {
    Windows one(Windows::Limits{});
    one.Apply(Batch({0, 1}, group));
    for (const auto& [key, old] : one.dirty_groups()) {
      kept.groups[key] = one.WholeGroup(*old);
      kept.groups[key].clear_evidence_bytes();
    }
  }
  {  // One that was written anew beside one that was not.
    Windows one(Windows::Limits{});
    one.Apply(Batch({0, 1}, "c"));
    kept.Take(one);
  }
  ASSERT_THAT(kept.groups, SizeIs(3));
  ASSERT_THAT(kept.blocks, SizeIs(1));
  const auto batches = std::vector{Batch({2}, "a"), Batch({2}, "b"), Batch({2}, "c")};
  const auto check = [&](Windows& windows, const std::string& order) {
    EXPECT_THAT(EventsOf(windows.Apply(batches[0])), ElementsAre("a-0", "a-1", "a-2")) << order;
    EXPECT_THAT(EventsOf(windows.Apply(batches[1])), ElementsAre("b-0", "b-1", "b-2")) << order;
    EXPECT_THAT(EventsOf(windows.Apply(batches[2])), ElementsAre("c-0", "c-1", "c-2")) << order;
    EXPECT_EQ(windows.blocks().bytes(), 0U) << order;
    EXPECT_EQ(windows.blocks().live_bytes(), 0U) << order;
  };
  kept.InEveryOrder(check);
  // All are written anew with the first batch, whatever it touches or although it is none that
  // counts, and found again.
  auto seen = Batch({0});
  seen.set_source_id("none");
  kept.InEveryOrder([&](Windows& windows, const std::string& order) {
    windows.Apply(order.starts_with("e") ? seen : Batch({0}, "d"));
    KeptWindows then = kept;
    then.Take(windows);
    for (const auto& [key, group] : then.groups) EXPECT_THAT(group.evidence(), IsEmpty()) << order;
    EXPECT_THAT(then.blocks, SizeIs(order.starts_with("e") ? 3 : 4)) << order;
    Windows reborn(Windows::Limits{});
    for (const auto& [key, group] : then.groups) reborn.LoadGroup(key, group);
    for (const auto& [number, block] : then.blocks) reborn.LoadBlock(number, block);
    EXPECT_THAT(EventsOf(reborn.Apply(batches[0])), ElementsAre("a-0", "a-1", "a-2")) << order;
    EXPECT_THAT(EventsOf(reborn.Apply(batches[1])), ElementsAre("b-0", "b-1", "b-2")) << order;
    EXPECT_THAT(EventsOf(reborn.Apply(batches[2])), ElementsAre("c-0", "c-1", "c-2")) << order;
  });
}

TEST_F(WindowsTest, AFindingWhoseFirstEventIsLostHasNone) {
  threshold_ = 1;
  auto batch = Batch({0});
  auto& hit = *batch.mutable_hits(0);
  MoveEvidence(hit, *batch.mutable_evidence());
  *hit.mutable_first() = hit.pieces(0);  // of which the block has no core
  const auto findings = windows_.Apply(batch);
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_FALSE(findings[0].finding.has_event());
  EXPECT_THAT(findings[0].finding.evidence(), SizeIs(1));
}

// Windows that are decided at their end keep what their first event was: it counts, in whatever
// place it is.
TEST_F(WindowsTest, WhatAGroupIsAboutCounts) {
  std::vector<size_t> sizes;
  std::vector<size_t> live;
  for (const size_t size : {10, 5010}) {
    Windows windows({.lateness = std::chrono::seconds(30), .bytes = 1 << 20});
    auto batch = Batch({0});
    batch.mutable_rules(0)->set_at_end(true);
    batch.set_source_id("1000-1");
    auto& hit = *batch.mutable_hits(0);
    MoveEvidence(hit, *batch.mutable_evidence());
    event::v1::Event core;
    core.set_user(std::string(size, 'u'));
    batch.mutable_evidence()->add_cores(core.SerializeAsString());
    *hit.mutable_first() = hit.pieces(0);
    hit.mutable_first()->set_core_bytes(static_cast<uint32_t>(core.ByteSizeLong()));
    windows.Apply(batch);
    ASSERT_EQ(windows.size(), 1U);
    sizes.push_back(windows.bytes());
    live.push_back(windows.blocks().live_bytes());
    // The same when it is read again.
    Windows reborn({.lateness = std::chrono::seconds(30), .bytes = 1 << 20});
    for (const auto& [key, group] : windows.dirty_groups()) reborn.LoadGroup(key, *group);
    for (const auto& [number, block] : windows.dirty_blocks()) reborn.LoadBlock(number, *block);
    EXPECT_EQ(reborn.bytes(), windows.bytes());
    EXPECT_EQ(reborn.blocks().live_bytes(), windows.blocks().live_bytes());
  }
  EXPECT_GE(sizes[1], sizes[0] + 5000);
  EXPECT_EQ(live[1] - live[0], 5000U + 1);  // its length takes a byte more
}

TEST_F(WindowsTest, OverflowIsAFindingOfItsOwn) {
  windows_.Apply(Batch({0}, "a"));
  windows_.Apply(Batch({0}, "b"));
  const auto findings = windows_.Apply(Batch({0}, "c"));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].finding.title(), "A rule has more groups than can be counted");
  EXPECT_EQ(windows_.overflowed(), 1U);
  EXPECT_EQ(windows_.size(), 2U);
}

TEST_F(WindowsTest, ForgetsGroupsThatAreOver) {
  windows_.Apply(Batch({0}, "a"));
  windows_.Clean();
  windows_.Apply(Batch({91}, "b"));
  EXPECT_EQ(windows_.size(), 1U);
  size_t removed = 0;
  for (const auto& [key, group] : windows_.dirty_groups()) removed += group == nullptr ? 1 : 0;
  EXPECT_EQ(removed, 1U);
}

TEST_F(WindowsTest, AShardThatCatchesUpIsNotLateForTheOthers) {
  auto ahead = Batch({1000}, "ahead");
  ahead.set_source_shard(2);
  windows_.Apply(ahead);
  windows_.Apply(Batch({0, 1}, "behind"));
  EXPECT_THAT(windows_.Apply(Batch({2}, "behind")), SizeIs(1));
}

TEST_F(WindowsTest, SilentSourcesGiveWayWhereThereIsNoRoom) {
  windows_.Apply(Batch({0}, "a"));
  windows_.Apply(Batch({0}, "b"));
  auto later = Batch({1000, 1001, 1002}, "c");
  later.set_source_shard(2);
  EXPECT_EQ(windows_.Apply(later).at(0).finding.title(),
            "A rule has more groups than can be counted");
  auto next = Batch({1003, 1004, 1005}, "c");
  next.set_source_shard(2);
  EXPECT_EQ(windows_.Apply(next).at(0).finding.title(), "Many");
}

TEST_F(WindowsTest, KeepsAtMostTwentyPiecesOfEvidence) {
  threshold_ = 30;
  std::vector<int64_t> seconds;
  for (int i = 0; i < 30; ++i) seconds.push_back(i);
  const auto findings = windows_.Apply(Batch(seconds));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].finding.event_count(), 30U);
  EXPECT_THAT(findings[0].finding.evidence(), SizeIs(20));
}

// Evidence comes, is too much, too old, and told.
TEST_F(WindowsTest, TheSizeOfEvidenceIsThatOfWhatIsKept) {
  threshold_ = 30;
  const std::vector<std::vector<int64_t>> steps = {
      {0, 1, 2},
      {1, 2},
      {500, 501},
      {502, 503, 504, 505, 506, 507, 508, 509, 510, 511, 512, 513},
      {514, 515, 516, 517, 518, 519, 520, 521, 522, 523, 524, 525},
      {526, 527, 528, 529, 530},
      {531},
      {9000}};
  bool has_none = false;
  bool has_many = false;
  for (const auto& step : steps) {
    windows_.Apply(Batch(step));
    for (const auto& [key, group] : windows_.dirty_groups()) {
      if (group == nullptr) continue;
      size_t bytes = 0;
      for (const auto& one : group->pieces()) bytes += one.bytes();
      EXPECT_EQ(group->evidence_bytes(), bytes) << group->pieces_size() << " pieces";
      EXPECT_EQ(windows_.blocks().live_bytes(), bytes);
      has_none |= group->pieces().empty();
      has_many |= group->pieces_size() == 20;
    }
  }
  EXPECT_TRUE(has_none);
  EXPECT_TRUE(has_many);
}

// What is told of a finding, as counts.
std::vector<uint64_t> Told(const std::vector<Windows::Outcome>& outcomes) {
  std::vector<uint64_t> counts;
  for (const auto& outcome : outcomes) {
    if (outcome.tells) counts.push_back(outcome.finding.event_count());
  }
  return counts;
}

TEST_F(WindowsTest, GrowthIsToldWhenItHasDoubledOrAMinuteHasPassed) {
  threshold_ = 1;
  EXPECT_THAT(Told(windows_.Apply(Batch({0}))), ElementsAre(1));
  EXPECT_THAT(Told(windows_.Apply(Batch({1}))), ElementsAre(2));
  EXPECT_THAT(Told(windows_.Apply(Batch({2}))), IsEmpty());
  EXPECT_THAT(Told(windows_.Apply(Batch({3}))), ElementsAre(4));
  EXPECT_THAT(Told(windows_.Apply(Batch({4, 5}))), IsEmpty());
  EXPECT_THAT(Told(windows_.Apply(Batch({62}))), IsEmpty());
  EXPECT_THAT(Told(windows_.Apply(Batch({63}))), ElementsAre(8));  // a minute, and doubled
  EXPECT_THAT(Told(windows_.Apply(Batch({122}))), IsEmpty());
  EXPECT_THAT(Told(windows_.Apply(Batch({123}))), ElementsAre(10));  // a minute
}

TEST_F(WindowsTest, AClosedWindowTellsTheLastCount) {
  threshold_ = 1;
  EXPECT_THAT(Told(windows_.Apply(Batch({0, 1, 2}))), ElementsAre(3));
  EXPECT_THAT(Told(windows_.Apply(Batch({3}))), IsEmpty());
  // A gap: what follows is the next finding.
  EXPECT_THAT(Told(windows_.Apply(Batch({80}))), ElementsAre(4, 1));
  EXPECT_THAT(Told(windows_.Apply(Batch({81, 82, 83}))), ElementsAre(4));
  EXPECT_THAT(Told(windows_.Apply(Batch({84}))), IsEmpty());
  // No more hits, but time goes on: the last one was received 84 s in, the window ends a time span
  // and the lateness after it.
  auto nothing = Batch({});
  nothing.clear_hits();
  nothing.set_received(kStart + (84 + 60 + 30) * kSecond);
  EXPECT_THAT(Told(windows_.Apply(nothing)), IsEmpty());
  nothing.set_source_id("1000-999");
  nothing.set_received(kStart + (84 + 60 + 31) * kSecond);
  const auto last = windows_.Apply(nothing);
  EXPECT_THAT(Told(last), ElementsAre(5));
  EXPECT_TRUE(last[0].closing);
  EXPECT_EQ(windows_.size(), 0U);
}

v1::Evidence Naming(const std::string& id, const std::string& address, event::v1::Action action) {
  v1::Evidence evidence;
  evidence.set_event_id(id);
  evidence.set_action(action);
  auto* entity = evidence.add_entities();
  entity->set_type(v1::IP_ADDRESS);
  entity->set_value(address);
  return evidence;
}

TEST_F(WindowsTest, AFindingNamesWhomItsEvidenceNamesAndWhatWasLetThrough) {
  threshold_ = 2;
  auto first = Batch({0});
  first.mutable_rules(0)->add_tags("attack.t1110.001");
  *first.mutable_hits(0)->mutable_evidence(0)->add_entities() =
      Naming("", "192.0.2.1", {}).entities(0);
  first.mutable_hits(0)->mutable_evidence(0)->set_action(event::v1::BLOCKED);
  EXPECT_THAT(windows_.Apply(first), IsEmpty());
  auto second = Batch({1});
  *second.mutable_rules(0) = first.rules(0);
  *second.mutable_hits(0)->mutable_evidence(0)->add_entities() =
      Naming("", "192.0.2.2", {}).entities(0);
  second.mutable_hits(0)->mutable_event()->set_rule("21");
  const auto findings = windows_.Apply(second);
  ASSERT_THAT(findings, SizeIs(1));
  const v1::Finding& finding = findings[0].finding;
  ASSERT_THAT(finding.entities(), SizeIs(2));
  EXPECT_EQ(finding.entities(0).value(), "192.0.2.1");
  EXPECT_EQ(finding.entities(1).value(), "192.0.2.2");
  EXPECT_EQ(finding.action(), event::v1::BLOCKED);
  EXPECT_THAT(finding.attack_techniques(), ElementsAre("T1110.001"));
  EXPECT_EQ(finding.event().rule(), "21");
}

TEST(MergeFinding, AFindingThatGrewNamesOthersAndTellsThatOneCameThrough) {
  v1::Finding kept;
  google::protobuf::RepeatedPtrField<v1::Evidence> proofs;
  *proofs.Add() = Naming("1", "192.0.2.1", event::v1::BLOCKED);
  AddEvidence(proofs, kept);
  v1::Finding update;
  proofs.Clear();
  *proofs.Add() = Naming("2", "192.0.2.1", event::v1::BLOCKED);
  *proofs.Add() = Naming("3", "192.0.2.2", event::v1::DETECTED);
  AddEvidence(proofs, update);
  EXPECT_TRUE(MergeFinding(update, kept));
  EXPECT_EQ(kept.action(), event::v1::DETECTED);
  ASSERT_THAT(kept.entities(), SizeIs(2));
  const std::string once = kept.SerializeAsString();
  EXPECT_FALSE(MergeFinding(update, kept));
  EXPECT_EQ(kept.SerializeAsString(), once);
  for (int i = 0; i < 100; ++i) {
    proofs.Clear();
    *proofs.Add() = Naming(std::to_string(10 + i), fmt::format("10.0.0.{}", i), {});
    v1::Finding more;
    AddEvidence(proofs, more);
    MergeFinding(more, kept);
  }
  EXPECT_EQ(kept.entities_size(), kMaxEntities);
  EXPECT_EQ(kept.action(), event::v1::DETECTED);
}

TEST_F(WindowsTest, WhichNamesFindRoomFollowsFromTheHits) {
  std::vector<std::vector<uint64_t>> kept;
  for (int i = 0; i < 2; ++i) {
    Windows windows({.lateness = std::chrono::seconds(30)});
    for (const int first : {0, 600}) {
      internal::v1::HitBatch batch = Batch({first / 600});
      batch.mutable_rules(0)->set_at_end(true);
      auto& hit = *batch.mutable_hits(0);
      // Filled in another order each time, and larger before.
      for (int k = 0; k < 5000 * i; ++k) (*hit.mutable_names())[static_cast<uint64_t>(k)] = "x";
      hit.clear_names();
      for (int k = 0; k < 600; ++k) {
        const auto key = static_cast<uint64_t>(first) + static_cast<uint64_t>(i == 0 ? k : 599 - k);
        (*hit.mutable_names())[key] = "name";
      }
      windows.Apply(batch);
    }
    ASSERT_THAT(windows.dirty_groups(), SizeIs(1));
    auto& keys = kept.emplace_back();
    for (const auto& [key, name] : windows.dirty_groups().begin()->second->names()) {
      keys.push_back(key);
    }
    std::ranges::sort(keys);
  }
  EXPECT_EQ(kept[0], kept[1]);
  ASSERT_THAT(kept[0], SizeIs(1000));
  EXPECT_EQ(kept[0].back(), 999U) << "the lowest of those there is no room for all of";
}

// More groups than there is room for, of one rule of one tenant, beside a few of others.
// Its place in the order of those that end is not renewed with each event.
TEST_F(WindowsTest, AGroupEndsByItsLatestEvent) {
  Windows windows{Windows::Limits{std::chrono::seconds(30), 10}};
  windows.Apply(Batch({0}, "a"));
  windows.Apply(Batch({1}, "b"));
  windows.Apply(Batch({52}, "a"));
  windows.Apply(Batch({62}, "b"));
  // A time span of 60 s and the lateness of 30 s after 52: by its first event it would be gone.
  windows.Apply(Batch({140}, "c"));
  EXPECT_EQ(windows.size(), 3U);
  windows.Apply(Batch({145}, "c"));
  EXPECT_EQ(windows.size(), 2U);
  windows.Apply(Batch({155}, "c"));
  EXPECT_EQ(windows.size(), 1U);
}

TEST_F(WindowsTest, WhatKnowsKeysGivesTheKeyOfEachGroup) {
  GroupKeys keys;
  for (const int times : {1, 2}) {
    for (int i = 0; i < 10'000; ++i) {
      const auto batch = Batch({times}, fmt::format("g{}", i));
      ASSERT_EQ(keys.Of("acme", batch.rules(0), batch.hits(0)),
                GroupKey("acme", batch.rules(0), batch.hits(0)));
    }
  }
  auto batch = Batch({0}, "a");
  auto other = Batch({0}, "ba");
  batch.mutable_hits(0)->mutable_group(0)->set_name("userb");
  EXPECT_NE(keys.Of("acme", batch.rules(0), batch.hits(0)),
            keys.Of("acme", other.rules(0), other.hits(0)));
  EXPECT_NE(keys.Of("acme", batch.rules(0), batch.hits(0)),
            keys.Of("acm", batch.rules(0), batch.hits(0)));
}

TEST_F(WindowsTest, KeysThatAreKnownTakeNoMoreThanTheyMay) {
  GroupKeys keys;
  size_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto batch = Batch({0}, fmt::format("{:0900}", i));
    keys.Of("acme", batch.rules(0), batch.hits(0));
    most = std::max(most, keys.bytes());
  }
  EXPECT_LE(most, GroupKeys::kMostBytes);
  EXPECT_GT(most, GroupKeys::kMostBytes / 2);
}

class WindowBudgetTest : public WindowsTest {
 protected:
  static constexpr size_t kBytes = 30'000;
  static Windows::Limits Limits() {
    return {.lateness = std::chrono::seconds(30), .groups_per_rule = 100'000, .bytes = kBytes};
  }
  std::vector<internal::v1::HitBatch> Flood() {
    std::vector<internal::v1::HitBatch> batches;
    for (int i = 0; i < 400; ++i) {
      batches.push_back(Batch({i / 10}, fmt::format("flood{}", i)));
      if (i % 100 != 50) continue;
      batches.push_back(Batch({i / 10}, "other"));
      batches.back().set_tenant("other");
    }
    return batches;
  }
};

TEST_F(WindowBudgetTest, TheHeaviestLosesItsOldestWindowsAndThatIsTold) {
  Windows windows(Limits());
  std::vector<v1::Finding> told;
  uint64_t gone = 0;
  bool others = false;
  for (const auto& batch : Flood()) {
    for (const auto& outcome : windows.Apply(batch)) {
      others = others || outcome.finding.name().starts_with("tenants/other/");
      if (outcome.finding.title() != "A rule's windows take more memory than there is") continue;
      EXPECT_THAT(outcome.finding.name(), ::testing::StartsWith("tenants/acme/"));
      gone += outcome.finding.event_count();
      told.push_back(outcome.finding);
    }
    EXPECT_LE(windows.bytes(), kBytes);
  }
  EXPECT_TRUE(others);  // three of four: a threshold of three
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0].name(), told.back().name());  // one an hour
  EXPECT_EQ(windows.given_up(), gone);
  EXPECT_GT(gone, 100U);
  // The latest are there: two more events make a finding.
  EXPECT_THAT(windows.Apply(Batch({40, 41}, "flood399")), SizeIs(1));
  EXPECT_THAT(windows.Apply(Batch({40, 41}, "flood0")), IsEmpty());
}

// Level rules lose one window each in turn; it is told once a rule, with how many went.
TEST_F(WindowBudgetTest, ManyRulesThatAreLevelAreToldOnceEach) {
  constexpr int kRules = 20;
  Windows windows(
      {.lateness = std::chrono::seconds(30), .groups_per_rule = 100'000, .bytes = 300'000});
  uint64_t gone = 0;
  int times = 0;
  for (int i = 0; times < 2 && i < 20'000; ++i) {
    internal::v1::HitBatch batch = Batch({i / 100}, fmt::format("group{:05}", i));
    const int number = i % kRules;
    batch.mutable_rules(0)->set_id(fmt::format("00000000-0000-4000-8000-0000000001{:02}", number));
    std::map<std::string, int> told;  // by finding
    for (const auto& outcome : windows.Apply(batch)) {
      if (outcome.finding.title() != "A rule's windows take more memory than there is") continue;
      ++told[outcome.finding.name()];
      gone += outcome.finding.event_count();
    }
    if (told.empty()) continue;
    ++times;
    EXPECT_EQ(told.size(), static_cast<size_t>(kRules));
    for (const auto& [name, count] : told) EXPECT_EQ(count, 1) << name;
  }
  EXPECT_EQ(times, 2);
  EXPECT_EQ(gone, windows.given_up());
  EXPECT_GT(gone, 2U * kRules);
}

TEST_F(WindowBudgetTest, WhatGoesFollowsFromTheHitsAlone) {
  Windows windows(Limits());
  std::map<std::string, std::string> kept;
  std::map<uint64_t, std::string> blocks;
  std::map<uint32_t, std::string> checkpoints;
  for (const auto& batch : Flood()) {
    Windows reborn(Limits());
    for (const auto& [number, block] : blocks) reborn.LoadBlock(number, block);
    for (const auto& [key, bytes] : kept) {
      internal::v1::Group group;
      ASSERT_TRUE(group.ParseFromString(bytes));
      reborn.LoadGroup(key, std::move(group));
    }
    for (const auto& [shard, id] : checkpoints) reborn.LoadCheckpoint(shard, id);
    const auto expected = windows.Apply(batch);
    const auto actual = reborn.Apply(batch);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].finding.SerializeAsString(), expected[i].finding.SerializeAsString());
    }
    ASSERT_EQ(reborn.bytes(), windows.bytes());
    for (const auto& [key, group] : reborn.dirty_groups()) {
      if (group == nullptr) {
        kept.erase(key);
      } else {
        kept[key] = group->SerializeAsString();
      }
    }
    for (const auto& [number, block] : reborn.dirty_blocks()) {
      if (block == nullptr) {
        blocks.erase(number);
      } else {
        blocks[number] = *block;
      }
    }
    for (const auto& [shard, id] : reborn.dirty_checkpoints()) checkpoints[shard] = id;
  }
  EXPECT_EQ(kept.size(), windows.size());
  EXPECT_EQ(blocks.size(), windows.blocks().size());
}

}  // namespace
}  // namespace yagura::detection
