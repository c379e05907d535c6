// Which rules in force can match, over real Redis and an archive of our own.
#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/store.h"
#include "common/testing/call_builder.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/detection/api/rule_coverage_handlers.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/storage/rule_set_store.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using yagura::testing::CallBuilder;
using yagura::testing::IsOk;
using yagura::testing::StatusIs;

// A tenant that sends the traffic of a firewall, and now and then a field that the latest events
// lack.
class Look final : public LogLook {
 public:
  absl::StatusOr<Shapes> ShapesOf(const rpc::Call& call, const Range&) override {
    ++looks;
    if (call.tenant() != "acme") return Shapes();
    return Shapes{{{"acme.firewall", "traffic", "", "", 5000}}, true, 5000};
  }
  absl::StatusOr<uint64_t> Count(const rpc::Call&, const Range&, const std::string&) override {
    return 0;
  }
  absl::StatusOr<std::vector<event::v1::Event>> Sample(const rpc::Call&, const Range&,
                                                       const std::string&, int most) override {
    event::v1::Event event;
    event.set_product("acme.firewall");
    event.mutable_dst()->set_port(443);
    auto& field = *event.add_fields();
    field.set_name("often");
    field.set_value("1");
    return std::vector<event::v1::Event>(static_cast<size_t>(most), event);
  }
  absl::StatusOr<std::set<std::string>> Present(const rpc::Call&, const Range&, const std::string&,
                                                const std::vector<std::string>& paths) override {
    std::set<std::string> present;
    for (const auto& path : paths) {
      asked.insert(path);
      if (path == "fields.seldom") present.insert(path);
    }
    return present;
  }

  int looks = 0;
  std::set<std::string> asked;
};

class RuleCoverageTest : public ::testing::Test {
 protected:
  RuleCoverageTest()
      : pool_(redis_.NewPool()),
        rules_(pool_, RuleResourceKind(), SystemClock()),
        book_(std::make_shared<RuleBook>(
            rules_, pool_,
            std::make_shared<RuleSetStore>(pool_, stream::Topic{"events", 2, {}}, "detection"),
            metrics_, Logger::Null())),
        handlers_(rules_, book_, look_, SystemClock()) {
    for (const auto* tenant : {"acme", "globex", "provider"}) {
      EXPECT_THAT(store::RegisterTenant(*pool_, tenant), IsOk());
    }
    Add("provider", 1, "firewall", "often");
    Add("provider", 2, "firewall", "seldom");
    Add("provider", 3, "firewall", "never");
    Add("provider", 4, "mailserver", "often");
    Add("acme", 5, "firewall", "dst_port");
    Add("globex", 6, "firewall", "often");
    Add("acme", 7, "firewall", "@product");
    EXPECT_THAT(book_->Reload(), IsOk());
  }

  void Add(const std::string& tenant, int number, const std::string& product,
           const std::string& field) {
    v1::Rule rule;
    rule.set_text(
        fmt::format("title: '{1} of {2}'\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{0}\n"
                    "level: high\ntags: [attack.t1110]\nlogsource:\n  product: {2}\n"
                    "detection:\n  s:\n    '{1}': 1\n  condition: s\n",
                    number, field, product));
    rule.set_enabled(true);
    rule.set_state(v1::ACTIVE);
    const auto parsed = CompleteRule(rule);
    ASSERT_THAT(parsed, IsOk());
    rule.set_name(RuleName(tenant, *parsed));
    ASSERT_THAT(rules_.Create({.principal = "test", .method = "test"}, rule), IsOk());
  }
  static rpc::Call CallIn(const std::string& tenant) {
    return CallBuilder("detection.rule_coverage.list").Tenant(tenant).Role("viewer").Build();
  }
  static v1::ListRuleCoverageRequest Request(const std::string& tenant) {
    v1::ListRuleCoverageRequest request;
    request.set_parent("tenants/" + tenant);
    return request;
  }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> pool_;
  store::Store<v1::Rule> rules_;
  MetricsRegistry metrics_;
  std::shared_ptr<RuleBook> book_;
  std::shared_ptr<Look> look_ = std::make_shared<Look>();
  RuleCoverageHandlers handlers_;
};

TEST_F(RuleCoverageTest, TellsOfEachRuleInForceForTheTenant) {
  const auto answer = handlers_.List(CallIn("acme"), Request("acme"));
  ASSERT_THAT(answer, IsOk());
  std::map<std::string, v1::RuleCoverageLevel> levels;
  for (const auto& one : answer->rule_coverages()) levels[one.title()] = one.level();
  EXPECT_THAT(levels, ElementsAre(std::pair("@product of firewall", v1::NO_SOURCE),
                                  std::pair("dst_port of firewall", v1::COVERED),
                                  std::pair("never of firewall", v1::PARTLY_COVERED),
                                  std::pair("often of firewall", v1::COVERED),
                                  std::pair("often of mailserver", v1::NO_SOURCE),
                                  std::pair("seldom of firewall", v1::COVERED)));
  EXPECT_EQ(answer->rule_coverages(0).rule(),
            "tenants/acme/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c005");
  EXPECT_EQ(answer->rule_coverages(2).rule(),
            "tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  EXPECT_EQ(answer->covered_count(), 3);
  EXPECT_EQ(answer->partly_count(), 1);
  EXPECT_EQ(answer->no_source_count(), 2);
  EXPECT_EQ(answer->event_count(), 5000u);
  // What the latest events have is not asked for.
  EXPECT_THAT(look_->asked, ElementsAre("fields.never", "fields.seldom"));
}

TEST_F(RuleCoverageTest, PagesAndFiltersWithoutLookingAgain) {
  auto request = Request("acme");
  request.set_page_size(2);
  request.set_filter("level = COVERED");
  std::vector<std::string> titles;
  do {
    const auto page = handlers_.List(CallIn("acme"), request);
    ASSERT_THAT(page, IsOk());
    EXPECT_EQ(page->covered_count(), 3);
    EXPECT_EQ(page->no_source_count(), 0);
    for (const auto& one : page->rule_coverages()) titles.push_back(one.title());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(titles, SizeIs(3));
  EXPECT_EQ(look_->looks, 1);
}

TEST_F(RuleCoverageTest, ATenantThatSendsNothingHasNoSource) {
  const auto answer = handlers_.List(CallIn("globex"), Request("globex"));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->no_source_count(), 5);
  v1::ListTechniqueCoverageRequest request;
  request.set_parent("tenants/globex");
  const auto techniques = handlers_.ListTechniques(CallIn("globex"), request);
  ASSERT_THAT(techniques, IsOk());
  ASSERT_THAT(techniques->technique_coverages(), SizeIs(1));
  EXPECT_EQ(techniques->technique_coverages(0).technique(), "T1110");
  EXPECT_EQ(techniques->technique_coverages(0).level(), v1::NO_SOURCE);
}

TEST_F(RuleCoverageTest, WhatIsWrongIsInvalidArgument) {
  const auto refused = [&](const std::string& tenant,
                           const std::function<void(v1::ListRuleCoverageRequest&)>& change) {
    auto request = Request(tenant);
    change(request);
    EXPECT_THAT(handlers_.List(CallIn(tenant), request).status(),
                StatusIs(absl::StatusCode::kInvalidArgument));
  };
  refused("-", [](auto&) {});
  refused("acme", [](auto& request) { request.set_days(91); });
  refused("acme", [](auto& request) { request.set_page_size(-1); });
  refused("acme", [](auto& request) { request.set_filter("no_such_field = 1"); });
  refused("acme", [](auto& request) { request.set_page_token("garbage"); });
}

}  // namespace
}  // namespace yagura::detection
