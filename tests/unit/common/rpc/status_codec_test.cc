#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/support/status.h"
#include "gtest/gtest.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"

namespace yagura::rpc {
namespace {

TEST(StatusCodec, EveryCodeAndDetailComesBack) {
  FieldErrors errors;
  errors.Add("ticket.title", "is required");
  errors.Add("ticket.priority", "is unknown");
  for (const absl::Status& status :
       {absl::OkStatus(), NotFound("tenants/acme/tickets/t1"), errors.ToStatus(),
        Unavailable("EVENT_STORE_DOWN", "it is away"),
        absl::Status(absl::StatusCode::kDataLoss, "plain")}) {
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  }
}

TEST(StatusCodec, AddressesInsideStayInside) {
  const grpc::Status sent =
      ToGrpc(Unavailable("REDIS_UNREACHABLE", "redis unix:/run/state.sock: No such file"));
  EXPECT_EQ(sent.error_message(), "Redis cannot be reached");
  EXPECT_EQ(ErrorReason(FromGrpc(sent)), "REDIS_UNREACHABLE");
}

TEST(StatusCodec, LongErrorsFitTheTrailersAndKeepTheirReason) {
  FieldErrors errors;
  for (int i = 0; i < 1000; ++i) errors.Add("field" + std::to_string(i), std::string(50, 'x'));
  const grpc::Status sent = ToGrpc(errors.ToStatus());
  EXPECT_LT(sent.error_message().size(), 600u);
  EXPECT_LT(sent.error_details().size(), 4096u);
  EXPECT_EQ(ErrorReason(FromGrpc(sent)), "INVALID_FIELD");
}

TEST(StatusCodec, TextThatIsNoUtf8IsMadeSo) {
  const absl::Status status(absl::StatusCode::kInternal, "bad \xff byte");
  EXPECT_EQ(Message(FromGrpc(ToGrpc(status))), "bad \xEF\xBF\xBD byte");
  std::string japanese;
  for (int i = 0; i < 400; ++i) japanese += "櫓";
  const std::string cut(
      Message(FromGrpc(ToGrpc(absl::Status(absl::StatusCode::kInternal, japanese)))));
  EXPECT_EQ(cut.substr(0, 3), "櫓");
  EXPECT_THAT(cut, ::testing::EndsWith("櫓…"));
}

TEST(StatusCodec, DetailsOfAnotherCodeAreNotBelieved) {
  const grpc::Status other(grpc::StatusCode::ABORTED, "no",
                           ToGrpc(NotFound("tenants/a/x/y")).error_details());
  EXPECT_EQ(ErrorReason(FromGrpc(other)), "");
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "no", "\xff\xff")).code(),
            absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace yagura::rpc
