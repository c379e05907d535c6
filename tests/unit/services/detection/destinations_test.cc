// New destinations, beacons, and what belongs together as one finding.
#include "services/detection/domain/observation/destinations.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/observation/measures.h"

namespace yagura::detection {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Ip(int a, int b, int c, int d) {
  return {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
}

TEST(AddressSetTest, TakesNetworksAndAddressesAndLeavesTheRestOut) {
  const AddressSet set({"10.0.0.0/9", "192.0.2.7", "2001:db8::/33", "*.example.com", "10.0.0.0/99",
                        "", "fe80::1/-1"});
  EXPECT_EQ(set.texts().size(), 3u);
  EXPECT_TRUE(set.Contains(Ip(10, 127, 255, 255)));
  EXPECT_FALSE(set.Contains(Ip(10, 128, 0, 0)));
  EXPECT_TRUE(set.Contains(Ip(192, 0, 2, 7)));
  EXPECT_FALSE(set.Contains(Ip(192, 0, 2, 8)));
  const std::string v6 = std::string("\x20\x01\x0d\xb8\x7f", 5) + std::string(11, '\xff');
  EXPECT_TRUE(set.Contains(v6));
  EXPECT_FALSE(set.Contains("x"));
  EXPECT_FALSE(AddressSet().Contains(Ip(10, 0, 0, 1)));
  EXPECT_TRUE(AddressSet({"0.0.0.0/0"}).Contains(Ip(8, 8, 8, 8)));
}

TEST(AddressSetTest, PublicIsWhatSomebodyElseMayHave) {
  EXPECT_TRUE(IsPublicAddress(Ip(8, 8, 8, 8)));
  EXPECT_FALSE(IsPublicAddress(Ip(10, 1, 1, 1)));
  EXPECT_FALSE(IsPublicAddress(Ip(172, 31, 0, 1)));
  EXPECT_TRUE(IsPublicAddress(Ip(172, 32, 0, 1)));
  EXPECT_FALSE(IsPublicAddress(Ip(224, 0, 0, 251)));
  EXPECT_FALSE(IsPublicAddress(std::string("\xfe\x80", 2) + std::string(14, '\1')));
  EXPECT_TRUE(IsPublicAddress(std::string("\x20\x01", 2) + std::string(14, '\1')));
}

archive::v1::Flow MakeFlow(const std::string& src, const std::string& dst, uint64_t bytes = 100) {
  archive::v1::Flow flow;
  flow.set_site("hq");
  flow.set_src_ip(src);
  flow.set_dst_ip(dst);
  flow.set_dst_port(443);
  flow.set_protocol("tcp");
  flow.set_verdict(event::v1::ALLOWED);
  flow.set_event_count(3);
  flow.set_bytes_out(bytes);
  return flow;
}

TEST(NewDestinationTest, OnlyWhatServersReachOutsideUnagreed) {
  const AddressSet servers({"10.1.0.0/24"});
  const AddressSet agreed({"198.51.100.0/24"});
  auto blocked = MakeFlow(Ip(10, 1, 0, 5), Ip(203, 0, 113, 1));
  blocked.set_verdict(event::v1::BLOCKED);
  const auto fitting = MayBeNew(
      {MakeFlow(Ip(10, 1, 0, 5), Ip(203, 0, 113, 1)), blocked,
       MakeFlow(Ip(10, 2, 0, 5), Ip(203, 0, 113, 1)), MakeFlow(Ip(10, 1, 0, 5), Ip(10, 9, 0, 1)),
       MakeFlow(Ip(10, 1, 0, 5), Ip(198, 51, 100, 9))},
      servers, agreed);
  ASSERT_EQ(fitting.size(), 1u);
  EXPECT_EQ(fitting[0].dst_ip(), Ip(203, 0, 113, 1));
}

TEST(NewDestinationTest, AFindingOfAnEarlierReleaseIsSearchedAsWhatIsAddedToIt) {
  NewDestinations facts{"acme", "hq", Ip(10, 1, 0, 5), {}, 1'700'000'000, 14};
  facts.flows.push_back(MakeFlow(facts.server, Ip(203, 0, 113, 1)));
  Matters matters({});
  const auto finding_of = [&](int64_t hour) {
    return NewDestinationOutcome(
               facts, matters.Join("acme", kNewDestinationRule, NewDestinationKey(facts), hour))
        .finding;
  };
  v1::Finding kept = finding_of(490'000);
  kept.mutable_search()->clear_basis();
  EXPECT_TRUE(MergeFinding(finding_of(490'001), kept));
  EXPECT_EQ(kept.search().basis(), archive::v1::RECEIVED);
}

TEST(NewDestinationTest, ASearchWithoutRoomForAllSaysSo) {
  Matters matters({});
  int64_t hour = 490'000;
  // Of the next hour of the same finding.
  const auto finding = [&](int first, int count) {
    NewDestinations facts{"acme", "hq", Ip(10, 1, 0, 5), {}, 1'700'000'000, 14};
    for (int i = first; i < first + count; ++i) {
      facts.flows.push_back(MakeFlow(facts.server, Ip(203, 0, 113, i)));
    }
    return NewDestinationOutcome(
               facts, matters.Join("acme", kNewDestinationRule, NewDestinationKey(facts), ++hour))
        .finding;
  };
  v1::Finding kept = finding(0, 50);
  EXPECT_FALSE(kept.search().truncated());
  EXPECT_TRUE(MergeFinding(finding(50, 50), kept));
  EXPECT_FALSE(kept.search().truncated()) << "there is room for both";
  v1::Finding part = kept;
  for (int first = 100; first <= 200; first += 50) MergeFinding(finding(first, 50), kept);
  EXPECT_TRUE(kept.search().truncated());
  EXPECT_LE(kept.search().filter().size(), 4'096u);
  const v1::Finding more = finding(0, 51);
  EXPECT_TRUE(more.search().truncated()) << "more destinations than are searched for";
  MergeFinding(more, part);
  EXPECT_TRUE(part.search().truncated()) << "a part stays one";
}

TEST(NewDestinationTest, OneFindingOfAServerNamesItsDestinations) {
  NewDestinations facts{"acme", "hq", Ip(10, 1, 0, 5), {}, 1'700'000'000, 14};
  for (int i = 1; i <= 15; ++i) {
    facts.flows.push_back(MakeFlow(facts.server, Ip(203, 0, 113, i)));
  }
  Matters matters({});
  const auto outcome = NewDestinationOutcome(
      facts, matters.Join("acme", kNewDestinationRule, NewDestinationKey(facts), 490'000));
  EXPECT_TRUE(outcome.began);
  EXPECT_EQ(outcome.finding.rule_id(), kNewDestinationRule);
  EXPECT_EQ(outcome.finding.entities(0).value(), "10.1.0.5");
  EXPECT_EQ(outcome.finding.entities_size(), 16);
  EXPECT_THAT(outcome.finding.description(), HasSubstr("203.0.113.1:443/tcp"));
  EXPECT_THAT(outcome.finding.description(), HasSubstr("and 5 more"));
  EXPECT_LE(outcome.finding.matched_fields_size(), 16);
}

archive::v1::PeriodicFlow Periodic(double interval, double deviation, uint64_t calls,
                                   const std::string& src = Ip(10, 1, 0, 5)) {
  archive::v1::PeriodicFlow flow;
  flow.set_site("hq");
  flow.set_src_ip(src);
  flow.set_dst_ip(Ip(203, 0, 113, 9));
  flow.set_dst_port(443);
  flow.set_protocol("tcp");
  flow.set_event_count(calls);
  flow.set_call_count(calls);
  const TimePoint first = *ParseTime("2026-11-22T00:00:00Z");
  *flow.mutable_first_time() = ToProto(first);
  *flow.mutable_last_time() = ToProto(first + std::chrono::seconds(static_cast<int64_t>(
                                                  interval * static_cast<double>(calls - 1))));
  flow.set_median_interval_seconds(interval);
  flow.set_interval_deviation_seconds(deviation);
  flow.set_median_bytes_out(500);
  flow.set_bytes_out_spread(5);
  return flow;
}

TEST(BeaconTest, EvenIntervalsOverHoursWithTheSameBytes) {
  const BeaconLimits limits;
  EXPECT_TRUE(IsBeacon(Periodic(300, 0, 100), limits));
  EXPECT_TRUE(IsBeacon(Periodic(300, 40, 100), limits)) << "up to some 30 % of jitter";
  EXPECT_FALSE(IsBeacon(Periodic(300, 60, 100), limits)) << "chance has 70 %";
  EXPECT_FALSE(IsBeacon(Periodic(300, 0, 11), limits)) << "too few";
  EXPECT_FALSE(IsBeacon(Periodic(60, 0, 100), limits)) << "not for hours";
  EXPECT_TRUE(IsBeacon(Periodic(30, 1.9, 1000), limits)) << "clocks count whole seconds";
  EXPECT_FALSE(IsBeacon(Periodic(1, 0, 30'000), limits)) << "that is work";
  EXPECT_FALSE(IsBeacon(Periodic(6 * 3600, 0, 20), limits)) << "too seldom to be sure";
  auto uneven = Periodic(300, 0, 100);
  uneven.set_bytes_out_spread(400);
  EXPECT_FALSE(IsBeacon(uneven, limits));
  auto untold = Periodic(300, 0, 100);
  untold.set_median_bytes_out(0);
  untold.set_bytes_out_spread(0);
  EXPECT_TRUE(IsBeacon(untold, limits));
  auto holes = Periodic(300, 0, 100);
  *holes.mutable_last_time() = ToProto(FromProto(holes.first_time()) + std::chrono::hours(24));
  EXPECT_FALSE(IsBeacon(holes, limits)) << "even for a third of the time alone";
  auto broken = Periodic(300, 0, 100);
  broken.set_median_interval_seconds(std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(IsBeacon(broken, limits));
}

TEST(BeaconTest, WhatManyHostsRunIsOneMatterOfLessWeight) {
  std::vector<archive::v1::PeriodicFlow> flows;
  for (int i = 1; i <= 4; ++i) flows.push_back(Periodic(300, 0, 100, Ip(10, 1, 0, i)));
  EXPECT_EQ(FindBeacons("acme", flows, {}, {}).size(), 4u);
  flows.push_back(Periodic(300, 0, 100, Ip(10, 1, 0, 5)));
  const auto together = FindBeacons("acme", flows, {}, {});
  ASSERT_EQ(together.size(), 1u);
  EXPECT_TRUE(together[0].many);
  Matters matters({});
  const auto outcome =
      BeaconOutcome(together[0], matters.Join("acme", kBeaconRule, BeaconKey(together[0]), 1));
  EXPECT_EQ(outcome.finding.severity(), event::v1::LOW);
  EXPECT_THAT(outcome.finding.description(), HasSubstr("5 hosts"));
  EXPECT_TRUE(FindBeacons("acme", flows, AddressSet({"203.0.113.0/24"}), {}).empty());
  auto inside = Periodic(300, 0, 100);
  inside.set_dst_ip(Ip(10, 0, 0, 1));
  EXPECT_TRUE(FindBeacons("acme", {inside}, {}, {}).empty());
}

TEST(MattersTest, AMatterGoesOnForADaysPauseAndAWeekAtMost) {
  Matters matters({});
  const std::string first = matters.Join("acme", "r", "k", 1000).finding();
  EXPECT_EQ(matters.Join("acme", "r", "k", 1000).count(), 1u) << "the same hour again";
  EXPECT_EQ(matters.Join("acme", "r", "k", 1024).finding(), first);
  EXPECT_EQ(matters.Join("acme", "r", "k", 1024).count(), 2u);
  EXPECT_NE(matters.Join("acme", "r", "other", 1024).finding(), first);
  EXPECT_NE(matters.Join("beta", "r", "third", 1024).finding(), first);
  for (int64_t hour = 1025; hour < 1000 + 168; ++hour) {
    EXPECT_EQ(matters.Join("acme", "r", "k", hour).finding(), first);
  }
  EXPECT_NE(matters.Join("acme", "r", "k", 1168).finding(), first);
  Matters paused({});
  const std::string before = paused.Join("acme", "r", "k", 1000).finding();
  paused.Close(1023);
  EXPECT_EQ(paused.state().open_size(), 1);
  paused.Close(1024);
  EXPECT_EQ(paused.state().open_size(), 0);
  EXPECT_NE(paused.Join("acme", "r", "k", 1025).finding(), before);
  EXPECT_NE(MatterKey({"a", "b\n1:c"}), MatterKey({"a\n1:b", "c"}));
}

DeviationFacts Facts(double observed, HourVerdict verdict) {
  DeviationFacts facts{"acme", {"hq", "fw-1"}, v1::DENIES, {}, {}, {}};
  facts.judged.hour = 498'000;
  facts.judged.observed = observed;
  facts.judged.baseline =
      MakeBaseline(Spread::kCount, {{1, 100}, {2, 101}, {3, 99}}, {}, BaselineLimits());
  facts.judged.surprise = Judge(observed, *facts.judged.baseline);
  facts.judged.surprise.verdict = verdict;
  return facts;
}

TEST(DeviationTest, SaysWhatIsUsualHowSurprisingItIsAndWhoBroughtItAbout) {
  DeviationFacts facts = Facts(2'500, HourVerdict::kMore);
  v1::Contributor contributor;
  contributor.set_field("src.ip");
  contributor.set_value("192.0.2.66\x1b[31m");
  contributor.set_amount(2'000);
  facts.contributors = {contributor};
  Matters matters({});
  const auto zone = *LocalHours::Make("Asia/Tokyo");
  const auto outcome = DeviationOutcome(
      facts, zone, matters.Join("acme", kDeviationRule, DeviationKey(facts), facts.judged.hour));
  const v1::Finding& finding = outcome.finding;
  EXPECT_EQ(finding.title(), "Far more denied connections than usual");
  EXPECT_EQ(finding.device(), "fw-1");
  EXPECT_EQ(finding.deviation().direction(), v1::MORE);
  EXPECT_NEAR(finding.deviation().expected(), 100, 1);
  EXPECT_GT(finding.deviation().z(), 12);
  EXPECT_EQ(finding.deviation().weeks(), 3);
  EXPECT_EQ(finding.deviation().time_zone(), "Asia/Tokyo");
  EXPECT_THAT(finding.description(), HasSubstr("2,500 denied connections"));
  EXPECT_THAT(finding.description(), HasSubstr("192.0.2.66"));
  EXPECT_THAT(finding.description(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(finding.severity(), event::v1::MEDIUM) << "more than twice the threshold";

  v1::KnownCause cause;
  cause.set_kind(v1::KnownCause::CHANGE_APPLIED);
  cause.set_text("the change \"Block the scanner\" was applied");
  facts.causes = {cause};
  const auto explained = DeviationOutcome(
      facts, zone, matters.Join("acme", kDeviationRule, DeviationKey(facts), facts.judged.hour));
  EXPECT_EQ(explained.finding.severity(), event::v1::LOW);
  EXPECT_THAT(explained.finding.description(), HasSubstr("Block the scanner"));
  EXPECT_EQ(explained.finding.name(), finding.name());
}

TEST(DeviationTest, AFindingThatGoesOnSaysWhatTheLatestHourSays) {
  Matters matters({});
  const auto zone = *LocalHours::Make("UTC");
  DeviationFacts facts = Facts(2'500, HourVerdict::kMore);
  const auto outcome = [&] {
    return DeviationOutcome(
        facts, zone, matters.Join("acme", kDeviationRule, DeviationKey(facts), facts.judged.hour));
  };
  v1::Finding kept = outcome().finding;
  facts.judged.hour += 1;
  facts.judged.observed = 9'000;
  const auto later = outcome();
  EXPECT_FALSE(later.began);
  EXPECT_TRUE(MergeFinding(later.finding, kept));
  EXPECT_EQ(kept.event_count(), 2u);
  EXPECT_THAT(kept.description(), HasSubstr("9,000"));
  EXPECT_EQ(kept.deviation().observed(), 9'000);
  EXPECT_FALSE(MergeFinding(later.finding, kept)) << "the same again";
}

TEST(MeasuresTest, TextsAreQuotedForFilters) {
  EXPECT_EQ(FilterValue("fw\"1\\*'"), "\"fw\\\"1\\\\\\*\\'\"");
  EXPECT_EQ(AmountText(v1::DENIES, 1234567), "1,234,567");
  EXPECT_EQ(AmountText(v1::UPLOADED_BYTES, 3.4 * 1024 * 1024 * 1024), "3.4 GiB");
  EXPECT_EQ(AmountText(v1::UPLOADED_BYTES, 12), "12 B");
}

TEST(MeasuresTest, TheArchiveUnderstandsWhatItIsAskedOfMeasures) {
  for (const MeasureFacts& facts : AllMeasures()) {
    const auto filter = filter::Filter::Parse(facts.filter, filter::EventSchema(), TimePoint());
    EXPECT_TRUE(filter.ok()) << facts.filter << filter.status();
  }
}

}  // namespace
}  // namespace yagura::detection
