#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"
#include "services/archive/domain/field_layout.h"
#include "services/archive/domain/time_window.h"

namespace yagura::archive {

// `expires` of events that a legal hold keeps, seconds since 1970: the year 2100.
inline constexpr uint32_t kHeldUntil = 4'102'444'800;

// As no address is stored, and as any is.
inline constexpr std::string_view kNoAddress{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16};

// A batch with all its columns decoded, and those of its events that go into the block, in order.
class BatchRows {
 public:
  // Events begin..end-1, by receive time and id as the table is ordered: the store then sorts less.
  // INVALID_ARGUMENT (BAD_BATCH) where anything of the batch is broken.
  static absl::StatusOr<BatchRows> Open(std::string_view payload, size_t begin = 0,
                                        size_t end = SIZE_MAX);
  // How long after their receipt its events are kept.
  void KeepFor(std::chrono::nanoseconds retention) { retention_ = retention; }
  // The number of the insert that they are part of.
  void OfUnit(uint64_t number) { unit_ = number; }
  uint64_t unit() const { return unit_; }
  // Those that were received in one of these windows are kept until kHeldUntil.
  void Hold(std::vector<TimeWindow> windows) { holds_ = std::move(windows); }

  const event::Column& At(event::Core core) const { return *core_[static_cast<size_t>(core)]; }
  const std::vector<uint16_t>& rows() const { return rows_; }
  std::string_view Raw(size_t row) const { return (*raw_)[row]; }
  std::string Id(size_t row) const { return reader_->EventId(row); }
  const event::FieldTable& fields() const { return *fields_; }
  const FieldLayouts& layouts() const { return layouts_; }
  const std::string& tenant() const { return reader_->tenant(); }
  int64_t ReceiveTime(size_t row) const { return At(event::Core::kReceiveTime).signed_number(row); }
  // Seconds since 1970 from when on the event may go.
  uint32_t Expiry(size_t row) const;
  // The same by retention alone, as if nothing were held.
  uint32_t RetentionExpiry(size_t row) const;
  // Whether a hold touches that day of receipt (days since 1970).
  bool HoldsDay(int64_t day) const;

 private:
  absl::Status Decode();
  void Order(size_t begin, size_t end);

  std::unique_ptr<event::BatchReader> reader_;
  std::array<const event::Column*, event::kMaxCore + 1> core_{};
  const std::vector<std::string_view>* raw_ = nullptr;
  const event::FieldTable* fields_ = nullptr;
  FieldLayouts layouts_;
  std::vector<uint16_t> rows_;
  std::chrono::nanoseconds retention_{};
  std::vector<TimeWindow> holds_;
  uint64_t unit_ = 0;
};

// Values as they are stored, of the columns whose types say so below: 16 bytes; a byte of an enum;
// a byte a flaw.
void AppendStoredAddress(std::string_view ip, std::string* out);
uint8_t EnumByte(uint64_t number);
void AppendStoredFlaws(const BatchRows& batch, size_t row, std::string* out);

// One column of a block in the making, in the store's Native format. Not thread-safe.
class BlockColumn {
 public:
  BlockColumn() = default;
  virtual ~BlockColumn() = default;
  BlockColumn(const BlockColumn&) = delete;
  BlockColumn& operator=(const BlockColumn&) = delete;

  virtual void Add(const BatchRows& batch) = 0;
  // Everything behind the column's head. The column is empty then.
  virtual std::string Take() = 0;
};
using NewBlockColumn = std::function<std::unique_ptr<BlockColumn>()>;

// By the type of the column in the store.
NewBlockColumn TextColumn(event::Core core);        // String
NewBlockColumn DictionaryOf(event::Core core);      // LowCardinality(String)
NewBlockColumn AddressColumn(event::Core core);     // IPv6; an IPv4 address is mapped
NewBlockColumn SignedColumn(event::Core core);      // Int64, DateTime64(9)
NewBlockColumn UnsignedColumn(event::Core core);    // UInt64
NewBlockColumn Unsigned32Column(event::Core core);  // UInt32
// UInt8: of an open enum; a number that does not fit becomes 0, "not told".
NewBlockColumn EnumColumn(event::Core core);
NewBlockColumn IdColumn();      // String
NewBlockColumn TenantColumn();  // LowCardinality(String)
NewBlockColumn RawColumn();     // String
// Array(UInt8). An event time outside [receipt - 7 d, receipt + 1 h] gets the flaw CLOCK_ERROR.
NewBlockColumn FlawsOf();
// Map(LowCardinality(String), LowCardinality(String)): the fields that no other column has, see
// FieldKey.
NewBlockColumn FieldsOf();
// LowCardinality(String): where the other fields are, see field_layout.h.
NewBlockColumn LayoutOf();
NewBlockColumn ExpiryColumn();  // DateTime
NewBlockColumn UnitColumn();    // UInt64: of the insert
NewBlockColumn FoldedOf();      // String: what filter::EventFolder says

// Names of an event's fields as keys that are unique, as a lookup by a repeated key gives sometimes
// the first and sometimes the last value: the name itself for its first occurrence.
std::string FieldKey(std::string_view name, uint64_t occurrence);
std::string_view FieldName(std::string_view key);

}  // namespace yagura::archive
