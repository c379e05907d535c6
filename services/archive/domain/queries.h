#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/coverage.pb.h"

namespace yagura::archive {

// A place between two events in the order of (receive time, id).
struct Position {
  TimePoint receive_time{};
  std::string event_id;
  // Among events received at once the search goes on by id as text ("..-10" before "..-2"), as an
  // earlier release began it; else in their order in the batch.
  bool ids_as_text = false;
};

enum class SearchOrder { kNewestFirst, kOldestFirst };

// One part of a group's name, as CountEvents' group_by says.
struct GroupKey {
  enum class Kind { kText, kNumber, kSeverity, kAction, kAddress, kHour, kDay };
  Kind kind = Kind::kText;
  std::string expression;   // SQL
  std::string field_name;   // of an original field; bound as a parameter
  std::string missing_sql;  // of the value that stands for "missing": '' or 0
};
// INVALID_ARGUMENT for a path that is unknown or cannot be grouped by. `request_field` names the
// path in errors.
absl::StatusOr<GroupKey> ParseGroupKey(std::string_view path, const EventTable& table,
                                       std::string_view request_field = "group_by");
// The value as SQL; the name of an original field is bound as `parameter`.
std::string GroupKeySql(const GroupKey& key, const EventTable& table, std::string_view parameter,
                        eventstore::Query* query);
// The value in its usual form.
std::string FormatGroupValue(const GroupKey& key, const eventstore::Value& value);

enum class GroupOrder { kCountDescending, kCount, kValue, kValueDescending };
// "" and what CountEvents' order_by names. INVALID_ARGUMENT for anything else.
absl::StatusOr<GroupOrder> ParseGroupOrder(std::string_view text);
absl::StatusOr<SearchOrder> ParseSearchOrder(std::string_view text);

// SQL over the table of events; every value from outside is a parameter. Errors are those of
// Filter::ToSql.
class EventQueries {
 public:
  explicit EventQueries(const EventTable& table) : table_(table) {}

  // Rows for EventTable::Decode, in order, after `after`.
  absl::StatusOr<eventstore::Query> Search(const Selection& selection, SearchOrder order,
                                           const std::optional<Position>& after,
                                           size_t limit) const;
  // One row: count.
  absl::StatusOr<eventstore::Query> Count(const Selection& selection) const;
  // Rows: the keys' values, count, count of all that match.
  absl::StatusOr<eventstore::Query> Groups(const Selection& selection,
                                           const std::vector<GroupKey>& keys, GroupOrder order,
                                           bool skip_missing, size_t limit) const;
  // Rows: number of the bucket, count.
  absl::StatusOr<eventstore::Query> Histogram(const Selection& selection,
                                              std::chrono::seconds interval) const;
  // Rows: tenant, site, device, product, events, flawed, clock errors, hours, first, last.
  absl::StatusOr<eventstore::Query> Coverage(const Selection& selection, size_t limit) const;

 private:
  const EventTable& table_;
};

// From a row of Coverage.
v1::SourceCoverage SourceOf(const eventstore::Row& row);

}  // namespace yagura::archive
