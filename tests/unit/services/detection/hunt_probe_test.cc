// What hunts count in the events that they are shown, and which events they ask for.
#include "services/detection/domain/hunt_probe.h"

#include <algorithm>
#include <map>
#include <random>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/filter/filter.h"
#include "common/testing/status_matchers.h"
#include "services/detection/domain/event_filter.h"
#include "services/detection/domain/hunt_result.h"
#include "services/detection/domain/product_presence.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using yagura::testing::IsOk;
using Events = HuntProbe::Events;

constexpr int64_t kStart = 1'760'000'000;

event::v1::Event& Add(Events& events, int second, event::v1::Action action) {
  auto& event = *events.Add();
  event.set_id(fmt::format("batch-{}", events.size()));
  event.set_tenant("acme");
  event.set_product("acme.firewall");
  event.mutable_receive_time()->set_seconds(kStart + second);
  *event.mutable_event_time() = event.receive_time();
  event.set_action(action);
  return event;
}

void AddField(event::v1::Event& event, std::string_view name, std::string_view value) {
  auto& field = *event.add_fields();
  field.set_name(std::string(name));
  field.set_value(std::string(value));
}

// Shows each pass the events that its filter passes, as archive does, `at_once` at a time.
v1::HuntResult Hunt(HuntProbe& probe, const Events& events, int at_once = 1000) {
  v1::HuntResult result;
  for (size_t pass = 0; pass < probe.filters().size(); ++pass) {
    const auto filter = filter::Filter::Parse(probe.filters()[pass], filter::EventSchema());
    EXPECT_THAT(filter, IsOk()) << probe.filters()[pass];
    Events shown;
    const auto flush = [&] {
      EXPECT_THAT(probe.Look(pass, shown, result), IsOk());
      shown.Clear();
    };
    for (const auto& event : events) {
      if (filter->Matches(event)) *shown.Add() = event;
      if (shown.size() == at_once) flush();
    }
    flush();
  }
  probe.Finish(result);
  return result;
}

ParsedRule Rule(const std::string& detection, const std::string& tags = "") {
  auto parsed = ParseSigma(
      fmt::format("title: A rule\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlevel: high\n{}"
                  "logsource:\n  product: acme\ndetection:\n{}",
                  tags, detection));
  EXPECT_THAT(parsed, IsOk());
  return *std::move(parsed);
}

TEST(HuntProbe, ARuleCountsWhatPassedAndWhatWasStopped) {
  Events events;
  AddField(Add(events, 10, event::v1::BLOCKED), "a", "1");
  AddField(Add(events, 20, event::v1::ALLOWED), "a", "1");
  AddField(Add(events, 30, event::v1::BLOCKED), "a", "2");
  AddField(Add(events, 40, event::v1::BLOCKED), "a", "1");
  AddField(Add(events, 50, event::v1::CHANGED), "a", "1");
  auto& other = Add(events, 60, event::v1::ALLOWED);
  AddField(other, "a", "1");
  other.set_product("other.firewall");
  const auto probe = NewRuleProbe("acme", Rule("  s:\n    a: 1\n  condition: s\n"), {});
  EXPECT_FALSE(probe->has_state());
  const auto result = Hunt(*probe, events, 2);
  EXPECT_EQ(result.attempted().count(), 4u);
  EXPECT_EQ(result.attempted().first_time().seconds(), kStart + 10);
  EXPECT_EQ(result.attempted().last_time().seconds(), kStart + 50);
  EXPECT_EQ(result.passed().count(), 1u);
  EXPECT_EQ(result.blocked().count(), 2u);
  EXPECT_EQ(result.blocked().first_time().seconds(), kStart + 10);
  EXPECT_EQ(result.undecided().count(), 1u);
  ASSERT_THAT(result.matches(), SizeIs(1));
  EXPECT_EQ(result.matches(0).value(), "A rule");
  EXPECT_EQ(result.matches(0).passed_count(), 1u);
  ASSERT_THAT(result.evidence(), SizeIs(4));
  // What was let through comes first, under the event's own id.
  EXPECT_EQ(result.evidence(0).event_id(), "batch-2");
  EXPECT_EQ(result.evidence(0).matched_fields(0).name(), "a");
}

