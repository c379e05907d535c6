#pragma once

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/domain/queries.h"
#include "yagura/archive/v1/archive_service.pb.h"

namespace yagura::archive {

class UnstoredEvents;

// The answers of ArchiveService that come from the event store. Thread-safe.
class ArchiveHandlers {
 public:
  // `runner`, `table` and `unstored` must outlive the object. `unstored` null: nobody writes, all
  // is stored.
  ArchiveHandlers(const QueryRunner& runner, const EventTable& table,
                  const UnstoredEvents* unstored = nullptr);

  absl::Status SearchEvents(const rpc::Call& call, const v1::SearchEventsRequest& request,
                            const rpc::Outbox<v1::SearchEventsResponse>& out) const;
  absl::Status ExportEvents(const rpc::Call& call, const v1::ExportEventsRequest& request,
                            const rpc::Outbox<v1::SearchEventsResponse>& out) const;
  absl::StatusOr<v1::CountEventsResponse> CountEvents(const rpc::Call& call,
                                                      const v1::CountEventsRequest& request) const;
  absl::StatusOr<v1::AggregateEventsResponse> AggregateEvents(
      const rpc::Call& call, const v1::AggregateEventsRequest& request) const;
  absl::StatusOr<v1::GetHistogramResponse> GetHistogram(
      const rpc::Call& call, const v1::GetHistogramRequest& request) const;
  absl::StatusOr<v1::GetCoverageResponse> GetCoverage(const rpc::Call& call,
                                                      const v1::GetCoverageRequest& request) const;

 private:
  absl::StatusOr<Selection> Select(const rpc::Call& call, const std::string& filter,
                                   const v1::TimeRange& range) const;
  absl::Status Find(const rpc::Call& call, const v1::SearchEventsRequest& request, size_t page_size,
                    const rpc::Outbox<v1::SearchEventsResponse>& out) const;
  absl::StatusOr<uint64_t> Count(const rpc::Call& call, const Selection& selection) const;
  // Before the events are looked for.
  v1::PendingEvents Pending(const Selection& selection) const;
  template <typename Response>
  void AddCoverage(const rpc::Call& call, const Selection& selection, v1::PendingEvents pending,
                   Response* response) const;

  const QueryRunner& runner_;
  const EventTable& table_;
  const UnstoredEvents* const unstored_;
  const EventQueries queries_;
};

}  // namespace yagura::archive
