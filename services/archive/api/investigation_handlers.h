#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/domain/investigation.h"
#include "services/archive/domain/queries.h"
#include "yagura/archive/v1/investigation.pb.h"

namespace yagura::archive {

class UnstoredEvents;

// Answers to who did what around a time. Thread-safe.
class InvestigationHandlers {
 public:
  // `runner`, `table` and `unstored` must outlive the object. `unstored` null: nobody writes, all
  // is stored.
  InvestigationHandlers(const QueryRunner& runner, const EventTable& table,
                        const UnstoredEvents* unstored = nullptr);

  absl::StatusOr<v1::InvestigateEntityResponse> InvestigateEntity(
      const rpc::Call& call, const v1::InvestigateEntityRequest& request) const;
  absl::StatusOr<v1::TraceEndpointResponse> TraceEndpoint(
      const rpc::Call& call, const v1::TraceEndpointRequest& request) const;

 private:
  absl::Status AddTimeline(const rpc::Call& call, const Selection& selection, size_t limit,
                           v1::InvestigateEntityResponse* response) const;
  absl::Status AddPeers(const rpc::Call& call, const Selection& selection, const Subject& subject,
                        v1::InvestigateEntityResponse* response) const;
  absl::StatusOr<std::vector<v1::Peer>> PeersOf(const rpc::Call& call,
                                                eventstore::Query query) const;
  absl::Status AddFlowsKnown(const rpc::Call& call, const Selection& selection,
                             std::vector<v1::Peer>* peers,
                             v1::InvestigateEntityResponse* response) const;
  // Whether a fact can be new: false where no event from before `since` is kept.
  absl::StatusOr<bool> AddEventsKnown(const rpc::Call& call, const Selection& selection,
                                      TimePoint since,
                                      v1::InvestigateEntityResponse* response) const;
  absl::Status AddFirstSeen(const rpc::Call& call, Selection selection, const Subject& subject,
                            v1::InvestigateEntityResponse* response) const;
  // Before the events are looked for.
  v1::PendingEvents Pending(const rpc::Call& call, const TimeWindow& window) const;
  // Of InvestigateEntity and TraceEndpoint.
  template <typename Response>
  absl::Status AddCoverage(const rpc::Call& call, TimeWindow window, v1::PendingEvents pending,
                           Response* response) const;

  const QueryRunner& runner_;
  const EventTable& table_;
  const UnstoredEvents* const unstored_;
  const EventQueries events_;
  const InvestigationQueries queries_;
};

}  // namespace yagura::archive
