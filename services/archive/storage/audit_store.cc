#include "services/archive/storage/audit_store.h"

#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using eventstore::Row;

constexpr std::chrono::minutes kTimeout{2};

// The token counts per block: all rows must be one. It holds the time of sealing, as a stretch that
// the store has lost is sealed anew, and must not be taken for a repeat then.
eventstore::InsertRequest InsertOf(std::string_view what, const audit::v1::Head& head) {
  eventstore::InsertRequest request;
  request.settings = {
      {"insert_deduplication_token",
       fmt::format("{}/{}/{}-{}/{}", what, head.tenant(), head.first_sequence(), head.sequence(),
                   FromProto(head.seal_time()).time_since_epoch().count())},
      {"max_insert_block_size", "10000000"},
      {"min_insert_block_size_rows", "10000000"},
      {"min_insert_block_size_bytes", "4000000000"}};
  request.timeout = kTimeout;
  return request;
}

std::string Nanoseconds(TimePoint time) {
  return fmt::format("{}", time.time_since_epoch().count());
}

}  // namespace

AuditStore::AuditStore(std::shared_ptr<eventstore::Client> client) : client_(std::move(client)) {}

Status AuditStore::InsertRecords(const audit::v1::Head& head,
                                 const std::vector<SealedRecord>& records) const {
  eventstore::RowBinaryWriter rows;
  for (const SealedRecord& record : records) EncodeRecord(record, head, &rows);
  eventstore::InsertRequest request = InsertOf("audit", head);
  request.sql = InsertAuditRecordsSql();
  return client_->Insert(request, rows.bytes()).status();
}

Status AuditStore::InsertHead(const SealedHead& head) const {
  eventstore::RowBinaryWriter rows;
  EncodeHead(head, &rows);
  eventstore::InsertRequest request = InsertOf("audit-head", head.head);
  request.sql = kInsertAuditHead;
  return client_->Insert(request, rows.bytes()).status();
}

StatusOr<std::vector<SealedHead>> AuditStore::Heads(std::string_view tenant,
                                                    std::string_view condition, TimePoint time,
                                                    uint64_t sequence, size_t limit) const {
  Query query;
  query.sql =
      fmt::format("SELECT {} FROM yagura.audit_heads WHERE tenant = {{tenant:String}} AND {}",
                  kAuditHeadColumns, condition);
  query.parameters = {{"tenant", std::string(tenant)},
                      {"time", Nanoseconds(time)},
                      {"sequence", std::to_string(sequence)},
                      {"limit", std::to_string(limit)}};
  YAGURA_ASSIGN_OR_RETURN(const auto table, client_->Select(query));
  std::vector<SealedHead> heads;
  heads.reserve(table.rows.size());
  for (const Row& row : table.rows) heads.push_back(DecodeHead(row));
  return heads;
}

namespace {

std::optional<SealedHead> First(std::vector<SealedHead> heads) {
  if (heads.empty()) return std::nullopt;
  return std::move(heads.front());
}

}  // namespace

StatusOr<std::optional<SealedHead>> AuditStore::LastHead(std::string_view tenant) const {
  YAGURA_ASSIGN_OR_RETURN(auto heads,
                          Heads(tenant, "1 ORDER BY sequence DESC LIMIT 1", TimePoint{}, 0, 1));
  return First(std::move(heads));
}

StatusOr<std::optional<SealedHead>> AuditStore::LastExpiredHead(std::string_view tenant,
                                                                TimePoint time) const {
  YAGURA_ASSIGN_OR_RETURN(
      auto heads, Heads(tenant,
                        "sequence < (SELECT if(count() > 0, min(sequence), 18446744073709551615) "
                        "FROM yagura.audit_heads WHERE tenant = {tenant:String} "
                        "AND expires > fromUnixTimestamp64Nano({time:Int64})) "
                        "ORDER BY sequence DESC LIMIT 1",
                        time, 0, 1));
  return First(std::move(heads));
}

StatusOr<std::optional<SealedHead>> AuditStore::LastHeadBefore(std::string_view tenant,
                                                               TimePoint time) const {
  YAGURA_ASSIGN_OR_RETURN(auto heads, Heads(tenant,
                                            "seal_time <= fromUnixTimestamp64Nano({time:Int64}) "
                                            "ORDER BY sequence DESC LIMIT 1",
                                            time, 0, 1));
  return First(std::move(heads));
}

StatusOr<std::vector<SealedHead>> AuditStore::HeadsAfter(std::string_view tenant, uint64_t sequence,
                                                         size_t limit) const {
  return Heads(tenant,
               "sequence > {sequence:UInt64} ORDER BY sequence, first_sequence "
               "LIMIT {limit:UInt64}",
               TimePoint{}, sequence, limit);
}

