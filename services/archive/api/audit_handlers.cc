#include "services/archive/api/audit_handlers.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/store.h"
#include "services/archive/api/audit_sources.h"
#include "services/archive/api/audit_verifier.h"
#include "services/archive/domain/audit_page.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"

namespace yagura::archive {
namespace {

using audit::v1::Record;

constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1'000;
constexpr size_t kMostLookedAt = 5'000;
constexpr int kAttempts = 4;
constexpr std::chrono::milliseconds kRetryDelay{1'000};

StatusOr<int> PageSize(int asked) {
  if (asked < 0) return InvalidField("page_size", "must not be negative");
  return asked == 0 ? kDefaultPage : std::min(asked, kLargestPage);
}

// Puts one page together, the newest of all tenants' records first. Each tenant's are taken in the
// order of their numbers, whatever the clocks said: so a page ends, for every tenant, at a number.
class PageBuilder {
 public:
  struct Options {
    bool feeds_alone = false;  // the store is down: feeds have sealed records too, for a while
    bool patient = true;       // look anew where a feed was trimmed meanwhile
  };
  PageBuilder(const SealStore& seals, const filter::Filter& filter, size_t page_size,
              Options options)
      : seals_(seals), filter_(filter), page_size_(page_size), options_(options) {}

  Status Open(const AuditStore& store, const std::vector<std::string>& tenants,
              const AuditPage& page, TimePoint now, const std::stop_token& stop) {
    YAGURA_ASSIGN_OR_RETURN(const auto feeds, seals_.Look(tenants));
    std::map<std::string, uint64_t> below;
    for (const auto& [tenant, feed] : feeds) {
      const uint64_t before = page.Before(tenant).value_or(std::max(feed.newest, feed.sealed) + 1);
      uint64_t border = feed.sealed;
      if (options_.feeds_alone) {
        border = feed.oldest == 0 ? before - 1 : feed.oldest - 1;
        store_has_more_ = store_has_more_ || std::min(border, before - 1) > 0;
      } else if (feed.sealed > 0 && before > 1) {
        below[tenant] = std::min(before, feed.sealed + 1);
      }
      before_[tenant] = before;
      unsealed_.try_emplace(tenant, seals_, tenant, border, before, feed);
    }
    sealed_ = std::make_unique<SealedRecords>(store, filter_, std::move(below), now, page_size_ + 1,
                                              stop);
    return absl::OkStatus();
  }

  Status Fill(audit::v1::ListRecordsResponse* response) {
    const auto full = [&] { return static_cast<size_t>(response->records_size()) == page_size_; };
    for (size_t looked_at = 0;; ++looked_at) {
      YAGURA_ASSIGN_OR_RETURN(UnsealedRecords * newest, NewestUnsealed());
      YAGURA_ASSIGN_OR_RETURN(const StoredRecord* sealed, sealed_->Newest());
      if (newest == nullptr && sealed == nullptr) {
        more_ = store_has_more_;
        return absl::OkStatus();
      }
      more_ = full() || looked_at == kMostLookedAt;
      if (more_) return absl::OkStatus();
      bool from_store = sealed != nullptr;
      if (from_store && newest != nullptr) {
        YAGURA_ASSIGN_OR_RETURN(const Record* own,
                                unsealed_.at(sealed->tenant).Newest(options_.patient));
        from_store = own == nullptr && sealed->sealed.order_time > newest_time_;
      }
      Record record = from_store ? ToRecord(sealed_->Take()) : newest->Take();
      if (from_store) {
        before_[record.tenant()] = record.sequence();
      } else {
        before_[record.tenant()] = newest->before();
      }
      if (from_store || filter_.Matches(record)) *response->add_records() = std::move(record);
    }
  }

  // There are more: where the next page begins.
  bool more() const { return more_; }
  void SetBounds(AuditPage* page) const {
    for (const auto& [tenant, before] : before_) page->Set(tenant, before);
  }

 private:
  StatusOr<UnsealedRecords*> NewestUnsealed() {
    UnsealedRecords* newest = nullptr;
    for (auto& [tenant, records] : unsealed_) {
      YAGURA_ASSIGN_OR_RETURN(const Record* record, records.Newest(options_.patient));
      if (record == nullptr) continue;
      const TimePoint time = FromProto(record->time());
      if (newest != nullptr && time <= newest_time_) continue;
      newest = &records;
      newest_time_ = time;
    }
    return newest;
  }

  const SealStore& seals_;
  const filter::Filter& filter_;
  const size_t page_size_;
  const Options options_;
  std::map<std::string, UnsealedRecords> unsealed_;
  std::unique_ptr<SealedRecords> sealed_;
  std::map<std::string, uint64_t> before_;  // by tenant: everything from here on has been taken
  TimePoint newest_time_{};                 // of what NewestUnsealed found
  bool store_has_more_ = false;
  bool more_ = false;
};

}  // namespace

AuditHandlers::AuditHandlers(std::shared_ptr<redis::Pool> state, const SealStore& seals,
                             const AuditStore& store, TrustedKeys trusted,
                             std::shared_ptr<const Clock> clock)
    : state_(std::move(state)),
      seals_(seals),
      store_(store),
      trusted_(std::move(trusted)),
      clock_(std::move(clock)) {}

StatusOr<std::vector<std::string>> AuditHandlers::TenantsOf(const rpc::Call& call) const {
  const auth::TenantSet scope = call.scope();
  if (scope.all) return store::ListTenants(*state_);
  return std::vector<std::string>(scope.tenants.begin(), scope.tenants.end());
}

StatusOr<audit::v1::ListRecordsResponse> AuditHandlers::ListRecords(
    const rpc::Call& call, const audit::v1::ListRecordsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  YAGURA_ASSIGN_OR_RETURN(
      const filter::Filter filter,
      filter::Filter::Parse(request.filter(), filter::Schema(Record::descriptor()), clock_->Now()));
  YAGURA_ASSIGN_OR_RETURN(
      AuditPage page, AuditPage::Parse(request.page_token(), request.parent(), request.filter()));
  YAGURA_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, TenantsOf(call));
  PageBuilder::Options options;
  Status store_down;
  for (int attempt = 1;; ++attempt) {
    options.patient = attempt < kAttempts;
    PageBuilder builder(seals_, filter, static_cast<size_t>(page_size), options);
    YAGURA_RETURN_IF_ERROR(builder.Open(store_, tenants, page, clock_->Now(), call.cancelled()));
    audit::v1::ListRecordsResponse response;
    const Status filled = builder.Fill(&response);
    if (ErrorReason(filled) == "FEED_MOVED" && options.patient) continue;
    if (ErrorReason(filled) == "EVENT_STORE_DOWN" && !options.feeds_alone) {
      store_down = WithRetryDelay(filled, kRetryDelay);
      options.feeds_alone = true;
      continue;
    }
    YAGURA_RETURN_IF_ERROR(filled);
    if (builder.more()) {
      // All that is left is in the store.
      if (options.feeds_alone && response.records_size() == 0) return store_down;
      builder.SetBounds(&page);
      response.set_next_page_token(page.ToToken());
    }
    return response;
  }
}

Status AuditHandlers::VerifyRecords(
    const rpc::Call& call, const audit::v1::VerifyRecordsRequest& /*request*/,
    const rpc::Outbox<audit::v1::VerifyRecordsResponse>& out) const {
  YAGURA_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, TenantsOf(call));
  const auto send = [&out](const audit::v1::VerifyRecordsResponse& response) -> Status {
    if (out.PushWhenRoom(response)) return absl::OkStatus();
    return absl::CancelledError("the call is over");
  };
  for (const std::string& tenant : tenants) {
    AuditVerifier verifier(seals_, store_, trusted_, clock_->Now(), tenant);
    YAGURA_ASSIGN_OR_RETURN(const auto result, verifier.Run(call.cancelled(), send));
    YAGURA_RETURN_IF_ERROR(send(result));
  }
  return absl::OkStatus();
}

StatusOr<audit::v1::ListSealingKeysResponse> AuditHandlers::ListSealingKeys(
    const rpc::Call& /*call*/, const audit::v1::ListSealingKeysRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  YAGURA_ASSIGN_OR_RETURN(const auto keys, seals_.Keys());
  audit::v1::ListSealingKeysResponse response;
  // The token is the last id: there is nothing in it to keep from anybody.
  for (auto key = keys.upper_bound(request.page_token()); key != keys.end(); ++key) {
    if (response.keys_size() == page_size) {
      response.set_next_page_token(response.keys(page_size - 1).id());
      break;
    }
    audit::v1::SealingKey* item = response.add_keys();
    item->set_id(key->first);
    item->set_public_key(key->second);
  }
  return response;
}

}  // namespace yagura::archive