TEST(HuntProbe, ACorrelationCountsTheEventsOfItsFindings) {
  const auto parsed = ParseSigma(
      "title: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
      "  type: event_count\n  rules: one\n  group-by: [who]\n  timespan: 1m\n"
      "  condition:\n    gte: 3\n---\ntitle: One\nname: one\n"
      "id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\nlogsource:\n  product: acme\n"
      "detection:\n  s:\n    a: 1\n  condition: s\n");
  ASSERT_THAT(parsed, IsOk());
  Events events;
  for (int i = 0; i < 5; ++i) {
    auto& event = Add(events, i, event::v1::LOGON_FAILED);
    AddField(event, "a", "1");
    AddField(event, "who", "mallory");
  }
  auto& alone = Add(events, 6, event::v1::LOGON_FAILED);
  AddField(alone, "a", "1");
  AddField(alone, "who", "alice");
  const auto probe = NewRuleProbe("acme", *parsed, {});
  EXPECT_TRUE(probe->has_state());
  const auto result = Hunt(*probe, events, 4);
  EXPECT_EQ(result.finding_count(), 1u);
  EXPECT_EQ(result.attempted().count(), 5u);
  EXPECT_EQ(result.blocked().count(), 5u);
  EXPECT_EQ(result.passed().count(), 0u);
  ASSERT_THAT(result.evidence(), ::testing::Not(::testing::IsEmpty()));
  for (const auto& evidence : result.evidence()) {
    EXPECT_THAT(evidence.event_id(), ::testing::StartsWith("batch-"));
  }
}

// Correlations that are decided while and when their windows end, one of which counts another.
std::string Correlations() {
  return "title: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
         "  type: event_count\n  rules: few\n  group-by: [site]\n  timespan: 10m\n"
         "  condition:\n    gte: 2\n---\ntitle: Few\nname: few\n"
         "id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c004\nlevel: low\ncorrelation:\n"
         "  type: value_count\n  rules: one\n  group-by: [who, site]\n  timespan: 2m\n"
         "  condition:\n    field: port\n    lte: 6\n  generate: true\n---\n"
         "title: One\nname: one\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\n"
         "logsource:\n  product: acme\ndetection:\n  s:\n    a: 1\n  condition: s\n";
}

TEST(HuntProbe, ACorrelationThatIsTakenOverAnywhereFindsTheSame) {
  const uint32_t first = std::random_device()();
  for (uint32_t seed = first; seed < first + 20; ++seed) {
    std::mt19937 random(seed);
    Events events;
    for (int i = 0; i < 600; ++i) {
      const auto action = random() % 3 == 0 ? event::v1::ALLOWED : event::v1::BLOCKED;
      auto& event = Add(events, 7 * i, action);
      if (random() % 2 == 0) {  // it came late
        event.mutable_event_time()->set_seconds(kStart + 7 * i - static_cast<int>(random() % 60));
      }
      AddField(event, "a", random() % 4 == 0 ? "2" : "1");
      AddField(event, "who", fmt::format("user-{}", random() % 5));
      AddField(event, "port", fmt::format("{}", random() % 9));
      AddField(event, "site", random() % 2 == 0 ? "east" : "west");
    }
    const auto make = [] { return NewRuleProbe("acme", *ParseSigma(Correlations()), {}); };
    const auto run = [&](bool is_taken_over) {
      auto probe = make();
      v1::HuntResult result;
      std::mt19937 kills(seed);
      for (int at = 0; at < events.size(); at += 10) {
        Events shown;
        for (int i = at; i < std::min(at + 10, events.size()); ++i) *shown.Add() = events.Get(i);
        EXPECT_THAT(probe->Look(0, shown, result), IsOk());
        if (!is_taken_over || kills() % 5 != 0) continue;
        internal::v1::HuntProbeState state;
        EXPECT_TRUE(state.ParseFromString(probe->State().SerializeAsString()));
        EXPECT_GT(state.groups_size(), 0);
        probe = make();
        probe->GoOn(std::move(state));
      }
      probe->Finish(result);
      return result;
    };
    const v1::HuntResult whole = run(false);
    EXPECT_GT(whole.finding_count(), 3u) << "seed " << seed;
    EXPECT_EQ(run(true).DebugString(), whole.DebugString()) << "seed " << seed;
  }
}

