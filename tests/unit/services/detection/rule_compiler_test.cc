#include "services/detection/domain/rule_compiler.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using internal::v1::TenantRules;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeEvent;
using ::testing::SizeIs;

constexpr std::string_view kRuleId = "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001";

std::string Rule(std::string_view test = "a: 1") {
  return fmt::format(
      "title: Rule\nname: my_rule\nid: {}\nlogsource: {{product: acme, category: "
      "process_creation}}\n"
      "detection:\n  s:\n    {}\n  condition: s\n",
      kRuleId, test);
}

std::string Filter(std::string_view rules, std::string_view test = "user|startswith: adm_",
                   std::string_view logsource = "{category: process_creation}") {
  return fmt::format(
      "title: Administrators\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3cf00\nlogsource: {}\nfilter:\n"
      "  rules: {}\n  selection:\n    {}\n  condition: not selection\n",
      logsource, rules, test);
}

std::string Correlated() {
  return Rule() +
         "---\ntitle: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\ncorrelation:\n"
         "  type: event_count\n  rules: [my_rule]\n  group-by: [user]\n  timespan: 5m\n"
         "  condition: {gte: 10}\n";
}

// Texts of tenants, put together.
class RuleCompilerTest : public ::testing::Test {
 protected:
  void Add(std::string tenant, std::string text) {
    texts_.push_back(std::make_unique<std::string>(std::move(text)));
    items_.push_back({std::move(tenant), fmt::format("digest{}", texts_.size()), *texts_.back()});
  }
  void Set(std::string tenant, std::string_view placeholder, std::vector<std::string> values) {
    auto& one = *settings_[tenant].add_placeholders();
    one.set_name(fmt::format("tenants/{}/placeholders/{}", tenant, placeholder));
    for (auto& value : values) one.add_values(std::move(value));
  }
  v1::RuleTuning& Tune(std::string tenant, std::string_view rule = kRuleId) {
    auto& one = *settings_[tenant].add_tunings();
    one.set_name(fmt::format("tenants/{}/ruleTunings/{}", tenant, rule));
    return one;
  }
  RuleCompiler::Result Compile() {
    auto items = items_;
    std::vector<std::unique_ptr<std::string>> texts;
    for (const auto& [tenant, settings] : settings_) {
      texts.push_back(std::make_unique<std::string>(EncodeTenantRules(settings)));
      items.push_back({tenant, "settings of " + tenant, *texts.back()});
    }
    return compiler_.Compile(items);
  }
  // Rows that anything matches for that tenant.
  std::vector<uint32_t> RowsFor(std::string_view tenant, std::vector<event::v1::Event> events) {
    auto entries = Compile().entries;
    for (auto& entry : entries) {  // the sample events are of no product in particular
      auto rule = *entry.rule;
      for (auto& single : rule.rules) single.logsource_test = Expression();
      entry.rule = std::make_shared<const ParsedRule>(std::move(rule));
    }
    BatchMatcher matcher(RuleSet::Build(std::move(entries)));
    auto batch = testing::BatchOf(events, tenant);
    const auto matches = matcher.Run(batch);
    EXPECT_TRUE(matches.ok()) << matches.status();
    std::vector<uint32_t> rows;
    for (const auto& match : *matches) rows.push_back(match.row);
    return rows;
  }

  const std::vector<event::v1::Event> events_ = {MakeEvent({{"a", "1"}, {"user", "adm_eve"}}),
                                                 MakeEvent({{"a", "1"}, {"user", "bob"}})};
  RuleCompiler compiler_;
  std::vector<std::unique_ptr<std::string>> texts_;
  std::vector<RuleCompiler::Item> items_;
  std::map<std::string, TenantRules> settings_;
};

TEST_F(RuleCompilerTest, AFilterOfTheProviderNarrowsARuleForAll) {
  Add("", Rule());
  Add("", Filter("[my_rule]"));
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(1));
}

TEST_F(RuleCompilerTest, AFilterOfATenantNarrowsARuleForThatTenantAlone) {
  Add("", Rule());
  Add("acme", Filter(fmt::format("['{}']", ToUpper(kRuleId))));
  EXPECT_THAT(Compile().entries, SizeIs(2));
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(0, 1));
}

