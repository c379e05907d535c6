#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/seal/keyring.h"
#include "common/store/change_feed.h"
#include "common/store/resource_name.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "services/notification/storage/stores.h"
#include "services/notification/transport/smtp.h"
#include "services/notification/workers/dispatcher.h"
#include "services/notification/workers/finding_handler.h"

namespace yagura::notification {

using testing::Eventually;

inline detection::v1::Finding FindingOf(const std::string& tenant, const std::string& id,
                                        const std::string& key,
                                        event::v1::Severity severity = event::v1::HIGH) {
  detection::v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, id));
  finding.set_dedup_key(key);
  finding.set_title("Many denied connections");
  finding.set_severity(severity);
  finding.set_event_count(3);
  *finding.mutable_create_time() = ToProto(SystemClock()->Now());
  return finding;
}

// A process's worth of the service around one Redis: what turns findings into deliveries, and what
// makes them.
class Node {
 public:
  explicit Node(const redis::Endpoint& endpoint, SmtpOptions smtp = {})
      : state_(std::make_shared<redis::Pool>(endpoint)),
        clock_(SystemClock()),
        stores(OpenStores(state_, clock_)),
        feed_(std::make_shared<store::FeedFollower>(state_, Logger::Null())),
        folder_(testing::MakeTemporaryFolder()),
        metrics_(std::make_shared<MetricsRegistry>()),
        handler(stores, clock_, HandlerOptions()) {
    auto data_keys = seal::OpenFolderDataKeys(folder_ / "keys");
    auto keyring = seal::Keyring::Open(folder_ / "kek", std::move(*data_keys));
    secrets = std::make_shared<ContactSecrets>(stores,
                                               std::shared_ptr<seal::Keyring>(std::move(*keyring)));
    const auto holders = std::make_shared<Holders>(state_, "node-" + store::NewUlid());
    WebhookOptions webhook;
    webhook.timeout = std::chrono::seconds(20);
    webhook.policy = *WebhookPolicy::Make({"127.0.0.0/8"}, {});
    Sender::Parts parts{stores,
                        secrets,
                        NewSmtpTransport(std::move(smtp)),
                        NewWebhookClient(webhook),
                        holders,
                        clock_,
                        metrics_,
                        Logger::Null(),
                        [] { return 0.5; }};
    Sender::Options options;
    options.retry = Retry();
    dispatcher = std::make_unique<Dispatcher>(
        std::make_shared<Sender>(std::move(parts), options), holders, stores, feed_, clock_,
        Logger::Null(), Dispatcher::Options{2, 2, std::chrono::milliseconds(300)});
    feed_->Start();
  }
  ~Node() {
    dispatcher->Stop();
    feed_->Stop();
    std::filesystem::remove_all(folder_);
  }

  static RetryPolicy Retry() {
    RetryPolicy retry;
    retry.first = std::chrono::milliseconds(50);
    retry.longest = std::chrono::milliseconds(200);
    retry.deadline = std::chrono::minutes(5);
    return retry;
  }
  static FindingHandler::Options HandlerOptions() {
    FindingHandler::Options options;
    options.id_domain = "yagura.example.com";
    options.retry = Retry();
    return options;
  }

  // A contact with these addresses and a route to it for everything.
  void AddContact(const std::string& tenant, const std::string& id, const std::string& email,
                  const std::string& url = "", const std::string& secret = "") {
    v1::Contact contact;
    contact.set_name(fmt::format("tenants/{}/contacts/{}", tenant, id));
    contact.set_display_name(id);
    contact.set_email(email);
    contact.set_webhook_url(url);
    contact.set_webhook_secret_set(!secret.empty());
    const auto created = stores.contacts.Create({}, contact);
    ASSERT_THAT(created, testing::IsOk());
    if (!secret.empty()) {
      ASSERT_THAT(secrets->Put({}, *created, secret), testing::IsOk());
    }
    v1::Route route;
    route.set_name(fmt::format("tenants/{}/routes/{}", tenant, id));
    route.add_contacts(contact.name());
    ASSERT_THAT(stores.routes.Create({}, route), testing::IsOk());
  }

  std::vector<v1::Delivery> Deliveries(const std::string& tenant) const {
    store::ListQuery query;
    query.parent = "tenants/" + tenant;
    query.order_by = "create_time";
    query.page_size = 1000;
    auto page = stores.deliveries.List(query);
    return page.ok() ? page->items : std::vector<v1::Delivery>();
  }
  std::vector<v1::Alert> Alerts(const std::string& tenant) const {
    store::ListQuery query;
    query.parent = "tenants/" + tenant;
    query.order_by = "create_time";
    auto page = stores.alerts.List(query);
    return page.ok() ? page->items : std::vector<v1::Alert>();
  }
  bool AllIn(const std::string& tenant, v1::DeliveryState state) const {
    const auto deliveries = Deliveries(tenant);
    return !deliveries.empty() &&
           std::all_of(deliveries.begin(), deliveries.end(),
                       [state](const v1::Delivery& d) { return d.state() == state; });
  }

 private:
  std::shared_ptr<redis::Pool> state_;
  std::shared_ptr<const Clock> clock_;

 public:
  Stores stores;
  std::shared_ptr<ContactSecrets> secrets;

 private:
  std::shared_ptr<store::FeedFollower> feed_;
  const std::filesystem::path folder_;
  std::shared_ptr<MetricsRegistry> metrics_;

 public:
  FindingHandler handler;
  std::unique_ptr<Dispatcher> dispatcher;
};

}  // namespace yagura::notification
