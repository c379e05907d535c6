#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/filter/filter.h"
#include "services/archive/domain/audit_table.h"

namespace yagura::eventstore {
class Client;
struct Query;
}  // namespace yagura::eventstore

namespace yagura::archive {

// Sealed audit records and heads in the event store. Thread-safe. Errors are those of Client.
class AuditStore {
 public:
  explicit AuditStore(std::shared_ptr<eventstore::Client> client);

  // Durable once they return. The same with the same head again changes nothing.
  absl::Status InsertRecords(const audit::v1::Head& head,
                             const std::vector<SealedRecord>& records) const;
  absl::Status InsertHead(const SealedHead& head) const;

  absl::StatusOr<std::optional<SealedHead>> LastHead(std::string_view tenant) const;
  // The last one before all whose records are not beyond their retention at `time`: no record that
  // should be there is before its end, whatever expiry later heads have.
  absl::StatusOr<std::optional<SealedHead>> LastExpiredHead(std::string_view tenant,
                                                            TimePoint time) const;
  // The last one that was sealed at `time` or before.
  absl::StatusOr<std::optional<SealedHead>> LastHeadBefore(std::string_view tenant,
                                                           TimePoint time) const;
  // Heads that end after `sequence`, in order.
  absl::StatusOr<std::vector<SealedHead>> HeadsAfter(std::string_view tenant, uint64_t sequence,
                                                     size_t limit) const;

  // Records after `after`, up to `up_to`, in order. A visitor's error ends it and is returned.
  using Visitor = std::function<absl::Status(const StoredRecord&)>;
  absl::Status Visit(std::string_view tenant, uint64_t after, uint64_t up_to,
                     const std::stop_token& stop, const Visitor& visit) const;
  // Sequence of the last record after `after`; 0 where there is none.
  absl::StatusOr<uint64_t> LastSequence(std::string_view tenant, uint64_t after) const;
  // What lies there after `after`.
  struct Rows {
    uint64_t rows = 0;
    uint64_t last = 0;  // sequence
    TimePoint seal_time{};
    int64_t expires = 0;    // seconds
    bool one_time = false;  // all rows have that time of sealing and that expiry
  };
  absl::StatusOr<Rows> RowsAfter(std::string_view tenant, uint64_t after) const;

  // Those of each tenant below its bound that fit the filter, with an order time in [from, to), in
  // the order (order time descending, tenant, sequence descending).
  struct Selection {
    std::map<std::string, uint64_t> below;  // by tenant
    filter::Filter filter;
    TimePoint from;
    TimePoint to;
  };
  absl::StatusOr<std::vector<StoredRecord>> Newest(const Selection& selection, size_t limit,
                                                   const std::stop_token& stop) const;

 private:
  absl::StatusOr<std::vector<SealedHead>> Heads(std::string_view tenant, std::string_view condition,
                                                TimePoint time, uint64_t sequence,
                                                size_t limit) const;

  const std::shared_ptr<eventstore::Client> client_;
};

}  // namespace yagura::archive
