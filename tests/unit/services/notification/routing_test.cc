#include "services/notification/domain/routing.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::notification {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::Contact ContactOf(const std::string& id, const std::string& email, const std::string& url) {
  v1::Contact contact;
  contact.set_name("tenants/acme/contacts/" + id);
  contact.set_email(email);
  contact.set_webhook_url(url);
  return contact;
}

v1::Route RouteTo(const std::vector<std::string>& ids) {
  v1::Route route;
  for (const std::string& id : ids) route.add_contacts("tenants/acme/contacts/" + id);
  return route;
}

class RoutingTest : public ::testing::Test {
 protected:
  RoutingTest() {
    alert_.set_severity(event::v1::HIGH);
    alert_.set_rule_id("rule-1");
    alert_.set_site("tokyo");
    alert_.set_device("fw-1");
    alert_.add_tags("attack.t1110");
  }
  v1::Alert alert_;
  std::vector<v1::Contact> contacts_ = {
      ContactOf("alice", "alice@example.com", ""),
      ContactOf("pager", "", "https://pager.example.com/hook?token=secret"),
      ContactOf("both", "both@example.com", "http://both.example.com/")};
};

TEST_F(RoutingTest, ARouteFitsAtItsSeverityAndAbove) {
  v1::Route route = RouteTo({"alice"});
  EXPECT_TRUE(Fits(route, alert_));
  route.set_min_severity(event::v1::HIGH);
  EXPECT_TRUE(Fits(route, alert_));
  route.set_min_severity(event::v1::CRITICAL);
  EXPECT_FALSE(Fits(route, alert_));
}

TEST_F(RoutingTest, EveryConditionMustHoldAndAnyOfItsValuesWill) {
  v1::Route route = RouteTo({"alice"});
  route.add_rule_ids("rule-0");
  EXPECT_FALSE(Fits(route, alert_));
  route.add_rule_ids("rule-1");
  EXPECT_TRUE(Fits(route, alert_));
  route.add_tags("attack.t1110");
  EXPECT_TRUE(Fits(route, alert_));
  route.add_sites("osaka");
  EXPECT_FALSE(Fits(route, alert_));
  route.add_sites("tokyo");
  route.add_devices("fw-2");
  EXPECT_FALSE(Fits(route, alert_));
}

TEST_F(RoutingTest, ADisabledRouteFitsNothing) {
  v1::Route route = RouteTo({"alice"});
  route.set_disabled(true);
  EXPECT_FALSE(Fits(route, alert_));
}

TEST_F(RoutingTest, EachContactIsToldOnceByAChannelWhateverTheNumberOfRoutes) {
  const auto targets =
      Targets({RouteTo({"alice", "both"}), RouteTo({"both", "alice", "gone"})}, contacts_, alert_);
  EXPECT_THAT(
      targets,
      ElementsAre(Target{"tenants/acme/contacts/alice", v1::EMAIL, "alice@example.com"},
                  Target{"tenants/acme/contacts/both", v1::EMAIL, "both@example.com"},
                  Target{"tenants/acme/contacts/both", v1::WEBHOOK, "http://both.example.com/"}));
}

TEST_F(RoutingTest, ARouteMayNameChannels) {
  v1::Route route = RouteTo({"alice", "both"});
  route.add_channels(v1::WEBHOOK);
  EXPECT_THAT(
      Targets({route}, contacts_, alert_),
      ElementsAre(Target{"tenants/acme/contacts/both", v1::WEBHOOK, "http://both.example.com/"}));
}

TEST_F(RoutingTest, NobodyWhoIsDisabledIsTold) {
  contacts_[0].set_disabled(true);
  EXPECT_THAT(Targets({RouteTo({"alice"})}, contacts_, alert_), IsEmpty());
}

TEST_F(RoutingTest, TheQueryOfAWebhookIsNoPartOfTheRecord) {
  const auto targets = Targets({RouteTo({"pager"})}, contacts_, alert_);
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].address, "https://pager.example.com/hook");
}

}  // namespace
}  // namespace yagura::notification
