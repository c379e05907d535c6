#include "services/archive/workers/tenant_sealer.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/archive/domain/audit_chain.h"

namespace yagura::archive {
namespace {

constexpr size_t kMostBytes = 8 << 20;   // of a stretch
constexpr size_t kReadAtOnce = 1'000;    //
constexpr size_t kMostPlanned = 50'000;  // records; settings allow no stretch to have more
constexpr uint64_t kMostLost = 100'000;  // numbers that are taken for lost; beyond, somebody looks

Status DataLoss(std::string_view reason, const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, reason, what);
}

}  // namespace

TenantSealer::TenantSealer(std::string tenant, std::string holder, const SealOptions& options,
                           SealerParts& parts)
    : tenant_(std::move(tenant)), holder_(std::move(holder)), options_(options), parts_(parts) {}

Status TenantSealer::Run(const std::stop_token& stop) {
  YAGURA_ASSIGN_OR_RETURN(auto acquired, parts_.seals.Acquire(tenant_, holder_, options_.lease));
  lease_ = std::move(acquired.first);
  position_ = std::move(acquired.second);
  parts_.after_step(SealStep::kLeased);
  const Status status = RunLeased(stop);
  parts_.seals.Release(lease_);
  return status;
}

Status TenantSealer::RunLeased(const std::stop_token& stop) {
  if (position_.plan) YAGURA_RETURN_IF_ERROR(Repeat());
  YAGURA_RETURN_IF_ERROR(Reconcile(stop));
  YAGURA_ASSIGN_OR_RETURN(const SealStore::Feed feed, Look());
  while (position_.sequence < feed.newest && !stop.stop_requested()) {
    YAGURA_RETURN_IF_ERROR(SealNext(feed.newest));
  }
  return absl::OkStatus();
}

StatusOr<SealStore::Feed> TenantSealer::Look() const {
  YAGURA_ASSIGN_OR_RETURN(const auto feeds, parts_.seals.Look({tenant_}));
  return feeds.begin()->second;
}

TenantSealer::Stretch TenantSealer::NewStretch(uint64_t after, const std::string& hash,
                                               TimePoint order_time, TimePoint seal_time) const {
  Stretch stretch;
  stretch.head.set_tenant(tenant_);
  stretch.head.set_first_sequence(after + 1);
  stretch.head.set_sequence(after);
  stretch.head.set_previous_hash(hash);
  stretch.head.set_hash(hash);
  *stretch.head.mutable_seal_time() = ToProto(seal_time);
  stretch.order_time = order_time;
  return stretch;
}

void TenantSealer::Add(Stretch& stretch, uint64_t sequence, std::string bytes) const {
  audit::v1::Head& head = stretch.head;
  head.set_hash(ChainNext(head.hash(), sequence, bytes));
  head.set_sequence(sequence);
  stretch.order_time = OrderTimeOf(bytes, stretch.order_time, FromProto(head.seal_time()));
  stretch.records.push_back({sequence, std::move(bytes), head.hash(), stretch.order_time});
}

Status TenantSealer::Fill(Stretch& stretch, uint64_t up_to, size_t most_records,
                          size_t most_bytes) const {
  size_t bytes = 0;
  const auto full = [&] {
    return stretch.head.sequence() >= up_to || stretch.records.size() >= most_records ||
           bytes >= most_bytes;
  };
  const auto add_lost_before = [&](uint64_t sequence) {
    while (!full() && stretch.head.sequence() + 1 < sequence) {
      Add(stretch, stretch.head.sequence() + 1, LostRecord(stretch.head));
      ++stretch.lost;
    }
  };
  while (!full()) {
    YAGURA_ASSIGN_OR_RETURN(auto entries, parts_.seals.ReadFeed(tenant_, stretch.head.sequence(),
                                                                kReadAtOnce, most_bytes - bytes));
    const uint64_t next = entries.empty() ? up_to + 1 : entries.front().sequence;
    if (next - stretch.head.sequence() > kMostLost) {
      return DataLoss("FEED_LOST", fmt::format("the feed of {} lacks records from {} to {}",
                                               tenant_, stretch.head.sequence() + 1, next - 1));
    }
    add_lost_before(std::min(next, up_to + 1));
    for (SealStore::Entry& entry : entries) {
      add_lost_before(std::min(entry.sequence, up_to + 1));
      if (full()) break;
      bytes += entry.bytes.size();
      Add(stretch, entry.sequence, std::move(entry.bytes));
    }
  }
  return absl::OkStatus();
}

