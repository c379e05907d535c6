#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "grpcpp/client_context.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"

namespace yagura::ingestion {

// Gives `take` every page of one of directory's lists over all tenants; `list` makes one call. Ends
// at the first error.
template <typename Request, typename Response, typename List, typename Take>
absl::Status ForEachPage(rpc::Channels& channels, std::chrono::seconds timeout, Request request,
                         const List& list, const Take& take) {
  constexpr int kPageSize = 1000;
  request.set_page_size(kPageSize);
  do {
    grpc::ClientContext context;
    channels.PrepareAs(context, "-", timeout);
    Response response;
    YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(list(&context, request, &response)));
    take(response);
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

}  // namespace yagura::ingestion
