#include "services/config/domain/validate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/characters.h"
#include "common/text/text.h"

namespace yagura::config {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr size_t kMaxCandidate = 2u << 20;

enum class Unit { kCharacters, kBytes };

void CheckText(FieldErrors& errors, std::string_view field, std::string_view text, bool required,
               size_t max, Unit unit = Unit::kCharacters) {
  if (required && Trim(text).empty()) errors.Add(field, "is required");
  const bool bytes = unit == Unit::kBytes;
  if ((bytes ? text.size() : CountCharacters(text)) > max) {
    errors.Add(field, fmt::format("must be at most {} {}", max, bytes ? "bytes" : "characters"));
  }
  if (text.find('\0') != std::string_view::npos) errors.Add(field, "must not have NUL bytes");
}

bool IsIpAddress(const std::string& text) {
  in6_addr address{};
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

// Host name or IP address.
bool IsAddress(std::string_view text) {
  return !text.empty() && text.size() <= 253 && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' ||
                  c == ':' || c == '_' || c == '%';
         });
}

void CheckFingerprint(FieldErrors& errors, std::string_view fingerprint) {
  constexpr std::string_view kPrefix = "SHA256:";
  const bool valid =
      fingerprint.starts_with(kPrefix) && fingerprint.size() == kPrefix.size() + 43 &&
      std::all_of(fingerprint.begin() + kPrefix.size(), fingerprint.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '/';
      });
  if (!valid) {
    errors.Add("device.host_key_fingerprints", "must be SHA256: and 43 characters of base64");
  }
}

void CheckCheck(FieldErrors& errors, const std::string& field, const v1::Check& check) {
  CheckText(errors, field + ".title", check.title(), false, 200);
  const auto tcp = [&](const v1::TcpTarget& target) {
    if (!IsIpAddress(target.address())) errors.Add(field, "address must be an IP address");
    if (target.port() < 1 || target.port() > 65535) errors.Add(field, "port must be 1 to 65535");
  };
  switch (check.expectation_case()) {
    case v1::Check::kRunningContains:
      CheckText(errors, field + ".running_contains", check.running_contains(), true, 2000);
      break;
    case v1::Check::kRunningLacks:
      CheckText(errors, field + ".running_lacks", check.running_lacks(), true, 2000);
      break;
    case v1::Check::kTcpOpen:
      tcp(check.tcp_open());
      break;
    case v1::Check::kTcpClosed:
      tcp(check.tcp_closed());
      break;
    case v1::Check::kCommand:
      CheckText(errors, field + ".command", check.command().command(), true, 1000);
      CheckText(errors, field + ".output_contains", check.command().output_contains(), false, 1000);
      if (check.command().command().find_first_of("\r\n") != std::string::npos) {
        errors.Add(field + ".command", "must be one line");
      }
      break;
    case v1::Check::EXPECTATION_NOT_SET:
      errors.Add(field, "must expect something");
      break;
  }
}

}  // namespace

Status Validate(const v1::Device& device) {
  FieldErrors errors;
  CheckText(errors, "device.display_name", device.display_name(), false, 200);
  CheckText(errors, "device.serial", device.serial(), false, 100);
  CheckText(errors, "device.notes", device.notes(), false, 4000);
  if (!IsAddress(device.address())) {
    errors.Add("device.address", "must be a host name or an IP address");
  }
  if (device.port() < 0 || device.port() > 65535) errors.Add("device.port", "must be 0 to 65535");
  if (device.host_key_fingerprints_size() > 10) {
    errors.Add("device.host_key_fingerprints", "must be at most 10");
  }
  for (const auto& print : device.host_key_fingerprints()) CheckFingerprint(errors, print);
  if (device.virtual_contexts_size() > 500) {
    errors.Add("device.virtual_contexts", "must be at most 500");
  }
  for (const auto& context : device.virtual_contexts()) {
    CheckText(errors, "device.virtual_contexts", context, true, 100);
  }
  return errors.ToStatus();
}

Status Validate(const v1::Credential& credential) {
  FieldErrors errors;
  CheckText(errors, "credential.display_name", credential.display_name(), false, 200);
  CheckText(errors, "credential.user_name", credential.user_name(), true, 64);
  const auto& user = credential.user_name();
  if (std::any_of(user.begin(), user.end(),
                  [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; })) {
    errors.Add("credential.user_name", "must not have control characters");
  }
  return errors.ToStatus();
}

Status Validate(const v1::CredentialSecret& secret) {
  FieldErrors errors;
  switch (secret.secret_case()) {
    case v1::CredentialSecret::kPassword:
      CheckText(errors, "secret.password", secret.password(), true, 1024, Unit::kBytes);
      break;
    case v1::CredentialSecret::kPrivateKey:
      CheckText(errors, "secret.private_key", secret.private_key(), true, 16u << 10, Unit::kBytes);
      break;
    case v1::CredentialSecret::SECRET_NOT_SET:
      errors.Add("secret", "is required");
      break;
  }
  return errors.ToStatus();
}

Status Validate(const v1::Change& change) {
  FieldErrors errors;
  CheckText(errors, "change.title", change.title(), true, 200);
  CheckText(errors, "change.reason", change.reason(), true, 10'000);
  CheckText(errors, "change.device", change.device(), true, 200);
  const auto wait = FromProto(change.dead_man_timeout());
  if (wait < seconds(2) || wait > hours(1) || wait % seconds(1) != seconds(0)) {
    errors.Add("change.dead_man_timeout", "must be 2 s to 1 h in whole seconds");
  }
  if (change.checks_size() > 20) errors.Add("change.checks", "must be at most 20");
  for (int i = 0; i < std::min(change.checks_size(), 20); ++i) {
    CheckCheck(errors, fmt::format("change.checks[{}]", i), change.checks(i));
  }
  return errors.ToStatus();
}

Status Validate(const v1::Candidate& candidate) {
  FieldErrors errors;
  switch (candidate.content_case()) {
    case v1::Candidate::kConfiguration:
      CheckText(errors, "candidate.configuration", candidate.configuration(), true, kMaxCandidate,
                Unit::kBytes);
      break;
    case v1::Candidate::kPatch:
      CheckText(errors, "candidate.patch", candidate.patch(), true, kMaxCandidate, Unit::kBytes);
      break;
    case v1::Candidate::CONTENT_NOT_SET:
      errors.Add("candidate", "is required");
      break;
  }
  return errors.ToStatus();
}

Status ValidateReason(std::string_view reason) {
  FieldErrors errors;
  CheckText(errors, "reason", reason, true, 500);
  return errors.ToStatus();
}

Status ValidateComment(std::string_view comment, bool required) {
  FieldErrors errors;
  CheckText(errors, "comment", comment, required, 4000);
  return errors.ToStatus();
}

}  // namespace yagura::config