TEST_F(RuleCompilerTest, FiltersOfProviderAndTenantBothHold) {
  Add("", Rule());
  Add("", Filter("any"));
  Add("acme", Filter("any", "user: bob"));
  EXPECT_THAT(RowsFor("acme", events_), IsEmpty());
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(1));
}

TEST_F(RuleCompilerTest, AFilterIsForTheRulesAndTheLogsourceThatItNames) {
  Add("", Rule());
  Add("", Filter("[another]"));
  Add("", Filter("any", "user|startswith: adm_", "{category: process_creation, product: windows}"));
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(0, 1));
}

TEST_F(RuleCompilerTest, AFilterNarrowsTheRulesThatACorrelationCounts) {
  Add("", Correlated());
  Add("", Filter("[my_rule]"));
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
}

TEST_F(RuleCompilerTest, PlaceholdersAreThoseOfTheTenantThenOfTheProvider) {
  Add("", Rule("user|expand: '%Admins_Of-Us%'"));
  EXPECT_THAT(RowsFor("acme", events_), IsEmpty());
  EXPECT_THAT(Compile().refusals[0].reason, HasSubstr("%Admins_Of-Us% has no value"));
  Set("", "admins-of-us", {"bob"});
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  Set("acme", "admins-of-us", {"adm_*", "root"});
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(0));
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(1));
  EXPECT_THAT(Compile().refusals, IsEmpty());
}

TEST_F(RuleCompilerTest, ARuleIsInForceForThoseWhosePlaceholdersHaveValues) {
  Add("", Rule("user|expand: '%admins%'"));
  Set("acme", "admins", {"bob"});
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("globex", events_), IsEmpty());
}

TEST_F(RuleCompilerTest, FiltersTakePlaceholdersToo) {
  Add("", Rule());
  Add("", Filter("any", "user|expand: '%admins%'"));
  Set("acme", "admins", {"bob"});
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(0));
  // Without values nothing is narrowed: rather too many findings than none.
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(0, 1));
}

TEST_F(RuleCompilerTest, ATenantMaySwitchARuleOff) {
  Add("", Rule());
  Tune("acme").set_match(v1::RuleTuning::OFF);
  EXPECT_THAT(RowsFor("acme", events_), IsEmpty());
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(0, 1));
}

TEST_F(RuleCompilerTest, AgreedNumbersTakeThePlaceOfTheRules) {
  Add("", Correlated());
  auto& tuning = Tune("acme", "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002");
  tuning.set_count(3);
  tuning.mutable_timespan()->set_seconds(60);
  tuning.set_severity(event::v1::CRITICAL);
  const auto entries = Compile().entries;
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_THAT(entries[0].except, ElementsAre("acme"));
  EXPECT_EQ(entries[0].rule->correlations[0].threshold(), 10U);
  EXPECT_EQ(entries[1].tenant, "acme");
  EXPECT_EQ(entries[1].rule->correlations[0].threshold(), 3U);
  EXPECT_EQ(entries[1].rule->correlations[0].timespan, std::chrono::minutes(1));
  EXPECT_EQ(entries[1].rule->info().severity, 5);
  // Windows of other numbers begin anew.
  EXPECT_NE(entries[1].rule->version, entries[0].rule->version);
}

TEST_F(RuleCompilerTest, TuningsOfTheProviderHoldForWhoHasNone) {
  Add("", Correlated());
  Tune("", "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002").set_count(20);
  Tune("acme", "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002").set_severity(event::v1::LOW);
  const auto entries = Compile().entries;
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].rule->correlations[0].threshold(), 20U);
  EXPECT_EQ(entries[1].rule->correlations[0].threshold(), 10U);
}

TEST_F(RuleCompilerTest, NumbersThatDoNotFitAreToldAndTheRuleStays) {
  Add("", Rule());
  auto& tuning = Tune("acme");
  tuning.set_count(3);
  tuning.set_severity(event::v1::LOW);
  const auto result = Compile();
  ASSERT_THAT(result.entries, SizeIs(2));
  ASSERT_THAT(result.refusals, SizeIs(1));
  EXPECT_THAT(result.refusals[0].reason, HasSubstr("the rule is none"));
  // What does fit holds.
  EXPECT_EQ(result.entries[1].tenant, "acme");
  EXPECT_EQ(result.entries[1].rule->info().severity, 2);
}

