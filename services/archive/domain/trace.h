#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/investigation.pb.h"

namespace yagura::archive {

// A report from outside: a public endpoint and a time by a clock that may be wrong.
class Trace {
 public:
  // INVALID_ARGUMENT names what is wrong.
  static absl::StatusOr<Trace> Parse(const v1::TraceEndpointRequest& request);

  TimePoint time() const { return time_; }
  std::chrono::nanoseconds tolerance() const { return tolerance_; }
  bool has_port() const { return port_ != 0; }
  // When the events that tell of the sessions happened: devices tell of a session at its end.
  TimeWindow Told() const;
  // The hours around the reported time.
  TimeWindow Around() const;

  // Rows for CandidateOf, the nearest in time first.
  absl::StatusOr<eventstore::Query> Candidates(const auth::TenantSet& tenants,
                                               const EventTable& table, TimePoint now,
                                               size_t limit) const;
  static v1::TraceCandidate CandidateOf(const eventstore::Row& row);
  // Rows for TerminalOf, the latest first.
  eventstore::Query Terminals(const v1::TraceCandidate& candidate, size_t limit) const;
  static v1::Terminal TerminalOf(const eventstore::Row& row);

  // What makes the answer uncertain, beside the coverage.
  void Remark(v1::TraceEndpointResponse* response) const;

 private:
  std::string Filter() const;

  std::string address_;
  std::string peer_address_;
  uint32_t port_ = 0;
  uint32_t peer_port_ = 0;
  TimePoint time_{};
  std::chrono::nanoseconds tolerance_{};
};

}  // namespace yagura::archive
