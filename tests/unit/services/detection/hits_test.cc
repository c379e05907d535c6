#include "services/detection/domain/hits.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using testing::BatchOf;
using testing::MakeEvent;
using testing::RuleWith;
using ::testing::SizeIs;

event::v1::Event LoginAt(int second, std::string_view user, std::string_view name = "login") {
  auto event = MakeEvent({{"what", name}, {"who", user}});
  *event.mutable_receive_time() = ToProto(TimePoint(std::chrono::seconds(1000 + second)));
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(1000 + second)));
  event.set_device("fw-1");
  event.mutable_src()->set_ip(std::string("\x0a\0\0\x01", 4));
  return event;
}

const std::string& CorrelationText() {
  static const std::string text =
      RuleWith("  s:\n    what: login\n  condition: s") +
      "---\ntitle: Many logins\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\n"
      "correlation:\n  type: event_count\n  rules: [4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001]\n"
      "  group-by: [who]\n  timespan: 1m\n  condition:\n    gte: 3\n";
  return text;
}

std::vector<std::pair<int, internal::v1::HitBatch>> HitsOf(
    const std::string& text, const std::vector<event::v1::Event>& events) {
  auto parsed = ParseSigma(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  BatchMatcher matcher(
      RuleSet::Build({{"", std::make_shared<const ParsedRule>(*std::move(parsed))}}));
  auto batch = BatchOf(events);
  const auto matches = matcher.Run(batch);
  auto hits = MakeHits(
      matcher, batch, *matches, {2, "5-1", 7}, [](std::string_view) { return 3; },
      std::chrono::minutes(10));
  EXPECT_TRUE(hits.ok()) << hits.status();
  return *std::move(hits);
}

TEST(Hits, CountsEventsOfAGroupTogether) {
  const auto hits = HitsOf(CorrelationText(), {LoginAt(0, "a"), LoginAt(2, "a"), LoginAt(1, "b"),
                                               LoginAt(3, "a", "logout")});
  ASSERT_THAT(hits, SizeIs(1));
  const auto& batch = hits[0].second;
  EXPECT_EQ(batch.tenant(), "acme");
  EXPECT_EQ(batch.source_shard(), 2U);
  EXPECT_EQ(batch.source_id(), "5-1");
  EXPECT_EQ(batch.epoch(), 7U);
  EXPECT_EQ(batch.received(), 1002LL * 1'000'000'000);
  ASSERT_THAT(batch.rules(), SizeIs(1));
  EXPECT_EQ(batch.rules(0).threshold(), 3U);
  ASSERT_THAT(batch.hits(), SizeIs(2));
  EXPECT_THAT(batch.hits(0).times(), SizeIs(2));
  EXPECT_EQ(batch.hits(0).group(0).value(), "a");
  EXPECT_THAT(batch.hits(1).times(), SizeIs(1));
}

TEST(Hits, DescribesTheFirstEventOfASingleRule) {
  const auto hits = HitsOf(RuleWith("  s:\n    what: login\n  condition: s"), {LoginAt(0, "a")});
  ASSERT_THAT(hits, SizeIs(1));
  const auto& hit = hits[0].second.hits(0);
  EXPECT_EQ(hits[0].second.rules(0).threshold(), 1U);
  EXPECT_EQ(hit.device(), "fw-1");
  EXPECT_EQ(hit.matched_fields(0).name(), "what");
  EXPECT_EQ(hit.matched_fields(0).value(), "login");
  ASSERT_THAT(hit.entities(), SizeIs(1));
  EXPECT_EQ(hit.entities(0).value(), "10.0.0.1");
  EXPECT_FALSE(hit.evidence(0).event_id().empty());
}

TEST(Hits, AClockAheadOfUsCountsAsNow) {
  auto event = LoginAt(0, "a");
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(9000)));
  const auto hits = HitsOf(CorrelationText(), {event});
  EXPECT_EQ(hits[0].second.hits(0).times(0), 1000LL * 1'000'000'000);
}

TEST(Hits, KeepsTheFirstTwentyPiecesOfEvidence) {
  std::vector<event::v1::Event> events;
  for (int i = 0; i < 30; ++i) events.push_back(LoginAt(i, "a"));
  const auto hits = HitsOf(CorrelationText(), events);
  EXPECT_THAT(hits[0].second.hits(0).times(), SizeIs(30));
  EXPECT_THAT(hits[0].second.hits(0).evidence(), SizeIs(20));
}

}  // namespace
}  // namespace yagura::detection
