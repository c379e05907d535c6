#include "services/archive/api/audit_sources.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace yagura::archive {
namespace {

using audit::v1::Record;

constexpr uint64_t kWindow = 256;
constexpr size_t kWindowBytes = 4 << 20;
// Times of sealed records are looked at window by window, each longer than the one before: most
// lists end in the first.
constexpr std::chrono::hours kFirstWindow{24};
constexpr std::chrono::hours kLongestWindow{24 * 1024};
constexpr int kWiden = 4;

Record ToRecord(const std::string& tenant, const SealStore::Entry& entry) {
  StoredRecord stored;
  stored.tenant = tenant;
  stored.sealed.sequence = entry.sequence;
  stored.sealed.bytes = entry.bytes;
  return archive::ToRecord(stored);
}

}  // namespace

UnsealedRecords::UnsealedRecords(const SealStore& seals, std::string tenant, uint64_t after,
                                 uint64_t before, const SealStore::Feed& seen)
    : seals_(seals), tenant_(std::move(tenant)), after_(after), before_(before), seen_(seen) {}

Status UnsealedRecords::ReadWindow(bool patient) {
  const uint64_t last = before_ - 1;
  const uint64_t start = std::max(after_, last > kWindow ? last - kWindow : 0);
  uint64_t at = start;
  while (at < last) {
    YAGURA_ASSIGN_OR_RETURN(const auto entries,
                            seals_.ReadFeed(tenant_, at, last - at, kWindowBytes));
    for (const SealStore::Entry& entry : entries) {
      at = entry.sequence;
      if (at <= last) records_.push_back(ToRecord(tenant_, entry));
    }
    if (entries.empty()) break;
  }
  window_start_ = start + 1;
  if (records_.size() == last - start) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const auto found, seals_.Look({tenant_}));
  const SealStore::Feed& now = found.begin()->second;
  if (patient && (now.sealed > seen_.sealed || now.oldest > seen_.oldest)) {
    records_.clear();
    return MakeError(absl::StatusCode::kAborted, "FEED_MOVED", "the feed was trimmed meanwhile");
  }
  // What is gone is gone; below the oldest there is nothing to look for.
  if (now.oldest == 0 || now.oldest > start) window_start_ = after_ + 1;
  return absl::OkStatus();
}

StatusOr<const Record*> UnsealedRecords::Newest(bool patient) {
  while (records_.empty() && before_ > after_ + 1) {
    YAGURA_RETURN_IF_ERROR(ReadWindow(patient));
    if (records_.empty()) before_ = window_start_;
  }
  return records_.empty() ? nullptr : &records_.back();
}

Record UnsealedRecords::Take() {
  Record record = std::move(records_.back());
  records_.pop_back();
  before_ = records_.empty() ? std::min(window_start_, record.sequence()) : record.sequence();
  return record;
}

SealedRecords::SealedRecords(const AuditStore& store, filter::Filter filter,
                             std::map<std::string, uint64_t> below, TimePoint now, size_t page_size,
                             std::stop_token stop)
    : store_(store),
      selection_{std::move(below), std::move(filter), now - kFirstWindow, TimePoint::max()},
      window_(kFirstWindow),
      page_size_(page_size),
      stop_(std::move(stop)),
      ended_(selection_.below.empty()) {}

Status SealedRecords::Fetch() {
  YAGURA_ASSIGN_OR_RETURN(auto rows, store_.Newest(selection_, page_size_, stop_));
  for (StoredRecord& row : rows) {
    selection_.below[row.tenant] = row.sealed.sequence;
    selection_.to = row.sealed.order_time + std::chrono::nanoseconds(1);
    records_.push_back(std::move(row));
  }
  if (records_.size() >= page_size_) return absl::OkStatus();
  ended_ = selection_.from <= TimePoint{};
  selection_.to = selection_.from;
  window_ *= kWiden;
  selection_.from = window_ > kLongestWindow ? TimePoint{} : selection_.from - window_;
  return absl::OkStatus();
}

StatusOr<const StoredRecord*> SealedRecords::Newest() {
  while (records_.empty() && !ended_) YAGURA_RETURN_IF_ERROR(Fetch());
  return records_.empty() ? nullptr : &records_.front();
}

StoredRecord SealedRecords::Take() {
  StoredRecord record = std::move(records_.front());
  records_.pop_front();
  return record;
}

}  // namespace yagura::archive
