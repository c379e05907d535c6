#include "services/archive/api/archive_handlers.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "services/archive/api/coverage_reader.h"
#include "services/archive/domain/aggregates.h"
#include "services/archive/domain/page_token.h"
#include "services/archive/storage/unstored_events.h"

namespace yagura::archive {
namespace {

constexpr size_t kEventsPerMessage = 500;
constexpr size_t kBytesPerMessage = 1 << 20;
constexpr int kDefaultPage = 100;
constexpr int kLargestPage = 10'000;
constexpr size_t kExportedAtOnce = 200'000;
constexpr int kDefaultGroups = 10;
constexpr int kMostGroups = 1'000;
constexpr int kMostGroupKeys = 4;
constexpr size_t kMostSources = 10'000;

StatusOr<size_t> Clamp(std::string_view field, int asked, int fallback, int most) {
  if (asked < 0) return InvalidField(field, "must not be negative");
  return static_cast<size_t>(asked == 0 ? fallback : std::min(asked, most));
}

// Collects events into messages and sends a message once it is known whether more come.
// Thread-safe.
class SearchSender {
 public:
  // `token` is where the search begins.
  SearchSender(const rpc::Outbox<v1::SearchEventsResponse>& out, size_t page_size,
               const TimeWindow& window, const SearchIdentity& identity, std::string token,
               bool ids_as_text)
      : out_(out),
        page_size_(page_size),
        window_(window),
        identity_(identity),
        ids_as_text_(ids_as_text),
        token_(std::move(token)) {}

  Status Add(event::v1::Event event) {
    const std::lock_guard lock(mutex_);
    if (count_ == page_size_) {
      more_ = true;
      return absl::OkStatus();
    }
    if (static_cast<size_t>(response_.events_size()) >= kEventsPerMessage ||
        bytes_ >= kBytesPerMessage) {
      YAGURA_RETURN_IF_ERROR(Send(true));
    }
    ++count_;
    bytes_ += event.ByteSizeLong();
    *response_.add_events() = std::move(event);
    return absl::OkStatus();
  }

  void Tell(const eventstore::QueryProgress& progress) {
    const std::lock_guard lock(mutex_);
    v1::SearchEventsResponse response;
    response.set_next_page_token(token_);
    response.mutable_progress()->set_rows_read(progress.rows);
    response.mutable_progress()->set_bytes_read(progress.bytes);
    response.mutable_progress()->set_total_rows_estimate(progress.total_rows);
    out_.PushWhenRoom(std::move(response));
  }

  // The last message.
  Status Finish(std::optional<v1::CoverageSummary> coverage) {
    const std::lock_guard lock(mutex_);
    if (coverage) *response_.mutable_coverage() = *std::move(coverage);
    return Send(more_);
  }

 private:
  Status Send(bool more) {
    if (more && response_.events_size() > 0) {
      const auto& last = response_.events(response_.events_size() - 1);
      token_ = EncodeSearchToken(
          {{FromProto(last.receive_time()), last.id(), ids_as_text_}, window_}, identity_);
      response_.set_next_page_token(token_);
    }
    if (!out_.PushWhenRoom(std::exchange(response_, {}))) {
      return absl::CancelledError("the call is over");
    }
    bytes_ = 0;
    return absl::OkStatus();
  }

  const rpc::Outbox<v1::SearchEventsResponse>& out_;
  const size_t page_size_;
  const TimeWindow window_;
  const SearchIdentity identity_;
  const bool ids_as_text_;
  std::mutex mutex_;
  std::string token_;  // goes on after what was sent
  v1::SearchEventsResponse response_;
  size_t bytes_ = 0;
  size_t count_ = 0;
  bool more_ = false;
};

}  // namespace

ArchiveHandlers::ArchiveHandlers(const QueryRunner& runner, const EventTable& table,
                                 const UnstoredEvents* unstored)
    : runner_(runner), table_(table), unstored_(unstored), queries_(table) {}

v1::PendingEvents ArchiveHandlers::Pending(const Selection& selection) const {
  if (unstored_ == nullptr) return {};
  return unstored_->Of(selection.tenants, selection.window);
}

template <typename Response>
void ArchiveHandlers::AddCoverage(const rpc::Call& call, const Selection& selection,
                                  v1::PendingEvents pending, Response* response) const {
  auto coverage = CoverageWith(runner_, call, selection.window, std::move(pending));
  if (coverage) *response->mutable_coverage() = *std::move(coverage);
}

StatusOr<Selection> ArchiveHandlers::Select(const rpc::Call& call, const std::string& filter,
                                            const v1::TimeRange& range) const {
  const TimePoint now = runner_.clock().Now();
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window, ResolveWindow(range, now));
  YAGURA_ASSIGN_OR_RETURN(filter::Filter parsed,
                          filter::Filter::Parse(filter, filter::EventSchema(), now));
  return Selection{call.scope(), window, std::move(parsed)};
}