// A correlation that is decided at the end of its windows.
std::string AverageText() {
  return "title: Large\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
         "  type: value_avg\n  rules: one\n  group-by: [who]\n  timespan: 5m\n"
         "  condition:\n    field: bytes\n    gt: 100\n---\n"
         "title: One\nname: one\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\n"
         "logsource:\n  product: acme\ndetection:\n  s:\n    a: 1\n  condition: s\n";
}

event::v1::Event& AddMeasured(Events& events, int received, int happened,
                              const std::string& bytes) {
  auto& event = Add(events, received, event::v1::ALLOWED);
  event.mutable_event_time()->set_seconds(kStart + happened);
  AddField(event, "a", "1");
  AddField(event, "who", "mallory");
  AddField(event, "bytes", bytes);
  return event;
}

// What was kept somewhere for a week, and what was received as it happened.
TEST(HuntProbe, WindowsWaitForWhatCameLate) {
  constexpr int kWeek = 7 * 24 * 3600;
  for (const int delay : {0, 16 * 60, kWeek}) {
    Events events;
    for (int window = 0; window < 20; ++window) {
      // Half of each window comes late; with that half alone it is not large.
      AddMeasured(events, 1000 * window, 1000 * window, "300");
      AddMeasured(events, 1000 * window + 10 + delay, 1000 * window + 10, "20");
    }
    std::ranges::stable_sort(events.pointer_begin(), events.pointer_end(), {},
                             [](const auto* one) { return one->receive_time().seconds(); });
    const auto result = Hunt(*NewRuleProbe("acme", *ParseSigma(AverageText()), {}), events, 3);
    EXPECT_EQ(result.finding_count(), 20u) << delay;
    EXPECT_EQ(result.attempted().count(), 40u) << delay;
    EXPECT_EQ(result.late_event_count(), 0u) << delay;
    EXPECT_THAT(result.remarks(), ::testing::IsEmpty());
  }
}