// What was planned is taken up again as it was: the same records, head and tokens.
Status TenantSealer::Repeat() {
  const internal::v1::SealPlan& plan = *position_.plan;
  const audit::v1::Head& head = plan.head();
  if (head.sequence() <= position_.sequence) return absl::OkStatus();
  Stretch stretch = NewStretch(head.first_sequence() - 1, head.previous_hash(),
                               TimePoint(std::chrono::nanoseconds(plan.previous_order_time())),
                               FromProto(head.seal_time()));
  // No plan of ours has more than these bounds let in.
  YAGURA_RETURN_IF_ERROR(Fill(stretch, head.sequence(), kMostPlanned, 2 * kMostBytes));
  if (stretch.head.hash() != head.hash() || head.previous_hash() != position_.hash) {
    return DataLoss("FEED_ALTERED",
                    fmt::format("records {} to {} of {} are not what was planned to be sealed",
                                head.first_sequence(), head.sequence(), tenant_));
  }
  parts_.logger.Info("a planned seal is repeated",
                     {{"tenant", tenant_}, {"sequence", head.sequence()}});
  stretch.head = head;
  return Store(stretch);
}

// The last head in the store says where the chain stands. It is where Redis says, unless one of the
// two has come back with older data.
Status TenantSealer::Reconcile(const std::stop_token& stop) {
  YAGURA_ASSIGN_OR_RETURN(auto last, parts_.store.LastHead(tenant_));
  const uint64_t sequence = last ? last->head.sequence() : 0;
  const std::string hash = last ? last->head.hash() : ChainStart(tenant_);
  if (last) Follow(*last);
  const bool behind =
      sequence < position_.sequence || (sequence == position_.sequence && hash != position_.hash);
  if (behind) return StoreIsBehind(sequence, hash, stop);
  YAGURA_ASSIGN_OR_RETURN(last, SealHeadless(last));
  if (!last || last->head.sequence() == position_.sequence) return absl::OkStatus();
  return StoreIsAhead(*last);
}

void TenantSealer::Follow(const SealedHead& last) {
  order_time_ = last.order_time;
  seal_time_ = std::max(seal_time_, FromProto(last.head.seal_time()));
  expires_ = std::max(expires_, last.head.expire_time().seconds());
}

// Where Redis has forgotten the plan of records that were stored, these get the head that they were
// to have: they are sealed as they are, since others would be there twice. The last head then.
StatusOr<std::optional<SealedHead>> TenantSealer::SealHeadless(
    const std::optional<SealedHead>& last) {
  const uint64_t after = last ? last->head.sequence() : 0;
  YAGURA_ASSIGN_OR_RETURN(const auto found, parts_.store.RowsAfter(tenant_, after));
  if (found.rows == 0) return last;
  const Status altered = DataLoss(
      "AUDIT_STORE_ALTERED",
      fmt::format("the event store has {} rows of {} behind record {} that no sealer has made",
                  found.rows, tenant_, after));
  const bool one_stretch =
      found.rows <= kMostPlanned && found.last == after + found.rows && found.one_time;
  if (!one_stretch) return altered;
  SealedHead sealed{NewStretch(after, last ? last->head.hash() : ChainStart(tenant_), order_time_,
                               found.seal_time)
                        .head,
                    order_time_};
  audit::v1::Head& head = sealed.head;
  YAGURA_RETURN_IF_ERROR(
      parts_.store.Visit(tenant_, after, found.last, {}, [&](const StoredRecord& stored) -> Status {
        const SealedRecord& record = stored.sealed;
        const std::string hash = ChainNext(head.hash(), record.sequence, record.bytes);
        const bool follows = record.sequence == head.sequence() + 1 && hash == record.chain_hash &&
                             stored.columns_fit;
        if (!follows) return altered;
        head.set_sequence(record.sequence);
        head.set_hash(hash);
        sealed.order_time = record.order_time;
        return absl::OkStatus();
      }));
  if (head.sequence() != found.last) return altered;
  Sign(head, found.expires);
  parts_.logger.Error("stored records, whose plan the state Redis lost, are sealed",
                      {{"tenant", tenant_}, {"from", after + 1}, {"to", found.last}});
  YAGURA_RETURN_IF_ERROR(parts_.store.InsertHead(sealed));
  Follow(sealed);
  return sealed;
}

void TenantSealer::Sign(audit::v1::Head& head, int64_t expires) const {
  head.mutable_expire_time()->set_seconds(expires);
  head.set_key_id(parts_.key.key_id());
  head.set_signature(parts_.key.Sign(HeadText(head)));
}

Status TenantSealer::StoreIsAhead(const SealedHead& last) {
  const audit::v1::Head& head = last.head;
  YAGURA_ASSIGN_OR_RETURN(const uint64_t common, CommonWith(head.sequence()));
  if (common == head.sequence()) {
    YAGURA_RETURN_IF_ERROR(parts_.seals.Advance(lease_, head.sequence(), head.hash()));
  } else {
    parts_.logger.Error(
        "the state Redis lost sealed records; newer ones are given new numbers",
        {{"tenant", tenant_}, {"lost_from", common + 1}, {"lost_to", head.sequence()}});
    YAGURA_RETURN_IF_ERROR(parts_.seals.Renumber(lease_, common, head.sequence(), head.hash()));
  }
  position_ = {head.sequence(), head.hash(), std::nullopt};
  return absl::OkStatus();
}

