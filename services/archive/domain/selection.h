#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/auth/principal.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "services/archive/domain/time_window.h"

// The parts that queries of the event store are put together from. Whatever comes from outside is
// a parameter of the query.
namespace yagura::archive {

class EventTable;

// Which events a question is about.
struct Selection {
  auth::TenantSet tenants;
  TimeWindow window;
  filter::Filter filter;
};

// The condition under which an event is in the selection. Errors are those of Filter::ToSql.
absl::StatusOr<std::string> WhereSql(const Selection& selection, const EventTable& table,
                                     eventstore::Query* query);
// The condition on an event's times alone.
std::string WindowSql(const TimeWindow& window, eventstore::Query* query);
// The column that the window is about.
std::string_view TimeColumn(const TimeWindow& window);
// "1" where it may be any tenant.
std::string TenantSql(const auth::TenantSet& tenants, eventstore::Query* query);
// A time as a constant that the store can compare with its index.
std::string TimeSql(std::string_view parameter, TimePoint time, eventstore::Query* query);
// The first value of an original field as a String, '' where there is none; `parameter` is what its
// name is bound as.
std::string OriginalFieldSql(const EventTable& table, std::string_view name,
                             std::string_view parameter, eventstore::Query* query);

inline constexpr std::string_view kFieldPrefix = "fields.";
// The name behind "fields."; INVALID_ARGUMENT (`request_field`) where it is empty or too long.
absl::StatusOr<std::string> OriginalFieldName(std::string_view path,
                                              std::string_view request_field);

// 16 bytes of an IPv6 column as text, "" where they are "::".
std::string AddressText(std::string_view bytes);
// 4 bytes where they map an IPv4 address, none where they are "::".
std::string AddressBytes(std::string_view bytes);

}  // namespace yagura::archive