TEST_F(RuleCompilerTest, ValuesThatReadAlikeWrittenDownAreDifferentRules) {
  Add("", Rule("user|expand: '%admins%'"));
  Set("acme", "admins", {"bob", "eve"});
  Set("globex", "admins", {"bob:eve"});
  Set("hooli", "admins", {"bob,3:eve"});
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("globex", events_), IsEmpty());
  EXPECT_THAT(RowsFor("hooli", events_), IsEmpty());
}

TEST_F(RuleCompilerTest, TenantsWithTheSameSettingsShareARule) {
  Add("", Rule("user|expand: '%admins%'"));
  Add("", Filter("any"));
  for (const auto* tenant : {"acme", "globex"}) {
    Set(tenant, "admins", {"bob"});
    Set(tenant, "other", {tenant});
    Tune(tenant).set_severity(event::v1::LOW);
  }
  Set("hooli", "admins", {"eve"});
  const auto entries = Compile().entries;
  ASSERT_THAT(entries, SizeIs(3));
  EXPECT_EQ(entries[0].rule, entries[1].rule);
  EXPECT_NE(entries[0].rule, entries[2].rule);
  EXPECT_EQ(Compile().entries[0].rule, entries[0].rule);  // made once
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("globex", events_), ElementsAre(1));
  EXPECT_THAT(RowsFor("hooli", events_), IsEmpty());
}

TEST_F(RuleCompilerTest, WhatIsRefusedIsToldOnceWithRuleAndTenantButWithoutTheValue) {
  Add("", Rule());
  Add("", Correlated());
  Add("", Filter("any", "src_ip|cidr|expand: '%nets%'"));
  Set("", "nets", {"10.0.0.0/8"});
  Set("acme", "nets", {"10.0.0.0/8", "10.7.0.0/33"});
  const auto refusals = Compile().refusals;
  ASSERT_THAT(refusals, SizeIs(1));
  EXPECT_EQ(refusals[0].tenant, "acme");
  EXPECT_EQ(refusals[0].rule, "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3cf00");
  EXPECT_EQ(refusals[0].title, "Administrators");
  EXPECT_THAT(refusals[0].reason, HasSubstr("\"%nets%\" is not a CIDR block"));
  EXPECT_THAT(refusals[0].reason, ::testing::Not(HasSubstr("10.7")));
}

TEST_F(RuleCompilerTest, AnyValueMakesAWellFormedRuleThatNothingPasses) {
  const Placeholders any = {{"", {std::string(kAnyValue)}}};
  for (const char* test : {"user|expand: '%x%'", "src_ip|cidr|expand: '%x%'",
                           "size|gt|expand: '%x%'", "user|base64offset|contains|expand: 'in %x%'",
                           "user|contains|all|expand: ['%x%', '%y%']"}) {
    const auto rule = ParseSigma(Rule(test), any);
    EXPECT_TRUE(rule.ok()) << test << rule.status();
  }
  const auto rule = ParseSigma(Rule("user|expand: ['%x%', '%Y_Z%']"), any);
  EXPECT_THAT(rule->placeholders, ElementsAre("Y_Z", "x"));
  BatchMatcher matcher(RuleSet::Build({{"", std::make_shared<const ParsedRule>(*rule), {}}}));
  auto batch = testing::BatchOf({MakeEvent({{"user", "\x01"}})}, "acme");
  EXPECT_THAT(*matcher.Run(batch), IsEmpty());
}

