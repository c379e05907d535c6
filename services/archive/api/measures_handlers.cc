#include "services/archive/api/measures_handlers.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/measures_table.h"
#include "services/archive/domain/page_token.h"
#include "services/archive/domain/periodic_flows.h"
#include "services/archive/domain/time_window.h"
#include "yagura/archive/internal/v1/measures_position.pb.h"

namespace yagura::archive {
namespace {

using std::chrono::nanoseconds;

constexpr int kDefaultPage = 1'000;
constexpr int kLargestPage = 10'000;
constexpr int kDefaultFlows = 100;
constexpr int kMostFlows = 1'000;
constexpr int kLeastCalls = 3;
constexpr int kMostCalls = 1'000;
constexpr std::chrono::hours kLongestRange{8 * 24};

std::string EncodeToken(const v1::HourlyMeasures& last, const TimeWindow& window, uint64_t digest) {
  internal::v1::MeasuresPosition position;
  position.set_request_digest(digest);
  position.set_tenant(last.tenant());
  position.set_device(last.device());
  position.set_site(last.site());
  position.set_start(last.start_time().seconds());
  position.set_range_start(window.start.time_since_epoch().count());
  position.set_range_end(window.end.time_since_epoch().count());
  return Base64UrlEncode(position.SerializeAsString());
}

StatusOr<MeasuresPlace> DecodeToken(std::string_view text, uint64_t digest, TimeWindow* window) {
  internal::v1::MeasuresPosition position;
  const auto bytes = Base64UrlDecode(text);
  if (!bytes || !position.ParseFromString(*bytes) || position.request_digest() != digest) {
    return InvalidField("page_token", "is not a token of this list");
  }
  window->start = TimePoint(nanoseconds(position.range_start()));
  window->end = TimePoint(nanoseconds(position.range_end()));
  return MeasuresPlace{position.tenant(), position.device(), position.site(), position.start()};
}

}  // namespace

StatusOr<v1::ListHourlyMeasuresResponse> MeasuresHandlers::ListHourlyMeasures(
    const rpc::Call& call, const v1::ListHourlyMeasuresRequest& request) const {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  const auto page_size = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage));
  const TimePoint now = runner_.clock().Now();
  YAGURA_ASSIGN_OR_RETURN(TimeWindow window, ResolveReceiveWindow(request.range(), now));
  YAGURA_ASSIGN_OR_RETURN(filter::Filter filter,
                          filter::Filter::Parse(request.filter(), MeasuresSchema(), now));
  const uint64_t digest =
      DigestOf(SearchIdentity{request.parent(), request.filter(), "hourly measures"});
  std::optional<MeasuresPlace> after;
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(after, DecodeToken(request.page_token(), digest, &window));
  }
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          MeasuresQuery({call.scope(), window, std::move(filter)},
                                        after ? &*after : nullptr, page_size + 1));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows,
                          runner_.Select(call, std::move(query), page_size + 1));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table since,
                          runner_.Select(call, MeasuresKnownSince()));
  v1::ListHourlyMeasuresResponse response;
  if (!since.rows.empty()) {
    response.mutable_known_since()->set_seconds(since.rows[0].at(0).AsSigned());
  }
  for (const eventstore::Row& row : rows.rows) {
    if (static_cast<size_t>(response.measures_size()) == page_size) {
      response.set_next_page_token(
          EncodeToken(response.measures(response.measures_size() - 1), window, digest));
      break;
    }
    *response.add_measures() = DecodeMeasures(row);
  }
  return response;
}

StatusOr<v1::ListPeriodicFlowsResponse> MeasuresHandlers::ListPeriodicFlows(
    const rpc::Call& call, const v1::ListPeriodicFlowsRequest& request) const {
  PeriodicQuestion question;
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  question.limit = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultFlows : std::min(request.page_size(), kMostFlows));
  if (request.min_calls() != 0) {
    if (request.min_calls() < kLeastCalls || request.min_calls() > kMostCalls) {
      return InvalidField("min_calls", "must be 3 to 1000");
    }
    question.least_calls = static_cast<size_t>(request.min_calls());
  }
  if (request.max_jitter() != 0) {
    if (!(request.max_jitter() > 0 && request.max_jitter() <= 1)) {
      return InvalidField("max_jitter", "must be 0 to 1");
    }
    question.most_jitter = request.max_jitter();
  }
  const TimePoint now = runner_.clock().Now();
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window, ResolveReceiveWindow(request.range(), now));
  if (window.end - window.start > kLongestRange) {
    return InvalidField("range", "must be 8 days at most");
  }
  YAGURA_ASSIGN_OR_RETURN(filter::Filter filter,
                          filter::Filter::Parse(request.filter(), filter::EventSchema(), now));
  YAGURA_ASSIGN_OR_RETURN(
      eventstore::Query query,
      PeriodicFlowsQuery({call.scope(), window, std::move(filter)}, table_, question));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows, runner_.Select(call, std::move(query)));
  v1::ListPeriodicFlowsResponse response;
  for (const eventstore::Row& row : rows.rows) *response.add_flows() = DecodePeriodicFlow(row);
  return response;
}

}  // namespace yagura::archive
