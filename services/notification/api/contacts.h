#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/clock/clock.h"
#include "common/rpc/service_registry.h"
#include "common/store/projection.h"
#include "services/notification/domain/delivery.h"
#include "services/notification/storage/secrets.h"
#include "services/notification/storage/stores.h"
#include "yagura/notification/v1/notification_service.pb.h"

namespace yagura::notification {

class ContactsApi {
 public:
  struct Options {
    std::string id_domain;  // right side of the Message-IDs of tests
    RetryPolicy retry;
    // Says why a webhook URL may not be called, FAILED_PRECONDITION. Empty: all may.
    std::function<absl::Status(const std::string& url)> check_webhook = {};
  };
  ContactsApi(Stores stores, std::shared_ptr<ContactSecrets> secrets,
              const std::shared_ptr<store::FeedFollower>& feed, std::shared_ptr<const Clock> clock,
              Options options);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Contact> Create(const rpc::Call& call,
                                     const v1::CreateContactRequest& request);
  absl::StatusOr<v1::Contact> Get(const rpc::Call& call,
                                  const v1::GetContactRequest& request) const;
  absl::StatusOr<v1::ListContactsResponse> List(const rpc::Call& call,
                                                const v1::ListContactsRequest& request) const;
  absl::StatusOr<v1::Contact> Update(const rpc::Call& call,
                                     const v1::UpdateContactRequest& request);
  absl::StatusOr<v1::DeleteContactResponse> Delete(const rpc::Call& call,
                                                   const v1::DeleteContactRequest& request);
  absl::StatusOr<v1::SendTestNotificationResponse> SendTest(
      const rpc::Call& call, const v1::SendTestNotificationRequest& request);

 private:
  absl::Status CheckWebhook(const std::string& url) const;
  absl::Status CheckUnused(const rpc::Call& call, const std::string& contact) const;

  Stores stores_;
  std::shared_ptr<ContactSecrets> secrets_;
  std::shared_ptr<const Clock> clock_;
  const Options options_;
  store::Projection<v1::Contact> all_;
};

}  // namespace yagura::notification
