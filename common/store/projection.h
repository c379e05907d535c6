#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/store/change_feed.h"
#include "common/store/store.h"

namespace yagura::store {

// Which tenants a list may show.
struct TenantScope {
  bool all = false;
  std::set<std::string> tenants;
  bool Contains(const std::string& tenant) const { return all || tenants.contains(tenant); }
};

// The resources of one kind over all tenants, in memory, kept current by the change feed: what
// "tenants/-" lists and Watch streams read. Thread-safe. A list sees every write that was
// acknowledged before it was called (CatchUp).
class RawProjection {
 public:
  using Message = google::protobuf::Message;
  // `keep`: resources for which it is false are left out (closed tickets, say). Empty: all.
  RawProjection(std::shared_ptr<ResourceStore> store, std::shared_ptr<FeedFollower> feed,
                std::function<bool(const Message&)> keep);
  ~RawProjection();
  // query.parent is ignored: `scope` says which tenants. Any field path orders. What the filter
  // demands of the equality fields of a declared index with that order is looked up; the rest is
  // evaluated on one resource after the other.
  absl::StatusOr<Page<std::unique_ptr<Message>>> List(const ListQuery& query,
                                                      const TenantScope& scope) const;
  // Called with every change from now on (deleted: null). Where changes were trimmed from the feed
  // before they were read, it is called once for each kept resource that is another than before,
  // with a record that names no principal. A change may be told more than once, always with the
  // resource as it is by then. Ends when the returned handle goes, which waits for a call under way
  // (not for one that drops it itself): hold no lock then that the watcher takes.
  using Watcher = std::function<void(const audit::v1::Record&, const Message*)>;
  std::shared_ptr<void> Watch(TenantScope scope, Watcher watcher);
  size_t size() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

template <typename M>
class Projection {
 public:
  Projection(const Store<M>& store, std::shared_ptr<FeedFollower> feed,
             std::function<bool(const M&)> keep = {})
      : raw_(store.raw(), std::move(feed),
             keep ? std::function<bool(const google::protobuf::Message&)>(
                        [keep](const google::protobuf::Message& m) {
                          return keep(static_cast<const M&>(m));
                        })
                  : nullptr) {}
  absl::StatusOr<Page<M>> List(const ListQuery& query, const TenantScope& scope) const {
    auto raw = raw_.List(query, scope);
    if (!raw.ok()) return raw.status();
    Page<M> page;
    page.next_page_token = std::move(raw->next_page_token);
    for (auto& item : raw->items) page.items.push_back(std::move(static_cast<M&>(*item)));
    return page;
  }
  std::shared_ptr<void> Watch(const TenantScope& scope,
                              std::function<void(const audit::v1::Record&, const M*)> watcher) {
    return raw_.Watch(scope,
                      [watcher = std::move(watcher)](const audit::v1::Record& record,
                                                     const google::protobuf::Message* message) {
                        watcher(record, static_cast<const M*>(message));
                      });
  }
  size_t size() const { return raw_.size(); }

 private:
  RawProjection raw_;
};

}  // namespace yagura::store
