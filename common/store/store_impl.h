#pragma once

#include <array>
#include <condition_variable>
#include <mutex>
#include <set>

#include "google/protobuf/message.h"

#include "common/filter/filter.h"
#include "common/redis/pool.h"
#include "common/store/compiled_kind.h"
#include "common/store/store.h"
#include "common/store/write.h"

namespace yagura::store {

// A resource as read: parsed, with what its header says.
struct Loaded {
  std::unique_ptr<google::protobuf::Message> message;
  std::string etag;
  int index_version = 0;
};

// Lets the writers of one process that have lost a race for a resource try again one by one: a
// crowd that only waits at random starves somebody. Waits no longer than two seconds, so that a
// change that itself changes other resources cannot end in a deadlock, only in a delay.
class RetryQueue {
 public:
  class Turn {
   public:
    Turn(RetryQueue& queue, std::string_view name);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    RetryQueue& queue_;
    const size_t slot_;
    bool held_ = false;
  };

 private:
  static constexpr size_t kSlots = 64;
  std::mutex mutex_;
  std::array<std::condition_variable, kSlots> freed_;
  std::array<bool, kSlots> taken_{};
};

struct ResourceStore::Impl {
  Impl(std::shared_ptr<redis::Pool> pool, Kind declared, const Message& prototype,
       std::shared_ptr<const Clock> time)
      : state(std::move(pool)), kind(std::move(declared), prototype), clock(std::move(time)) {}

  const std::shared_ptr<redis::Pool> state;
  const CompiledKind kind;
  const std::shared_ptr<const Clock> clock;

  // store.cc
  absl::StatusOr<Loaded> Parse(std::string_view bytes) const;
  // Null where there is none.
  absl::StatusOr<Loaded> Load(const Location& location) const;
  // `unreadable`: as of ForEach.
  absl::StatusOr<std::vector<Loaded>> LoadMany(const std::string& tenant,
                                               const std::vector<std::string>& id_paths,
                                               const OnUnreadable& unreadable = nullptr) const;
  std::vector<Write::IndexEntry> Entries(const Location& location, const Message& message) const;
  Write MakeWrite(WriteKind what, const WriteContext& context, const Location& location,
                  const Message* before, Message* after) const;
  // The first answer of a repeated request, if this is one.
  absl::StatusOr<std::optional<std::string>> Replay(const RequestIdentity& request) const;
  // Keeps the answer of a request that changed nothing: a late repeat must not change what others
  // have written since. The first answer where this is a repeat after all.
  absl::StatusOr<std::optional<std::string>> Remember(const RequestIdentity& request,
                                                      const Loaded& loaded) const;
  absl::Status Register(const std::string& tenant);
  absl::Status RegisterIndexes(const std::string& tenant) const;
  // Of this index version.
  std::vector<std::string> IndexKeys(const std::string& tenant) const;
  // Reads, lets `prepare` make the next state (null: delete), writes; again after a lost race.
  enum class Next { kWrite, kNothing };
  using Prepare = std::function<absl::StatusOr<Next>(const Loaded& before, Message& next)>;
  absl::Status ReadAndWrite(WriteKind what, const WriteContext& context, std::string_view name,
                            bool retry, const Prepare& prepare, Message* out);

  // list.cc
  absl::StatusOr<Page<std::unique_ptr<Message>>> List(const ListQuery& query) const;

  // reindex.cc
  // What the marker of the tenant says: whether its indexes can be read as they are.
  bool IsCurrent(const redis::Reply& marker) const;
  absl::Status Reindex(const std::string& tenant) const;
  // Index entries of other versions are of no use once this one is complete: a release that wants
  // them back makes them anew.
  absl::Status DropOtherIndexes(const std::string& tenant) const;

  RetryQueue retries;
  std::mutex mutex;
  std::set<std::string> registered;  // tenants that this process has registered
};

// UNAVAILABLE: two releases write, and each makes indexes of its own.
absl::Status IndexContended(const CompiledKind& kind);

// INVALID_ARGUMENT where negative; otherwise within 1 to 1,000.
absl::StatusOr<size_t> EffectivePageSize(int page_size);

// "create_time desc" taken apart; field "" for by name.
struct OrderBy {
  std::string field;
  bool descending = false;
};
absl::StatusOr<OrderBy> ParseOrderBy(std::string_view text);

}  // namespace yagura::store
