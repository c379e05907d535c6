#include "services/archive/domain/aggregates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/event_table.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using eventstore::Value;
using v1::Aggregate;

constexpr int kMostKeys = 4;
constexpr int kMostAggregates = 10;
constexpr int kMostPercents = 10;
constexpr int kDefaultTop = 10;
constexpr int kMostTop = 100;
constexpr size_t kMostName = 63;
constexpr size_t kMostBuckets = 20'000;
// uniqCombined64(17) keeps 2^12 hashes before it estimates; what it then estimates to be fewer is
// within the margin.
constexpr uint64_t kMostExactDistinct = 4'000;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMostName && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

std::string DefaultName(const Aggregate& aggregate) {
  std::string name = ToLower(AggregateFunction_Name(aggregate.function()));
  if (!aggregate.field().empty()) name += "_" + ToLower(aggregate.field());
  for (char& c : name) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) c = '_';
  }
  return name.substr(0, kMostName);
}

// For people; empty: exact.
std::string_view AccuracyOf(v1::AggregateFunction function) {
  switch (function) {
    case v1::DISTINCT:
      return "HyperLogLog: exact up to 4,000 values, beyond them with a standard error of 0.3 %";
    case v1::TOP:
      return "Filtered Space-Saving: a count may be too high by its error, and values as rare as "
             "that may be missing";
    case v1::PERCENTILES:
      return "DDSketch: each value within 1 % of itself";
    default:
      return "";
  }
}

bool IsApproximate(v1::AggregateFunction function, const v1::AggregateResult& result) {
  switch (function) {
    case v1::DISTINCT:
      return result.count() > kMostExactDistinct;
    case v1::TOP:
      return std::any_of(result.top().begin(), result.top().end(),
                         [](const v1::TopValue& value) { return value.error() > 0; });
    case v1::PERCENTILES:
      return result.percentiles_size() > 0;
    default:
      return false;
  }
}

bool TakesNoField(v1::AggregateFunction function) {
  return function == v1::FIRST_SEEN || function == v1::LAST_SEEN;
}

// Of values that are NULL where they do not count.
std::string_view NumberFunction(v1::AggregateFunction function) {
  switch (function) {
    case v1::SUM:
      return "sum";
    case v1::AVERAGE:
      return "avg";
    case v1::MIN:
      return "min";
    default:
      return "max";
  }
}

Status SetPercents(const std::string& where, Aggregate* aggregate) {
  if (aggregate->percents().empty()) {
    for (const double percent : {50.0, 90.0, 95.0, 99.0}) aggregate->add_percents(percent);
  }
  if (aggregate->percents_size() > kMostPercents) {
    return InvalidField(where + ".percents", fmt::format("at most {}", kMostPercents));
  }
  for (const double percent : aggregate->percents()) {
    if (!(percent >= 0 && percent <= 100)) {
      return InvalidField(where + ".percents", "must be numbers from 0 to 100");
    }
  }
  return absl::OkStatus();
}

std::string PercentilesSql(const Aggregate& aggregate, size_t index) {
  constexpr double kWhole = 100;
  std::vector<std::string> levels;
  for (const double percent : aggregate.percents()) {
    levels.push_back(fmt::format("{:.8f}", percent / kWhole));
  }
  return fmt::format("quantilesDD(0.01, {})(v{})", Join(levels, ", "), index);
}

}  // namespace

StatusOr<AggregatePlan> AggregatePlan::Parse(const v1::AggregateEventsRequest& request,
                                             size_t limit, const EventTable& table) {
  AggregatePlan plan(table, limit, request.skip_missing());
  YAGURA_RETURN_IF_ERROR(plan.AddKeys(request));
  if (request.aggregates_size() > kMostAggregates) {
    return InvalidField("aggregates", fmt::format("at most {}", kMostAggregates));
  }
  for (int i = 0; i < request.aggregates_size(); ++i) {
    YAGURA_RETURN_IF_ERROR(plan.AddPart(request.aggregates(i), static_cast<size_t>(i)));
  }
  YAGURA_RETURN_IF_ERROR(plan.SetOrder(request.order_by()));
  return plan;
}

Status AggregatePlan::AddKeys(const v1::AggregateEventsRequest& request) {
  if (request.group_by_size() > kMostKeys) {
    return InvalidField("group_by", fmt::format("at most {} paths", kMostKeys));
  }
  for (const std::string& path : request.group_by()) {
    YAGURA_ASSIGN_OR_RETURN(GroupKey key, ParseGroupKey(path, *table_));
    keys_.push_back(std::move(key));
  }
  return absl::OkStatus();
}

