#include "services/archive/storage/pending_batches.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/readers.h"

namespace yagura::archive {
namespace {

constexpr size_t kBatchesPerRead = 16;

TimePoint TimeOf(stream::EntryId id) {
  return TimePoint(std::chrono::milliseconds(id.milliseconds));
}

struct TenantHead {
  std::string tenant;
  PendingBatches::Head head;
};

// Nothing where it cannot be read: the writer tells of it.
std::optional<TenantHead> HeadOf(const stream::Entry& entry) {
  auto batch = event::BatchReader::Open(entry.payload);
  if (!batch.ok()) return std::nullopt;
  const TimePoint received = batch->header().receive_time;
  TenantHead found{batch->tenant(),
                   {entry.id, received, received, static_cast<uint32_t>(batch->size())}};
  // What a relay delivers may have been received over hours.
  if (const auto times = batch->Read(event::Core::kReceiveTime); times.ok()) {
    for (const int64_t time : (*times)->numbers) {
      const TimePoint one{std::chrono::nanoseconds(time)};
      found.head.first = std::min(found.head.first, one);
      found.head.last = std::max(found.head.last, one);
    }
  }
  return found;
}

}  // namespace

struct PendingBatches::News {
  int shard = 0;
  bool anew = true;  // what was known does not hold any more
  stream::EntryId committed;
  stream::EntryId place;
  TimePoint reached{};
  bool whole = false;
  std::vector<TenantHead> heads;
};

PendingBatches::PendingBatches(std::shared_ptr<redis::Pool> flow, stream::Topic topic,
                               std::string reader, const Limits& limits)
    : flow_(std::move(flow)),
      topic_(std::move(topic)),
      reader_(std::move(reader)),
      limits_(limits),
      heads_per_shard_(
          std::max<size_t>(1, limits.heads / static_cast<size_t>(std::max(1, topic_.shards)))),
      shards_(static_cast<size_t>(std::max(1, topic_.shards))) {}

Status PendingBatches::Visit(const auth::TenantSet& tenants, const Visitor& visitor) {
  std::unique_lock lock(mutex_);
  // One that begins now or later: another that is under way may have passed over what came just
  // before this call.
  const uint64_t wanted = begun_ + 1;
  while (finished_ < wanted) {
    if (begun_ > finished_) {
      looked_.wait(lock);
      continue;
    }
    ++begun_;
    lock.unlock();
    Status looked = Look();
    lock.lock();
    result_ = std::move(looked);
    finished_ = begun_;
    looked_.notify_all();
  }
  YAGURA_RETURN_IF_ERROR(result_);
  for (const Shard& shard : shards_) {
    for (const auto& [tenant, heads] : shard.heads) {
      if (!tenants.Contains(tenant)) continue;
      for (const Head& head : heads) visitor.batch(head);
    }
    if (!shard.whole) visitor.unread(std::min(shard.reached, TimeOf(shard.place)));
  }
  return absl::OkStatus();
}

Status PendingBatches::Look() {
  // One connection, and so one server, for all of it.
  YAGURA_ASSIGN_OR_RETURN(auto flow, flow_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(std::string history, stream::ServerHistory(*flow));
  YAGURA_ASSIGN_OR_RETURN(std::vector<News> news, ReadNews(*flow, history == history_));
  const std::lock_guard lock(mutex_);
  history_ = std::move(history);
  Apply(std::move(news));
  return absl::OkStatus();
}

StatusOr<std::vector<PendingBatches::News>> PendingBatches::ReadNews(redis::Connection& flow,
                                                                     bool same_history) const {
  YAGURA_ASSIGN_OR_RETURN(const auto backlogs, stream::ReaderBacklog(flow, topic_, reader_));
  std::vector<News> news;
  for (const stream::Backlog& backlog : backlogs) {
    News& shard = news.emplace_back();
    shard.shard = backlog.shard;
    shard.committed = backlog.committed;
    YAGURA_RETURN_IF_ERROR(ReadShard(flow, same_history, &shard));
  }
  return news;
}

// The first and the last batch that should still wait are there.
StatusOr<bool> PendingBatches::IsAsKnown(redis::Connection& flow, const Shard& known,
                                         const News& news) const {
  if (news.committed < known.committed) return false;
  if (known.place <= news.committed) return true;  // nothing of it waits any more
  std::vector<stream::EntryId> ids = {known.place};
  for (const auto& [tenant, heads] : known.heads) {
    const auto first =
        std::ranges::find_if(heads, [&](const Head& head) { return head.id > news.committed; });
    if (first != heads.end()) ids[0] = std::min(ids[0], first->id);
  }
  if (ids[0] != known.place) ids.push_back(known.place);
  return stream::HasEntries(flow, topic_, news.shard, ids);
}

Status PendingBatches::ReadShard(redis::Connection& flow, bool same_history, News* news) const {
  const Shard& known = shards_[static_cast<size_t>(news->shard)];
  if (same_history) {
    YAGURA_ASSIGN_OR_RETURN(const bool as_known, IsAsKnown(flow, known, *news));
    news->anew = !as_known;
  }
  const bool goes_on = !news->anew && known.place > news->committed;
  news->place = goes_on ? known.place : news->committed;
  news->reached = goes_on ? known.reached : TimePoint::max();
  size_t room = heads_per_shard_;
  if (goes_on) {
    for (const auto& [tenant, heads] : known.heads) {
      room -= static_cast<size_t>(std::ranges::count_if(
          heads, [&](const Head& head) { return head.id > news->committed; }));
    }
  }
  room = std::min(room, limits_.batches_per_look);
  size_t bytes = 0;
  while (room > 0 && bytes < limits_.bytes_per_look) {
    const size_t count = std::min(room, kBatchesPerRead);
    YAGURA_ASSIGN_OR_RETURN(const auto entries,
                            stream::Peek(flow, topic_, news->shard, news->place, count));
    for (const stream::Entry& entry : entries) {
      auto head = HeadOf(entry);
      news->place = entry.id;
      news->reached = head ? head->head.first : TimeOf(entry.id);
      bytes += entry.payload.size();
      if (head) news->heads.push_back(*std::move(head));
    }
    news->whole = entries.size() < count;
    if (news->whole) return absl::OkStatus();
    room -= count;
  }
  return absl::OkStatus();
}

void PendingBatches::Apply(std::vector<News> news) {
  std::vector<bool> waits(shards_.size());
  for (News& fresh : news) {
    Shard& shard = shards_[static_cast<size_t>(fresh.shard)];
    waits[static_cast<size_t>(fresh.shard)] = true;
    if (fresh.anew) shard.heads.clear();
    for (auto& [tenant, heads] : shard.heads) {
      const auto waiting =
          std::ranges::find_if(heads, [&](const Head& head) { return head.id > fresh.committed; });
      heads.erase(heads.begin(), waiting);
    }
    std::erase_if(shard.heads, [](const auto& of_tenant) { return of_tenant.second.empty(); });
    for (TenantHead& one : fresh.heads) {
      shard.heads[std::move(one.tenant)].push_back(one.head);
    }
    shard.committed = fresh.committed;
    shard.place = fresh.place;
    shard.reached = fresh.reached;
    shard.whole = fresh.whole;
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (!waits[i]) shards_[i] = {};
  }
}

}  // namespace yagura::archive