StatusOr<uint64_t> ArchiveHandlers::Count(const rpc::Call& call, const Selection& selection) const {
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, queries_.Count(selection));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner_.Select(call, std::move(query)));
  return result.rows.at(0).at(0).AsUnsigned();
}

Status ArchiveHandlers::SearchEvents(const rpc::Call& call, const v1::SearchEventsRequest& request,
                                     const rpc::Outbox<v1::SearchEventsResponse>& out) const {
  YAGURA_ASSIGN_OR_RETURN(const size_t page_size,
                          Clamp("page_size", request.page_size(), kDefaultPage, kLargestPage));
  return Find(call, request, page_size, out);
}

Status ArchiveHandlers::ExportEvents(const rpc::Call& call, const v1::ExportEventsRequest& request,
                                     const rpc::Outbox<v1::SearchEventsResponse>& out) const {
  v1::SearchEventsRequest search;
  search.set_parent(request.parent());
  search.set_filter(request.filter());
  *search.mutable_range() = request.range();
  search.set_order_by("receive_time");
  search.set_page_token(request.page_token());
  return Find(call, search, kExportedAtOnce, out);
}

Status ArchiveHandlers::Find(const rpc::Call& call, const v1::SearchEventsRequest& request,
                             size_t page_size,
                             const rpc::Outbox<v1::SearchEventsResponse>& out) const {
  YAGURA_ASSIGN_OR_RETURN(const SearchOrder order, ParseSearchOrder(request.order_by()));
  YAGURA_ASSIGN_OR_RETURN(Selection selection, Select(call, request.filter(), request.range()));
  const SearchIdentity identity{request.parent(), request.filter(), request.order_by()};
  std::optional<Position> after;
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(SearchToken token, DecodeSearchToken(request.page_token(), identity));
    after = std::move(token.position);
    selection.window = token.window;
  }
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          queries_.Search(selection, order, after, page_size + 1));
  v1::PendingEvents pending = Pending(selection);
  SearchSender sender(out, page_size, selection.window, identity, request.page_token(),
                      after && after->ids_as_text);
  YAGURA_RETURN_IF_ERROR(runner_.Stream(
      call, std::move(query),
      [&](const eventstore::Row& row) {
        event::v1::Event event;
        table_.Decode(row, &event);
        return sender.Add(std::move(event));
      },
      [&sender](const eventstore::QueryProgress& progress) { sender.Tell(progress); }));
  return sender.Finish(CoverageWith(runner_, call, selection.window, std::move(pending)));
}

StatusOr<v1::CountEventsResponse> ArchiveHandlers::CountEvents(
    const rpc::Call& call, const v1::CountEventsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const size_t limit,
                          Clamp("limit", request.limit(), kDefaultGroups, kMostGroups));
  YAGURA_ASSIGN_OR_RETURN(const GroupOrder order, ParseGroupOrder(request.order_by()));
  if (request.group_by_size() > kMostGroupKeys) {
    return InvalidField("group_by", fmt::format("at most {} paths", kMostGroupKeys));
  }
  std::vector<GroupKey> keys;
  for (const std::string& path : request.group_by()) {
    YAGURA_ASSIGN_OR_RETURN(GroupKey key, ParseGroupKey(path, table_));
    keys.push_back(std::move(key));
  }
  YAGURA_ASSIGN_OR_RETURN(const Selection selection,
                          Select(call, request.filter(), request.range()));
  v1::CountEventsResponse response;
  AddCoverage(call, selection, Pending(selection), &response);
  if (keys.empty()) {
    YAGURA_ASSIGN_OR_RETURN(const uint64_t total, Count(call, selection));
    response.set_total(total);
    return response;
  }
  YAGURA_ASSIGN_OR_RETURN(
      eventstore::Query query,
      queries_.Groups(selection, keys, order, request.skip_missing(), limit + 1));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner_.Select(call, std::move(query)));
  for (const eventstore::Row& row : result.rows) {
    response.set_total(row.at(keys.size() + 1).AsUnsigned());
    if (static_cast<size_t>(response.groups_size()) == limit) {
      response.set_truncated(true);
      break;
    }
    auto* group = response.add_groups();
    for (size_t i = 0; i < keys.size(); ++i) group->add_values(FormatGroupValue(keys[i], row[i]));
    group->set_count(row.at(keys.size()).AsUnsigned());
  }
  if (result.rows.empty() && request.skip_missing()) {
    YAGURA_ASSIGN_OR_RETURN(const uint64_t total, Count(call, selection));
    response.set_total(total);
  }
  return response;
}