Status AuditStore::Visit(std::string_view tenant, uint64_t after, uint64_t up_to,
                         const std::stop_token& stop, const Visitor& visit) const {
  Query query;
  query.sql = fmt::format(
      "SELECT {} FROM yagura.audit_records WHERE tenant = {{tenant:String}} "
      "AND sequence > {{after:UInt64}} AND sequence <= {{up_to:UInt64}} ORDER BY sequence",
      AuditRecordColumns());
  query.parameters = {{"tenant", std::string(tenant)},
                      {"after", std::to_string(after)},
                      {"up_to", std::to_string(up_to)}};
  query.timeout = kTimeout;
  return client_->Stream(
      query, [&visit](const Row& row) { return visit(DecodeRecord(row)); }, stop);
}

StatusOr<uint64_t> AuditStore::LastSequence(std::string_view tenant, uint64_t after) const {
  Query query;
  query.sql =
      "SELECT max(sequence) FROM yagura.audit_records "
      "WHERE tenant = {tenant:String} AND sequence > {after:UInt64}";
  query.parameters = {{"tenant", std::string(tenant)}, {"after", std::to_string(after)}};
  YAGURA_ASSIGN_OR_RETURN(const auto table, client_->Select(query));
  return table.rows.empty() ? 0 : table.rows[0].at(0).AsUnsigned();
}

StatusOr<AuditStore::Rows> AuditStore::RowsAfter(std::string_view tenant, uint64_t after) const {
  Query query;
  query.sql =
      "SELECT count(), max(sequence), min(seal_time), max(seal_time), "
      "toUInt64(toUnixTimestamp(min(expires))), toUInt64(toUnixTimestamp(max(expires))) "
      "FROM yagura.audit_records WHERE tenant = {tenant:String} AND sequence > {after:UInt64}";
  query.parameters = {{"tenant", std::string(tenant)}, {"after", std::to_string(after)}};
  YAGURA_ASSIGN_OR_RETURN(const auto table, client_->Select(query));
  Rows found;
  if (table.rows.empty()) return found;
  const Row& row = table.rows[0];
  found.rows = row.at(0).AsUnsigned();
  found.last = row.at(1).AsUnsigned();
  found.seal_time = row.at(2).AsTime();
  found.expires = static_cast<int64_t>(row.at(4).AsUnsigned());
  found.one_time =
      row.at(2).AsTime() == row.at(3).AsTime() && row.at(4).AsUnsigned() == row.at(5).AsUnsigned();
  return found;
}

StatusOr<std::vector<StoredRecord>> AuditStore::Newest(const Selection& selection, size_t limit,
                                                       const std::stop_token& stop) const {
  YAGURA_ASSIGN_OR_RETURN(const filter::Sql where, selection.filter.ToSql(AuditColumnMap()));
  std::vector<std::string> tenants;
  std::vector<std::string> bounds;
  for (const auto& [tenant, below] : selection.below) {
    tenants.push_back(tenant);
    bounds.push_back(std::to_string(below));
  }
  Query query;
  query.parameters = where.parameters;
  // One tenant's rows lie together by its sequence; of many tenants, each has its own bound.
  std::string which;
  if (tenants.size() == 1) {
    which = "tenant = {tenant:String} AND sequence < {below:UInt64}";
    query.parameters["tenant"] = tenants[0];
    query.parameters["below"] = bounds[0];
  } else {
    which =
        "has({tenants:Array(String)}, tenant) AND sequence < "
        "arrayElement({bounds:Array(UInt64)}, indexOf({tenants:Array(String)}, toString(tenant)))";
    query.array_parameters["tenants"] = eventstore::ArrayParameter(tenants);
    query.array_parameters["bounds"] = fmt::format("[{}]", Join(bounds, ","));
  }
  query.sql = fmt::format(
      "SELECT {} FROM yagura.audit_records WHERE {} "
      "AND order_time >= fromUnixTimestamp64Nano({{from:Int64}}) "
      "AND order_time < fromUnixTimestamp64Nano({{to:Int64}}) AND {} "
      "ORDER BY order_time DESC, tenant, sequence DESC LIMIT {{limit:UInt64}}",
      AuditRecordColumns(), which, where.where);
  query.parameters["from"] = Nanoseconds(selection.from);
  query.parameters["to"] = Nanoseconds(selection.to);
  query.parameters["limit"] = std::to_string(limit);
  std::vector<StoredRecord> records;
  YAGURA_RETURN_IF_ERROR(client_->Stream(
      query,
      [&records](const Row& row) {
        records.push_back(DecodeRecord(row));
        return absl::OkStatus();
      },
      stop));
  return records;
}

}  // namespace yagura::archive
