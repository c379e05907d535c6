#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "services/archive/domain/queries.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/aggregate.pb.h"

namespace yagura::archive {

// A question of AggregateEvents as SQL, and its answer from the rows.
class AggregatePlan {
 public:
  // INVALID_ARGUMENT names what is wrong.
  static absl::StatusOr<AggregatePlan> Parse(const v1::AggregateEventsRequest& request,
                                             size_t limit, const EventTable& table);

  // One row for each group in order, one more than the limit where there are more.
  absl::StatusOr<eventstore::Query> Groups(const Selection& selection) const;
  // The same groups, a row for each bucket in which they have events.
  absl::StatusOr<eventstore::Query> Buckets(const Selection& selection,
                                            std::chrono::seconds interval) const;

  // Names, rows, total and truncated, from the rows of Groups.
  void Fill(const eventstore::Table& groups, v1::AggregateEventsResponse* response) const;
  // Puts rows of Buckets in the stead of the response's rows, which are those of Groups.
  void FillBuckets(const eventstore::Table& buckets, std::chrono::seconds interval,
                   v1::AggregateEventsResponse* response) const;

 private:
  struct Part {
    v1::Aggregate spec;
    GroupKey key;            // of DISTINCT and TOP
    std::string value;       // SQL of what is aggregated, over the table
    std::string field_name;  // where it is an original field as a number
    std::string function;    // SQL over that value as v{i}
    bool orders = false;     // has one value to order by
  };

  AggregatePlan(const EventTable& table, size_t limit, bool skip_missing)
      : table_(&table), limit_(limit), skip_missing_(skip_missing) {}
  absl::Status AddKeys(const v1::AggregateEventsRequest& request);
  absl::Status AddPart(const v1::Aggregate& aggregate, size_t index);
  absl::Status AddNumber(const std::string& where, Part* part) const;
  absl::Status SetOrder(const std::string& order_by);
  std::string GroupsSql(const std::string& where, size_t limit, bool with_results,
                        eventstore::Query* query) const;
  // "expression AS g0, ..., expression AS v0, receive_time": what the aggregates are made of.
  std::string Inputs(eventstore::Query* query) const;
  std::string Results() const;
  std::vector<std::string> KeyNames() const;
  void FillRow(const eventstore::Row& row, size_t first, v1::AggregateRow* out) const;
  v1::AggregateResult Result(const Part& part, const eventstore::Value& value) const;

  const EventTable* table_;
  size_t limit_;
  bool skip_missing_;
  std::vector<GroupKey> keys_;
  std::vector<Part> parts_;
  std::string order_;
};

}  // namespace yagura::archive