// The same of one that makes findings while windows grow.
TEST(HuntProbe, FindingsBeginHoweverLateTheirEventsCome) {
  auto text = AverageText();
  const std::string average = "value_avg";
  text.replace(text.find(average), average.size(), "value_sum");
  Events events;
  for (int i = 0; i < 10; ++i) AddMeasured(events, 100'000 + i, 100'000 + i, "1");
  for (int i = 0; i < 3; ++i) AddMeasured(events, 100'020 + i, i, "60");
  const auto result = Hunt(*NewRuleProbe("acme", *ParseSigma(text), {}), events, 5);
  EXPECT_EQ(result.finding_count(), 1u);
  EXPECT_EQ(result.attempted().count(), 3u);
  EXPECT_EQ(result.late_event_count(), 0u);
}

TEST(HuntProbe, WhatIsLeftOutAsItCameTooLateIsTold) {
  Windows::Limits limits;
  limits.patient_bytes = 1000;
  Events events;
  for (int i = 0; i < 200; ++i) AddMeasured(events, 100 * i, 100 * i, "300");
  for (int i = 0; i < 7; ++i) AddMeasured(events, 20'000 + i, i, "20");
  const auto result = Hunt(*NewRuleProbe("acme", *ParseSigma(AverageText()), limits), events, 10);
  EXPECT_EQ(result.attempted().count(), 200u);
  EXPECT_EQ(result.late_event_count(), 7u);
  ASSERT_THAT(result.remarks(), SizeIs(1));
  EXPECT_THAT(result.remarks(0), ::testing::StartsWith("7 events were received too late"));
}

// As much as there is room for does not depend on whether somebody else goes on.
TEST(HuntProbe, PatienceEndsAlikeWhereAnotherGoesOn) {
  Windows::Limits limits;
  limits.patient_bytes = 1000;
  Events events;
  for (int i = 0; i < 200; ++i) AddMeasured(events, 100 * i, 100 * i, "300");
  for (int i = 0; i < 7; ++i) AddMeasured(events, 20'000 + i, 19'000 + 10 * i, "20");
  const auto run = [&](bool is_taken_over) {
    auto probe = NewRuleProbe("acme", *ParseSigma(AverageText()), limits);
    v1::HuntResult result;
    for (const auto& event : events) {
      Events shown;
      *shown.Add() = event;
      EXPECT_THAT(probe->Look(0, shown, result), IsOk());
      if (!is_taken_over) continue;
      auto state = probe->State();
      probe = NewRuleProbe("acme", *ParseSigma(AverageText()), limits);
      probe->GoOn(std::move(state));
    }
    probe->Finish(result);
    return result.DebugString();
  };
  EXPECT_EQ(run(true), run(false));
}

// The windows that an earlier release had begun, without patience, end no earlier.
TEST(HuntProbe, WindowsOfAnEarlierReleaseEndInTheirTime) {
  Windows::Limits limits;
  limits.patient_bytes = 1;
  auto probe = NewRuleProbe("acme", *ParseSigma(AverageText()), {});
  v1::HuntResult result;
  int second = 0;
  const auto look = [&](const std::string& bytes, const std::string& who) {
    Events shown;
    auto& event = AddMeasured(shown, second, second, bytes);
    event.set_id(fmt::format("event-{}", second));
    event.mutable_fields(1)->set_value(who);
    second += 10;
    EXPECT_THAT(probe->Look(0, shown, result), IsOk());
  };
  look("500", "mallory");
  auto state = probe->State();
  ASSERT_EQ(state.groups_size(), 1);
  for (auto& [key, group] : *state.mutable_groups()) {
    group.set_expires(group.expires() - state.lateness() + limits.lateness.count());
  }
  state.clear_lateness();
  probe = NewRuleProbe("acme", *ParseSigma(AverageText()), limits);
  probe->GoOn(std::move(state));
  look("1", "alice");  // there is no room any more, while the other window waits
  for (const char* bytes : {"500", "1", "1"}) look(bytes, "mallory");
  probe->Finish(result);
  EXPECT_EQ(result.finding_count(), 1u);
  EXPECT_EQ(result.attempted().count(), 4u);
  EXPECT_EQ(result.late_event_count(), 0u);
}

TEST(HuntProbe, AnEventThatSeveralPassesShowCountsOnce) {
  std::string text = "198.51.100.7\nevil.example\n";
  for (int i = 0; i < 300; ++i) text += fmt::format("10.9.{}.{}\n", i / 200, i % 200);
  const auto probe = NewIndicatorProbe(*ParseIndicators(text));
  ASSERT_GT(probe->filters().size(), 2u);
  Events events;
  auto& both = Add(events, 1, event::v1::ALLOWED);
  both.mutable_src()->set_ip(std::string(event::IpAddress::Parse("10.9.1.99")->bytes()));
  both.mutable_dst()->set_ip(std::string(event::IpAddress::Parse("198.51.100.7")->bytes()));
  both.set_raw("to evil.example");
  Add(events, 2, event::v1::ALLOWED).set_raw("to good.example");
  const auto result = Hunt(*probe, events);
  EXPECT_EQ(result.attempted().count(), 1u);
  EXPECT_EQ(result.passed().count(), 1u);
  std::map<std::string, uint64_t> matches;
  for (const auto& one : result.matches()) matches[one.value()] = one.events().count();
  EXPECT_THAT(matches, ElementsAre(std::pair("10.9.1.99", 1u), std::pair("198.51.100.7", 1u),
                                   std::pair("evil.example", 1u)));
}

TEST(HuntProbe, ACveIsWhereAttacksAreNamedOrARuleSaysSo) {
  Events events;
  auto& by_field = Add(events, 1, event::v1::BLOCKED);
  AddField(by_field, "cve", "CVE-2021-44228");
  by_field.set_raw("cve=\"CVE-2021-44228\" attack=\"Log4j.Shell\"");
  by_field.set_signature("Log4j.Shell");
  auto& by_metadata = Add(events, 2, event::v1::DETECTED);
  AddField(by_metadata, "alert.metadata.cve", "CVE_2021_44228");
  by_metadata.set_raw("{\"cve\":[\"CVE_2021_44228\"]}");
  auto& by_rule = Add(events, 3, event::v1::ALLOWED);
  AddField(by_rule, "agent", "${jndi:ldap://x}");
  by_rule.set_raw("agent=${jndi:ldap://x}");
  auto& by_product = Add(events, 4, event::v1::BLOCKED);
  by_product.set_signature("Apache.Log4j.Error.Log.Remote.Code.Execution");
  by_product.set_raw("attack=Apache.Log4j...");
  auto& url = Add(events, 5, event::v1::ALLOWED);  // somebody reads about it
  url.set_url("https://news.example/CVE-2021-44228");
  url.set_raw("url=https://news.example/CVE-2021-44228");
  auto& longer = Add(events, 6, event::v1::ALLOWED);
  AddField(longer, "cve", "CVE-2021-442281");
  longer.set_raw("CVE-2021-442281");
  std::vector<ParsedRule> rules;
  rules.push_back(
      Rule("  s:\n    agent|contains: jndi\n  condition: s\n", "tags:\n  - cve.2021-44228\n"));
  const auto probe =
      NewVulnerabilityProbe("acme", "CVE-2021-44228", std::move(rules), {{"Apache", "Log4j2"}});
  const auto result = Hunt(*probe, events);
  EXPECT_EQ(result.attempted().count(), 3u);
  EXPECT_EQ(result.passed().count(), 2u);
  EXPECT_EQ(result.blocked().count(), 1u);
  EXPECT_EQ(result.related().count(), 1u);
  std::map<std::string, v1::HuntMatchKind> kinds;
  for (const auto& one : result.matches()) kinds[one.value()] = one.kind();
  EXPECT_THAT(kinds, ElementsAre(std::pair("A rule", v1::RULE),
                                 std::pair("Apache.Log4j.Error.Log.Remote.Code.Execution",
                                           v1::NAMED_PRODUCT),
                                 std::pair("CVE-2021-44228", v1::NAMED_VULNERABILITY),
                                 std::pair("Log4j.Shell", v1::NAMED_VULNERABILITY)));
}

TEST(HuntResultTest, KeepsTheBestEvidenceAndTheMostFrequentMatches) {
  v1::HuntResult result;
  Events events;
  for (int i = 0; i < 10; ++i) {
    auto& event = Add(events, i, i == 9 ? event::v1::ALLOWED : event::v1::BLOCKED);
    AddEvidence(EvidenceOf(event), result);
    for (int k = 0; k <= i; ++k) {
      AddMatch(fmt::format("match {}", k), v1::INDICATOR, event, result);
    }
  }
  EXPECT_THAT(result.evidence(), SizeIs(6));
  EXPECT_EQ(result.evidence(0).action(), event::v1::ALLOWED);
  EXPECT_EQ(result.evidence(1).event_id(), "batch-1");
  for (int k = 10; k < 40; ++k) {
    AddMatch(fmt::format("match {}", k), v1::INDICATOR, events.Get(0), result);
  }
  const auto published = Published(result);
  ASSERT_THAT(published.matches(), SizeIs(20));
  EXPECT_EQ(published.matches(0).value(), "match 0");
  EXPECT_EQ(published.matches(0).events().count(), 10u);
}

std::shared_ptr<const Inventory> InventoryOf(
    const std::vector<std::pair<std::string, std::vector<std::string>>>& assets,
    bool complete = true) {
  std::vector<directory::v1::Asset> list;
  for (const auto& [id, products] : assets) {
    auto& asset = list.emplace_back();
    asset.set_name("tenants/acme/assets/" + id);
    for (const auto& product : products) asset.add_products(product);
  }
  return Inventory::Build(std::move(list), complete);
}

v1::ProductPresence PresenceIn(const std::shared_ptr<const Inventory>& inventory,
                               v1::HuntResult* result = nullptr) {
  v1::HuntResult own;
  v1::HuntResult& told = result == nullptr ? own : *result;
  TellPresence({{"Apache", "Log4j2"}}, inventory.get(), told);
  EXPECT_THAT(told.product_reasons(), ::testing::Not(::testing::IsEmpty()));
  return told.product_presence();
}

TEST(ProductPresence, WhatIsNotKnownIsNeverNo) {
  EXPECT_EQ(PresenceIn(nullptr), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({})), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({{"a", {}}})), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({{"a", {"nginx:nginx:1.2"}}, {"b", {}}})), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({{"a", {"nginx:nginx:1.2"}}}, false)), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({{"a", {"apache:tomcat:9"}}})), v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(PresenceIn(InventoryOf({{"a", {"nginx:nginx:1.2"}}})), v1::PRODUCT_NOT_FOUND);
  v1::HuntResult result;
  EXPECT_EQ(PresenceIn(InventoryOf(
                           {{"a", {"nginx:nginx:1.2"}}, {"b", {"apache:log4j:2.14.1"}}, {"c", {}}}),
                       &result),
            v1::PRODUCT_FOUND);
  EXPECT_EQ(result.asset_count(), 1u);
  EXPECT_THAT(result.assets(), ElementsAre("tenants/acme/assets/b"));
}

