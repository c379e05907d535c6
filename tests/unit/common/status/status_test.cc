#include "common/status/status.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

#include "common/status/public_status.h"
#include "common/status/retry_delay.h"

namespace yagura {
namespace {

TEST(MakeError, CarriesReasonAndMetadata) {
  const Status status =
      MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH", "changed meanwhile", {{"etag", "7"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrorReason(status), "ETAG_MISMATCH");
  EXPECT_EQ(GetErrorMetadata(status).at("etag"), "7");
}

TEST(Annotate, PrefixesTheMessageAndKeepsTheDetails) {
  const Status status = Annotate(Unavailable("REDIS_UNREACHABLE", "refused"), "reading the cursor");
  EXPECT_EQ(Message(status), "reading the cursor: refused");
  EXPECT_EQ(ErrorReason(status), "REDIS_UNREACHABLE");
  EXPECT_TRUE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  EXPECT_TRUE(Annotate(absl::OkStatus(), "anything").ok());
}

TEST(WithoutInsides, KeepsAddressesAndScriptsToTheLog) {
  const auto told = [](std::string_view reason, std::string_view message) {
    const Status status = WithoutInsides(Unavailable(reason, message), "the flow Redis");
    EXPECT_EQ(ErrorReason(status), reason);
    return std::string(Message(status));
  };
  EXPECT_EQ(told("REDIS_UNREACHABLE", "redis unix:/var/lib/yagura/run/flow.sock: No such file"),
            "the flow Redis cannot be reached");
  EXPECT_EQ(told("REDIS_READONLY", "redis: READONLY You can't. script: 0123, on @user_script:20."),
            "the flow Redis cannot be used now");
  EXPECT_EQ(told("YAGURA_FENCED", "redis: YAGURA_FENCED by 7 script: 0123abc, on @user_script:2."),
            "redis: YAGURA_FENCED by 7");
  EXPECT_EQ(told("", "failed; last error: UNKNOWN: unix:/run/a.sock: No such file or directory"),
            "failed; last error: UNKNOWN: (address): No such file or directory");
  EXPECT_EQ(told("", "last error: UNKNOWN: ipv4:10.0.3.7:7070: Failed to connect (ipv4:10.0.3.8)"),
            "last error: UNKNOWN: (address): Failed to connect ((address))");
  EXPECT_EQ(told("", "ipv6:%5Bfd00::7%5D:7070: refused, ipv6:[::1]:1"),
            "(address): refused, (address)");
  EXPECT_EQ(told("OTHER", "as it was"), "as it was");
}

TEST(FieldErrors, NamesEveryFieldInOneAnswer) {
  FieldErrors errors;
  EXPECT_TRUE(errors.ToStatus().ok());
  errors.Add("ticket.title", "must not be empty");
  errors.Add("page_size", "must not be negative");
  const Status status = errors.ToStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(bad_request.ParseFromString(
      std::string(*status.GetPayload("type.googleapis.com/google.rpc.BadRequest"))));
  ASSERT_EQ(bad_request.field_violations_size(), 2);
  EXPECT_EQ(bad_request.field_violations(1).field(), "page_size");
}

TEST(RetryDelay, IsWhatWasSaidInWholeSeconds) {
  const Status refused(absl::StatusCode::kResourceExhausted, "later");
  EXPECT_EQ(RetryDelayOf(refused), std::nullopt);
  EXPECT_EQ(RetryDelayOf(WithRetryDelay(refused, std::chrono::milliseconds(1'500))),
            std::chrono::seconds(2));
  EXPECT_EQ(RetryDelayOf(WithRetryDelay(refused, std::chrono::seconds(3))),
            std::chrono::seconds(3));
}

Status Twice(StatusOr<int> value, int& out) {
  YAGURA_ASSIGN_OR_RETURN(const int number, std::move(value));
  YAGURA_RETURN_IF_ERROR(number < 0 ? InvalidField("value", "is negative") : absl::OkStatus());
  out = number * 2;
  return absl::OkStatus();
}

TEST(Macros, PassValuesOnAndErrorsUp) {
  int out = 0;
  EXPECT_TRUE(Twice(21, out).ok());
  EXPECT_EQ(out, 42);
  EXPECT_EQ(Twice(NotFound("tenants/x"), out).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Twice(-1, out).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace yagura
