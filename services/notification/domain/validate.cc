#include "services/notification/domain/validate.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/notification/domain/mime.h"
#include "services/notification/domain/webhook.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::notification {
namespace {

constexpr int kMaxValues = 100;
constexpr int kMaxContacts = 50;

bool IsOneLine(std::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

void CheckTexts(FieldErrors& errors, std::string_view field,
                const google::protobuf::RepeatedPtrField<std::string>& values) {
  if (values.size() > kMaxValues) errors.Add(field, "has more than 100 values");
  for (const std::string& value : values) {
    if (value.empty() || value.size() > 200 || !IsOneLine(value)) {
      errors.Add(field, "has a value that is empty, too long, or not one line of UTF-8");
      return;
    }
  }
}

}  // namespace

absl::Status ValidateContact(const v1::Contact& contact) {
  FieldErrors errors;
  if (contact.display_name().empty() || contact.display_name().size() > 200 ||
      !IsOneLine(contact.display_name())) {
    errors.Add("contact.display_name", "must be 1 to 200 bytes of UTF-8 in one line");
  }
  if (!contact.email().empty() && !IsMailAddress(contact.email())) {
    errors.Add("contact.email", "must be \"local@domain\" in ASCII without quotes or spaces");
  }
  if (!contact.webhook_url().empty() && !IsWebhookUrl(contact.webhook_url())) {
    errors.Add("contact.webhook_url",
               "must be an http or https URL without user, password and fragment");
  }
  const size_t secret = contact.webhook_secret().size();
  if (secret != 0 && (secret < 16 || secret > 256)) {
    errors.Add("contact.webhook_secret", "must be 16 to 256 bytes long");
  }
  return errors.ToStatus();
}

absl::Status ValidateRoute(const v1::Route& route, std::string_view tenant) {
  FieldErrors errors;
  if (route.display_name().size() > 200 || !IsOneLine(route.display_name())) {
    errors.Add("route.display_name", "must be at most 200 bytes of UTF-8 in one line");
  }
  if (!event::v1::Severity_IsValid(route.min_severity())) {
    errors.Add("route.min_severity", "is no severity");
  }
  CheckTexts(errors, "route.rule_ids", route.rule_ids());
  CheckTexts(errors, "route.tags", route.tags());
  CheckTexts(errors, "route.sites", route.sites());
  CheckTexts(errors, "route.devices", route.devices());
  if (route.contacts().empty() || route.contacts_size() > kMaxContacts) {
    errors.Add("route.contacts", "must name 1 to 50 contacts");
  }
  const std::string prefix = fmt::format("tenants/{}/contacts/", tenant);
  for (const std::string& contact : route.contacts()) {
    if (contact.rfind(prefix, 0) != 0) {
      errors.Add("route.contacts", fmt::format("must begin with \"{}\"", prefix));
      break;
    }
  }
  for (const int channel : route.channels()) {
    if (channel != v1::EMAIL && channel != v1::WEBHOOK) {
      errors.Add("route.channels", "must be EMAIL or WEBHOOK");
      break;
    }
  }
  return errors.ToStatus();
}

absl::Status ValidateComment(std::string_view comment) {
  if (comment.size() > 4096 || !IsValidUtf8(comment)) {
    return InvalidField("comment", "must be at most 4 KiB of UTF-8");
  }
  return absl::OkStatus();
}

}  // namespace yagura::notification
