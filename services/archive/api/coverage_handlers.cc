#include "services/archive/api/coverage_handlers.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/domain/page_token.h"
#include "yagura/archive/internal/v1/coverage_position.pb.h"

namespace yagura::archive {
namespace {

using std::chrono::nanoseconds;

constexpr int kDefaultPage = 100;
constexpr int kLargestPage = 1'000;

uint64_t DigestOf(const coverage::v1::ListCoverageRequest& request) {
  return DigestOf(SearchIdentity{request.parent(), request.filter(),
                                 fmt::format("coverage {}", static_cast<int>(request.period()))});
}

std::string EncodeToken(const coverage::v1::Coverage& last, const TimeWindow& window,
                        uint64_t digest) {
  internal::v1::CoveragePosition position;
  position.set_request_digest(digest);
  position.set_tenant(last.tenant());
  position.set_source(last.source());
  position.set_start(last.start_time().seconds());
  if (last.source().empty()) position.set_place(last.site());
  position.set_range_start(window.start.time_since_epoch().count());
  position.set_range_end(window.end.time_since_epoch().count());
  return Base64UrlEncode(position.SerializeAsString());
}

StatusOr<CoveragePosition> DecodeToken(std::string_view text, uint64_t digest, TimeWindow* window) {
  internal::v1::CoveragePosition position;
  const auto bytes = Base64UrlDecode(text);
  if (!bytes || !position.ParseFromString(*bytes) || position.request_digest() != digest) {
    return InvalidField("page_token", "is not a token of this list");
  }
  window->start = TimePoint(nanoseconds(position.range_start()));
  window->end = TimePoint(nanoseconds(position.range_end()));
  return CoveragePosition{position.tenant(), position.source(), position.start(), position.place()};
}

}  // namespace

StatusOr<coverage::v1::ListCoverageResponse> CoverageHandlers::ListCoverage(
    const rpc::Call& call, const coverage::v1::ListCoverageRequest& request) const {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  if (!coverage::v1::Period_IsValid(request.period())) {
    return InvalidField("period", "there is no such period");
  }
  const auto page_size = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage));
  CoverageQuestion question;
  question.tenants = call.scope();
  question.now = runner_.clock().Now();
  question.period = request.period();
  question.limit = page_size + 1;
  YAGURA_ASSIGN_OR_RETURN(
      question.filter,
      filter::Filter::Parse(request.filter(), filter::Schema(coverage::v1::Coverage::descriptor()),
                            question.now));
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window,
                          ResolveReceiveWindow(request.range(), question.now));
  question.window = WholeHours(window);
  const uint64_t digest = DigestOf(request);
  std::optional<CoveragePosition> after;
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(after, DecodeToken(request.page_token(), digest, &question.window));
    question.after = &*after;
  }
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, CoverageQuery(question));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result,
                          runner_.Select(call, std::move(query), page_size + 1));
  coverage::v1::ListCoverageResponse response;
  for (const eventstore::Row& row : result.rows) {
    if (static_cast<size_t>(response.coverages_size()) == page_size) {
      response.set_next_page_token(
          EncodeToken(response.coverages(response.coverages_size() - 1), question.window, digest));
      break;
    }
    *response.add_coverages() = DecodeCoverage(row);
  }
  return response;
}

}  // namespace yagura::archive