TEST(ProductPresence, AProductNeedsItsVendor) {
  EXPECT_THAT(ProductsOf("apache:log4j", {}, nullptr), IsOk());
  EXPECT_FALSE(ProductsOf("log4j", {}, nullptr).ok());
  const auto kev = KevCatalog::Parse(
      R"({"vulnerabilities": [{"cveID": "CVE-2021-44228", "vendorProject": "Apache",
          "product": "Log4j2"}]})");
  const auto products = ProductsOf("", {"CVE-2021-44228", "CVE-2000-1234"}, kev->get());
  ASSERT_THAT(products, IsOk());
  ASSERT_THAT(*products, SizeIs(1));
  EXPECT_EQ(products->front().shown(), "Apache Log4j2");
}

TEST(EventFilter, PassesWhateverTheLogsourcePasses) {
  const auto filter_of = [](const std::string& logsource) {
    const auto parsed =
        ParseSigma(fmt::format("title: t\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlogsource:\n{}"
                               "detection:\n  s:\n    a: 1\n  condition: s\n",
                               logsource));
    EXPECT_THAT(parsed, IsOk());
    return LogsourceFilter(parsed->rules);
  };
  const auto passes = [](const std::string& text, const event::v1::Event& event) {
    const auto filter = filter::Filter::Parse(text, filter::EventSchema());
    EXPECT_THAT(filter, IsOk()) << text;
    return filter.ok() && filter->Matches(event);
  };
  event::v1::Event sysmon;
  sysmon.set_product("microsoft.windows");
  AddField(sysmon, "Channel", "Microsoft-Windows-Sysmon/Operational");
  AddField(sysmon, "EventID", "1");
  sysmon.set_vendor_event_id("1");
  event::v1::Event firewall;
  firewall.set_product("fortinet.fortigate");
  firewall.set_category("traffic");
  const std::string process = filter_of("  product: windows\n  category: process_creation\n");
  EXPECT_TRUE(passes(process, sysmon));
  EXPECT_FALSE(passes(process, firewall));
  EXPECT_TRUE(passes(filter_of("  category: firewall\n"), firewall));
  EXPECT_FALSE(passes(filter_of("  category: firewall\n"), sysmon));
  EXPECT_TRUE(passes(filter_of("  product: windows\n"), sysmon));
  EXPECT_FALSE(passes(filter_of("  product: windows\n"), firewall));
  event::v1::Event defender;
  AddField(defender, "Channel", "Microsoft-Windows-Windows Defender/Operational");
  AddField(defender, "EventID", "1116");
  EXPECT_TRUE(passes(filter_of("  category: antivirus\n"), defender));
}

TEST(EventFilter, QuotesWhatMeansSomething) {
  event::v1::Event event;
  event.set_url(R"(a*b"c\d'e)");
  const auto filter =
      filter::Filter::Parse("url = " + QuoteFilterText(event.url()), filter::EventSchema());
  ASSERT_THAT(filter, IsOk());
  EXPECT_TRUE(filter->Matches(event));
  event.set_url(R"(aXb"c\d'e)");
  EXPECT_FALSE(filter->Matches(event));
}

}  // namespace
}  // namespace yagura::detection
