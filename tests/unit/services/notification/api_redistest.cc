#include <mutex>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/rpc/call.h"
#include "common/testing/redis_server.h"
#include "services/notification/api/alerts.h"
#include "services/notification/api/contacts.h"
#include "services/notification/api/deliveries.h"
#include "services/notification/api/routes.h"
#include "tests/unit/services/notification/world.h"

namespace yagura::notification {
namespace {

using testing::IsOk;
using testing::StatusIs;

rpc::Call CallAs(const std::string& role, const std::string& tenant,
                 const std::string& permission = "notification.alerts.list",
                 const std::string& request_id = "") {
  auth::Grant grant;
  grant.role = role;
  grant.all_tenants = true;
  rpc::Call::Parts parts;
  parts.principal.name = "tenants/provider/users/" + role;
  parts.principal.grants.push_back(grant);
  parts.method = "/test/" + permission;
  parts.permission = permission;
  parts.tenant = tenant;
  parts.request_id = request_id;
  parts.request_digest = request_id.empty() ? "" : "digest";
  return rpc::Call(std::move(parts));
}

class ApiRedisTest : public ::testing::Test {
 protected:
  ApiRedisTest() { feed_->Start(); }
  ~ApiRedisTest() override { feed_->Stop(); }

  absl::StatusOr<v1::Contact> CreateContact(const std::string& id, const std::string& email,
                                            const std::string& url = "",
                                            const std::string& secret = "") {
    v1::CreateContactRequest request;
    request.set_parent("tenants/acme");
    request.set_contact_id(id);
    request.mutable_contact()->set_display_name("Alice");
    request.mutable_contact()->set_email(email);
    request.mutable_contact()->set_webhook_url(url);
    request.mutable_contact()->set_webhook_secret(secret);
    return contacts_.Create(CallAs("engineer", "acme"), request);
  }
  absl::StatusOr<v1::Route> CreateRoute(const std::string& contact) {
    v1::CreateRouteRequest request;
    request.set_parent("tenants/acme");
    request.mutable_route()->add_contacts(contact);
    return routes_.Create(CallAs("engineer", "acme"), request);
  }
  v1::Alert NewAlert(const std::string& tenant, const std::string& key,
                     event::v1::Severity severity = event::v1::HIGH) {
    EXPECT_THAT(node_.handler.Handle(FindingOf(tenant, key, key, severity)), IsOk());
    return node_.Alerts(tenant).back();
  }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> state_ = redis_.NewPool();
  std::shared_ptr<store::FeedFollower> feed_ =
      std::make_shared<store::FeedFollower>(state_, Logger::Null());
  Node node_{redis_.endpoint()};
  AlertsApi alerts_{node_.stores, feed_, SystemClock()};
  ContactsApi contacts_{
      node_.stores,
      node_.secrets,
      feed_,
      SystemClock(),
      {"example.com", {}, [](const std::string& url) { return NewWebhookClient({})->Check(url); }}};
  RoutesApi routes_{node_.stores, feed_};
  DeliveriesApi deliveries_{node_.stores, feed_};
};

TEST_F(ApiRedisTest, AnAlertIsTakenOnceThenResolved) {
  const v1::Alert alert = NewAlert("acme", "k");
  v1::AcknowledgeAlertRequest take;
  take.set_name(alert.name());
  take.set_comment("mine");
  ASSERT_OK_AND_ASSIGN(const v1::Alert taken, alerts_.Acknowledge(CallAs("on-call", "acme"), take));
  EXPECT_EQ(taken.state(), v1::ACKNOWLEDGED);
  EXPECT_EQ(taken.acknowledged_by(), "tenants/provider/users/on-call");
  EXPECT_EQ(taken.acknowledge_comment(), "mine");
  EXPECT_TRUE(taken.has_acknowledge_time());
  const auto second = alerts_.Acknowledge(CallAs("analyst", "acme"), take);
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kFailedPrecondition, "ALERT_STATE"));
  EXPECT_EQ(GetErrorMetadata(second.status()).at("by"), "tenants/provider/users/on-call");

