#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/flow.pb.h"

// The table of flows: what the events of a day say of who talked to whom, added up as they come in
// by a materialised view over the table of events.
namespace yagura::archive {

// `settings` as of every table that is inserted into with tokens: a repeated insert of events is
// dropped here by a token that the store makes of theirs.
std::string CreateFlows(std::string_view settings);
std::string CreateFlowsView();
// The view of a store that has it already, as it is now.
std::string AlterFlowsView();

// What an event says of its flow, as SQL over the table of events. A FortiGate tells every two
// minutes of a session that lasts, with the bytes since the session began and mostly with those
// since it told last ("sentdelta"): these count; where there are none, only the end of the session
// does. What tells that a session began has no bytes that its end does not tell again.
std::string FlowBytesOut();
std::string FlowBytesIn();
// A session's begin and end count as allowed.
std::string FlowVerdict();

// Flow, with addresses: what filters speak about.
filter::Schema FlowSchema();

// A question of ListFlows.
class FlowQuery {
 public:
  // INVALID_ARGUMENT names what is wrong.
  static absl::StatusOr<FlowQuery> Parse(const std::string& order_by,
                                         const std::vector<std::string>& group_by);

  // A place between two flows of an order.
  struct Position {
    uint64_t order_value = 0;
    uint64_t key_hash = 0;
  };
  // Rows for Decode, those of every UTC day that the window touches; the filter is one over
  // FlowSchema.
  absl::StatusOr<eventstore::Query> Select(const Selection& selection,
                                           const std::optional<Position>& after,
                                           size_t limit) const;
  static v1::Flow Decode(const eventstore::Row& row);
  static Position PositionOf(const eventstore::Row& row);

 private:
  std::vector<std::string> keys_;
  std::string order_;  // SQL
  bool descending_ = true;
};

}  // namespace yagura::archive
