#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/value.h"

// ClickHouse's RowBinary format: exact for any bytes, and the quickest of the row formats.
namespace yagura::eventstore {

// Appends values in the order of the columns of an INSERT. Not thread-safe.
class RowBinaryWriter {
 public:
  void Unsigned8(uint8_t value) { Fixed(value); }
  void Unsigned16(uint16_t value) { Fixed(value); }
  void Unsigned32(uint32_t value) { Fixed(value); }
  void Unsigned64(uint64_t value) { Fixed(value); }
  void Signed64(int64_t value) { Fixed(static_cast<uint64_t>(value)); }
  // String, also LowCardinality(String).
  void Text(std::string_view value);
  // FixedString(N), IPv6: exactly the bytes.
  void Raw(std::string_view bytes) { out_.append(bytes); }
  // DateTime64(9).
  void Time(TimePoint time) { Signed64(time.time_since_epoch().count()); }
  // The number of elements of an Array, or of pairs of a Map, before them.
  void Count(size_t elements) { VarUint(elements); }

  size_t size() const { return out_.size(); }
  std::string_view bytes() const { return out_; }
  void Clear() { out_.clear(); }
  void Reserve(size_t bytes) { out_.reserve(bytes); }

 private:
  template <typename Number>
  void Fixed(Number value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void VarUint(uint64_t value);
  std::string out_;
};

// Decodes RowBinaryWithNamesAndTypes piece by piece, as it comes from the net. Hostile or broken
// input gives INTERNAL (STORE_PROTOCOL) within bounded memory. Not thread-safe.
class RowBinaryReader {
 public:
  // Called for every row; the row is reused afterwards. An error ends Feed with it.
  using RowVisitor = std::function<absl::Status(const Row&)>;

  explicit RowBinaryReader(RowVisitor visit);
  ~RowBinaryReader();

  absl::Status Feed(std::string_view bytes);
  // INTERNAL where the input stopped within a row.
  absl::Status Finish() const;
  // Empty until the header has been read.
  const std::vector<ColumnInfo>& columns() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::eventstore