// Up to which sequence the feed has, after the position, the records that the store has.
StatusOr<uint64_t> TenantSealer::CommonWith(uint64_t sealed) const {
  std::vector<SealStore::Entry> entries;
  size_t next = 0;
  uint64_t common = position_.sequence;
  bool differs = false;
  YAGURA_RETURN_IF_ERROR(parts_.store.Visit(
      tenant_, position_.sequence, sealed, {}, [&](const StoredRecord& stored) -> Status {
        if (differs || stored.sealed.sequence != common + 1) return absl::OkStatus();
        if (next == entries.size()) {
          next = 0;
          YAGURA_ASSIGN_OR_RETURN(entries,
                                  parts_.seals.ReadFeed(tenant_, common, kReadAtOnce, kMostBytes));
        }
        differs = entries.empty() || entries[next].sequence != common + 1 ||
                  entries[next].bytes != stored.sealed.bytes;
        if (differs) return absl::OkStatus();
        ++next;
        ++common;
        return absl::OkStatus();
      }));
  return common;
}

StatusOr<std::string> TenantSealer::HashOfFeed(uint64_t after, std::string hash, uint64_t up_to,
                                               const std::stop_token& stop) const {
  while (after < up_to) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    YAGURA_ASSIGN_OR_RETURN(const auto entries,
                            parts_.seals.ReadFeed(tenant_, after, kReadAtOnce, kMostBytes));
    if (entries.empty()) return std::string();
    for (const SealStore::Entry& entry : entries) {
      if (after == up_to) break;
      if (entry.sequence != after + 1) return std::string();
      hash = ChainNext(hash, entry.sequence, entry.bytes);
      after = entry.sequence;
    }
  }
  return hash;
}

Status TenantSealer::StoreIsBehind(uint64_t sequence, const std::string& hash,
                                   const std::stop_token& stop) {
  const Status lost = DataLoss(
      "AUDIT_STORE_BEHIND", fmt::format("{} was sealed up to {}, but the event store has it to {}",
                                        tenant_, position_.sequence, sequence));
  YAGURA_ASSIGN_OR_RETURN(const SealStore::Feed feed, Look());
  YAGURA_ASSIGN_OR_RETURN(const uint64_t stray, parts_.store.LastSequence(tenant_, sequence));
  if (feed.oldest == 0 || feed.oldest > sequence + 1 || stray > 0) return lost;
  YAGURA_ASSIGN_OR_RETURN(const std::string of_feed,
                          HashOfFeed(sequence, hash, position_.sequence, stop));
  if (of_feed != position_.hash) return lost;
  parts_.logger.Error("the event store lost sealed records; they are sealed again from the feed",
                      {{"tenant", tenant_}, {"from", sequence + 1}, {"to", position_.sequence}});
  YAGURA_RETURN_IF_ERROR(parts_.seals.Advance(lease_, sequence, hash));
  position_ = {sequence, hash, std::nullopt};
  return absl::OkStatus();
}

Status TenantSealer::SealNext(uint64_t up_to) {
  const TimePoint now = std::max(parts_.clock->Now(), seal_time_);
  Stretch stretch = NewStretch(position_.sequence, position_.hash, order_time_, now);
  YAGURA_RETURN_IF_ERROR(Fill(stretch, up_to, options_.records_per_seal, kMostBytes));
  audit::v1::Head& head = stretch.head;
  Sign(head,
       std::max(expires_, head.seal_time().seconds() + int64_t{86'400} * options_.retention_days));
  if (stretch.lost > 0) {
    parts_.logger.Error("records were lost before they could be sealed",
                        {{"tenant", tenant_}, {"records", stretch.lost}});
  }
  internal::v1::SealPlan plan;
  *plan.mutable_head() = head;
  plan.set_previous_order_time(order_time_.time_since_epoch().count());
  YAGURA_RETURN_IF_ERROR(parts_.seals.Plan(lease_, plan));
  parts_.after_step(SealStep::kPlanned);
  return Store(stretch);
}

Status TenantSealer::Store(const Stretch& stretch) {
  const audit::v1::Head& head = stretch.head;
  YAGURA_RETURN_IF_ERROR(parts_.store.InsertRecords(head, stretch.records));
  parts_.after_step(SealStep::kRecordsStored);
  YAGURA_RETURN_IF_ERROR(parts_.store.InsertHead({head, stretch.order_time}));
  parts_.after_step(SealStep::kHeadStored);
  YAGURA_RETURN_IF_ERROR(parts_.seals.Advance(lease_, head.sequence(), head.hash()));
  parts_.after_step(SealStep::kAdvanced);
  position_ = {head.sequence(), head.hash(), std::nullopt};
  Follow({head, stretch.order_time});
  parts_.sealed += stretch.records.size();
  parts_.lost += stretch.lost;
  ++parts_.seals_made;
  return absl::OkStatus();
}

}  // namespace yagura::archive