  v1::ResolveAlertRequest end;
  end.set_name(alert.name());
  end.set_etag(alert.etag());
  EXPECT_THAT(alerts_.Resolve(CallAs("analyst", "acme"), end),
              StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
  end.set_etag(taken.etag());
  ASSERT_OK_AND_ASSIGN(const v1::Alert resolved, alerts_.Resolve(CallAs("analyst", "acme"), end));
  EXPECT_EQ(resolved.state(), v1::RESOLVED);
  EXPECT_THAT(alerts_.Acknowledge(CallAs("analyst", "acme"), take),
              StatusIs(absl::StatusCode::kFailedPrecondition, "ALERT_STATE"));
}

TEST_F(ApiRedisTest, AnAcknowledgementSentTwiceIsOne) {
  const v1::Alert alert = NewAlert("acme", "k");
  v1::AcknowledgeAlertRequest take;
  take.set_name(alert.name());
  take.set_request_id("r1");
  const rpc::Call call = CallAs("on-call", "acme", "notification.alerts.acknowledge", "r1");
  ASSERT_OK_AND_ASSIGN(const v1::Alert first, alerts_.Acknowledge(call, take));
  ASSERT_OK_AND_ASSIGN(const v1::Alert again, alerts_.Acknowledge(call, take));
  EXPECT_EQ(first.etag(), again.etag());
}

TEST_F(ApiRedisTest, ResolvingCancelsWhatWaits) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact, CreateContact("alice", "alice@example.com"));
  ASSERT_THAT(CreateRoute(contact.name()), IsOk());
  const v1::Alert alert = NewAlert("acme", "k");
  ASSERT_TRUE(node_.AllIn("acme", v1::PENDING));
  v1::ResolveAlertRequest end;
  end.set_name(alert.name());
  ASSERT_THAT(alerts_.Resolve(CallAs("analyst", "acme"), end), IsOk());
  EXPECT_TRUE(node_.AllIn("acme", v1::CANCELLED));
}

TEST_F(ApiRedisTest, StaffSeeTheAlertsOfAllTenantsInOneOrder) {
  NewAlert("acme", "a", event::v1::LOW);
  NewAlert("globex", "b", event::v1::CRITICAL);
  NewAlert("initech", "c", event::v1::HIGH);
  v1::ListAlertsRequest request;
  request.set_parent("tenants/-");
  request.set_order_by("severity desc");
  request.set_filter("state = OPEN");
  ASSERT_OK_AND_ASSIGN(const auto page, alerts_.List(CallAs("analyst", "-"), request));
  ASSERT_EQ(page.alerts_size(), 3);
  EXPECT_EQ(page.alerts(0).severity(), event::v1::CRITICAL);
  EXPECT_EQ(page.alerts(2).severity(), event::v1::LOW);
}

TEST_F(ApiRedisTest, AWebhookIntoOurOwnNetworkIsRefused) {
  const auto refused = CreateContact("alice", "", "http://169.254.169.254/latest/meta-data");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(Message(refused.status())),
              ::testing::AllOf(::testing::HasSubstr("169.254.169.254"),
                               ::testing::HasSubstr("webhook.allowed_networks")));
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact, CreateContact("bob", "", "https://1.1.1.1/hook"));
  v1::UpdateContactRequest update;
  update.mutable_contact()->set_name(contact.name());
  update.mutable_contact()->set_webhook_url("http://[::1]:6379/");
  update.mutable_update_mask()->add_paths("webhook_url");
  EXPECT_THAT(contacts_.Update(CallAs("engineer", "acme"), update),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ApiRedisTest, ALateRepeatNeverBringsAnOldSecretBack) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact,
                       CreateContact("alice", "", "https://1.1.1.1/", "0123456789abcdef"));
  v1::UpdateContactRequest update;
  update.mutable_contact()->set_name(contact.name());
  update.mutable_update_mask()->add_paths("webhook_secret");
  const auto set = [&](const char* secret, const char* request_id) {
    update.mutable_contact()->set_webhook_secret(secret);
    return contacts_.Update(CallAs("engineer", "acme", "notification.contacts.update", request_id),
                            update);
  };
  ASSERT_THAT(set("older-secret-1234", "r1"), IsOk());
  ASSERT_THAT(set("newer-secret-1234", "r2"), IsOk());
  ASSERT_THAT(set("older-secret-1234", "r1"), IsOk());
  EXPECT_EQ(*node_.secrets->Get(contact.name()), "newer-secret-1234");

  // Nor does a contact that is made anew get one that it was never given, or lose its own.
  const auto remove = [&](const char* request_id) {
    v1::DeleteContactRequest request;
    request.set_name(contact.name());
    return contacts_
        .Delete(CallAs("engineer", "acme", "notification.contacts.delete", request_id), request)
        .status();
  };
  ASSERT_THAT(remove("r3"), IsOk());
  ASSERT_THAT(CreateContact("alice", "", "https://1.1.1.1/"), IsOk());
  ASSERT_THAT(set("older-secret-1234", "r1"), IsOk());
  EXPECT_THAT(node_.secrets->Get(contact.name()), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(remove("r4"), IsOk());
  ASSERT_THAT(CreateContact("alice", "", "https://1.1.1.1/", "0123456789abcdef"), IsOk());
  ASSERT_THAT(remove("r4"), IsOk());
  ASSERT_THAT(set("older-secret-1234", "r1"), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string own, node_.secrets->Get(contact.name()));
  EXPECT_EQ(own, "0123456789abcdef");
}

