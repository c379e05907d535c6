#include "common/store/projection.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <variant>

#include "fmt/format.h"

#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/store/page_token.h"
#include "common/store/store_impl.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

using google::protobuf::Message;
using Resource = std::shared_ptr<const Message>;

constexpr std::chrono::seconds kMaxWait{5};
constexpr std::chrono::milliseconds kRetryDelay{200};
constexpr size_t kMaxChanges = 1000;

// What stands in an order: the encoded value, a zero byte, the name.
std::string SortKey(const FieldPath* order, const Message& message, const std::string& name) {
  std::string key = order != nullptr ? order->Encode(message).front() : std::string();
  key += '\0';
  key += name;
  return key;
}

}  // namespace

// The follower's thread only queues what it hears; a thread of the projection reads the resources.
struct RawProjection::Impl : FeedFollower::Subscriber {
  struct Watching {
    TenantScope scope;
    Watcher watcher;
    std::recursive_mutex calling;  // held while the watcher is called; it may end itself
    bool ended = false;            // under calling
  };
  struct Ordered {
    FieldPath path;
    std::map<std::string, Resource> items;
  };
  // By the equality fields of a declared index, then as Ordered (without an order: by name).
  struct Indexed {
    const CompiledIndex* index;
    std::map<std::string, Resource> items;
  };
  struct Item {
    std::string tenant;
    Resource resource;
  };
  struct Reset {
    std::string tenant;
    bool tell = false;  // what is another than before
  };
  using Change = std::variant<audit::v1::Record, Reset>;

  void OnRecord(const audit::v1::Record& record) override {
    if (record.kind() != full_kind) return;
    const bool change = record.action() == audit::v1::CREATED ||
                        record.action() == audit::v1::UPDATED ||
                        record.action() == audit::v1::DELETED;
    if (change) Enqueue(record);
  }
  void OnReset(std::string_view tenant) override {
    Enqueue(Reset{.tenant = std::string(tenant), .tell = true});
  }
  void OnStart(std::string_view tenant, bool from_first) override {
    if (!from_first) Enqueue(Reset{.tenant = std::string(tenant), .tell = false});
  }

  void Enqueue(Change change) {
    {
      const std::lock_guard lock(queue_mutex);
      queue.push_back(std::move(change));
      ++enqueued;
    }
    queue_changed.notify_all();
  }

  void Run() {
    while (true) {
      std::vector<Change> changes;
      {
        std::unique_lock lock(queue_mutex);
        queue_changed.wait(lock, [this] { return stopping || !queue.empty(); });
        if (stopping) return;
        while (!queue.empty() && changes.size() < kMaxChanges) {
          const bool reset = std::holds_alternative<Reset>(queue.front());
          if (reset && !changes.empty()) break;
          changes.push_back(std::move(queue.front()));
          queue.pop_front();
          if (reset) break;
        }
      }
      while (!Apply(changes).ok()) {
        std::unique_lock lock(queue_mutex);
        if (queue_changed.wait_for(lock, kRetryDelay, [this] { return stopping; })) return;
      }
      {
        const std::lock_guard lock(queue_mutex);
        applied += changes.size();
      }
      queue_changed.notify_all();
    }
  }

  absl::Status Apply(const std::vector<Change>& changes) {
    if (const auto* reset = std::get_if<Reset>(&changes.front())) return Load(*reset);
    std::vector<std::string> distinct;
    for (const auto& change : changes) {
      distinct.push_back(std::get<audit::v1::Record>(change).resource());
    }
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    YAGURA_ASSIGN_OR_RETURN(auto found, store->GetMany(distinct));
    std::unordered_map<std::string, Resource> current;
    {
      const std::unique_lock lock(mutex);
      for (size_t i = 0; i < distinct.size(); ++i) {
        Resource resource = std::move(found[i]);
        current[distinct[i]] = resource;
        Put(distinct[i], std::move(resource));
      }
    }
    TellChanges(changes, current);
    return absl::OkStatus();
  }

  using Told = std::vector<std::shared_ptr<Watching>>;

  Told Watchers() {
    Told told;
    const std::lock_guard lock(watchers_mutex);
    std::erase_if(watchers, [&told](const std::weak_ptr<Watching>& weak) {
      auto watching = weak.lock();
      if (watching) told.push_back(watching);
      return weak.expired();
    });
    return told;
  }

  static void Tell(const Told& told, const audit::v1::Record& record, const Message* message) {
    for (const auto& watching : told) {
      if (!watching->scope.Contains(record.tenant())) continue;
      const std::lock_guard lock(watching->calling);
      if (!watching->ended) watching->watcher(record, message);
    }
  }

