#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

#include "common/clock/clock.h"
#include "common/store/kind.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::store {

// On whose account a write is done; goes into the change record.
struct WriteContext {
  std::string principal;
  std::string on_behalf_of;
  std::string method;
  // AIP-155. Same id, principal, method and tenant within 24 h: same body, first answer; other
  // body, INVALID_ARGUMENT (REQUEST_ID_REUSED). Empty: not deduplicated. A repeat is recognised by
  // kind for Create (whose ids the server may make anew) and by name for the rest: a handler that
  // creates several resources of one kind in a call, or writes one twice, makes the ids differ
  // ("<id>/2").
  std::string request_id;
  // SHA-256 of the request with that id; set by rpc::WriteContextOf.
  std::string request_digest;
  std::string detail;  // for the audit record; no secrets
};

struct ListQuery {
  std::string parent;      // "tenants/acme", or a longer parent; "tenants/-" is for Projection
  std::string filter;      // common/filter grammar; empty: all
  std::string order_by;    // "create_time desc"; "" or a declared index's order
  int page_size = 0;       // clamped to 1..1000, 0 means 50; negative is INVALID_ARGUMENT
  std::string page_token;  // opaque; INVALID_ARGUMENT where it belongs to another query
  // Lists without those that cannot be parsed; else one ends the list (DATA_LOSS).
  bool pass_over_unreadable = false;
};

// Told the name of each stored resource that cannot be parsed, which is passed over.
using OnUnreadable = std::function<void(const std::string& name)>;

template <typename Message>
struct Page {
  std::vector<Message> items;
  std::string next_page_token;  // empty: no more. A short page with a token is legal.
};

// The untyped half: all work is done here, once, on google::protobuf::Message. Thread-safe.
class ResourceStore {
 public:
  using Message = google::protobuf::Message;
  ResourceStore(std::shared_ptr<redis::Pool> state, Kind kind, const Message& prototype,
                std::shared_ptr<const Clock> clock);
  ~ResourceStore();

  absl::Status Create(const WriteContext& context, Message& message);
  absl::Status Get(std::string_view name, Message& out) const;
  absl::Status Update(const WriteContext& context, Message& message);
  absl::Status Mutate(const WriteContext& context, std::string_view name, Message& scratch,
                      const std::function<absl::Status(Message&)>& change);
  absl::Status Delete(const WriteContext& context, std::string_view name, std::string_view etag);
  absl::StatusOr<Page<std::unique_ptr<Message>>> List(const ListQuery& query) const;
  // Every resource of a tenant, in no order, in pages of 1,000; for projections and jobs. One that
  // cannot be parsed ends it (DATA_LOSS, STORED_RESOURCE_UNREADABLE) where `unreadable` is not set.
  absl::Status ForEach(std::string_view tenant,
                       const std::function<absl::Status(const Message&)>& visit,
                       const OnUnreadable& unreadable = nullptr) const;
  // In the order of `names`; null for those that do not exist.
  absl::StatusOr<std::vector<std::unique_ptr<Message>>> GetMany(
      const std::vector<std::string>& names) const;
  // Brings the indexes of every tenant to this kind's index_version. Resumable; does nothing where
  // they are there already. Lists do the same for their tenant, so this only spares the first one
  // the wait.
  absl::Status Reindex() const;

  const Kind& kind() const;
  const Message& prototype() const;

 private:
  friend class RawProjection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Typed resources in the state Redis. A write is one script: it compares the etag, writes the
// message, moves its index entries, takes the tenant's next sequence number and appends the change
// record.
//
// Errors: INVALID_ARGUMENT (name does not fit the pattern, bad filter), NOT_FOUND, ALREADY_EXISTS
// (also CLAIMED_BY_ANOTHER: Kind::claims; metadata "field" and "resource" say what and who has it),
// ABORTED (ETAG_MISMATCH, metadata "etag" has the current one), UNAVAILABLE (Redis).
template <typename M>
class Store {
 public:
  Store(std::shared_ptr<redis::Pool> state, Kind kind, std::shared_ptr<const Clock> clock)
      : raw_(std::make_shared<ResourceStore>(std::move(state), std::move(kind),
                                             M::default_instance(), std::move(clock))) {}

  // `message.name` is set by the caller. Sets etag, create_time, update_time in the answer.
  absl::StatusOr<M> Create(const WriteContext& context, M message) {
    if (absl::Status s = raw_->Create(context, message); !s.ok()) return s;
    return message;
  }
  absl::StatusOr<M> Get(std::string_view name) const {
    M message;
    if (absl::Status s = raw_->Get(name, message); !s.ok()) return s;
    return message;
  }
  // Replaces the resource; `message.etag` must be the current one (empty: whatever is current).
  absl::StatusOr<M> Update(const WriteContext& context, M message) {
    if (absl::Status s = raw_->Update(context, message); !s.ok()) return s;
    return message;
  }
  // Reads, changes, writes; again from the start after a lost race (bounded). `change` may run more
  // than once; where it returns an error nothing is written. Unchanged: no write, no record, but a
  // request id is remembered with the answer.
  absl::StatusOr<M> Mutate(const WriteContext& context, std::string_view name,
                           const std::function<absl::Status(M&)>& change) {
    M message;
    absl::Status s = raw_->Mutate(context, name, message, [&change](google::protobuf::Message& m) {
      return change(static_cast<M&>(m));
    });
    if (!s.ok()) return s;
    return message;
  }
  absl::Status Delete(const WriteContext& context, std::string_view name,
                      std::string_view etag = "") {
    return raw_->Delete(context, name, etag);
  }
  absl::StatusOr<Page<M>> List(const ListQuery& query) const {
    auto raw = raw_->List(query);
    if (!raw.ok()) return raw.status();
    Page<M> page;
    page.next_page_token = std::move(raw->next_page_token);
    for (auto& item : raw->items) page.items.push_back(std::move(static_cast<M&>(*item)));
    return page;
  }

  // In the order of `names`; nothing for those that do not exist.
  absl::StatusOr<std::vector<std::optional<M>>> GetMany(
      const std::vector<std::string>& names) const {
    auto raw = raw_->GetMany(names);
    if (!raw.ok()) return raw.status();
    std::vector<std::optional<M>> found(raw->size());
    for (size_t i = 0; i < found.size(); ++i) {
      if ((*raw)[i]) found[i] = std::move(static_cast<M&>(*(*raw)[i]));
    }
    return found;
  }
  // As ResourceStore::ForEach.
  absl::Status ForEach(std::string_view tenant, const std::function<absl::Status(const M&)>& visit,
                       const OnUnreadable& unreadable = nullptr) const {
    return raw_->ForEach(
        tenant,
        [&visit](const google::protobuf::Message& message) {
          return visit(static_cast<const M&>(message));
        },
        unreadable);
  }

  const std::shared_ptr<ResourceStore>& raw() const { return raw_; }

 private:
  std::shared_ptr<ResourceStore> raw_;
};

// Every tenant that has ever been registered. The directory registers a tenant when it creates it.
absl::Status RegisterTenant(redis::Pool& state, std::string_view tenant);
absl::StatusOr<std::vector<std::string>> ListTenants(redis::Pool& state);

}  // namespace yagura::store
