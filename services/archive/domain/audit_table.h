#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/eventstore/row_binary.h"
#include "common/eventstore/value.h"
#include "common/filter/sql.h"
#include "yagura/audit/v1/audit.pb.h"

// How sealed audit records and the heads of their chains lie in the event store. A record's bytes
// are what counts and what is given back; its other columns are there to be searched by.
namespace yagura::archive {

// A record as it is sealed.
struct SealedRecord {
  uint64_t sequence = 0;
  std::string bytes;       // a serialised Record, as it was in the feed
  std::string chain_hash;  // 32 bytes
  // By which lists over several tenants are ordered: the record's time, but never before that of
  // the record before it, and never after the time of sealing.
  TimePoint order_time{};
};

// A head as it is stored.
struct SealedHead {
  audit::v1::Head head;
  TimePoint order_time{};  // of its last record
};

// Statements of the migration; `settings` are those of every table that is inserted into.
std::string CreateAuditRecords(std::string_view settings);
std::string CreateAuditHeads(std::string_view settings);

inline constexpr std::string_view kInsertAuditHead =
    "INSERT INTO yagura.audit_heads (tenant, first_sequence, sequence, previous_hash, hash, "
    "seal_time, expires, key_id, signature, order_time) FORMAT RowBinary";
inline constexpr std::string_view kAuditHeadColumns =
    "tenant, first_sequence, sequence, previous_hash, hash, seal_time, expires, key_id, signature, "
    "order_time";
void EncodeHead(const SealedHead& head, eventstore::RowBinaryWriter* out);
SealedHead DecodeHead(const eventstore::Row& row);

// "INSERT INTO yagura.audit_records (...) FORMAT RowBinary".
std::string InsertAuditRecordsSql();
// "tenant, sequence, record, chain_hash, order_time, ...".
std::string AuditRecordColumns();
// The order time of a record that follows one with `previous`.
TimePoint OrderTimeOf(std::string_view record, TimePoint previous, TimePoint sealed);
// One row; tenant, seal time and expiry are the head's.
void EncodeRecord(const SealedRecord& record, const audit::v1::Head& head,
                  eventstore::RowBinaryWriter* out);

// A row of a SELECT of AuditRecordColumns.
struct StoredRecord {
  std::string tenant;
  SealedRecord sealed;
  // The other columns say what the bytes say.
  bool columns_fit = false;
};
StoredRecord DecodeRecord(const eventstore::Row& row);

// What lists answer: the record with its place in the chain. Bytes that are no Record give one that
// says so.
audit::v1::Record ToRecord(const StoredRecord& stored);

// Every field of Record, for filters.
const filter::ColumnMap& AuditColumnMap();

}  // namespace yagura::archive