  // A resource may be further than its record. What is told of it last is what we hold of it, or a
  // reset, which tells what is another than what we hold, would leave the watchers with less.
  void TellChanges(const std::vector<Change>& changes,
                   const std::unordered_map<std::string, Resource>& current) {
    const Told told = Watchers();
    if (told.empty()) return;
    std::unordered_map<std::string_view, size_t> last;
    for (size_t i = 0; i < changes.size(); ++i) {
      last[std::get<audit::v1::Record>(changes[i]).resource()] = i;
    }
    for (size_t i = 0; i < changes.size(); ++i) {
      audit::v1::Record record = std::get<audit::v1::Record>(changes[i]);
      const Message* message = current.at(record.resource()).get();
      const bool is_last = last.at(record.resource()) == i;
      if (record.action() == audit::v1::DELETED) {
        Tell(told, record, nullptr);
        if (!is_last || message == nullptr) continue;
        record.set_action(audit::v1::CREATED);
      } else if (message == nullptr) {
        if (!is_last) continue;
        record.set_action(audit::v1::DELETED);
      }
      Tell(told, record, message);
    }
  }

  // Reads a tenant's resources anew; where changes were lost, tells what is another than before.
  // One that cannot be parsed must not keep all others from being listed.
  absl::Status Load(const Reset& reset) {
    std::map<std::string, Resource> resources;
    const auto take = [&](const Message& message) {
      std::unique_ptr<Message> copy(message.New());
      copy->CopyFrom(message);
      resources.emplace(kind->Name(message), std::move(copy));
      return absl::OkStatus();
    };
    YAGURA_RETURN_IF_ERROR(store->ForEach(reset.tenant, take, [](const std::string&) {}));
    std::map<std::string, Resource> before;
    {
      const std::unique_lock lock(mutex);
      before = TakeOut(reset.tenant);
      for (const auto& [name, resource] : resources) Put(name, resource);
    }
    if (reset.tell) TellDifference(reset.tenant, before, resources);
    return absl::OkStatus();
  }

  // Under `mutex`.
  std::map<std::string, Resource> TakeOut(const std::string& tenant) {
    std::map<std::string, Resource> taken;
    const std::string prefix = "tenants/" + tenant;
    for (auto item = by_name.lower_bound(prefix);
         item != by_name.end() && item->first.starts_with(prefix);) {
      const auto next = std::next(item);
      if (item->second.tenant == tenant) {
        taken.emplace(item->first, item->second.resource);
        Erase(item);
      }
      item = next;
    }
    return taken;
  }

  void TellDifference(const std::string& tenant, const std::map<std::string, Resource>& before,
                      const std::map<std::string, Resource>& after) {
    const Told told = Watchers();
    if (told.empty()) return;
    audit::v1::Record record;
    record.set_tenant(tenant);
    record.set_kind(full_kind);
    for (const auto& [name, resource] : before) {
      if (after.contains(name)) continue;
      record.set_resource(name);
      record.set_action(audit::v1::DELETED);
      Tell(told, record, nullptr);
    }
    for (const auto& [name, resource] : after) {
      const auto old = before.find(name);
      const bool known = old != before.end();
      if (!known && keep && !keep(*resource)) continue;
      if (known && kind->Etag(*old->second) == kind->Etag(*resource)) continue;
      record.set_resource(name);
      record.set_action(known ? audit::v1::UPDATED : audit::v1::CREATED);
      record.set_etag(kind->Etag(*resource));
      Tell(told, record, resource.get());
    }
  }

  // Replaces the resource; null takes it out. Under `mutex`.
  void Put(const std::string& name, Resource resource) {
    if (const auto old = by_name.find(name); old != by_name.end()) Erase(old);
    if (resource == nullptr || (keep && !keep(*resource))) return;
    for (auto& ordered : orders) {
      ordered.items.emplace(SortKey(&ordered.path, *resource, name), resource);
    }
    for (auto& indexed : indexes) {
      for (auto& member : indexed.index->Members(*resource, name)) {
        indexed.items.emplace(std::move(member), resource);
      }
    }
    const std::string tenant(TenantOf(name).value_or(std::string_view()));
    by_name.emplace(name, Item{.tenant = tenant, .resource = std::move(resource)});
  }

  void Erase(std::map<std::string, Item>::iterator item) {
    for (auto& ordered : orders) {
      ordered.items.erase(SortKey(&ordered.path, *item->second.resource, item->first));
    }
    for (auto& indexed : indexes) {
      for (const auto& member : indexed.index->Members(*item->second.resource, item->first)) {
        indexed.items.erase(member);
      }
    }
    by_name.erase(item);
  }

