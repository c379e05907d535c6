#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/principal.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
class MethodDescriptor;
}  // namespace google::protobuf

namespace yagura::rpc {

// Which tenant a request is about, and whether the caller may act there. Worked out once a method
// from its request's descriptor.
//
// The tenant of a call is that of the request's `parent`, else of its `name`, else of the `name` of
// a resource inside it (Update), else of its first field marked resource_reference. Every other
// field called name, names or parent, or marked, anywhere in the request, must lie in that tenant
// where it begins with "tenants/". "tenants/-" stands for the caller's own set; it is allowed in
// `parent` alone, and not where the request has a `request_id`, that is, writes.
//
// A request without any such field is about no tenant. Where the method only looks (Get, List,
// Search, Watch, Count, WhoAmI, ... without request_id) or takes log lines in (ingestion.*), it
// stands for the caller's own set, as "tenants/-" does, and the handler keeps to Call::scope().
// Everything else changes the installation as a whole and needs the permission in
// "tenants/provider". What such a request refers to must lie in the caller's own set.
class RequestScope {
 public:
  using Message = google::protobuf::Message;
  using FieldDescriptor = google::protobuf::FieldDescriptor;

  RequestScope(const google::protobuf::MethodDescriptor& method, std::string_view permission);
  ~RequestScope();

  struct Target {
    std::string tenant;    // "-" for the caller's own set
    std::string resource;  // the text that said so, for the audit record
  };
  // PERMISSION_DENIED, the same for a tenant that does not exist and for one of somebody else;
  // INVALID_ARGUMENT where the request names no tenant but must.
  absl::StatusOr<Target> Check(const Message& request, const auth::Principal& principal) const;
  // What Check answers for a request that has not arrived yet (streams).
  absl::StatusOr<Target> CheckOpening(const auth::Principal& principal) const;
  // The request's own words for its target, also where the call is refused; bounded.
  std::string ResourceOf(const Message& request) const;

  absl::Status Denied() const;

 private:
  struct References;
  struct Builder;
  struct Source {
    std::vector<const FieldDescriptor*> path;  // one or two steps
    bool is_parent = false;
  };
  const std::string* Value(const Message& request, const Source& source) const;
  const Source* Find(const Message& request) const;
  absl::Status CheckReferences(const Message& message, const References& references,
                               const auth::TenantSet& set, bool top) const;
  absl::StatusOr<Target> WithoutTenant(const auth::TenantSet& granted) const;

  std::string permission_;
  bool writes_ = false;       // has a request_id
  bool for_own_set_ = false;  // what a request without a tenant means
  bool tenant_required_ = false;
  std::string required_field_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<References>> nodes_;
  const References* root_ = nullptr;
};

}  // namespace yagura::rpc