TEST_F(ApiRedisTest, AWebhookSecretIsKeptSealedAndNeverShown) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact created,
                       CreateContact("soar", "", "https://soar.example.com/", "0123456789abcdef"));
  EXPECT_TRUE(created.webhook_secret_set());
  EXPECT_EQ(created.webhook_secret(), "");
  ASSERT_OK_AND_ASSIGN(const std::string secret, node_.secrets->Get(created.name()));
  EXPECT_EQ(secret, "0123456789abcdef");
  // Nowhere in Redis, whatever the key.
  ASSERT_OK_AND_ASSIGN(const auto keys, state_->Command({"KEYS", "*"}));
  for (const auto& key : keys.items) {
    const auto dump = state_->Command({"DUMP", key.text});
    ASSERT_THAT(dump, IsOk());
    EXPECT_EQ(dump->text.find("0123456789abcdef"), std::string::npos) << key.text;
  }
  v1::UpdateContactRequest update;
  update.mutable_contact()->set_name(created.name());
  update.mutable_update_mask()->add_paths("webhook_secret");
  ASSERT_OK_AND_ASSIGN(const v1::Contact updated,
                       contacts_.Update(CallAs("engineer", "acme"), update));
  EXPECT_FALSE(updated.webhook_secret_set());
  EXPECT_THAT(node_.secrets->Get(created.name()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ApiRedisTest, BadContactsAreRefusedWithEveryField) {
  const auto bad = CreateContact("x", "not an address", "ftp://example.com", "short");
  EXPECT_THAT(bad, StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* field : {"contact.email", "contact.webhook_url", "contact.webhook_secret"}) {
    EXPECT_NE(Message(bad.status()).find(field), std::string_view::npos) << bad.status();
  }
}

TEST_F(ApiRedisTest, ARouteNamesContactsThatExistAndKeepsThem) {
  EXPECT_THAT(CreateRoute("tenants/acme/contacts/nobody"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(CreateRoute("tenants/globex/contacts/eve"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact, CreateContact("alice", "alice@example.com"));
  ASSERT_OK_AND_ASSIGN(const v1::Route route, CreateRoute(contact.name()));
  v1::DeleteContactRequest remove;
  remove.set_name(contact.name());
  EXPECT_THAT(contacts_.Delete(CallAs("engineer", "acme"), remove),
              StatusIs(absl::StatusCode::kFailedPrecondition, "CONTACT_IN_USE"));
  v1::DeleteRouteRequest remove_route;
  remove_route.set_name(route.name());
  ASSERT_THAT(routes_.Delete(CallAs("engineer", "acme"), remove_route), IsOk());
  EXPECT_THAT(contacts_.Delete(CallAs("engineer", "acme"), remove), IsOk());
}

TEST_F(ApiRedisTest, ARouteIsChangedWhereTheMaskSays) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact, CreateContact("alice", "alice@example.com"));
  ASSERT_OK_AND_ASSIGN(const v1::Route route, CreateRoute(contact.name()));
  v1::UpdateRouteRequest update;
  update.mutable_route()->set_name(route.name());
  update.mutable_route()->set_min_severity(event::v1::CRITICAL);
  update.mutable_route()->add_sites("tokyo");
  update.mutable_update_mask()->add_paths("min_severity");
  ASSERT_OK_AND_ASSIGN(const v1::Route updated, routes_.Update(CallAs("engineer", "acme"), update));
  EXPECT_EQ(updated.min_severity(), event::v1::CRITICAL);
  EXPECT_TRUE(updated.sites().empty());
  EXPECT_EQ(updated.contacts_size(), 1);
  update.mutable_update_mask()->add_paths("contacts");  // would leave none
  EXPECT_THAT(routes_.Update(CallAs("engineer", "acme"), update),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ApiRedisTest, ATestIsSentOnceARequest) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact,
                       CreateContact("alice", "alice@example.com", "https://hook.example.com/"));
  v1::SendTestNotificationRequest request;
  request.set_name(contact.name());
  request.set_request_id("r1");
  const rpc::Call call = CallAs("engineer", "acme", "notification.contacts.send_test", "r1");
  ASSERT_OK_AND_ASSIGN(const auto first, contacts_.SendTest(call, request));
  EXPECT_EQ(first.deliveries_size(), 2);
  ASSERT_THAT(contacts_.SendTest(call, request), IsOk());
  EXPECT_EQ(node_.Deliveries("acme").size(), 2u);
}

TEST_F(ApiRedisTest, TheLedgerIsListedWithoutBodies) {
  ASSERT_OK_AND_ASSIGN(const v1::Contact contact, CreateContact("alice", "alice@example.com"));
  ASSERT_THAT(CreateRoute(contact.name()), IsOk());
  const v1::Alert alert = NewAlert("acme", "k");
  v1::ListDeliveriesRequest request;
  request.set_parent("tenants/acme");
  request.set_filter(fmt::format("alert = \"{}\"", alert.name()));
  ASSERT_OK_AND_ASSIGN(const auto page, deliveries_.List(CallAs("analyst", "acme"), request));
  ASSERT_EQ(page.deliveries_size(), 1);
  EXPECT_EQ(page.deliveries(0).body(), "");
  v1::GetDeliveryRequest get;
  get.set_name(page.deliveries(0).name());
  ASSERT_OK_AND_ASSIGN(const auto whole, deliveries_.Get(CallAs("analyst", "acme"), get));
  EXPECT_NE(whole.body(), "");
}

}  // namespace
}  // namespace yagura::notification