  // Until all that was queued when called is applied.
  absl::Status WaitApplied() {
    std::unique_lock lock(queue_mutex);
    const uint64_t target = enqueued;
    if (queue_changed.wait_for(lock, kMaxWait, [&] { return stopping || applied >= target; })) {
      return absl::OkStatus();
    }
    return Unavailable("PROJECTION_BEHIND",
                       fmt::format("the list of {} over all tenants is not up to date", full_kind));
  }

  std::shared_ptr<ResourceStore> store;
  std::shared_ptr<FeedFollower> feed;
  std::function<bool(const Message&)> keep;
  const CompiledKind* kind = nullptr;  // of `store`
  const Clock* clock = nullptr;        // of `store`
  std::string full_kind;

  mutable std::shared_mutex mutex;
  std::map<std::string, Item> by_name;
  std::vector<Ordered> orders;   // one for each declared order
  std::vector<Indexed> indexes;  // one for each declared index with equality fields

  std::mutex watchers_mutex;
  std::vector<std::weak_ptr<Watching>> watchers;

  std::mutex queue_mutex;
  std::condition_variable queue_changed;
  std::deque<Change> queue;
  uint64_t enqueued = 0;
  uint64_t applied = 0;
  bool stopping = false;
  std::thread thread;
};

namespace {

// Takes items in order until a page is full.
class PageBuilder {
 public:
  PageBuilder(size_t page_size, const filter::Filter& filter, const TenantScope& scope)
      : page_size_(page_size), filter_(filter), scope_(scope) {}

  // False: the page is full and there is at least one more.
  bool Take(const std::string& key, const Resource& resource, const std::string& tenant) {
    if (!scope_.Contains(tenant) || !filter_.Matches(*resource)) return true;
    if (resources_.size() == page_size_) {
      more_ = true;
      return false;
    }
    last_key_ = key;
    resources_.push_back(resource);
    return true;
  }

  Page<std::unique_ptr<Message>> Build(const std::string& identity) const {
    Page<std::unique_ptr<Message>> page;
    for (const auto& resource : resources_) {
      page.items.emplace_back(resource->New());
      page.items.back()->CopyFrom(*resource);
    }
    if (more_) page.next_page_token = EncodePageToken(identity, last_key_);
    return page;
  }

 private:
  const size_t page_size_;
  const filter::Filter& filter_;
  const TenantScope& scope_;
  std::vector<Resource> resources_;
  std::string last_key_;
  bool more_ = false;
};

// Walks what begins with `prefix` in a sorted map, from behind `position` (a key; empty: from the
// start), until `take` says stop.
template <typename Map, typename Take>
void WalkMap(const Map& map, bool descending, const std::string& position, const Take& take,
             const std::string& prefix = "") {
  if (!descending) {
    auto item = position.empty() ? map.lower_bound(prefix) : map.upper_bound(position);
    for (; item != map.end() && item->first.starts_with(prefix); ++item) {
      if (!take(*item)) return;
    }
    return;
  }
  const std::string end = position.empty() ? PrefixEnd(prefix) : position;
  auto item = end.empty() ? map.end() : map.lower_bound(end);
  while (item != map.begin()) {
    --item;
    if (!item->first.starts_with(prefix) || !take(*item)) return;
  }
}

// The index that binds most of what the filter says, in the order that is asked for.
template <typename Indexes>
auto BestIndex(const Indexes& indexes, const filter::Filter& filter, const std::string& order) {
  const auto terms = filter.EqualityTerms();
  std::pair<decltype(&indexes.front()), std::string> best{nullptr, ""};
  size_t bound = 0;
  for (const auto& indexed : indexes) {
    const std::string index_order = indexed.index->order ? indexed.index->order->text() : "";
    if (index_order != order || indexed.index->equality.size() <= bound) continue;
    auto prefix = indexed.index->Prefix(terms);
    if (!prefix) continue;
    bound = indexed.index->equality.size();
    best = {&indexed, *std::move(prefix)};
  }
  return best;
}

}  // namespace

RawProjection::RawProjection(std::shared_ptr<ResourceStore> store,
                             std::shared_ptr<FeedFollower> feed,
                             std::function<bool(const Message&)> keep)
    : impl_(std::make_shared<Impl>()) {
  impl_->kind = &store->impl_->kind;
  impl_->clock = store->impl_->clock.get();
  impl_->full_kind = impl_->kind->full_kind();
  impl_->store = std::move(store);
  impl_->feed = std::move(feed);
  impl_->keep = std::move(keep);
  for (const auto& index : impl_->kind->indexes()) {
    if (!index.equality.empty()) impl_->indexes.push_back({.index = &index, .items = {}});
    const auto known = [&index](const Impl::Ordered& ordered) {
      return ordered.path.text() == index.order->text();
    };
    if (!index.order || std::any_of(impl_->orders.begin(), impl_->orders.end(), known)) continue;
    impl_->orders.push_back({.path = *index.order, .items = {}});
  }
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
  impl_->feed->Subscribe(impl_);
}

