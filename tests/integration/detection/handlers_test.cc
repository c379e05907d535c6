// What the methods of DetectionService answer, over real Redis.
#include <fstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/store/resource_name.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/producer.h"
#include "common/testing/call_builder.h"
#include "common/testing/fake_clock.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/detection/api/dead_letter_handlers.h"
#include "services/detection/api/finding_handlers.h"
#include "services/detection/api/rule_handlers.h"
#include "services/detection/api/rule_state_handlers.h"
#include "services/detection/api/tuning_handlers.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/storage/content_rules.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/workers/rule_version_keeper.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using yagura::testing::CallBuilder;
using yagura::testing::IsOk;
using yagura::testing::StatusIs;

std::string RuleText(int number, std::string_view value = "1") {
  return fmt::format(
      "title: Rule {0}\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{0}\nlevel: high\n"
      "logsource:\n  product: acme\ndetection:\n  s:\n    a: {1}\n  condition: s\n",
      number, value);
}

class DetectionHandlersTest : public ::testing::Test {
 protected:
  DetectionHandlersTest()
      : pool_(redis_.NewPool()),
        feed_(std::make_shared<store::FeedFollower>(pool_, Logger::Null())),
        rules_(pool_, RuleResourceKind(), SystemClock()),
        findings_(pool_, FindingKind(), SystemClock()),
        book_(std::make_shared<RuleBook>(
            rules_, pool_,
            std::make_shared<RuleSetStore>(pool_, stream::Topic{"events", 2, {}}, "detection"),
            metrics_, Logger::Null(), clock_)),
        versions_(store::Store<v1::RuleVersion>(pool_, RuleVersionKind(), SystemClock())),
        handlers_(rules_, versions_, feed_, book_, std::make_shared<testing::FakeClock>()),
        finding_handlers_(findings_, feed_, std::make_shared<Surroundings>()),
        tuning_handlers_(store::Store<v1::Placeholder>(pool_, PlaceholderKind(), SystemClock()),
                         store::Store<v1::RuleTuning>(pool_, RuleTuningKind(), SystemClock()),
                         rules_, feed_, book_),
        state_handlers_(rules_,
                        store::Store<v1::RuleTuning>(pool_, RuleTuningKind(), SystemClock()), book_,
                        clock_) {
    for (const auto* tenant : {"acme", "globex", "provider"}) {
      EXPECT_THAT(store::RegisterTenant(*pool_, tenant), IsOk());
    }
    feed_->Start();
  }
  ~DetectionHandlersTest() override { feed_->Stop(); }

  static rpc::Call CallIn(std::string_view tenant) {
    return CallBuilder("detection.rules.update").Tenant(tenant).Build();
  }
  absl::StatusOr<v1::Rule> Create(int number, std::string_view tenant = "acme") {
    v1::CreateRuleRequest request;
    request.set_parent(fmt::format("tenants/{}", tenant));
    request.mutable_rule()->set_text(RuleText(number));
    request.mutable_rule()->set_enabled(true);
    return handlers_.Create(CallIn(tenant), request);
  }

  // As an earlier release took it.
  void KeepBadNets(const std::string& tenant) {
    store::Store<v1::Placeholder> placeholders(pool_, PlaceholderKind(), SystemClock());
    v1::Placeholder kept;
    kept.set_name(fmt::format("tenants/{}/placeholders/nets", tenant));
    (void)placeholders.Delete({.principal = "test", .method = "test"}, kept.name(), "");
    kept.add_values("10.9.0.0/33");
    ASSERT_THAT(placeholders.Create({.principal = "test", .method = "test"}, kept), IsOk());
  }

  std::vector<RuleSet::Entry> RulesInForce() {
    const auto set = book_->Load(book_->latest_version());
    EXPECT_THAT(set, IsOk());
    return set.ok() ? (*set)->entries() : std::vector<RuleSet::Entry>();
  }

  absl::StatusOr<v1::Rule> SetState(int number, std::string_view tenant, v1::RuleState state,
                                    std::string_view reason = "",
                                    std::chrono::hours mute = std::chrono::hours(0)) {
    v1::SetRuleStateRequest request;
    request.set_name(
        fmt::format("tenants/{}/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{}", tenant, number));
    request.set_state(state);
    request.set_reason(std::string(reason));
    if (mute.count() != 0) *request.mutable_mute_expire_time() = ToProto(clock_->Now() + mute);
    auto rule = state_handlers_.Set(CallIn(tenant), request);
    EXPECT_THAT(book_->Reload(), IsOk());
    return rule;
  }
  // Whether what the only rule finds for a tenant is told; nothing where it is not matched.
  std::optional<bool> Told(std::string_view tenant) {
    for (const auto& entry : RulesInForce()) {
      if (entry.IsFor(tenant)) return !entry.rule->untold;
    }
    return std::nullopt;
  }

  testing::RedisServer redis_;
  std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  std::shared_ptr<redis::Pool> pool_;
  MetricsRegistry metrics_;
  std::shared_ptr<store::FeedFollower> feed_;
  store::Store<v1::Rule> rules_;
  store::Store<v1::Finding> findings_;
  std::shared_ptr<RuleBook> book_;
  RuleVersions versions_;
  RuleHandlers handlers_;
  FindingHandlers finding_handlers_;
  TuningHandlers tuning_handlers_;
  RuleStateHandlers state_handlers_;
};

TEST_F(DetectionHandlersTest, CreatesARuleUnderItsSigmaId) {
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, Create(1));
  EXPECT_EQ(rule.name(), "tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  EXPECT_EQ(rule.title(), "Rule 1");
  EXPECT_EQ(rule.severity(), event::v1::HIGH);
  EXPECT_EQ(rule.kind(), v1::SINGLE_EVENT);
  EXPECT_THAT(Create(1), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(RulesInForce(), SizeIs(1));
}

TEST_F(DetectionHandlersTest, RefusesATextWithLineAndReason) {
  v1::CreateRuleRequest request;
  request.set_parent("tenants/acme");
  request.mutable_rule()->set_text("title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n");
  const auto refused = handlers_.Create(CallIn("acme"), request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument, "INVALID_FIELD"));
  EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("rule.text: line 1: logsource"));
}