StatusOr<v1::AggregateEventsResponse> ArchiveHandlers::AggregateEvents(
    const rpc::Call& call, const v1::AggregateEventsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const size_t limit,
                          Clamp("limit", request.limit(), kDefaultGroups, kMostGroups));
  YAGURA_ASSIGN_OR_RETURN(const AggregatePlan plan, AggregatePlan::Parse(request, limit, table_));
  YAGURA_ASSIGN_OR_RETURN(const Selection selection,
                          Select(call, request.filter(), request.range()));
  std::chrono::seconds interval{0};
  eventstore::Query by_bucket;
  if (request.has_interval()) {
    YAGURA_ASSIGN_OR_RETURN(interval, ResolveInterval(request.interval(), selection.window));
    YAGURA_ASSIGN_OR_RETURN(by_bucket, plan.Buckets(selection, interval));
  }
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, plan.Groups(selection));
  v1::AggregateEventsResponse response;
  AddCoverage(call, selection, Pending(selection), &response);
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table groups, runner_.Select(call, std::move(query)));
  plan.Fill(groups, &response);
  if (groups.rows.empty()) {
    YAGURA_ASSIGN_OR_RETURN(const uint64_t total, Count(call, selection));
    response.set_total(total);
  }
  if (!request.has_interval()) return response;
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table buckets,
                          runner_.Select(call, std::move(by_bucket)));
  plan.FillBuckets(buckets, interval, &response);
  return response;
}

StatusOr<v1::GetHistogramResponse> ArchiveHandlers::GetHistogram(
    const rpc::Call& call, const v1::GetHistogramRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const Selection selection,
                          Select(call, request.filter(), request.range()));
  YAGURA_ASSIGN_OR_RETURN(const std::chrono::seconds interval,
                          ResolveInterval(request.interval(), selection.window));
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, queries_.Histogram(selection, interval));
  v1::GetHistogramResponse response;
  AddCoverage(call, selection, Pending(selection), &response);
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner_.Select(call, std::move(query)));
  *response.mutable_interval() = ToProtoDuration(interval);
  const int64_t first = BucketOf(selection.window.start, interval);
  const int64_t last = BucketOf(selection.window.end - std::chrono::nanoseconds(1), interval);
  for (int64_t bucket = first; bucket <= last; ++bucket) {
    *response.add_buckets()->mutable_start_time() = ToProto(TimePoint(interval * bucket));
  }
  uint64_t total = 0;
  for (const eventstore::Row& row : result.rows) {
    const int64_t bucket = row.at(0).AsSigned();
    if (bucket < first || bucket > last) continue;
    response.mutable_buckets(static_cast<int>(bucket - first))->set_count(row.at(1).AsUnsigned());
    total += row.at(1).AsUnsigned();
  }
  response.set_total(total);
  return response;
}

StatusOr<v1::GetCoverageResponse> ArchiveHandlers::GetCoverage(
    const rpc::Call& call, const v1::GetCoverageRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window,
                          ResolveReceiveWindow(request.range(), runner_.clock().Now()));
  const Selection selection{call.scope(), window, {}};
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, queries_.Coverage(selection, kMostSources));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner_.Select(call, std::move(query)));
  v1::GetCoverageResponse response;
  response.set_hours_in_range(HoursIn(selection.window));
  for (const eventstore::Row& row : result.rows) *response.add_sources() = SourceOf(row);
  return response;
}

}  // namespace yagura::archive
