#include "services/archive/api/audit_handlers.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"
#include "common/store/keys.h"
#include "common/store/store.h"
#include "common/text/text.h"
#include "services/archive/domain/audit_page.h"

namespace yagura::archive {
namespace {

using audit::v1::Record;

constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1'000;
constexpr size_t kMostLookedAt = 5'000;
constexpr uint64_t kWindow = 256;

// Records of one tenant from the newest to the oldest, read in windows of sequence numbers.
class TenantRecords {
 public:
  TenantRecords(redis::Pool& state, std::string tenant, uint64_t before)
      : state_(state), tenant_(std::move(tenant)), before_(before) {}

  // Null at the end.
  StatusOr<const Record*> Newest() {
    while (records_.empty() && before_ > 1) {
      const uint64_t after = before_ > kWindow + 1 ? before_ - kWindow - 1 : 0;
      YAGURA_ASSIGN_OR_RETURN(records_,
                              store::ReadRecords(state_, tenant_, after, before_ - 1 - after));
      std::erase_if(records_, [this](const Record& r) { return r.sequence() >= before_; });
      next_before_ = after + 1;
      // Nothing below: what was there has been trimmed.
      if (records_.empty()) before_ = next_before_;
    }
    return records_.empty() ? nullptr : &records_.back();
  }

  Record Take() {
    Record record = std::move(records_.back());
    records_.pop_back();
    before_ = records_.empty() ? std::min(next_before_, record.sequence()) : record.sequence();
    return record;
  }

  const std::string& tenant() const { return tenant_; }
  // Everything from here on has been taken.
  uint64_t before() const { return before_; }

 private:
  redis::Pool& state_;
  const std::string tenant_;
  uint64_t before_;
  uint64_t next_before_ = 1;
  std::vector<Record> records_;  // oldest first
};

StatusOr<uint64_t> EndOf(redis::Pool& state, const std::string& tenant) {
  const std::string key = store::SequenceKey(tenant);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state.Command({"GET", key}));
  return ParseNumber<uint64_t>(reply.text).value_or(0) + 1;
}

}  // namespace

StatusOr<audit::v1::ListRecordsResponse> AuditHandlers::ListRecords(
    const rpc::Call& call, const audit::v1::ListRecordsRequest& request) const {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  const int page_size =
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage);
  YAGURA_ASSIGN_OR_RETURN(
      const filter::Filter filter,
      filter::Filter::Parse(request.filter(), filter::Schema(Record::descriptor()),
                            SystemClock()->Now()));
  YAGURA_ASSIGN_OR_RETURN(
      AuditPage page, AuditPage::Parse(request.page_token(), request.parent(), request.filter()));
  std::vector<TenantRecords> tenants;
  const auth::TenantSet scope = call.scope();
  std::vector<std::string> ids(scope.tenants.begin(), scope.tenants.end());
  if (scope.all) {
    YAGURA_ASSIGN_OR_RETURN(ids, store::ListTenants(*state_));
  }
  for (const std::string& id : ids) {
    YAGURA_ASSIGN_OR_RETURN(const uint64_t end, EndOf(*state_, id));
    tenants.emplace_back(*state_, id, page.Before(id).value_or(end));
  }
  audit::v1::ListRecordsResponse response;
  bool more = false;
  for (size_t looked_at = 0;; ++looked_at) {
    TenantRecords* newest = nullptr;
    const Record* newest_record = nullptr;
    for (TenantRecords& tenant : tenants) {
      YAGURA_ASSIGN_OR_RETURN(const Record* record, tenant.Newest());
      if (record == nullptr) continue;
      if (newest == nullptr || FromProto(record->time()) > FromProto(newest_record->time())) {
        newest = &tenant;
        newest_record = record;
      }
    }
    if (newest == nullptr) break;
    more = response.records_size() == page_size || looked_at == kMostLookedAt;
    if (more) break;
    Record record = newest->Take();
    if (filter.Matches(record)) *response.add_records() = std::move(record);
  }
  if (more) {
    for (const TenantRecords& tenant : tenants) page.Set(tenant.tenant(), tenant.before());
    response.set_next_page_token(page.ToToken());
  }
  return response;
}

}  // namespace yagura::archive
