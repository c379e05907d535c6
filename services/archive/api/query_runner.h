#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/eventstore/client.h"
#include "common/rpc/call.h"

namespace yagura::archive {

// What one query may cost the event store. 0: as much as the store itself allows.
struct QueryLimits {
  std::chrono::milliseconds timeout{60'000};  // whatever the caller's deadline
  int threads = 0;
  uint64_t rows = 20'000'000'000;
  uint64_t bytes = 1ull << 40;  // read, uncompressed
  uint64_t memory = 1ull << 30;
  std::chrono::milliseconds progress_interval{500};
};

// Runs queries for calls: within the limits, no longer than the caller waits, and no longer than it
// is there: a query whose caller has gone is killed in the store. Thread-safe.
//
// Errors: those of eventstore::Client; RESOURCE_EXHAUSTED (QUERY_TOO_LARGE) names the limit in its
// message and its metadata ("limit", "value").
class QueryRunner {
 public:
  QueryRunner(std::shared_ptr<eventstore::Client> client, std::shared_ptr<const Clock> clock,
              const QueryLimits& limits);

  absl::StatusOr<eventstore::Table> Select(const rpc::Call& call, eventstore::Query query,
                                           size_t max_rows = 100'000) const;
  // `progress` is told from another thread, as long as this call lasts, how far the query is.
  using ProgressVisitor = std::function<void(const eventstore::QueryProgress&)>;
  absl::Status Stream(const rpc::Call& call, eventstore::Query query,
                      const eventstore::Client::RowVisitor& visit,
                      const ProgressVisitor& progress) const;

  const Clock& clock() const { return *clock_; }

 private:
  void Bound(const rpc::Call& call, eventstore::Query* query) const;
  void Follow(const std::string& tag, const ProgressVisitor& progress,
              const std::stop_token& stop) const;
  absl::Status Explain(const absl::Status& status) const;

  const std::shared_ptr<eventstore::Client> client_;
  const std::shared_ptr<const Clock> clock_;
  const QueryLimits limits_;
};

}  // namespace yagura::archive
