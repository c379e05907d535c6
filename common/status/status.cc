#include "common/status/status.h"

#include "absl/strings/cord.h"
#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"

#include "common/status/retry_delay.h"

namespace yagura {
namespace {

template <typename Detail>
std::string TypeUrl() {
  return "type.googleapis.com/" + Detail::descriptor()->full_name();
}

template <typename Detail>
void Attach(Status& status, const Detail& detail) {
  status.SetPayload(TypeUrl<Detail>(), absl::Cord(detail.SerializeAsString()));
}

google::rpc::ErrorInfo ErrorInfoOf(const Status& status) {
  google::rpc::ErrorInfo info;
  if (auto payload = status.GetPayload(TypeUrl<google::rpc::ErrorInfo>())) {
    info.ParseFromString(std::string(*payload));
  }
  return info;
}

}  // namespace

Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                 const ErrorMetadata& metadata) {
  Status status(code, std::string(message));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("yagura");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  Attach(status, info);
  return status;
}

std::string ErrorReason(const Status& status) { return ErrorInfoOf(status).reason(); }

ErrorMetadata GetErrorMetadata(const Status& status) {
  const auto info = ErrorInfoOf(status);
  return {info.metadata().begin(), info.metadata().end()};
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  Status annotated(status.code(), fmt::format("{}: {}", context, Message(status)));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

Status WithRetryDelay(Status status, std::chrono::milliseconds delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay.count() % 1000) * 1'000'000);
  Attach(status, info);
  return status;
}

std::optional<std::chrono::seconds> RetryDelayOf(const Status& status) {
  const auto payload = status.GetPayload(TypeUrl<google::rpc::RetryInfo>());
  google::rpc::RetryInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return std::chrono::seconds(info.retry_delay().seconds() +
                              (info.retry_delay().nanos() > 0 ? 1 : 0));
}

Status InvalidField(std::string_view field, std::string_view description) {
  FieldErrors errors;
  errors.Add(field, description);
  return errors.ToStatus();
}

Status NotFound(std::string_view resource_name) {
  return MakeError(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                   fmt::format("{} does not exist", resource_name),
                   {{"resource", std::string(resource_name)}});
}

Status Unavailable(std::string_view reason, std::string_view message) {
  return WithRetryDelay(MakeError(absl::StatusCode::kUnavailable, reason, message),
                        std::chrono::seconds(1));
}

Status Internal(std::string_view message) {
  return MakeError(absl::StatusCode::kInternal, "INTERNAL", message);
}

void FieldErrors::Add(std::string_view field, std::string_view description) {
  violations_.emplace_back(field, description);
}

Status FieldErrors::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  google::rpc::BadRequest bad_request;
  std::string message;
  for (const auto& [field, description] : violations_) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
    message += fmt::format("{}{}: {}", message.empty() ? "" : "; ", field, description);
  }
  Status status = MakeError(absl::StatusCode::kInvalidArgument, "INVALID_FIELD", message);
  Attach(status, bad_request);
  return status;
}

}  // namespace yagura