RawProjection::~RawProjection() {
  {
    const std::lock_guard lock(impl_->queue_mutex);
    impl_->stopping = true;
  }
  impl_->queue_changed.notify_all();
  impl_->thread.join();
  // The follower's thread may hold the subscriber for a moment longer: it must not be the one that
  // destroys the follower.
  impl_->feed.reset();
  impl_->store.reset();
}

absl::StatusOr<Page<std::unique_ptr<Message>>> RawProjection::List(const ListQuery& query,
                                                                   const TenantScope& scope) const {
  const Impl& impl = *impl_;
  YAGURA_ASSIGN_OR_RETURN(const size_t page_size, EffectivePageSize(query.page_size));
  YAGURA_ASSIGN_OR_RETURN(const OrderBy order, ParseOrderBy(query.order_by));
  YAGURA_ASSIGN_OR_RETURN(
      const auto filter,
      filter::Filter::Parse(query.filter, impl.kind->schema(), impl.clock->Now()));
  std::optional<FieldPath> path;
  if (!order.field.empty()) {
    auto resolved = FieldPath::Resolve(impl.kind->prototype().GetDescriptor(), order.field);
    if (!resolved.ok() || resolved->repeated()) {
      return InvalidField("order_by", fmt::format("\"{}\" is no field to order by", order.field));
    }
    path = *std::move(resolved);
  }
  const std::string identity =
      fmt::format("{}\n-\n{}\n{}", impl.full_kind, query.order_by, query.filter);
  std::string position;
  if (!query.page_token.empty()) {
    YAGURA_ASSIGN_OR_RETURN(position, DecodePageToken(identity, query.page_token));
  }
  YAGURA_RETURN_IF_ERROR(impl.feed->CatchUp());
  YAGURA_RETURN_IF_ERROR(impl_->WaitApplied());

  const std::shared_lock lock(impl.mutex);
  PageBuilder builder(page_size, filter, scope);
  const auto take_resource = [&](const auto& item) {
    const std::string name = impl.kind->Name(*item.second);
    return builder.Take(item.first, item.second, std::string(*TenantOf(name)));
  };
  const std::string order_text = path ? path->text() : std::string();
  if (const auto [indexed, bound] = BestIndex(impl.indexes, filter, order_text); indexed) {
    // Behind what is bound a key is what it is in the order alone: pages go on wherever they began.
    const std::string prefix = path ? bound : bound + '\0';
    const auto take = [&, &prefix = prefix](const auto& item) {
      const std::string name = impl.kind->Name(*item.second);
      return builder.Take(item.first.substr(prefix.size()), item.second,
                          std::string(*TenantOf(name)));
    };
    WalkMap(indexed->items, order.descending, position.empty() ? "" : prefix + position, take,
            prefix);
    return builder.Build(identity);
  }
  if (!path) {
    WalkMap(impl.by_name, order.descending, position, [&](const auto& item) {
      return builder.Take(item.first, item.second.resource, item.second.tenant);
    });
    return builder.Build(identity);
  }
  for (const auto& ordered : impl.orders) {
    if (ordered.path.text() != path->text()) continue;
    WalkMap(ordered.items, order.descending, position, take_resource);
    return builder.Build(identity);
  }
  std::map<std::string, Resource> sorted;
  for (const auto& [name, item] : impl.by_name) {
    if (scope.Contains(item.tenant) && filter.Matches(*item.resource)) {
      sorted.emplace(SortKey(&*path, *item.resource, name), item.resource);
    }
  }
  WalkMap(sorted, order.descending, position, take_resource);
  return builder.Build(identity);
}

std::shared_ptr<void> RawProjection::Watch(TenantScope scope, Watcher watcher) {
  auto watching = std::make_shared<Impl::Watching>();
  watching->scope = std::move(scope);
  watching->watcher = std::move(watcher);
  // A tenant that the follower does not know yet starts with what is there when it is found; what
  // comes after this line must be told. While Redis is away nothing changes, either.
  static_cast<void>(impl_->feed->CatchUp());
  const std::lock_guard lock(impl_->watchers_mutex);
  impl_->watchers.push_back(watching);
  // Whoever drops the handle may drop what the watcher uses.
  return {watching.get(), [watching](void*) {
            const std::lock_guard end(watching->calling);
            watching->ended = true;
          }};
}

size_t RawProjection::size() const {
  const std::shared_lock lock(impl_->mutex);
  return impl_->by_name.size();
}

}  // namespace yagura::store
