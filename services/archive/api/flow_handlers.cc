#include "services/archive/api/flow_handlers.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/flow_table.h"
#include "services/archive/domain/page_token.h"
#include "services/archive/domain/time_window.h"

namespace yagura::archive {
namespace {

constexpr int kDefaultPage = 100;
constexpr int kLargestPage = 10'000;

}  // namespace

StatusOr<v1::ListFlowsResponse> FlowHandlers::ListFlows(const rpc::Call& call,
                                                        const v1::ListFlowsRequest& request) const {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  const auto page_size = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage));
  const std::vector<std::string> group_by(request.group_by().begin(), request.group_by().end());
  YAGURA_ASSIGN_OR_RETURN(const FlowQuery flows, FlowQuery::Parse(request.order_by(), group_by));
  const TimePoint now = runner_.clock().Now();
  YAGURA_ASSIGN_OR_RETURN(TimeWindow window, ResolveReceiveWindow(request.range(), now));
  YAGURA_ASSIGN_OR_RETURN(filter::Filter filter,
                          filter::Filter::Parse(request.filter(), FlowSchema(), now));
  const std::string order = request.order_by() + "|" + Join(group_by, ",");
  const SearchIdentity identity{request.parent(), request.filter(), order};
  std::optional<FlowQuery::Position> after;
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(const FlowToken token, DecodeFlowToken(request.page_token(), identity));
    after = {token.order_value, token.key_hash};
    window = token.window;
  }
  YAGURA_ASSIGN_OR_RETURN(
      eventstore::Query query,
      flows.Select({call.scope(), window, std::move(filter)}, after, page_size + 1));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows,
                          runner_.Select(call, std::move(query), page_size + 1));
  v1::ListFlowsResponse response;
  for (size_t i = 0; i < std::min(page_size, rows.rows.size()); ++i) {
    *response.add_flows() = FlowQuery::Decode(rows.rows[i]);
  }
  if (rows.rows.size() > page_size) {
    const auto position = FlowQuery::PositionOf(rows.rows[page_size - 1]);
    response.set_next_page_token(
        EncodeFlowToken({position.order_value, position.key_hash, window}, identity));
  }
  return response;
}

}  // namespace yagura::archive
