#include "services/ticketing/workers/user_lookup.h"

#include <chrono>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ticketing {

absl::Status LookUpUser(rpc::Channels& channels, const std::string& user) {
  const auto tenant = store::TenantOf(user);
  if (!tenant.has_value()) return InvalidField("assignee", "names no user");
  grpc::ClientContext context;
  channels.PrepareAs(context, *tenant, std::chrono::seconds(5));
  directory::v1::GetUserRequest request;
  request.set_name(user);
  directory::v1::User found;
  const auto stub = directory::v1::DirectoryService::NewStub(channels.Get("directory"));
  const grpc::Status status = stub->GetUser(&context, request, &found);
  if (!status.ok()) return rpc::FromGrpc(status);
  if (found.state() == directory::v1::USER_DISABLED) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "USER_DISABLED", "the user is disabled",
                     {{"resource", user}});
  }
  return absl::OkStatus();
}

}  // namespace yagura::ticketing
