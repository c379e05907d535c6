#pragma once

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "services/archive/domain/queries.h"
#include "yagura/archive/v1/archive_service.pb.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// The answers of ArchiveService that come from the event store. Thread-safe.
class ArchiveHandlers {
 public:
  struct Options {
    std::chrono::milliseconds query_timeout{60'000};  // whatever the caller's deadline
    int query_threads = 0;                            // of one query in the store; 0: its default
  };
  ArchiveHandlers(std::shared_ptr<eventstore::Client> client, const EventTable& table,
                  std::shared_ptr<const Clock> clock, Options options);

  absl::Status SearchEvents(const rpc::Call& call, const v1::SearchEventsRequest& request,
                            const rpc::Outbox<v1::SearchEventsResponse>& out) const;
  absl::StatusOr<v1::CountEventsResponse> CountEvents(const rpc::Call& call,
                                                      const v1::CountEventsRequest& request) const;
  absl::StatusOr<v1::GetHistogramResponse> GetHistogram(
      const rpc::Call& call, const v1::GetHistogramRequest& request) const;
  absl::StatusOr<v1::GetCoverageResponse> GetCoverage(const rpc::Call& call,
                                                      const v1::GetCoverageRequest& request) const;

 private:
  absl::StatusOr<Selection> Select(const rpc::Call& call, const std::string& filter,
                                   const v1::TimeRange& range) const;
  void Bound(const rpc::Call& call, eventstore::Query* query) const;
  absl::StatusOr<eventstore::Table> Run(const rpc::Call& call, eventstore::Query query) const;
  absl::StatusOr<uint64_t> Count(const rpc::Call& call, const Selection& selection) const;

  const std::shared_ptr<eventstore::Client> client_;
  const EventTable& table_;
  const EventQueries queries_;
  const std::shared_ptr<const Clock> clock_;
  const Options options_;
};

}  // namespace yagura::archive