TEST_F(DetectionHandlersTest, UpdatesWhatTheMaskNamesUnderTheEtag) {
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, Create(1));
  v1::UpdateRuleRequest request;
  request.mutable_rule()->set_name(rule.name());
  request.mutable_rule()->set_etag(rule.etag());
  request.mutable_rule()->set_enabled(false);
  request.mutable_update_mask()->add_paths("enabled");
  ASSERT_OK_AND_ASSIGN(const v1::Rule disabled, handlers_.Update(CallIn("acme"), request));
  EXPECT_FALSE(disabled.enabled());
  EXPECT_EQ(disabled.text(), rule.text());
  EXPECT_THAT(handlers_.Update(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(RulesInForce(), SizeIs(0));

  request.mutable_rule()->clear_etag();
  request.mutable_update_mask()->set_paths(0, "text");
  request.mutable_rule()->set_text(RuleText(2));
  EXPECT_THAT(handlers_.Update(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.mutable_update_mask()->set_paths(0, "title");
  EXPECT_THAT(handlers_.Update(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DetectionHandlersTest, ImportTellsOfEachText) {
  v1::ImportRulesRequest request;
  request.set_parent("tenants/provider");
  request.add_rules()->set_text(RuleText(1));
  auto* bad = request.add_rules();
  bad->set_source("bad.yml");
  bad->set_text(RuleText(2, "{b: c}"));
  request.add_rules()->set_text(RuleText(3));
  request.set_validate_only(true);
  ASSERT_OK_AND_ASSIGN(auto dry, handlers_.Import(CallIn("provider"), request));
  EXPECT_EQ(dry.loaded(), 2);
  request.set_validate_only(false);
  for (int round = 0; round < 2; ++round) {  // the same again changes nothing
    ASSERT_OK_AND_ASSIGN(const auto response, handlers_.Import(CallIn("provider"), request));
    EXPECT_EQ(response.loaded(), 2);
    EXPECT_EQ(response.refused(), 1);
    EXPECT_EQ(response.results(1).source(), "bad.yml");
    EXPECT_EQ(response.results(1).line(), 8);
    EXPECT_THAT(response.results(1).reason(), HasSubstr("neither text nor number"));
  }
  v1::ListRulesRequest list;
  list.set_parent("tenants/provider");
  ASSERT_OK_AND_ASSIGN(const auto rules, handlers_.List(CallIn("provider"), list));
  ASSERT_THAT(rules.rules(), SizeIs(2));
  EXPECT_EQ(rules.rules(0).title(), "Rule 1");
}

TEST_F(DetectionHandlersTest, AnImportTellsWhatIsNewAndWhichStaysRetired) {
  using Result = v1::ImportResult;
  v1::ImportRulesRequest request;
  request.set_parent("tenants/acme");
  auto* text = request.add_rules();
  text->set_source("both.yml");
  text->set_text(RuleText(1) + "---\n" + RuleText(2));
  ASSERT_OK_AND_ASSIGN(auto response, handlers_.Import(CallIn("acme"), request));
  ASSERT_THAT(response.results(), SizeIs(2));
  for (const auto& result : response.results()) {
    EXPECT_EQ(result.change(), Result::ADDED);
    EXPECT_EQ(result.state(), v1::ACTIVE);
    EXPECT_EQ(result.source(), "both.yml");
  }
  v1::UpdateRuleRequest retire;
  retire.mutable_rule()->set_name(response.results(1).rule());
  retire.mutable_update_mask()->add_paths("enabled");
  ASSERT_THAT(handlers_.Update(CallIn("acme"), retire), IsOk());
  text->set_text(RuleText(1) + "---\n" + RuleText(2) + "description: changed\n");
  for (const bool dry : {true, false}) {
    request.set_validate_only(dry);
    ASSERT_OK_AND_ASSIGN(response, handlers_.Import(CallIn("acme"), request));
    EXPECT_EQ(response.results(0).change(), Result::UNCHANGED);
    EXPECT_EQ(response.results(1).change(), Result::CHANGED) << dry;
    EXPECT_EQ(response.results(1).state(), v1::RETIRED);
  }
}

TEST_F(DetectionHandlersTest, AnImportRefusesTheSecondOfOneId) {
  v1::ImportRulesRequest request;
  request.set_parent("tenants/acme");
  for (const char* source : {"a.yml", "b.yml"}) {
    auto* text = request.add_rules();
    text->set_source(source);
    text->set_text(RuleText(1));
  }
  request.set_reason("one\ntwo");
  EXPECT_THAT(handlers_.Import(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_reason("the weekly update");
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.Import(CallIn("acme"), request));
  EXPECT_EQ(response.loaded(), 1);
  EXPECT_EQ(response.refused(), 1);
  EXPECT_THAT(response.results(1).reason(), HasSubstr("a.yml has the same id"));
}

TEST_F(DetectionHandlersTest, ALongSourceIsCutBetweenCharacters) {
  v1::ImportRulesRequest request;
  request.set_parent("tenants/acme");
  auto* text = request.add_rules();
  text->set_text(RuleText(1) + "---\n" + RuleText(2) + "---\n" + RuleText(1));
  text->set_source("a");
  for (int i = 0; i < 100'000; ++i) text->mutable_source()->append("櫓");
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.Import(CallIn("acme"), request));
  ASSERT_THAT(response.results(), SizeIs(3));
  EXPECT_THAT(response.results(2).reason(), HasSubstr("has the same id"));
  EXPECT_LT(response.ByteSizeLong(), 8'000u);
  for (const auto& result : response.results()) {
    EXPECT_EQ(result.source(), text->source().substr(0, 511));
  }
  ASSERT_OK_AND_ASSIGN(const auto rule, rules_.Get(response.results(0).rule()));
  EXPECT_EQ(rule.source(), text->source().substr(0, 511));
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(RulesInForce(), SizeIs(2));
}

TEST_F(DetectionHandlersTest, AnImportTakesOnlySoManyRules) {
  v1::ImportRulesRequest request;
  request.set_parent("tenants/acme");
  std::string thousand;
  for (int i = 0; i < 1'000; ++i) thousand += "---\na: b\n";
  for (int i = 0; i < 6; ++i) {
    auto* text = request.add_rules();
    text->set_source(fmt::format("{}.yml", i));
    text->set_text(thousand);
  }
  request.add_rules()->set_text(RuleText(1));
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.Import(CallIn("acme"), request));
  ASSERT_THAT(response.results(), SizeIs(5'002));
  EXPECT_EQ(response.refused(), 5'002);
  EXPECT_EQ(response.results(5'000).source(), "5.yml");
  EXPECT_THAT(response.results(5'000).reason(), HasSubstr("import the file by itself"));
  EXPECT_LT(response.ByteSizeLong(), 2u << 20);
}

TEST_F(DetectionHandlersTest, EarlierTextsOfARuleCanBeSeen) {
  // As an earlier release kept it.
  v1::Rule old;
  old.set_text(RuleText(1));
  ASSERT_OK_AND_ASSIGN(const auto parsed, CompleteRule(old));
  old.set_name(RuleName("acme", parsed));
  old.set_enabled(true);
  ASSERT_THAT(rules_.Create({.principal = "test"}, old), IsOk());
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  auto* text = import.add_rules();
  text->set_source("second.yml");
  for (const char* reason : {"first", "first again", "second"}) {
    import.set_reason(reason);
    text->set_text(RuleText(1) + "description: " + std::string(reason).substr(0, 5) + "\n");
    ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  }
  v1::GetRuleHistoryRequest get;
  get.set_name(old.name());
  ASSERT_OK_AND_ASSIGN(auto history, handlers_.GetHistory(CallIn("acme"), get));
  const auto reasons = [&history] {
    std::vector<std::string> all;
    for (const auto& one : history.versions()) {
      all.push_back(fmt::format("{} {}", one.number(), one.reason()));
      EXPECT_EQ(one.text(), "");
    }
    return all;
  };
  EXPECT_THAT(reasons(), ElementsAre("2 second", "1 first", "0 "));
  EXPECT_EQ(history.versions(0).changed_by(), CallIn("acme").write_context().principal);
  EXPECT_EQ(history.versions(0).source(), "second.yml");
  EXPECT_EQ(history.versions(2).version(), old.version());
  for (const std::string& wanted : {std::string("0"), old.version()}) {
    get.set_version(wanted);
    ASSERT_OK_AND_ASSIGN(history, handlers_.GetHistory(CallIn("acme"), get));
    ASSERT_THAT(history.versions(), SizeIs(1));
    EXPECT_EQ(history.versions(0).text(), old.text());
  }
  get.set_version("7");
  EXPECT_THAT(handlers_.GetHistory(CallIn("acme"), get), StatusIs(absl::StatusCode::kNotFound));
  // They outlive the rule, and one that comes back goes on behind them.
  v1::DeleteRuleRequest remove;
  remove.set_name(old.name());
  ASSERT_THAT(handlers_.Delete(CallIn("acme"), remove), IsOk());
  get.clear_version();
  ASSERT_OK_AND_ASSIGN(history, handlers_.GetHistory(CallIn("acme"), get));
  EXPECT_THAT(reasons(), ElementsAre("2 second", "1 first", "0 "));
  import.set_reason("back");
  ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  ASSERT_OK_AND_ASSIGN(history, handlers_.GetHistory(CallIn("acme"), get));
  EXPECT_THAT(reasons(), ElementsAre("3 back", "2 second", "1 first", "0 "));
}

TEST_F(DetectionHandlersTest, TheLatestTextsOfARuleAreKept) {
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  auto* text = import.add_rules();
  for (int i = 0; i < 60; ++i) {
    text->set_text(RuleText(1) + fmt::format("description: {}\n", i));
    ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  }
  v1::GetRuleHistoryRequest get;
  get.set_name("tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  ASSERT_OK_AND_ASSIGN(const auto history, handlers_.GetHistory(CallIn("acme"), get));
  ASSERT_THAT(history.versions(), SizeIs(51));  // the one in place, and 50 before it
  EXPECT_EQ(history.versions(50).number(), 10);
}

TEST_F(DetectionHandlersTest, NoTextIsLostWhereAnEarlierReleaseWroteTheRuleAnew) {
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  import.set_reason("known");
  const auto text_of = [](int i) { return RuleText(1) + fmt::format("description: {}\n", i); };
  auto* text = import.add_rules();
  const auto replace = [&](int i) {
    text->set_text(text_of(i));
    ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  };
  replace(1);
  replace(2);
  v1::DeleteRuleRequest remove;
  remove.set_name("tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  ASSERT_THAT(handlers_.Delete(CallIn("acme"), remove), IsOk());
  v1::Rule old;
  old.set_name(remove.name());
  old.set_text(text_of(3));
  ASSERT_THAT(CompleteRule(old), IsOk());
  ASSERT_THAT(rules_.Create({.principal = "test", .method = "test"}, old), IsOk());
  for (int i = 4; i < 7; ++i) replace(i);
  for (int i = 1; i < 7; ++i) {
    old.set_text(text_of(i));
    ASSERT_THAT(CompleteRule(old), IsOk());
    v1::GetRuleHistoryRequest get;
    get.set_name(old.name());
    get.set_version(old.version());
    ASSERT_OK_AND_ASSIGN(const auto history, handlers_.GetHistory(CallIn("acme"), get));
    EXPECT_EQ(history.versions(0).text(), text_of(i));
  }
}

TEST_F(DetectionHandlersTest, ATextOfAnEarlierReleaseHasNoAuthorAndComesBehindTheOthers) {
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  auto* text = import.add_rules();
  const auto text_of = [](int i) { return RuleText(1) + fmt::format("description: {}\n", i); };
  for (int i = 1; i <= 2; ++i) {
    import.set_reason(fmt::format("reason {}", i));
    text->set_text(text_of(i));
    ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  }
  // Such a release knows the text and what follows from it, and leaves the other fields alone.
  const std::string name = "tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001";
  const auto replace = [&](v1::Rule& rule) {
    rule.set_text(text_of(3));
    return CompleteRule(rule).status();
  };
  ASSERT_THAT(rules_.Mutate({.principal = "test", .method = "test"}, name, replace), IsOk());

  const auto check = [](const v1::Rule& rule) {
    EXPECT_EQ(rule.text_number(), 3);
    EXPECT_EQ(rule.text_changed_by(), "");
    EXPECT_EQ(rule.text_reason(), "");
    EXPECT_FALSE(rule.has_text_change_time());
  };
  v1::GetRuleRequest get;
  get.set_name(name);
  ASSERT_OK_AND_ASSIGN(const v1::Rule shown, handlers_.Get(CallIn("acme"), get));
  check(shown);
  v1::ListRulesRequest list;
  list.set_parent("tenants/acme");
  ASSERT_OK_AND_ASSIGN(const auto listed, handlers_.List(CallIn("acme"), list));
  ASSERT_THAT(listed.rules(), SizeIs(1));
  check(listed.rules(0));

  const auto history = [&] {
    v1::GetRuleHistoryRequest request;
    request.set_name(name);
    const auto answer = handlers_.GetHistory(CallIn("acme"), request);
    EXPECT_THAT(answer, IsOk());
    std::vector<std::string> all;
    for (const auto& one : answer->versions()) {
      all.push_back(fmt::format("{} {} {}", one.number(), one.changed_by(), one.reason()));
    }
    return all;
  };
  const std::string me = CallIn("acme").write_context().principal;
  // The second text itself is lost: that release kept none.
  EXPECT_THAT(history(), ElementsAre("3  ", fmt::format("1 {} reason 1", me)));
  import.set_reason("reason 4");
  text->set_text(text_of(4));
  ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  EXPECT_THAT(history(), ElementsAre(fmt::format("4 {} reason 4", me), "3  ",
                                     fmt::format("1 {} reason 1", me)));
}

TEST_F(DetectionHandlersTest, TextsThatAnEarlierReleaseIndexedAreKeptWithoutTheIndex) {
  store::Kind earlier = RuleVersionKind();
  earlier.indexes = {{"by_number", {}, "number"}};
  earlier.index_version = 1;
  const store::Store<v1::RuleVersion> their_store(pool_, earlier, SystemClock());
  const RuleVersions theirs(their_store);
  ASSERT_OK_AND_ASSIGN(v1::Rule rule, Create(1));
  const auto replace = [&](const RuleVersions& versions, int i) {
    ASSERT_THAT(versions.Replace(RuleText(1) + fmt::format("description: {}\n", i), {}, rule),
                IsOk());
  };
  const auto indexes = [this] {
    const auto keys = pool_->Command({"KEYS", "*rule_version#by_number*"});
    EXPECT_THAT(keys, IsOk());
    return keys->items.size();
  };
  for (int i = 1; i <= 3; ++i) replace(theirs, i);
  ASSERT_EQ(indexes(), 1);
  replace(versions_, 4);
  ASSERT_THAT(versions_.Reindex(), IsOk());
  EXPECT_EQ(indexes(), 0);
  replace(versions_, 5);
  EXPECT_EQ(indexes(), 0);
  ASSERT_OK_AND_ASSIGN(auto kept, versions_.List(rule.name()));
  EXPECT_THAT(kept, SizeIs(5));
  // An earlier release that comes back makes it anew.
  store::ListQuery by_number;
  by_number.parent = "tenants/acme";
  by_number.order_by = "number desc";
  ASSERT_OK_AND_ASSIGN(const auto page, their_store.List(by_number));
  ASSERT_THAT(page.items, SizeIs(5));
  EXPECT_EQ(page.items[0].number(), 5);
}

TEST_F(DetectionHandlersTest, TextsOfADeletedRuleGoAfterAWhile) {
  constexpr std::chrono::hours kKeep{30 * 24};
  const RuleVersionKeeper keeper(pool_, versions_, rules_, {.keep = kKeep, .instance = "test"},
                                 clock_, Logger::Null());
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  for (int number = 1; number <= 2; ++number) import.add_rules();
  for (int i = 1; i <= 12; ++i) {  // the tenth follows the ninth
    for (int number = 1; number <= 2; ++number) {
      import.mutable_rules(number - 1)
          ->set_text(RuleText(number) + fmt::format("description: {}\n", i));
    }
    ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  }
  const auto name_of = [](int number) {
    return fmt::format("tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{}", number);
  };
  const auto remove = [&] {
    v1::DeleteRuleRequest request;
    request.set_name(name_of(1));
    ASSERT_THAT(handlers_.Delete(CallIn("acme"), request), IsOk());
  };
  const auto count = [&](int number) {
    const auto kept = versions_.List(name_of(number));
    EXPECT_THAT(kept, IsOk());
    return kept.ok() ? kept->size() : 0;
  };
  const auto sweep_after = [&](std::chrono::hours time) {
    clock_->Advance(time);
    ASSERT_THAT(keeper.Sweep(), IsOk());
  };
  remove();
  sweep_after(2 * kKeep);  // seen for the first time
  sweep_after(kKeep - std::chrono::hours(1));
  EXPECT_EQ(count(1), 12);
  // One that came back and went again is kept anew.
  ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
  sweep_after(kKeep);
  ASSERT_THAT(rules_.Delete({.principal = "test", .method = "test"}, name_of(1)), IsOk());
  sweep_after(std::chrono::hours(1));
  EXPECT_EQ(count(1), 12);
  sweep_after(kKeep - std::chrono::hours(1));
  EXPECT_EQ(count(1), 12);
  sweep_after(std::chrono::hours(1));
  EXPECT_EQ(count(1), 0);
  EXPECT_EQ(count(2), 11) << "a rule that is there";
}

TEST_F(DetectionHandlersTest, TextsOfOtherRulesStandInNoHistorysWay) {
  store::Store<v1::RuleVersion> versions(pool_, RuleVersionKind(), SystemClock());
  for (int i = 0; i < 5'100; ++i) {
    v1::RuleVersion other;
    other.set_number(1'000);
    other.set_name(fmt::format("tenants/acme/rules/{}/versions/1000", i));
    ASSERT_THAT(versions.Create({.principal = "test", .method = "test"}, other), IsOk());
  }
  v1::ImportRulesRequest import;
  import.set_parent("tenants/acme");
  auto* text = import.add_rules();
  const auto replace = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      text->set_text(RuleText(1) + fmt::format("description: {}\n", i));
      ASSERT_THAT(handlers_.Import(CallIn("acme"), import), IsOk());
    }
  };
  replace(0, 2);
  v1::GetRuleHistoryRequest get;
  get.set_name("tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  ASSERT_OK_AND_ASSIGN(auto history, handlers_.GetHistory(CallIn("acme"), get));
  ASSERT_THAT(history.versions(), SizeIs(2));
  // A rule that comes back goes on behind its texts all the same, and the tenth follows the ninth.
  v1::DeleteRuleRequest remove;
  remove.set_name(get.name());
  ASSERT_THAT(handlers_.Delete(CallIn("acme"), remove), IsOk());
  replace(2, 12);
  ASSERT_OK_AND_ASSIGN(history, handlers_.GetHistory(CallIn("acme"), get));
  ASSERT_THAT(history.versions(), SizeIs(12));
  for (int i = 0; i < 12; ++i) EXPECT_EQ(history.versions(i).number(), 12 - i);
}

TEST_F(DetectionHandlersTest, DeletesARule) {
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, Create(1));
  v1::DeleteRuleRequest request;
  request.set_name(rule.name());
  EXPECT_THAT(handlers_.Delete(CallIn("acme"), request), IsOk());
  v1::GetRuleRequest get;
  get.set_name(rule.name());
  EXPECT_THAT(handlers_.Get(CallIn("acme"), get), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DetectionHandlersTest, TriesARuleOnSamples) {
  v1::TestRuleRequest request;
  request.set_parent("tenants/acme");
  request.set_text(RuleText(1));
  for (const auto* value : {"1", "2", "1"}) {
    auto* field = request.add_events()->add_fields();
    field->set_name("a");
    field->set_value(value);
  }
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.Test(CallIn("acme"), request));
  ASSERT_THAT(response.matches(), SizeIs(2));
  EXPECT_EQ(response.matches(1).event_index(), 2);
  ASSERT_THAT(response.findings(), SizeIs(1));
  EXPECT_EQ(response.findings(0).event_count(), 2U);
}

TEST_F(DetectionHandlersTest, ListsFindingsOfOneTenantOrOfAllInScope) {
  const auto put = [this](std::string_view tenant, std::string_view id,
                          event::v1::Severity severity) {
    v1::Finding finding;
    finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, id));
    finding.set_severity(severity);
    EXPECT_THAT(findings_.Create({.principal = "test", .method = "test"}, finding), IsOk());
  };
  put("acme", "one", event::v1::LOW);
  put("acme", "two", event::v1::HIGH);
  put("globex", "three", event::v1::HIGH);

  v1::ListFindingsRequest request;
  request.set_parent("tenants/acme");
  request.set_filter("severity >= HIGH");
  ASSERT_OK_AND_ASSIGN(const auto own, finding_handlers_.List(CallIn("acme"), request));
  ASSERT_THAT(own.findings(), SizeIs(1));
  EXPECT_EQ(own.findings(0).name(), "tenants/acme/findings/two");

  request.set_parent("tenants/-");
  request.clear_filter();
  const rpc::Call some =
      CallBuilder("detection.findings.list").Tenant("-").Role("viewer", {"globex"}).Build();
  ASSERT_OK_AND_ASSIGN(const auto scoped, finding_handlers_.List(some, request));
  ASSERT_THAT(scoped.findings(), SizeIs(1));
  EXPECT_EQ(scoped.findings(0).name(), "tenants/globex/findings/three");
  ASSERT_OK_AND_ASSIGN(const auto all, finding_handlers_.List(CallIn("-"), request));
  EXPECT_THAT(all.findings(), SizeIs(3));

  request.set_filter("sevrity = HIGH");
  const auto bad = finding_handlers_.List(CallIn("-"), request);
  EXPECT_THAT(std::string(Message(bad.status())), HasSubstr("position 1"));
}

TEST_F(DetectionHandlersTest, CustomersSeeNoFindingOfARuleOnTrial) {
  const store::WriteContext write{.principal = "test", .method = "test"};
  for (const bool untold : {false, true}) {
    v1::Finding finding;
    finding.set_name(fmt::format("tenants/acme/findings/{}", untold ? "untold" : "told"));
    finding.set_untold(untold);
    ASSERT_THAT(findings_.Create(write, finding), IsOk());
  }
  const auto names = [&](std::string_view role, std::string_view tenant,
                         const std::string& filter = "") {
    v1::ListFindingsRequest request;
    request.set_parent(fmt::format("tenants/{}", tenant));
    request.set_filter(filter);
    const rpc::Call call =
        CallBuilder("detection.findings.list").Tenant(tenant).Role(role, {"acme"}).Build();
    const auto list = finding_handlers_.List(call, request);
    std::vector<std::string> found;
    if (!list.ok()) return found;
    for (const auto& one : list->findings()) found.push_back(one.name());
    return found;
  };
  for (const char* tenant : {"acme", "-"}) {
    EXPECT_THAT(names("viewer", tenant), SizeIs(2)) << tenant;
    for (const char* role : {"customer-viewer", "customer-approver"}) {
      EXPECT_THAT(names(role, tenant), ElementsAre("tenants/acme/findings/told")) << tenant;
      EXPECT_THAT(names(role, tenant, "untold = true"), IsEmpty()) << tenant;
      EXPECT_THAT(names(role, tenant, "untold = true) OR (untold = true"), IsEmpty()) << tenant;
      EXPECT_THAT(names(role, tenant, "untold = false OR untold = true"), SizeIs(1)) << tenant;
    }
  }
  v1::GetFindingRequest get;
  get.set_name("tenants/acme/findings/untold");
  const auto call = [](std::string_view role) {
    return CallBuilder("detection.findings.get").Tenant("acme").Role(role, {"acme"}).Build();
  };
  EXPECT_THAT(finding_handlers_.Get(call("customer-viewer"), get),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(finding_handlers_.Get(call("viewer"), get), IsOk());
}

TEST_F(DetectionHandlersTest, LoadsTheContentFolderAndKeepsWhatPeopleDisabled) {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const auto folder = std::filesystem::path(source != nullptr ? source : ".") / "content/sigma";
  ASSERT_OK_AND_ASSIGN(const int loaded,
                       LoadContentRules(folder, rules_, versions_, Logger::Null()));
  EXPECT_GE(loaded, 24);
  const std::string name = "tenants/provider/rules/61f323ab-8266-49a4-955b-9a67730e78cf";
  ASSERT_THAT(rules_.Mutate({.principal = "test", .method = "test"}, name,
                            [](v1::Rule& rule) {
                              rule.set_enabled(false);
                              return absl::OkStatus();
                            }),
              IsOk());
  EXPECT_THAT(LoadContentRules(folder, rules_, versions_, Logger::Null()), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, rules_.Get(name));
  EXPECT_FALSE(rule.enabled());
}

TEST_F(DetectionHandlersTest, AContentFileMayHaveANameThatIsNoUtf8) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.path() / "caf\xe9.yml") << RuleText(1);
  EXPECT_THAT(LoadContentRules(folder.path(), rules_, versions_, Logger::Null()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto rule,
                       rules_.Get("tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001"));
  EXPECT_EQ(rule.source(), "caf\xef\xbf\xbd.yml");
}

TEST_F(DetectionHandlersTest, KeepsRulesOfTheContentFolderWhosePlaceholdersHaveNoValueYet) {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const auto folder = std::filesystem::path(source != nullptr ? source : ".") / "content/sigma";
  ASSERT_THAT(LoadContentRules(folder, rules_, versions_, Logger::Null()), IsOk());
  // "A server is denied to the outside again and again", of %Servers%.
  const auto rule = rules_.Get("tenants/provider/rules/a43addae-65e1-4080-bef7-60efc50bbed8");
  ASSERT_THAT(rule, IsOk());
  EXPECT_TRUE(rule->enabled());
  EXPECT_EQ(rule->kind(), v1::EVENT_COUNT);
}

class DeadLetterHandlersTest : public ::testing::Test {
 protected:
  DeadLetterHandlersTest() {
    for (const auto* tenant : {"acme", "globex", "provider"}) {
      EXPECT_THAT(store::RegisterTenant(*pool_, tenant), IsOk());
    }
  }
  static std::string BatchOf(const std::string& tenant) {
    event::BatchBuilder builder({tenant, "b1", TimePoint(std::chrono::seconds(1))});
    event::v1::Event event;
    event.set_raw("line of " + tenant);
    builder.Add(event);
    return builder.Finish();
  }
  // As a worker does with a piece of an entry.
  void GiveUp(int shard, const std::string& key, const std::string& payload) {
    stream::Producer producer(pool_, topic_, {});
    const auto id = producer.Append(shard, key, payload);
    ASSERT_THAT(id, IsOk());
    auto cursor = stream::LeasedCursor::Acquire(pool_, topic_, shard,
                                                {"detection", "one", std::chrono::minutes(1)});
    ASSERT_THAT(cursor, IsOk());
    ASSERT_THAT(
        cursor->CommitDeadPieces(*id, {{key, payload, absl::InvalidArgumentError("bad " + key)}}),
        IsOk());
  }
  static rpc::Call CallIn(std::string_view tenant) {
    return CallBuilder("detection.dead_letters.list").Tenant(tenant).Build();
  }
  v1::ListDeadLettersResponse List(std::string_view tenant, const std::string& filter = "",
                                   int page_size = 0, const std::string& token = "") {
    v1::ListDeadLettersRequest request;
    request.set_parent(fmt::format("tenants/{}", tenant));
    request.set_filter(filter);
    request.set_page_size(page_size);
    request.set_page_token(token);
    const auto response = handlers_.List(CallIn(tenant), request);
    EXPECT_THAT(response, IsOk());
    return response.value_or(v1::ListDeadLettersResponse());
  }
  static std::vector<std::string> KeysOf(const v1::ListDeadLettersResponse& response) {
    std::vector<std::string> keys;
    for (const auto& letter : response.dead_letters()) keys.push_back(letter.key());
    return keys;
  }

  testing::RedisServer redis_;
  const std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  const stream::Topic topic_{"events", 2, {"detection"}};
  DeadLetterHandlers handlers_{pool_, pool_, {topic_, stream::Topic{"hits", 2, {}}}};
};

TEST_F(DeadLetterHandlersTest, AreListedByTenantTheLatestFirstPageByPage) {
  for (int i = 0; i < 40; ++i) {
    GiveUp(i % 2, fmt::format("a{}", i), BatchOf("acme"));
    if (i % 10 == 0) GiveUp(i % 2, fmt::format("g{}", i), BatchOf("globex"));
  }
  GiveUp(0, "p", "no batch");
  EXPECT_THAT(KeysOf(List("globex")), ElementsAre("g30", "g20", "g10", "g0"));
  EXPECT_THAT(KeysOf(List("provider")), ElementsAre("p"));
  std::vector<std::string> keys;
  std::string token;
  do {
    const auto page = List("acme", "", 7, token);
    EXPECT_LE(page.dead_letters_size(), 7);
    for (auto& key : KeysOf(page)) keys.push_back(std::move(key));
    token = page.next_page_token();
  } while (!token.empty());
  ASSERT_THAT(keys, SizeIs(40));
  EXPECT_EQ(std::set<std::string>(keys.begin(), keys.end()).size(), 40U);
  EXPECT_EQ(keys[0], "a39");
  EXPECT_EQ(keys[39], "a0");
  EXPECT_THAT(KeysOf(List("acme", "key = \"a17\"")), ElementsAre("a17"));
  EXPECT_THAT(KeysOf(List("acme", "\"bad a17\" reader = detection")), ElementsAre("a17"));
}

TEST_F(DeadLetterHandlersTest, OneIsShownAndDeletedInItsTenantAlone) {
  GiveUp(1, "b1-7", BatchOf("acme"));
  const auto listed = List("acme");
  ASSERT_EQ(listed.dead_letters_size(), 1);
  const std::string name = listed.dead_letters(0).name();
  EXPECT_THAT(name, ::testing::StartsWith("tenants/acme/deadLetters/events-1-"));
  v1::GetDeadLetterRequest get;
  get.set_name(name);
  const auto letter = handlers_.Get(CallIn("acme"), get);
  ASSERT_THAT(letter, IsOk());
  EXPECT_EQ(letter->error(), "INVALID_ARGUMENT: bad b1-7");
  EXPECT_EQ(letter->reader(), "detection");
  ASSERT_EQ(letter->events_size(), 1);
  EXPECT_EQ(letter->events(0).id(), "b1-7");
  EXPECT_EQ(letter->events(0).raw(), "line of acme");
  const std::string foreign = "tenants/globex" + name.substr(name.find("/deadLetters"));
  for (const std::string& other : {foreign, name + "1", std::string("tenants/acme/things/x"),
                                   std::string("tenants/acme/deadLetters/events-9-1-1"),
                                   std::string("tenants/acme/deadLetters/findings-0-1-1")}) {
    get.set_name(other);
    EXPECT_THAT(handlers_.Get(CallIn("acme"), get), StatusIs(absl::StatusCode::kNotFound));
    v1::DeleteDeadLetterRequest remove;
    remove.set_name(other);
    EXPECT_THAT(handlers_.Delete(CallIn("acme"), remove), StatusIs(absl::StatusCode::kNotFound));
  }
  v1::DeleteDeadLetterRequest remove;
  remove.set_name(name);
  EXPECT_THAT(handlers_.Delete(CallIn("acme"), remove), IsOk());
  EXPECT_THAT(handlers_.Delete(CallIn("acme"), remove), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(List("acme").dead_letters_size(), 0);
}

TEST_F(DeadLetterHandlersTest, RefusesWhatItDoesNotKnow) {
  v1::ListDeadLettersRequest request;
  request.set_parent("tenants/acme");
  request.set_filter("colour = blue");
  EXPECT_THAT(handlers_.List(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_filter("");
  request.set_order_by("error");
  EXPECT_THAT(handlers_.List(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_order_by("");
  request.set_page_token("nonsense");
  EXPECT_THAT(handlers_.List(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

v1::UpdatePlaceholderRequest PlaceholderRequest(std::string_view tenant, std::string_view id,
                                                const std::vector<std::string>& values) {
  v1::UpdatePlaceholderRequest request;
  request.mutable_placeholder()->set_name(fmt::format("tenants/{}/placeholders/{}", tenant, id));
  for (const auto& value : values) request.mutable_placeholder()->add_values(value);
  request.set_allow_missing(true);
  return request;
}

TEST_F(DetectionHandlersTest, ARuleWithAPlaceholderIsTakenOnceThatHasValues) {
  v1::CreateRuleRequest request;
  request.set_parent("tenants/provider");
  request.mutable_rule()->set_enabled(true);
  request.mutable_rule()->set_text(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlogsource: {product: acme}\n"
      "detection: {s: {user|expand: '%Admin_Users%'}, condition: s}\n");
  EXPECT_THAT(handlers_.Create(CallIn("provider"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("acme"), PlaceholderRequest("acme", "admin-users", {"eve"})),
              IsOk());
  // Of any tenant: for the others it is not in force.
  ASSERT_THAT(handlers_.Create(CallIn("provider"), request), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(1));
  EXPECT_EQ(rules[0].tenant, "acme");
  // Other values are another rule set.
  const std::string before = book_->latest_version();
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("acme"), PlaceholderRequest("acme", "admin-users", {"eve", "bob"})),
              IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_NE(book_->latest_version(), before);
  v1::DeletePlaceholderRequest gone;
  gone.set_name("tenants/acme/placeholders/admin-users");
  ASSERT_THAT(tuning_handlers_.DeletePlaceholder(CallIn("acme"), gone), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(RulesInForce(), ::testing::IsEmpty());
}

TEST_F(DetectionHandlersTest, RefusesPlaceholdersThatCannotBe) {
  const auto refused = [this](const v1::UpdatePlaceholderRequest& request) {
    return tuning_handlers_.UpdatePlaceholder(CallIn("acme"), request).status().code();
  };
  EXPECT_EQ(refused(PlaceholderRequest("acme", "a", {})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused(PlaceholderRequest("acme", "a", {""})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused(PlaceholderRequest("acme", "a", {std::string(513, 'x')})),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused(PlaceholderRequest("acme", "a", {"x\ny"})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused(PlaceholderRequest("acme", "Not_An_Id", {"x"})),
            absl::StatusCode::kInvalidArgument);
  auto missing = PlaceholderRequest("acme", "a", {"x"});
  missing.set_allow_missing(false);
  EXPECT_EQ(refused(missing), absl::StatusCode::kNotFound);
  auto stale = PlaceholderRequest("acme", "a", {"x"});
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(CallIn("acme"), stale), IsOk());
  stale.mutable_placeholder()->set_etag("stale");
  EXPECT_EQ(refused(stale), absl::StatusCode::kAborted);
}

v1::UpdateRuleTuningRequest TuningRequest(std::string_view tenant, int rule) {
  v1::UpdateRuleTuningRequest request;
  request.mutable_rule_tuning()->set_name(
      fmt::format("tenants/{}/ruleTunings/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{}", tenant, rule));
  request.set_allow_missing(true);
  return request;
}

TEST_F(DetectionHandlersTest, WhatWasAgreedTakesEffectWithTheNextRuleSet) {
  ASSERT_THAT(Create(1, "provider"), IsOk());
  auto request = TuningRequest("acme", 1);
  request.mutable_rule_tuning()->set_severity(event::v1::LOW);
  request.mutable_rule_tuning()->set_reason("agreed on 2026-11-23");
  ASSERT_OK_AND_ASSIGN(const auto tuning, tuning_handlers_.UpdateTuning(CallIn("acme"), request));
  EXPECT_EQ(tuning.title(), "Rule 1");
  ASSERT_THAT(book_->Reload(), IsOk());
  auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(2));
  EXPECT_EQ(rules[0].rule->info().severity, 4);
  EXPECT_THAT(rules[0].except, ElementsAre("acme"));
  EXPECT_EQ(rules[1].rule->info().severity, 2);
  v1::ListRuleTuningsRequest list;
  list.set_parent("tenants/acme");
  ASSERT_OK_AND_ASSIGN(const auto page, tuning_handlers_.ListTunings(CallIn("acme"), list));
  ASSERT_THAT(page.rule_tunings(), SizeIs(1));
  EXPECT_EQ(page.rule_tunings(0).reason(), "agreed on 2026-11-23");
  // Another reason is not another rule set.
  const std::string before = book_->latest_version();
  request.mutable_rule_tuning()->set_reason("agreed again");
  ASSERT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), request), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_EQ(book_->latest_version(), before);
  request.mutable_rule_tuning()->set_match(v1::RuleTuning::OFF);
  ASSERT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), request), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(RulesInForce(), SizeIs(1));
}

TEST_F(DetectionHandlersTest, ATenantMayHaveARuleThatIsDisabledForOthers) {
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, Create(1, "provider"));
  v1::UpdateRuleRequest disable;
  disable.mutable_rule()->set_name(rule.name());
  disable.mutable_update_mask()->add_paths("enabled");
  ASSERT_THAT(handlers_.Update(CallIn("provider"), disable), IsOk());
  auto request = TuningRequest("acme", 1);
  request.mutable_rule_tuning()->set_match(v1::RuleTuning::ON);
  ASSERT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), request), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  const auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(1));
  EXPECT_EQ(rules[0].tenant, "acme");
}

TEST_F(DetectionHandlersTest, RefusesTuningsThatTheRuleCannotKeep) {
  ASSERT_THAT(Create(1, "provider"), IsOk());
  auto request = TuningRequest("acme", 1);
  request.mutable_rule_tuning()->set_count(3);
  EXPECT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), TuningRequest("acme", 2)),
              StatusIs(absl::StatusCode::kNotFound));
  request = TuningRequest("acme", 1);
  request.mutable_rule_tuning()->mutable_timespan()->set_seconds(0);
  EXPECT_THAT(tuning_handlers_.UpdateTuning(CallIn("acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DetectionHandlersTest, ATuningIsToldNothingOfAnotherTenantsPlaceholders) {
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("beta"), PlaceholderRequest("beta", "nets", {"10.0.0.0/8"})),
              IsOk());
  v1::CreateRuleRequest rule;
  rule.set_parent("tenants/provider");
  rule.mutable_rule()->set_enabled(true);
  rule.mutable_rule()->set_text(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlogsource: {product: acme}\n"
      "detection: {s: {src_ip|cidr|expand: '%nets%'}, condition: s}\n");
  ASSERT_THAT(handlers_.Create(CallIn("provider"), rule), IsOk());
  KeepBadNets("beta");
  auto request = TuningRequest("acme", 1);
  request.mutable_rule_tuning()->set_count(3);
  const auto refused = tuning_handlers_.UpdateTuning(CallIn("acme"), request).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(refused.ToString().find("10.9"), std::string::npos) << refused;
}

constexpr std::string_view kFromNets =
    "title: From our networks\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
    "logsource: {product: acme}\n"
    "detection: {s: {src_ip|cidr|expand: '%nets%'}, condition: s}\n";

TEST_F(DetectionHandlersTest, RefusesAValueThatDoesNotFitARuleInForce) {
  const auto set = [this](const char* tenant, const std::vector<std::string>& values) {
    return tuning_handlers_
        .UpdatePlaceholder(CallIn(tenant), PlaceholderRequest(tenant, "nets", values))
        .status();
  };
  ASSERT_THAT(set("provider", {"10.0.0.0/8"}), IsOk());
  ASSERT_THAT(set("acme", {"anything"}), IsOk());  // nobody asks for networks yet
  v1::CreateRuleRequest rule;
  rule.set_parent("tenants/provider");
  rule.mutable_rule()->set_enabled(true);
  rule.mutable_rule()->set_text(std::string(kFromNets));
  ASSERT_THAT(handlers_.Create(CallIn("provider"), rule), IsOk());
  const auto refused = set("acme", {"192.0.2.0/24", "10.9.0.0/33"});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument, "INVALID_FIELD"));
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("placeholder.values[1]: does not fit rule "
                                                       "\"From our networks\""));
  EXPECT_THAT(set("provider", {"many"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(set("acme", {"192.0.2.0/24", "10.9.0.0/31"}), IsOk());
}

TEST_F(DetectionHandlersTest, WhatOneTenantSetBlocksNoRuleOfTheProviderAndIsNotTold) {
  KeepBadNets("globex");
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("acme"), PlaceholderRequest("acme", "nets", {"192.0.2.0/24"})),
              IsOk());
  v1::CreateRuleRequest create;
  create.set_parent("tenants/provider");
  create.mutable_rule()->set_enabled(true);
  create.mutable_rule()->set_text(std::string(kFromNets));
  ASSERT_OK_AND_ASSIGN(const auto rule, handlers_.Create(CallIn("provider"), create));
  v1::UpdateRuleRequest update;
  *update.mutable_rule() = rule;
  update.mutable_update_mask()->add_paths("text");
  EXPECT_THAT(handlers_.Update(CallIn("provider"), update), IsOk());
  v1::ImportRulesRequest import;
  import.set_parent("tenants/provider");
  import.add_rules()->set_text(std::string(kFromNets));
  ASSERT_OK_AND_ASSIGN(const auto imported, handlers_.Import(CallIn("provider"), import));
  EXPECT_EQ(imported.refused(), 0);
  v1::TestRuleRequest test;
  test.set_parent("tenants/provider");
  test.set_text(std::string(kFromNets));
  EXPECT_THAT(handlers_.Test(CallIn("provider"), test), IsOk());
  // It is in force where the values fit.
  ASSERT_THAT(book_->Reload(), IsOk());
  const auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(1));
  EXPECT_EQ(rules[0].tenant, "acme");
  // A name that nobody has set is refused as ever, and the provider's own values are looked at.
  create.mutable_rule()->set_text(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlogsource: {product: acme}\n"
      "detection: {s: {user|expand: '%unheard%'}, condition: s}\n");
  EXPECT_THAT(handlers_.Create(CallIn("provider"), create),
              StatusIs(absl::StatusCode::kInvalidArgument));
  KeepBadNets("provider");
  const auto refused = handlers_.Update(CallIn("provider"), update).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(refused.ToString().find("10.9"), std::string::npos) << refused;
}

TEST_F(DetectionHandlersTest, TheProviderMaySwitchADisabledRuleOnForAll) {
  ASSERT_OK_AND_ASSIGN(const v1::Rule rule, Create(1, "provider"));
  v1::UpdateRuleRequest disable;
  disable.mutable_rule()->set_name(rule.name());
  disable.mutable_update_mask()->add_paths("enabled");
  ASSERT_THAT(handlers_.Update(CallIn("provider"), disable), IsOk());
  for (const auto* tenant : {"provider", "acme"}) {
    auto request = TuningRequest(tenant, 1);
    request.mutable_rule_tuning()->set_match(v1::RuleTuning::ON);
    ASSERT_THAT(tuning_handlers_.UpdateTuning(CallIn(tenant), request), IsOk());
  }
  auto off = TuningRequest("globex", 1);
  off.mutable_rule_tuning()->set_match(v1::RuleTuning::OFF);
  ASSERT_THAT(tuning_handlers_.UpdateTuning(CallIn("globex"), off), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  const auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(2));
  EXPECT_EQ(rules[0].tenant, "");
  EXPECT_THAT(rules[0].except, ElementsAre("acme", "globex"));
  EXPECT_EQ(rules[1].tenant, "acme");
}

TEST_F(DetectionHandlersTest, WhatATenantSetsIsBoundedAltogether) {
  const std::vector<std::string> many(1000, std::string(500, 'x'));
  const auto set = [&](const std::string& id) {
    return tuning_handlers_.UpdatePlaceholder(CallIn("acme"), PlaceholderRequest("acme", id, many))
        .status();
  };
  EXPECT_THAT(set("a"), IsOk());
  EXPECT_THAT(set("b"), IsOk());
  EXPECT_THAT(set("c"), StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY"));
  EXPECT_THAT(set("b"), IsOk());  // takes its own place
}

TEST_F(DetectionHandlersTest, WhatIsNotInForceIsLoggedOnceWithItsRuleAndTenant) {
  const auto file = redis_.folder() / "log";
  MetricsRegistry metrics;
  RuleBook book(rules_, pool_,
                std::make_shared<RuleSetStore>(pool_, stream::Topic{"events", 2, {}}, "detection"),
                metrics, Logger::ToFile(file.string()));
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("provider"), PlaceholderRequest("provider", "nets", {"10.0.0.0/8"})),
              IsOk());
  v1::CreateRuleRequest create;
  create.set_parent("tenants/provider");
  create.mutable_rule()->set_enabled(true);
  create.mutable_rule()->set_text(
      "title: Ours\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00f\nlogsource: {product: acme}\n"
      "filter: {rules: any, selection: {src_ip|cidr|expand: '%nets%'}, condition: not "
      "selection}\n");
  ASSERT_THAT(handlers_.Create(CallIn("provider"), create), IsOk());
  KeepBadNets("acme");
  for (int number = 1; number <= 4; ++number) {
    ASSERT_THAT(Create(number, "provider"), IsOk());
    ASSERT_THAT(book.Reload(), IsOk());
  }
  std::ifstream in(file);
  std::vector<std::string> told;
  for (std::string line; std::getline(in, line);) {
    if (line.find("rule not in force") != std::string::npos) told.push_back(line);
  }
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_THAT(told[0], HasSubstr("\"tenant\":\"acme\""));
  EXPECT_THAT(told[0], HasSubstr("\"title\":\"Ours\""));
  EXPECT_THAT(told[0], HasSubstr("4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00f"));
  EXPECT_EQ(told[0].find("10.9"), std::string::npos);
}

TEST_F(DetectionHandlersTest, WhatCannotBeReadStopsNoOtherRuleAndIsTold) {
  const auto file = redis_.folder() / "log";
  MetricsRegistry metrics;
  RuleBook book(rules_, pool_,
                std::make_shared<RuleSetStore>(pool_, stream::Topic{"events", 2, {}}, "detection"),
                metrics, Logger::ToFile(file.string()));
  ASSERT_THAT(Create(1), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Rule broken, Create(2));
  ASSERT_THAT(Create(3, "globex"), IsOk());
  ASSERT_THAT(tuning_handlers_.UpdatePlaceholder(
                  CallIn("acme"), PlaceholderRequest("acme", "nets", {"10.0.0.0/8"})),
              IsOk());
  const auto overwrite = [this](const store::Kind& kind, std::string_view id) {
    const std::string key = store::DataKey(kind, "acme", id);
    ASSERT_OK_AND_ASSIGN(const auto there, pool_->Command({"EXISTS", key}));
    ASSERT_EQ(there.integer, 1) << key;
    ASSERT_THAT(pool_->Command({"SET", key, "secret words"}), IsOk());
  };
  const std::string id(store::LastId(broken.name()));
  overwrite(RuleResourceKind(), id);
  overwrite(PlaceholderKind(), "nets");

  for (int round = 0; round < 2; ++round) ASSERT_THAT(book.Reload(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto set, book.Load(book.latest_version()));
  EXPECT_THAT(set->entries(), SizeIs(2));
  const std::string placeholder = "tenants/acme/placeholders/nets";
  EXPECT_THAT(book.unreadable(), ElementsAre(placeholder, broken.name()));
  EXPECT_THAT(metrics.Render(), HasSubstr("\nyagura_detection_rules_unreadable 2\n"));
  std::ifstream in(file);
  std::vector<std::string> told;
  for (std::string line; std::getline(in, line);) {
    EXPECT_EQ(line.find("secret"), std::string::npos) << line;
    if (line.find("cannot be read") != std::string::npos) told.push_back(line);
  }
  EXPECT_THAT(told, ElementsAre(HasSubstr(placeholder), HasSubstr(broken.name())));

  ASSERT_THAT(book_->Reload(), IsOk());
  v1::ListRulesRequest list;
  list.set_parent("tenants/acme");
  ASSERT_OK_AND_ASSIGN(auto listed, handlers_.List(CallIn("acme"), list));
  EXPECT_THAT(listed.rules(), SizeIs(1));
  EXPECT_THAT(listed.unreadable(), ElementsAre(placeholder, broken.name()));
  list.set_parent("tenants/globex");
  ASSERT_OK_AND_ASSIGN(listed, handlers_.List(CallIn("globex"), list));
  EXPECT_THAT(listed.rules(), SizeIs(1));
  EXPECT_THAT(listed.unreadable(), IsEmpty());

  // Once it was taken away, the rule can be made anew.
  ASSERT_THAT(pool_->Command({"DEL", store::DataKey(RuleResourceKind(), "acme", id)}), IsOk());
  ASSERT_THAT(Create(2), IsOk());
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_THAT(book_->unreadable(), ElementsAre(placeholder));
  EXPECT_THAT(RulesInForce(), SizeIs(3));
}

TEST_F(DetectionHandlersTest, AContentRuleThatIsKeptUnreadableStopsNoOther) {
  const auto folder = redis_.folder() / "content";
  std::filesystem::create_directory(folder);
  for (int number = 1; number <= 2; ++number) {
    std::ofstream(folder / fmt::format("{}.yml", number)) << RuleText(number);
  }
  ASSERT_OK_AND_ASSIGN(int loaded, LoadContentRules(folder, rules_, versions_, Logger::Null()));
  EXPECT_EQ(loaded, 2);
  const std::string key =
      store::DataKey(RuleResourceKind(), "provider", "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  ASSERT_THAT(pool_->Command({"SET", key, "broken"}), IsOk());
  ASSERT_OK_AND_ASSIGN(loaded, LoadContentRules(folder, rules_, versions_, Logger::Null()));
  EXPECT_EQ(loaded, 1);
}

TEST_F(DetectionHandlersTest, AFilterIsAResourceLikeARule) {
  ASSERT_THAT(Create(1, "provider"), IsOk());
  v1::CreateRuleRequest request;
  request.set_parent("tenants/acme");
  request.mutable_rule()->set_enabled(true);
  request.mutable_rule()->set_text(
      "title: F\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00f\nlogsource: {product: acme}\n"
      "filter: {rules: any, selection: {user: eve}, condition: not selection}\n");
  ASSERT_OK_AND_ASSIGN(const v1::Rule filter, handlers_.Create(CallIn("acme"), request));
  EXPECT_EQ(filter.kind(), v1::FILTER);
  ASSERT_THAT(book_->Reload(), IsOk());
  const auto rules = RulesInForce();
  ASSERT_THAT(rules, SizeIs(2));
  EXPECT_EQ(rules[1].tenant, "acme");
  v1::TestRuleRequest test;
  test.set_parent("tenants/acme");
  test.set_text(request.rule().text());
  EXPECT_THAT(handlers_.Test(CallIn("acme"), test), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DetectionHandlersTest, ARuleGoesThroughItsLife) {
  ASSERT_OK_AND_ASSIGN(const auto created, Create(1));
  EXPECT_EQ(created.state(), v1::ACTIVE);
  ASSERT_THAT(SetState(1, "acme", v1::TEST, "too many"), IsOk());
  EXPECT_EQ(Told("acme"), false);
  ASSERT_THAT(SetState(1, "acme", v1::DRAFT), IsOk());
  EXPECT_EQ(Told("acme"), std::nullopt);
  ASSERT_OK_AND_ASSIGN(const auto active, SetState(1, "acme", v1::ACTIVE, "agreed"));
  EXPECT_EQ(Told("acme"), true);
  EXPECT_TRUE(active.enabled());
  EXPECT_EQ(active.state_reason(), "agreed");
  EXPECT_FALSE(active.state_changed_by().empty());
  EXPECT_THAT(SetState(1, "acme", v1::ACTIVE),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RULE_STATE"));
  ASSERT_OK_AND_ASSIGN(const auto retired, SetState(1, "acme", v1::RETIRED));
  EXPECT_FALSE(retired.enabled());
  EXPECT_EQ(Told("acme"), std::nullopt);
  EXPECT_THAT(SetState(1, "acme", v1::MUTED, "noise", std::chrono::hours(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RULE_STATE"));
  EXPECT_THAT(SetState(2, "acme", v1::RETIRED).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DetectionHandlersTest, AMutedRuleComesBackByItself) {
  ASSERT_THAT(Create(1), IsOk());
  for (const auto& [reason, hours] : std::vector<std::pair<std::string, int>>{
           {"", 1}, {"noise", 0}, {"noise", 24 * 91}, {"a\nb", 1}}) {
    EXPECT_THAT(SetState(1, "acme", v1::MUTED, reason, std::chrono::hours(hours)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << reason << " " << hours;
  }
  ASSERT_OK_AND_ASSIGN(const auto muted,
                       SetState(1, "acme", v1::MUTED, "noise", std::chrono::hours(2)));
  EXPECT_EQ(muted.state(), v1::MUTED);
  EXPECT_TRUE(muted.enabled());
  EXPECT_EQ(Told("acme"), false);
  clock_->Advance(std::chrono::minutes(119));
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_EQ(Told("acme"), false);
  clock_->Advance(std::chrono::minutes(1));
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_EQ(Told("acme"), true);
  ASSERT_OK_AND_ASSIGN(const auto after, rules_.Get(muted.name()));
  EXPECT_EQ(after.state(), v1::ACTIVE);
  EXPECT_EQ(after.state_changed_by(), "services/detection");
  EXPECT_FALSE(after.has_mute_expire_time());
}

TEST_F(DetectionHandlersTest, AProvidersRuleIsMutedForOneTenant) {
  ASSERT_THAT(Create(1, "provider"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto muted,
                       SetState(1, "acme", v1::MUTED, "noise", std::chrono::hours(2)));
  EXPECT_EQ(muted.name(), "tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  EXPECT_EQ(muted.state(), v1::MUTED);
  EXPECT_EQ(Told("acme"), false);
  EXPECT_EQ(Told("globex"), true);
  ASSERT_OK_AND_ASSIGN(const auto kept, rules_.Get(muted.name()));
  EXPECT_EQ(kept.state(), v1::ACTIVE);
  clock_->Advance(std::chrono::hours(3));
  ASSERT_THAT(book_->Reload(), IsOk());
  EXPECT_EQ(Told("acme"), true);
  // A rule that is a draft for all may be on trial with one.
  ASSERT_THAT(SetState(1, "provider", v1::RETIRED), IsOk());
  EXPECT_EQ(Told("acme"), std::nullopt);
  ASSERT_THAT(SetState(1, "acme", v1::TEST), IsOk());
  EXPECT_EQ(Told("acme"), false);
  EXPECT_EQ(Told("globex"), std::nullopt);
}

}  // namespace
}  // namespace yagura::detection
