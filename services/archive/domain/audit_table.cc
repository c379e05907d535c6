#include "services/archive/domain/audit_table.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"

namespace yagura::archive {
namespace {

using audit::v1::Record;
using eventstore::Row;
using eventstore::RowBinaryWriter;
using eventstore::Value;
using filter::ColumnType;

// A column that repeats a field of the record.
struct Column {
  std::string_view name;
  std::string_view definition;
  ColumnType type;
  std::string (*text)(const Record&);  // kString
  int64_t (*number)(const Record&);    // kInteger
};

int64_t None(const Record& /*record*/) { return 0; }
std::string NoText(const Record& /*record*/) { return {}; }

constexpr std::string_view kFew = "LowCardinality(String) CODEC(ZSTD(1))";
constexpr std::string_view kMany = "String CODEC(ZSTD(1))";

const std::vector<Column>& Columns() {
  static const std::vector<Column> kColumns = {
      {"principal", kFew, ColumnType::kString, [](const Record& r) { return r.principal(); }, None},
      {"on_behalf_of", kFew, ColumnType::kString, [](const Record& r) { return r.on_behalf_of(); },
       None},
      {"method", kFew, ColumnType::kString, [](const Record& r) { return r.method(); }, None},
      {"action", "Int32 CODEC(ZSTD(1))", ColumnType::kInteger, NoText,
       [](const Record& r) { return static_cast<int64_t>(r.action()); }},
      {"resource", kMany, ColumnType::kString, [](const Record& r) { return r.resource(); }, None},
      {"kind", kFew, ColumnType::kString, [](const Record& r) { return r.kind(); }, None},
      {"etag", kMany, ColumnType::kString, [](const Record& r) { return r.etag(); }, None},
      {"request_id", kMany, ColumnType::kString, [](const Record& r) { return r.request_id(); },
       None},
      {"detail", kMany, ColumnType::kString, [](const Record& r) { return r.detail(); }, None},
      {"digest", kMany, ColumnType::kString, [](const Record& r) { return r.digest(); }, None},
      {"status_code", "Int32 CODEC(ZSTD(1))", ColumnType::kInteger, NoText,
       [](const Record& r) { return static_cast<int64_t>(r.status_code()); }},
  };
  return kColumns;
}

constexpr size_t kFirstColumn = 6;  // behind tenant, sequence, record, chain_hash, two times

// Whoever wrote bytes that are no Record: they are sealed all the same.
Record Parse(std::string_view bytes, bool* parsed = nullptr) {
  Record record;
  const bool good = record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (!good) record.Clear();
  if (parsed != nullptr) *parsed = good;
  return record;
}

TimePoint TimeOf(const Record& record) {
  return record.has_time() ? FromProto(record.time()) : TimePoint{};
}

bool ColumnsFit(const Row& row, const Record& record) {
  if (row.size() != kFirstColumn + Columns().size()) return false;
  if (row[5].AsTime() != TimeOf(record)) return false;
  for (size_t i = 0; i < Columns().size(); ++i) {
    const Column& column = Columns()[i];
    const Value& value = row[kFirstColumn + i];
    const bool fits = column.type == ColumnType::kString
                          ? value.AsText() == column.text(record)
                          : value.AsSigned() == column.number(record);
    if (!fits) return false;
  }
  return true;
}

}  // namespace

std::string CreateAuditRecords(std::string_view settings) {
  std::string columns;
  for (const Column& column : Columns()) {
    columns += fmt::format("`{}` {},\n", column.name, column.definition);
  }
  // Partitions by the month of sealing, which is the same for all rows of an insert, and for its
  // repeats.
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.audit_records (\n"
      "tenant LowCardinality(String),\n"
      "sequence UInt64 CODEC(Delta, ZSTD(1)),\n"
      "record String CODEC(ZSTD(1)),\n"
      "chain_hash String CODEC(NONE),\n"
      "order_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n{}"
      "seal_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "INDEX order_time_range order_time TYPE minmax GRANULARITY 1\n"
      ") ENGINE = MergeTree PARTITION BY toYYYYMM(seal_time) ORDER BY (tenant, sequence) "
      "TTL expires SETTINGS {}",
      columns, settings);
}

std::string CreateAuditHeads(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.audit_heads (\n"
      "tenant LowCardinality(String),\n"
      "first_sequence UInt64 CODEC(Delta, ZSTD(1)),\n"
      "sequence UInt64 CODEC(Delta, ZSTD(1)),\n"
      "previous_hash String CODEC(NONE),\n"
      "hash String CODEC(NONE),\n"
      "seal_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "key_id LowCardinality(String),\n"
      "signature String CODEC(NONE),\n"
      "order_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))\n"
      ") ENGINE = MergeTree ORDER BY (tenant, sequence) SETTINGS {}",
      settings);
}

void EncodeHead(const SealedHead& sealed, RowBinaryWriter* out) {
  const audit::v1::Head& head = sealed.head;
  out->Text(head.tenant());
  out->Unsigned64(head.first_sequence());
  out->Unsigned64(head.sequence());
  out->Text(head.previous_hash());
  out->Text(head.hash());
  out->Time(FromProto(head.seal_time()));
  out->Unsigned32(static_cast<uint32_t>(head.expire_time().seconds()));
  out->Text(head.key_id());
  out->Text(head.signature());
  out->Time(sealed.order_time);
}

SealedHead DecodeHead(const Row& row) {
  SealedHead sealed;
  sealed.head.set_tenant(row.at(0).AsText());
  sealed.head.set_first_sequence(row.at(1).AsUnsigned());
  sealed.head.set_sequence(row.at(2).AsUnsigned());
  sealed.head.set_previous_hash(row.at(3).AsText());
  sealed.head.set_hash(row.at(4).AsText());
  *sealed.head.mutable_seal_time() = ToProto(row.at(5).AsTime());
  *sealed.head.mutable_expire_time() = ToProto(row.at(6).AsTime());
  sealed.head.set_key_id(row.at(7).AsText());
  sealed.head.set_signature(row.at(8).AsText());
  sealed.order_time = row.at(9).AsTime();
  return sealed;
}

std::string AuditRecordColumns() {
  std::string list = "tenant, sequence, record, chain_hash, order_time, time";
  for (const Column& column : Columns()) list.append(", ").append(column.name);
  return list;
}

std::string InsertAuditRecordsSql() {
  return fmt::format("INSERT INTO yagura.audit_records ({}, seal_time, expires) FORMAT RowBinary",
                     AuditRecordColumns());
}

TimePoint OrderTimeOf(std::string_view record, TimePoint previous, TimePoint sealed) {
  return std::max(previous, std::min(TimeOf(Parse(record)), sealed));
}

void EncodeRecord(const SealedRecord& sealed, const audit::v1::Head& head, RowBinaryWriter* out) {
  const Record record = Parse(sealed.bytes);
  out->Text(head.tenant());
  out->Unsigned64(sealed.sequence);
  out->Text(sealed.bytes);
  out->Text(sealed.chain_hash);
  out->Time(sealed.order_time);
  out->Time(TimeOf(record));
  for (const Column& column : Columns()) {
    if (column.type == ColumnType::kString) {
      out->Text(column.text(record));
    } else {
      out->Unsigned32(static_cast<uint32_t>(column.number(record)));
    }
  }
  out->Time(FromProto(head.seal_time()));
  out->Unsigned32(static_cast<uint32_t>(head.expire_time().seconds()));
}

StoredRecord DecodeRecord(const Row& row) {
  StoredRecord stored;
  stored.tenant = row.at(0).AsText();
  stored.sealed = {row.at(1).AsUnsigned(), row.at(2).AsText(), row.at(3).AsText(),
                   row.at(4).AsTime()};
  stored.columns_fit = ColumnsFit(row, Parse(stored.sealed.bytes));
  return stored;
}

Record ToRecord(const StoredRecord& stored) {
  bool parsed = false;
  Record record = Parse(stored.sealed.bytes, &parsed);
  if (!parsed) record.set_detail("what was stored here is no audit record");
  record.set_tenant(stored.tenant);
  record.set_sequence(stored.sealed.sequence);
  record.set_chain_hash(stored.sealed.chain_hash);
  return record;
}

const filter::ColumnMap& AuditColumnMap() {
  static const filter::ColumnMap kMap = [] {
    filter::ColumnMap map;
    map.columns["tenant"] = {"tenant", ColumnType::kString};
    map.columns["sequence"] = {"sequence", ColumnType::kInteger};
    map.columns["chain_hash"] = {"chain_hash", ColumnType::kString};
    map.columns["time"] = {"time", ColumnType::kTime};
    for (const Column& column : Columns()) {
      map.columns[std::string(column.name)] = {std::string(column.name), column.type};
    }
    return map;
  }();
  return kMap;
}

}  // namespace yagura::archive