Status AggregatePlan::AddPart(const Aggregate& aggregate, size_t index) {
  const std::string where = fmt::format("aggregates[{}]", index);
  Part part;
  part.spec = aggregate;
  if (!v1::AggregateFunction_IsValid(aggregate.function()) ||
      aggregate.function() == v1::AGGREGATE_FUNCTION_UNSPECIFIED) {
    return InvalidField(where + ".function", "must be set");
  }
  if (aggregate.field().empty() != TakesNoField(aggregate.function())) {
    return InvalidField(where + ".field",
                        aggregate.field().empty() ? "must be set" : "must be empty");
  }
  if (part.spec.name().empty()) part.spec.set_name(DefaultName(aggregate));
  part.spec.set_accuracy(std::string(AccuracyOf(aggregate.function())));
  if (!IsName(part.spec.name())) {
    return InvalidField(where + ".name", "must be [a-z][a-z0-9_]*, at most 63 characters");
  }
  if (part.spec.name() == "count" || part.spec.name() == "value" ||
      std::any_of(parts_.begin(), parts_.end(),
                  [&](const Part& other) { return other.spec.name() == part.spec.name(); })) {
    return InvalidField(where + ".name", fmt::format("\"{}\" is taken", part.spec.name()));
  }
  switch (aggregate.function()) {
    case v1::FIRST_SEEN:
    case v1::LAST_SEEN:
      part.function =
          aggregate.function() == v1::FIRST_SEEN ? "min(receive_time)" : "max(receive_time)";
      part.orders = true;
      break;
    case v1::DISTINCT:
    case v1::TOP: {
      YAGURA_ASSIGN_OR_RETURN(part.key,
                              ParseGroupKey(aggregate.field(), *table_, where + ".field"));
      const std::string counts = part.key.missing_sql.empty()
                                     ? "1"
                                     : fmt::format("v{} != {}", index, part.key.missing_sql);
      if (aggregate.function() == v1::DISTINCT) {
        part.function = fmt::format("uniqCombined64If(17)(v{}, {})", index, counts);
        part.orders = true;
        break;
      }
      if (aggregate.top() < 0) return InvalidField(where + ".top", "must not be negative");
      part.spec.set_top(aggregate.top() == 0 ? kDefaultTop : std::min(aggregate.top(), kMostTop));
      part.function =
          fmt::format("topKIf({}, 3, 'counts')(v{}, {})", part.spec.top(), index, counts);
      break;
    }
    default:
      YAGURA_RETURN_IF_ERROR(AddNumber(where, &part));
      if (aggregate.function() == v1::PERCENTILES) {
        YAGURA_RETURN_IF_ERROR(SetPercents(where, &part.spec));
        part.function = PercentilesSql(part.spec, index);
      } else {
        part.function = fmt::format("{}(v{})", NumberFunction(aggregate.function()), index);
        part.orders = true;
      }
  }
  parts_.push_back(std::move(part));
  return absl::OkStatus();
}

// The value as a number, or where the function allows it as a time; NULL where it does not count.
Status AggregatePlan::AddNumber(const std::string& where, Part* part) const {
  const std::string& path = part->spec.field();
  if (path.starts_with(kFieldPrefix)) {
    YAGURA_ASSIGN_OR_RETURN(part->field_name, OriginalFieldName(path, where + ".field"));
    return absl::OkStatus();
  }
  const EventColumn* column = table_->FindPath(path);
  if (column == nullptr) {
    return InvalidField(where + ".field", fmt::format("unknown field \"{}\"", ToValidUtf8(path)));
  }
  const bool takes_time = part->spec.function() == v1::MIN || part->spec.function() == v1::MAX;
  switch (column->type) {
    case filter::ColumnType::kInteger:
      if (path == "severity" || path == "action") break;
      part->value = fmt::format("nullIf(`{}`, 0)", column->name);
      return absl::OkStatus();
    case filter::ColumnType::kDuration:
      part->value = fmt::format("nullIf(`{}`, 0) / 1e9", column->name);
      return absl::OkStatus();
    case filter::ColumnType::kTime:
      if (!takes_time) break;
      part->value =
          fmt::format("nullIf(`{}`, fromUnixTimestamp64Nano(toInt64(0), 'UTC'))", column->name);
      return absl::OkStatus();
    default:
      break;
  }
  return InvalidField(where + ".field",
                      fmt::format("\"{}\" has no values for {}", path,
                                  v1::AggregateFunction_Name(part->spec.function())));
}

