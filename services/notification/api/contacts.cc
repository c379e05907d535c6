#include "services/notification/api/contacts.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/store/resource_name.h"
#include "services/notification/api/resource_api.h"
#include "services/notification/domain/message.h"
#include "services/notification/domain/routing.h"
#include "services/notification/domain/validate.h"
#include "services/notification/domain/webhook.h"

namespace yagura::notification {
namespace {

// For deliveries, whose ids say already what they are a repeat of.
store::WriteContext SideContext(const rpc::Call& call) {
  store::WriteContext context = call.write_context();
  context.request_id.clear();
  return context;
}

absl::Status ApplyMask(const google::protobuf::FieldMask& mask, const v1::Contact& from,
                       v1::Contact& to) {
  if (mask.paths().empty()) return InvalidField("update_mask", "names no field");
  for (const std::string& path : mask.paths()) {
    if (path == "display_name") {
      to.set_display_name(from.display_name());
    } else if (path == "email") {
      to.set_email(from.email());
    } else if (path == "webhook_url") {
      to.set_webhook_url(from.webhook_url());
    } else if (path == "disabled") {
      to.set_disabled(from.disabled());
    } else if (path == "webhook_secret") {
      to.set_webhook_secret_set(!from.webhook_secret().empty());
    } else {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be changed", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ContactsApi::ContactsApi(Stores stores, std::shared_ptr<ContactSecrets> secrets,
                         const std::shared_ptr<store::FeedFollower>& feed,
                         std::shared_ptr<const Clock> clock, Options options)
    : stores_(std::move(stores)),
      secrets_(std::move(secrets)),
      clock_(std::move(clock)),
      options_(std::move(options)),
      all_(stores_.contacts, feed) {}

absl::Status ContactsApi::CheckWebhook(const std::string& url) const {
  // What is no URL is told with the other fields.
  if (!options_.check_webhook || !IsWebhookUrl(url)) return absl::OkStatus();
  const absl::Status status = options_.check_webhook(url);
  if (!absl::IsFailedPrecondition(status)) return status;
  return InvalidField("contact.webhook_url", Message(status));
}

absl::StatusOr<v1::Contact> ContactsApi::Create(const rpc::Call& call,
                                                const v1::CreateContactRequest& request) {
  v1::Contact contact = request.contact();
  YAGURA_RETURN_IF_ERROR(ValidateContact(contact));
  const std::string id = request.contact_id().empty() ? store::NewUlid() : request.contact_id();
  if (!store::IsValidId(id)) {
    return InvalidField("contact_id", "must be lower-case letters, digits and hyphens");
  }
  YAGURA_RETURN_IF_ERROR(CheckWebhook(contact.webhook_url()));
  const std::string secret = contact.webhook_secret();
  contact.clear_webhook_secret();
  contact.set_webhook_secret_set(!secret.empty());
  contact.set_name(fmt::format("{}/contacts/{}", request.parent(), id));
  YAGURA_ASSIGN_OR_RETURN(v1::Contact created,
                          stores_.contacts.Create(call.write_context(), std::move(contact)));
  // Under the same request id, so that a late repeat never brings an old secret back or takes a new
  // one away. Until this is done a webhook to the contact waits: nothing goes out unsigned.
  if (!secret.empty()) {
    YAGURA_RETURN_IF_ERROR(secrets_->Put(call.write_context(), created, secret));
  }
  return created;
}

absl::StatusOr<v1::Contact> ContactsApi::Get(const rpc::Call& /*call*/,
                                             const v1::GetContactRequest& request) const {
  return stores_.contacts.Get(request.name());
}

absl::StatusOr<v1::ListContactsResponse> ContactsApi::List(
    const rpc::Call& call, const v1::ListContactsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, "create_time", stores_.contacts, all_));
  v1::ListContactsResponse response;
  for (v1::Contact& contact : page.items) *response.add_contacts() = std::move(contact);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Contact> ContactsApi::Update(const rpc::Call& call,
                                                const v1::UpdateContactRequest& request) {
  const v1::Contact& wanted = request.contact();
  const auto& paths = request.update_mask().paths();
  const bool secret_changes =
      std::find(paths.begin(), paths.end(), "webhook_secret") != paths.end();
  if (std::find(paths.begin(), paths.end(), "webhook_url") != paths.end()) {
    YAGURA_RETURN_IF_ERROR(CheckWebhook(wanted.webhook_url()));
  }
  YAGURA_ASSIGN_OR_RETURN(
      v1::Contact updated,
      stores_.contacts.Mutate(
          call.write_context(), wanted.name(), [&](v1::Contact& contact) -> absl::Status {
            YAGURA_RETURN_IF_ERROR(CheckEtag(wanted.etag(), contact));
            YAGURA_RETURN_IF_ERROR(ApplyMask(request.update_mask(), wanted, contact));
            v1::Contact whole = contact;
            if (secret_changes) whole.set_webhook_secret(wanted.webhook_secret());
            return ValidateContact(whole);
          }));
  if (secret_changes) {
    YAGURA_RETURN_IF_ERROR(
        wanted.webhook_secret().empty()
            ? secrets_->Remove(call.write_context(), updated.name())
            : secrets_->Put(call.write_context(), updated, wanted.webhook_secret()));
  }
  return updated;
}

absl::Status ContactsApi::CheckUnused(const rpc::Call& call, const std::string& contact) const {
  return stores_.routes.raw()->ForEach(
      call.tenant(), [&contact](const google::protobuf::Message& message) -> absl::Status {
        const auto& route = static_cast<const v1::Route&>(message);
        const auto& names = route.contacts();
        if (std::find(names.begin(), names.end(), contact) == names.end()) return absl::OkStatus();
        return MakeError(absl::StatusCode::kFailedPrecondition, "CONTACT_IN_USE",
                         fmt::format("{} names the contact", route.name()),
                         {{"resource", contact}, {"route", route.name()}});
      });
}

absl::StatusOr<v1::DeleteContactResponse> ContactsApi::Delete(
    const rpc::Call& call, const v1::DeleteContactRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckUnused(call, request.name()));
  YAGURA_RETURN_IF_ERROR(
      stores_.contacts.Delete(call.write_context(), request.name(), request.etag()));
  YAGURA_RETURN_IF_ERROR(secrets_->Remove(call.write_context(), request.name()));
  return v1::DeleteContactResponse();
}

absl::StatusOr<v1::SendTestNotificationResponse> ContactsApi::SendTest(
    const rpc::Call& call, const v1::SendTestNotificationRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::Contact contact, stores_.contacts.Get(request.name()));
  const std::vector<Target> targets = TargetsOf(contact, {});
  if (targets.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CONTACT_UNREACHABLE",
                     "the contact is disabled or has no address", {{"resource", contact.name()}});
  }
  // The same request gives the same deliveries, so that a repeat sends nothing more.
  const std::string seed =
      request.request_id().empty()
          ? store::NewUlid()
          : Sha256Hex(fmt::format("{}\n{}", call.principal().name, request.request_id()));
  v1::SendTestNotificationResponse response;
  for (const Target& target : targets) {
    const std::string id = Sha256Hex(fmt::format("test\n{}\n{}\n{}", seed, target.contact,
                                                 v1::Channel_Name(target.channel)))
                               .substr(0, 32);
    Text text = target.channel == v1::EMAIL ? TestMailText(contact) : TestWebhookText(contact);
    v1::Delivery delivery = NewDelivery(call.tenant(), id, target, std::move(text),
                                        options_.id_domain, clock_->Now(), options_.retry);
    const std::string name = delivery.name();
    auto created = stores_.deliveries.Create(SideContext(call), std::move(delivery));
    if (absl::IsAlreadyExists(created.status())) created = stores_.deliveries.Get(name);
    if (!created.ok()) return created.status();
    *response.add_deliveries() = *std::move(created);
  }
  return response;
}

void ContactsApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.notification.v1.NotificationService/";
  registry.Unary<v1::CreateContactRequest, v1::Contact>(
      service + "CreateContact",
      [this](const auto& call, const auto& r) { return Create(call, r); });
  registry.Unary<v1::GetContactRequest, v1::Contact>(
      service + "GetContact", [this](const auto& call, const auto& r) { return Get(call, r); });
  registry.Unary<v1::ListContactsRequest, v1::ListContactsResponse>(
      service + "ListContacts", [this](const auto& call, const auto& r) { return List(call, r); });
  registry.Unary<v1::UpdateContactRequest, v1::Contact>(
      service + "UpdateContact",
      [this](const auto& call, const auto& r) { return Update(call, r); });
  registry.Unary<v1::DeleteContactRequest, v1::DeleteContactResponse>(
      service + "DeleteContact",
      [this](const auto& call, const auto& r) { return Delete(call, r); });
  registry.Unary<v1::SendTestNotificationRequest, v1::SendTestNotificationResponse>(
      service + "SendTestNotification",
      [this](const auto& call, const auto& r) { return SendTest(call, r); });
}

}  // namespace yagura::notification
