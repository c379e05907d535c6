#include "services/ingestion/api/quarantine_handlers.h"

#include <algorithm>

#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/quarantine.h"

namespace yagura::ingestion {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kMaxPage = 1000;

}  // namespace

StatusOr<v1::ListQuarantinedSourcesResponse> ListQuarantinedSources(
    const Quarantine& quarantine, const SourceMap& sources, const rpc::Call& call,
    const v1::ListQuarantinedSourcesRequest& request, TimePoint now) {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  size_t from = 0;
  if (!request.page_token().empty()) {
    // Offsets will do: the list is small, and a page that shifts is no harm.
    const auto token = ParseNumber<uint32_t>(request.page_token());
    if (!token) return InvalidField("page_token", "is not one of ours");
    from = *token;
  }
  YAGURA_ASSIGN_OR_RETURN(
      const auto filter,
      filter::Filter::Parse(request.filter(), filter::Schema(v1::QuarantinedSource::descriptor()),
                            now));
  v1::ListQuarantinedSourcesResponse response;
  if (!call.scope().Contains(kQuarantineTenant)) return response;
  const auto page = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kMaxPage));
  auto list = quarantine.List(sources);
  std::erase_if(list, [&](const auto& source) { return !filter.Matches(source); });
  for (size_t i = from; i < list.size() && i < from + page; ++i) {
    *response.add_quarantined_sources() = list[i];
  }
  if (from + page < list.size()) response.set_next_page_token(std::to_string(from + page));
  return response;
}

}  // namespace yagura::ingestion