Status AggregatePlan::SetOrder(const std::string& order_by) {
  std::vector<std::string> values = KeyNames();
  if (order_by == "value desc") {
    for (std::string& name : values) name += " DESC";
  }
  const std::string by_value = values.empty() ? "" : ", " + Join(values, ", ");
  if (order_by == "value" || order_by == "value desc") {
    order_ = values.empty() ? "events" : Join(values, ", ");
    return absl::OkStatus();
  }
  constexpr std::string_view kDescending = " desc";
  std::string_view name = order_by.empty() ? std::string_view("count desc") : order_by;
  const bool descending = name.ends_with(kDescending);
  if (descending) name.remove_suffix(kDescending.size());
  const std::string_view direction = descending ? " DESC" : "";
  if (name == "count") {
    order_ = fmt::format("events{}{}", direction, by_value);
    return absl::OkStatus();
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].spec.name() != name || !parts_[i].orders) continue;
    order_ = fmt::format("r{}{}{}", i, direction, by_value);
    return absl::OkStatus();
  }
  return InvalidField("order_by",
                      "must be \"count\", \"value\" or the name of an aggregate that gives one "
                      "number or time, also with \" desc\"");
}

std::vector<std::string> AggregatePlan::KeyNames() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < keys_.size(); ++i) names.push_back(fmt::format("g{}", i));
  return names;
}

std::string AggregatePlan::Inputs(Query* query) const {
  std::vector<std::string> inputs = {"receive_time", "event_time"};
  for (size_t i = 0; i < keys_.size(); ++i) {
    const std::string sql = GroupKeySql(keys_[i], *table_, fmt::format("field{}", i), query);
    inputs.push_back(fmt::format("{} AS g{}", sql, i));
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const std::string parameter = fmt::format("value{}", i);
    std::string sql = part.value;
    if (!part.field_name.empty()) {
      const std::string number = fmt::format(
          "toFloat64OrNull({})", OriginalFieldSql(*table_, part.field_name, parameter, query));
      sql = fmt::format("if(isFinite({0}), {0}, NULL)", number);
    } else if (part.spec.function() == v1::DISTINCT || part.spec.function() == v1::TOP) {
      sql = GroupKeySql(part.key, *table_, parameter, query);
    }
    if (!sql.empty()) inputs.push_back(fmt::format("{} AS v{}", sql, i));
  }
  return Join(inputs, ", ");
}

std::string AggregatePlan::Results() const {
  std::string results;
  for (size_t i = 0; i < parts_.size(); ++i) {
    results += fmt::format(", {} AS r{}", parts_[i].function, i);
  }
  return results;
}

std::string AggregatePlan::GroupsSql(const std::string& where, size_t limit, bool with_results,
                                     Query* query) const {
  std::vector<std::string> present = {"1"};
  for (size_t i = 0; skip_missing_ && i < keys_.size(); ++i) {
    if (keys_[i].missing_sql.empty()) continue;
    present.push_back(fmt::format("g{} != {}", i, keys_[i].missing_sql));
  }
  std::vector<std::string> selected = KeyNames();
  const std::string group_by =
      keys_.empty() ? "" : fmt::format(" GROUP BY {}", Join(selected, ", "));
  std::string keys;
  for (const std::string& name : selected) keys += name + ", ";
  if (with_results) {
    selected.insert(selected.end(), {"events", "total"});
    for (size_t i = 0; i < parts_.size(); ++i) selected.push_back(fmt::format("r{}", i));
  }
  return fmt::format(
      "SELECT {} FROM (SELECT {}count() AS events, sum(events) OVER () AS total{} FROM "
      "(SELECT {} FROM yagura.events WHERE {}){}) WHERE {} ORDER BY {} LIMIT {}",
      Join(selected, ", "), keys, Results(), Inputs(query), where, group_by, Join(present, " AND "),
      order_, limit);
}

StatusOr<Query> AggregatePlan::Groups(const Selection& selection) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, *table_, &query));
  query.sql = GroupsSql(where, limit_ + 1, true, &query);
  return query;
}

