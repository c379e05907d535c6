#pragma once

#include <set>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/message.h"

#include "common/rpc/call.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/directory/storage/directory_store.h"

// What the standard methods of all resources have in common.
namespace yagura::directory {

using rpc::CheckEtag;

// Of a request why something is done: 2,000 bytes at most. INVALID_ARGUMENT.
inline absl::Status CheckReason(std::string_view reason) {
  constexpr size_t kMost = 2000;
  if (reason.size() <= kMost) return absl::OkStatus();
  return InvalidField("reason", "has more than 2,000 bytes");
}

// Copies what the mask names (nothing: every field that is set) from `change` to `resource`.
// INVALID_ARGUMENT where a path names no field, or one that a client cannot set: name, etag, the
// times, and `output_only`.
absl::Status ApplyMask(const google::protobuf::Message& change,
                       const google::protobuf::FieldMask& mask,
                       const std::set<std::string>& output_only,
                       google::protobuf::Message& resource);

// Full name of a method of the DirectoryService.
inline std::string Method(std::string_view name) {
  return fmt::format("/yagura.directory.v1.DirectoryService/{}", name);
}

// "tenants/acme" + "sites" + "tokyo". The id is made where it is empty and may be.
// INVALID_ARGUMENT naming `field`.
absl::StatusOr<std::string> NewName(std::string_view parent, std::string_view collection,
                                    std::string_view id, std::string_view field,
                                    bool server_makes_ids);

template <typename M, typename Request>
absl::StatusOr<store::Page<M>> ListPage(const rpc::Call& call, const Request& request,
                                        std::string_view parent, const Collection<M>& collection) {
  const store::ListQuery query{.parent = std::string(parent),
                               .filter = request.filter(),
                               .order_by = request.order_by(),
                               .page_size = request.page_size(),
                               .page_token = request.page_token()};
  if (!call.all_tenants() && !parent.empty()) return collection.store.List(query);
  return collection.everywhere.List(query, rpc::ScopeOf(call));
}

// Reads, checks the etag, applies the mask, lets `check` judge the result, writes.
template <typename M>
absl::StatusOr<M> UpdateMasked(const rpc::Call& call, store::Store<M>& store, const M& change,
                               const google::protobuf::FieldMask& mask,
                               const std::set<std::string>& output_only,
                               const std::function<absl::Status(M&)>& check) {
  return store.Mutate(call.write_context(), change.name(), [&](M& resource) -> absl::Status {
    YAGURA_RETURN_IF_ERROR(CheckEtag(change.etag(), resource));
    YAGURA_RETURN_IF_ERROR(ApplyMask(change, mask, output_only, resource));
    return check(resource);
  });
}

}  // namespace yagura::directory