TEST(CheckPlaceholderTest, NamesTheValueAndTheRuleThatItDoesNotFit) {
  v1::Placeholder placeholder;
  placeholder.set_name("tenants/acme/placeholders/nets");
  for (const char* value : {"10.0.0.0/8", "fd00::/8", "10.7.0.0/33"}) placeholder.add_values(value);
  const std::vector<std::string> texts = {Rule(), Rule("user|expand: '%nets%'"),
                                          Rule("src_ip|cidr|expand: '%others%'"),
                                          Rule("src_ip|cidr|expand: ['%others%', '%Nets%']")};
  const absl::Status refused = CheckPlaceholder(placeholder, texts);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("placeholder.values[2]"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("rule \"Rule\" (4b4aa1e8"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("\"%Nets%\" is not a CIDR block"));
  placeholder.mutable_values()->RemoveLast();
  EXPECT_TRUE(CheckPlaceholder(placeholder, texts).ok());
  // A rule that cannot be read whatever the values says nothing about them.
  placeholder.add_values("no network");
  EXPECT_TRUE(CheckPlaceholder(placeholder, {Rule("user|cidr|re|expand: '%nets%'")}).ok());
}

TEST(SigmaFilterLoad, RefusesWhatItCannotKeep) {
  const auto refusal = [](const std::string& text) {
    return std::string(ParseSigma(text).status().message());
  };
  EXPECT_TRUE(ParseSigma(Filter("any")).ok());
  EXPECT_THAT(refusal(Filter("[]")), HasSubstr("names none"));
  EXPECT_THAT(refusal(Filter("any") + "detection: {s: {a: 1}, condition: s}\n"),
              HasSubstr("no detection of its own"));
  EXPECT_THAT(refusal(Filter("any") + "---\n" + Rule()), HasSubstr("a text of its own"));
  EXPECT_THAT(refusal(Filter("any", "user|unheard: x")), HasSubstr("not known"));
  EXPECT_THAT(
      refusal("title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3cf00\n"
              "logsource: {product: x}\nfilter: {selection: {a: 1}, condition: selection}\n"),
      HasSubstr("rules is missing"));
}

// Which of the entries are for a tenant, and whether what they find is told.
std::vector<bool> UntoldFor(const RuleCompiler::Result& result, std::string_view tenant) {
  std::vector<bool> untold;
  for (const auto& entry : result.entries) {
    if (entry.IsFor(tenant)) untold.push_back(entry.rule->untold);
  }
  return untold;
}

TEST_F(RuleCompilerTest, ARuleOnTrialIsMatchedAndToldNobodyOf) {
  Add("", Rule());
  const std::string version = Compile().entries[0].rule->version;
  settings_[""].add_untold_rules(std::string(kRuleId));
  const auto result = Compile();
  EXPECT_THAT(UntoldFor(result, "acme"), ElementsAre(true));
  EXPECT_NE(result.entries[0].rule->version, version);
  EXPECT_THAT(RowsFor("acme", events_), ElementsAre(0, 1));
  // What was agreed with a tenant about its numbers does not make it told.
  Tune("acme").set_severity(event::v1::LOW);
  EXPECT_THAT(UntoldFor(Compile(), "acme"), ElementsAre(true));
}

TEST_F(RuleCompilerTest, ATenantsOwnStateGoesBeforeTheProviders) {
  Add("", Rule());
  Tune("acme").set_state(v1::MUTED);
  Tune("globex").set_state(v1::RETIRED);
  auto result = Compile();
  EXPECT_THAT(UntoldFor(result, "acme"), ElementsAre(true));
  EXPECT_THAT(UntoldFor(result, "globex"), IsEmpty());
  EXPECT_THAT(UntoldFor(result, "other"), ElementsAre(false));
  settings_[""].add_untold_rules(std::string(kRuleId));
  settings_["acme"].mutable_tunings(0)->set_state(v1::ACTIVE);
  result = Compile();
  EXPECT_THAT(UntoldFor(result, "acme"), ElementsAre(false));
  EXPECT_THAT(UntoldFor(result, "other"), ElementsAre(true));
}

TEST_F(RuleCompilerTest, ATenantsOwnRuleOnTrialIsToldNobodyOf) {
  Add("acme", Rule());
  settings_["acme"].add_untold_rules(std::string(kRuleId));
  EXPECT_THAT(UntoldFor(Compile(), "acme"), ElementsAre(true));
}

}  // namespace
}  // namespace yagura::detection