StatusOr<Query> AggregatePlan::Buckets(const Selection& selection,
                                       std::chrono::seconds interval) const {
  const int64_t buckets = BucketOf(selection.window.end - std::chrono::nanoseconds(1), interval) -
                          BucketOf(selection.window.start, interval) + 1;
  const size_t groups = keys_.empty() ? 1 : limit_;
  if (static_cast<uint64_t>(buckets) * groups > kMostBuckets) {
    return InvalidField("interval", fmt::format("gives {} buckets for {} groups; at most {} in all",
                                                buckets, groups, kMostBuckets));
  }
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, *table_, &query));
  query.parameters["width"] = std::to_string(std::chrono::nanoseconds(interval).count());
  std::string keys;
  for (const std::string& name : KeyNames()) keys += ", " + name;
  const std::string only =
      keys_.empty()
          ? "1"
          : fmt::format("tuple({}) IN (SELECT tuple({}) FROM ({}))", Join(KeyNames(), ", "),
                        Join(KeyNames(), ", "), GroupsSql(where, limit_, false, &query));
  query.sql = fmt::format(
      "SELECT intDiv(toUnixTimestamp64Nano({5}), {{width:Int64}}) AS bucket{0}, count() AS "
      "events{1} FROM (SELECT {2} FROM yagura.events WHERE {3}) WHERE {4} GROUP BY bucket{0} ORDER "
      "BY bucket",
      keys, Results(), Inputs(&query), where, only, TimeColumn(selection.window));
  return query;
}

v1::AggregateResult AggregatePlan::Result(const Part& part, const Value& value) const {
  v1::AggregateResult result;
  switch (value.kind) {
    case Value::Kind::kUnsigned:
    case Value::Kind::kSigned:
      result.set_count(value.AsUnsigned());
      break;
    case Value::Kind::kDouble:
      if (std::isfinite(value.real)) result.set_number(value.real);
      break;
    case Value::Kind::kTime:
      if (value.AsSigned() != 0) *result.mutable_time() = ToProto(value.AsTime());
      break;
    case Value::Kind::kList:
      for (const Value& item : value.items) {
        if (part.spec.function() == v1::PERCENTILES) {
          if (std::isfinite(item.real)) result.add_percentiles(item.real);
          continue;
        }
        auto* top = result.add_top();
        top->set_value(FormatGroupValue(part.key, item.items.at(0)));
        top->set_count(item.items.at(1).AsUnsigned());
        top->set_error(item.items.at(2).AsUnsigned());
      }
      break;
    default:
      break;
  }
  result.set_approximate(IsApproximate(part.spec.function(), result));
  return result;
}

// Keys from row[first], then count, then results from `results`.
void AggregatePlan::FillRow(const eventstore::Row& row, size_t first, v1::AggregateRow* out) const {
  for (size_t i = 0; i < keys_.size(); ++i) {
    out->add_values(FormatGroupValue(keys_[i], row.at(first + i)));
  }
  out->set_count(row.at(first + keys_.size()).AsUnsigned());
  const size_t results = row.size() - parts_.size();
  for (size_t i = 0; i < parts_.size(); ++i) {
    *out->add_results() = Result(parts_[i], row.at(results + i));
  }
}

void AggregatePlan::Fill(const eventstore::Table& groups,
                         v1::AggregateEventsResponse* response) const {
  for (const Part& part : parts_) *response->add_aggregates() = part.spec;
  for (const eventstore::Row& row : groups.rows) {
    response->set_total(row.at(keys_.size() + 1).AsUnsigned());
    if (static_cast<size_t>(response->rows_size()) == limit_) {
      response->set_truncated(true);
      break;
    }
    FillRow(row, 0, response->add_rows());
  }
}

void AggregatePlan::FillBuckets(const eventstore::Table& buckets, std::chrono::seconds interval,
                                v1::AggregateEventsResponse* response) const {
  std::map<std::vector<std::string>, int> order;
  for (const auto& row : response->rows()) {
    order.emplace(std::vector<std::string>(row.values().begin(), row.values().end()),
                  static_cast<int>(order.size()));
  }
  struct Placed {
    int64_t bucket;
    int place;
    v1::AggregateRow row;
  };
  std::vector<Placed> rows;
  for (const eventstore::Row& row : buckets.rows) {
    Placed placed{row.at(0).AsSigned(), 0, {}};
    FillRow(row, 1, &placed.row);
    *placed.row.mutable_start_time() = ToProto(TimePoint(interval * placed.bucket));
    const auto& values = placed.row.values();
    const auto found = order.find({values.begin(), values.end()});
    placed.place = found == order.end() ? static_cast<int>(order.size()) : found->second;
    rows.push_back(std::move(placed));
  }
  std::sort(rows.begin(), rows.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.bucket, a.place) < std::pair(b.bucket, b.place);
  });
  response->clear_rows();
  for (Placed& placed : rows) *response->add_rows() = std::move(placed.row);
}

}  // namespace yagura::archive
